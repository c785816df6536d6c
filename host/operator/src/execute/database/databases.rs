//! Compares the desired databases of a cluster with the existing ones.

use std::collections::{BTreeMap, BTreeSet};

use super::session::column;
use super::statement::{Statement, name};
use super::{Error, Session};

/// The most databases that are read; the desired ones are read first.
pub(super) const MAX_DATABASES: usize = 5_000;

/// An existing database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Existing {
    pub name: String,
    pub owner: String,
    /// Whether it is a template, which new databases are copied from.
    pub template: bool,
    /// Whether it accepts connections (`datallowconn`).
    pub connectable: bool,
}

impl Existing {
    /// Whether its content can be synchronised: it accepts connections and is not a template.
    pub fn is_open(&self) -> bool {
        self.connectable && !self.template
    }
}

/// The existing databases, sorted by name: at most [`MAX_DATABASES`], and always those of `wanted`.
pub(super) async fn read(session: &Session, wanted: &[&str]) -> Result<Vec<Existing>, Error> {
    let sql = "SELECT datname::text, pg_get_userbyid(datdba)::text, datistemplate, datallowconn \
        FROM pg_database ORDER BY datname = ANY($1::text[]) DESC, datname LIMIT $2";
    let what = "read the databases";
    let limit = i64::try_from(MAX_DATABASES).unwrap_or(i64::MAX);
    let rows = session.query(what, sql, &[&wanted, &limit]).await?;
    let existing = rows.iter().map(|row| {
        Ok(Existing {
            name: column(row, 0, what)?,
            owner: column(row, 1, what)?,
            template: column(row, 2, what)?,
            connectable: column(row, 3, what)?,
        })
    });
    let mut existing = existing.collect::<Result<Vec<_>, Error>>()?;
    existing.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(existing)
}

/// The statements that create the desired databases and set their owners. Those of `created` get theirs only when they are
/// created. Nothing is dropped.
pub(super) fn plan(
    wanted: &BTreeMap<String, String>,
    created: &BTreeSet<String>,
    existing: &[Existing],
) -> Vec<Statement> {
    let owners: BTreeMap<_, _> = existing.iter().map(|one| (&one.name, &one.owner)).collect();
    let change = |(database, owner): (&String, &String)| {
        let (database_sql, owner_sql) = (name(database), name(owner));
        match owners.get(database) {
            Some(current) if *current == owner || created.contains(database) => None,
            Some(_) => Some(Statement::new(
                format!("alter database {database}: owner {owner}"),
                format!("ALTER DATABASE {database_sql} OWNER TO {owner_sql}"),
            )),
            None => {
                let what = format!("create database {database}");
                let sql = format!("CREATE DATABASE {database_sql} OWNER {owner_sql}");
                Some(Statement::new(what, sql).alone())
            }
        }
    };
    wanted.iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(name: &str, owner: &str) -> Existing {
        Existing {
            name: name.into(),
            owner: owner.into(),
            template: name.starts_with("template"),
            connectable: name != "template0",
        }
    }

    #[test]
    fn missing_databases_are_created_and_owners_corrected() {
        let wanted = [("foo", "zalando"), ("bar", "bar_owner"), ("same", "zalando")];
        let wanted = wanted.map(|(name, owner)| (name.into(), owner.into())).into();
        let existing = [there("postgres", "postgres"), there("bar", "postgres"), there("same", "zalando")];
        let planned: Vec<_> = plan(&wanted, &BTreeSet::new(), &existing).iter().map(|one| format!("{one:?}")).collect();
        assert_eq!(
            planned,
            [
                "alter database bar: owner bar_owner: ALTER DATABASE \"bar\" OWNER TO \"bar_owner\"",
                "create database foo: CREATE DATABASE \"foo\" OWNER \"zalando\"",
            ]
        );
    }

    #[test]
    fn a_database_that_is_only_prepared_keeps_the_owner_that_it_has() {
        let wanted = [("shop".to_owned(), "shop_owner".to_owned())].into();
        let created = ["shop".to_owned()].into();
        assert_eq!(plan(&wanted, &created, &[there("shop", "web")]).len(), 0);
        assert_eq!(plan(&wanted, &created, &[]).len(), 1);
    }

    #[test]
    fn templates_and_closed_databases_are_not_looked_into() {
        let mut closed = there("closed", "x");
        closed.connectable = false;
        let open: Vec<_> = [there("foo", "x"), there("template0", "x"), there("template1", "x"), closed]
            .into_iter()
            .filter(Existing::is_open)
            .map(|one| one.name)
            .collect();
        assert_eq!(open, ["foo"]);
    }
}
