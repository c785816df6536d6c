//! Compares the desired content of a prepared database (schemas, extensions, default privileges) with the existing one.

use std::collections::{BTreeMap, BTreeSet};

use pgloom_api::postgresql::{owner_of, reader_of, writer_of};
use pgloom_decide::role::{Prepared, Schema};

use super::session::column;
use super::statement::{Statement, name};
use super::{Error, Session};

/// The first release with default privileges on schemas.
const FIRST_WITH_SCHEMA_DEFAULTS: i32 = 100_000;

/// Kinds of objects with default privileges, each with its letter in
/// [`pg_default_acl`](https://www.postgresql.org/docs/current/catalog-pg-default-acl.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Schemas,
    Tables,
    Sequences,
    Functions,
    Types,
}

impl Kind {
    fn sql(self) -> &'static str {
        match self {
            Self::Schemas => "SCHEMAS",
            Self::Tables => "TABLES",
            Self::Sequences => "SEQUENCES",
            Self::Functions => "FUNCTIONS",
            Self::Types => "TYPES",
        }
    }

    fn letter(self) -> &'static str {
        match self {
            Self::Schemas => "n",
            Self::Tables => "r",
            Self::Sequences => "S",
            Self::Functions => "f",
            Self::Types => "T",
        }
    }
}

/// The default privileges of readers.
const READER: [(Kind, &[&str]); 5] = [
    (Kind::Schemas, &["USAGE"]),
    (Kind::Tables, &["SELECT"]),
    (Kind::Sequences, &["SELECT"]),
    (Kind::Functions, &["EXECUTE"]),
    (Kind::Types, &["USAGE"]),
];
/// The default privileges of writers, in addition to those of readers.
const WRITER: [(Kind, &[&str]); 5] = [
    (Kind::Schemas, &["USAGE"]),
    (Kind::Tables, &["INSERT", "UPDATE", "DELETE"]),
    (Kind::Sequences, &["USAGE", "UPDATE"]),
    (Kind::Functions, &["EXECUTE"]),
    (Kind::Types, &["USAGE"]),
];

/// A default privilege: creator, schema (empty: any), letter of the kind, grantee, privilege.
type Default = (String, String, String, String, String);

/// The existing content of a database.
#[derive(Clone, Debug, Default)]
pub(super) struct Existing {
    pub version: i32,
    /// By schema, the roles with the privilege `USAGE`.
    pub schemas: BTreeMap<String, BTreeSet<String>>,
    /// By extension, its schema.
    pub extensions: BTreeMap<String, String>,
    defaults: BTreeSet<Default>,
}

/// The existing content of the session's database.
pub(super) async fn read(session: &Session, prepared: &Prepared) -> Result<Existing, Error> {
    let names: Vec<&str> = prepared.schemas.iter().map(|schema| schema.name.as_str()).collect();
    let extensions: Vec<&String> = prepared.extensions.keys().collect();
    let (makers, users) = (makers(prepared), users(prepared));
    let what = "read the schemas";
    let sql = "SELECT n.nspname::text, \
            ARRAY(SELECT pg_get_userbyid(a.grantee)::text FROM aclexplode(n.nspacl) a \
                WHERE a.privilege_type = 'USAGE' AND pg_get_userbyid(a.grantee) = ANY($2::text[])) \
        FROM pg_namespace n WHERE n.nspname = ANY($1::text[])";
    let rows = session.query(what, sql, &[&names, &users]).await?;
    let schemas = rows.iter().map(|row| {
        let users: Vec<String> = column(row, 1, what)?;
        Ok((column(row, 0, what)?, users.into_iter().collect()))
    });
    let schemas = schemas.collect::<Result<_, Error>>()?;
    let what = "read the extensions";
    let sql = "SELECT e.extname::text, n.nspname::text FROM pg_extension e \
        JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = ANY($1::text[])";
    let rows = session.query(what, sql, &[&extensions]).await?;
    let extensions = rows.iter().map(|row| Ok((column(row, 0, what)?, column(row, 1, what)?)));
    let extensions = extensions.collect::<Result<_, Error>>()?;
    let what = "read the default privileges";
    let sql = "SELECT pg_get_userbyid(d.defaclrole)::text, COALESCE(n.nspname::text, ''), d.defaclobjtype::text, \
            pg_get_userbyid(a.grantee)::text, a.privilege_type \
        FROM pg_default_acl d CROSS JOIN aclexplode(d.defaclacl) a \
        LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace \
        WHERE pg_get_userbyid(d.defaclrole) = ANY($1::text[]) AND pg_get_userbyid(a.grantee) = ANY($2::text[]) \
            AND (d.defaclnamespace = 0 OR n.nspname = ANY($3::text[]))";
    let rows = session.query(what, sql, &[&makers, &users, &names]).await?;
    let text = |row, index| column::<String>(row, index, what);
    let defaults =
        rows.iter().map(|row| Ok((text(row, 0)?, text(row, 1)?, text(row, 2)?, text(row, 3)?, text(row, 4)?)));
    let defaults = defaults.collect::<Result<_, Error>>()?;
    Ok(Existing { version: session.version().await?, schemas, extensions, defaults })
}

/// The prefixes of the roles of a prepared database: its own, and those of its schemas.
fn prefixes(prepared: &Prepared) -> impl Iterator<Item = String> {
    let of_schemas = prepared.schemas.iter().map(|schema| format!("{}_{}", prepared.database, schema.name));
    std::iter::once(prepared.database.clone()).chain(of_schemas)
}

/// The roles whose new objects have default privileges.
fn makers(prepared: &Prepared) -> Vec<String> {
    prefixes(prepared).map(|prefix| owner_of(&prefix)).collect()
}

/// The roles that get privileges.
fn users(prepared: &Prepared) -> Vec<String> {
    prefixes(prepared).flat_map(|prefix| [reader_of(&prefix), writer_of(&prefix)]).collect()
}

/// The statements that prepare the database: default privileges first, because they apply only to objects that are
/// created afterwards.
pub(super) fn plan(prepared: &Prepared, existing: &Existing) -> Vec<Statement> {
    let database = &prepared.database;
    let owner = owner_of(database);
    let mut statements: Vec<_> = existing.defaults(database, &owner, None, database).into_iter().collect();
    for schema in &prepared.schemas {
        statements.extend(existing.schema(database, &owner, schema));
    }
    for (extension, schema) in &prepared.extensions {
        statements.extend(existing.extension(database, extension, schema));
    }
    statements
}

impl Existing {
    fn schema(&self, database: &str, owner: &str, schema: &Schema) -> Vec<Statement> {
        let own = format!("{database}_{}", schema.name);
        let schema_owner = if schema.own_roles { owner_of(&own) } else { owner.into() };
        let mut statements = Vec::new();
        if !self.schemas.contains_key(&schema.name) {
            statements.push(Statement::new(
                format!("create schema {} in database {database}", schema.name),
                format!("CREATE SCHEMA {} AUTHORIZATION {}", name(&schema.name), name(&schema_owner)),
            ));
        }
        let mut makers = vec![(schema_owner.as_str(), database)];
        if schema.own_roles {
            makers.extend([(owner, own.as_str()), (schema_owner.as_str(), own.as_str())]);
        }
        for (maker, users) in &makers {
            statements.extend(self.defaults(database, maker, Some(&schema.name), users));
        }
        let users: BTreeSet<_> = makers.iter().map(|(_, users)| *users).collect();
        statements.extend(self.usage(database, &schema.name, &users));
        statements
    }

    /// Grants `USAGE` of a schema to readers and writers.
    fn usage(&self, database: &str, schema: &str, users: &BTreeSet<&str>) -> Option<Statement> {
        let may = self.schemas.get(schema);
        let missing: Vec<_> = users
            .iter()
            .flat_map(|users| [reader_of(users), writer_of(users)])
            .filter(|role| !may.is_some_and(|may| may.contains(role)))
            .map(|role| name(&role))
            .collect();
        if missing.is_empty() {
            return None;
        }
        Some(Statement::new(
            format!("grant usage of schema {schema} in database {database}"),
            format!("GRANT USAGE ON SCHEMA {} TO {}", name(schema), missing.join(", ")),
        ))
    }

    /// Grants the readers and writers of `users` default privileges on new objects of `maker`, in one schema or in any.
    fn defaults(&self, database: &str, maker: &str, schema: Option<&str>, users: &str) -> Option<Statement> {
        let mut head = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {}", name(maker));
        if let Some(schema) = schema {
            head += &format!(" IN SCHEMA {}", name(schema));
        }
        let with_schemas = schema.is_none() && self.version >= FIRST_WITH_SCHEMA_DEFAULTS;
        let missing = |kind: Kind, privilege: &str, role: &str| {
            let schema = schema.unwrap_or_default();
            let found = [maker, schema, kind.letter(), role, privilege].map(String::from);
            !self.defaults.contains(&found.into())
        };
        let mut grants = Vec::new();
        for (role, kinds) in [(reader_of(users), READER), (writer_of(users), WRITER)] {
            for (kind, privileges) in kinds {
                let skipped = kind == Kind::Schemas && !with_schemas;
                if skipped || !privileges.iter().any(|privilege| missing(kind, privilege, &role)) {
                    continue;
                }
                let privileges = privileges.join(", ");
                grants.push(format!("{head} GRANT {privileges} ON {} TO {}", kind.sql(), name(&role)));
            }
        }
        if grants.is_empty() {
            return None;
        }
        let place = schema.map(|schema| format!(" in schema {schema}")).unwrap_or_default();
        let what = format!("set default privileges of {maker}{place} for {users} in database {database}");
        Some(Statement::new(what, grants.join("; ")))
    }

    fn extension(&self, database: &str, extension: &str, schema: &str) -> Option<Statement> {
        match self.extensions.get(extension) {
            Some(current) if current == schema => None,
            Some(_) => Some(Statement::new(
                format!("move extension {extension} to schema {schema} in database {database}"),
                format!("ALTER EXTENSION {} SET SCHEMA {}", name(extension), name(schema)),
            )),
            None => Some(Statement::new(
                format!("create extension {extension} in database {database}"),
                format!("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {}", name(extension), name(schema)),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared() -> Prepared {
        Prepared {
            database: "foo".into(),
            extensions: [("pgcrypto".into(), "public".into()), ("hstore".into(), "bar".into())].into(),
            schemas: vec![
                Schema { name: "bar".into(), own_roles: true },
                Schema { name: "plain".into(), own_roles: false },
            ],
        }
    }

    fn fresh() -> Existing {
        Existing { version: 150_000, schemas: [("public".into(), BTreeSet::new())].into(), ..Existing::default() }
    }

    fn whats(statements: &[Statement]) -> Vec<&str> {
        statements.iter().map(|one| one.what.as_str()).collect()
    }

    #[test]
    fn a_fresh_database_is_prepared_in_order() {
        let statements = plan(&prepared(), &fresh());
        assert_eq!(
            whats(&statements),
            [
                "set default privileges of foo_owner for foo in database foo",
                "create schema bar in database foo",
                "set default privileges of foo_bar_owner in schema bar for foo in database foo",
                "set default privileges of foo_owner in schema bar for foo_bar in database foo",
                "set default privileges of foo_bar_owner in schema bar for foo_bar in database foo",
                "grant usage of schema bar in database foo",
                "create schema plain in database foo",
                "set default privileges of foo_owner in schema plain for foo in database foo",
                "grant usage of schema plain in database foo",
                "create extension hstore in database foo",
                "create extension pgcrypto in database foo",
            ]
        );
        let sql: Vec<_> = statements.iter().map(Statement::sql).collect();
        assert_eq!(
            sql[0].split("; ").collect::<Vec<_>>(),
            [
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"foo_owner\" GRANT USAGE ON SCHEMAS TO \"foo_reader\"",
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"foo_owner\" GRANT SELECT ON TABLES TO \"foo_reader\"",
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"foo_owner\" GRANT SELECT ON SEQUENCES TO \"foo_reader\"",
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"foo_owner\" GRANT EXECUTE ON FUNCTIONS TO \"foo_reader\"",
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"foo_owner\" GRANT USAGE ON TYPES TO \"foo_reader\"",
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"foo_owner\" GRANT USAGE ON SCHEMAS TO \"foo_writer\"",
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"foo_owner\" GRANT INSERT, UPDATE, DELETE ON TABLES TO \"foo_writer\"",
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"foo_owner\" GRANT USAGE, UPDATE ON SEQUENCES TO \"foo_writer\"",
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"foo_owner\" GRANT EXECUTE ON FUNCTIONS TO \"foo_writer\"",
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"foo_owner\" GRANT USAGE ON TYPES TO \"foo_writer\"",
            ]
        );
        assert_eq!(sql[1], "CREATE SCHEMA \"bar\" AUTHORIZATION \"foo_bar_owner\"");
        assert!(sql[2].starts_with("ALTER DEFAULT PRIVILEGES FOR ROLE \"foo_bar_owner\" IN SCHEMA \"bar\" GRANT SELECT ON TABLES TO \"foo_reader\""));
        assert!(!sql[2].contains("ON SCHEMAS"));
        assert_eq!(
            sql[5],
            "GRANT USAGE ON SCHEMA \"bar\" TO \"foo_reader\", \"foo_writer\", \"foo_bar_reader\", \"foo_bar_writer\""
        );
        assert_eq!(sql[6], "CREATE SCHEMA \"plain\" AUTHORIZATION \"foo_owner\"");
        assert_eq!(sql[9], "CREATE EXTENSION IF NOT EXISTS \"hstore\" SCHEMA \"bar\"");
    }

    #[test]
    fn an_extension_in_another_schema_is_moved() {
        let mut existing = fresh();
        existing.extensions = [("pgcrypto".into(), "elsewhere".into()), ("hstore".into(), "bar".into())].into();
        let statements = plan(&prepared(), &existing);
        let last = statements.last().unwrap();
        assert_eq!(last.what, "move extension pgcrypto to schema public in database foo");
        assert_eq!(last.sql(), "ALTER EXTENSION \"pgcrypto\" SET SCHEMA \"public\"");
    }

    #[test]
    fn only_what_is_missing_is_granted() {
        let mut existing = fresh();
        let grant = |kind: Kind, privilege: &str, role: &str| {
            ["foo_owner", "", kind.letter(), role, privilege].map(String::from).into()
        };
        for (role, kinds) in [("foo_reader", READER), ("foo_writer", WRITER)] {
            for (kind, privileges) in kinds {
                existing.defaults.extend(privileges.iter().map(|one| grant(kind, one, role)));
            }
        }
        existing.defaults.remove(&grant(Kind::Tables, "DELETE", "foo_writer"));
        let statement = existing.defaults("foo", "foo_owner", None, "foo").unwrap();
        assert_eq!(
            statement.sql(),
            "ALTER DEFAULT PRIVILEGES FOR ROLE \"foo_owner\" GRANT INSERT, UPDATE, DELETE ON TABLES TO \"foo_writer\""
        );
    }

    #[test]
    fn old_servers_are_not_asked_for_defaults_on_schemas() {
        let existing = Existing { version: 90_600, ..fresh() };
        let statements = plan(&prepared(), &existing);
        assert!(statements.iter().all(|one| !one.sql().contains("ON SCHEMAS")));
    }
}
