//! What a database contains that the manifest prepares: schemas, extensions and default privileges.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Cell, Database, Place, SqlError, error};

/// The content of a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// By schema, the owner and the roles that may use it.
    schemas: BTreeMap<String, (String, BTreeSet<String>)>,
    /// By extension, its schema.
    extensions: BTreeMap<String, String>,
    /// Default privileges: the creator, the schema or nothing, the letter of the kind, the grantee and the privilege.
    defaults: BTreeSet<[String; 5]>,
}

impl Contents {
    pub fn describe(&self) -> Value {
        json!({"schemas": self.schemas, "extensions": self.extensions, "default privileges": self.defaults})
    }

    /// Executes a statement about the content; `None` if it is about something else.
    pub fn change(&mut self, words: &[&str]) -> Option<Result<(), SqlError>> {
        match words {
            ["CREATE", "SCHEMA", name, "AUTHORIZATION", owner] => {
                if self.schemas.contains_key(*name) {
                    return Some(Err(error("42P06", format!("schema \"{name}\" already exists"))));
                }
                self.schemas.insert((*name).to_owned(), ((*owner).to_owned(), BTreeSet::new()));
            }
            ["GRANT", "USAGE", "ON", "SCHEMA", name, "TO", roles @ ..] => match self.schemas.get_mut(*name) {
                Some((_, users)) => users.extend(roles.iter().map(|role| (*role).to_owned())),
                None => return Some(Err(error("3F000", format!("schema \"{name}\" does not exist")))),
            },
            ["CREATE", "EXTENSION", "IF", "NOT", "EXISTS", name, "SCHEMA", schema] => {
                self.extensions.entry((*name).to_owned()).or_insert_with(|| (*schema).to_owned());
            }
            ["ALTER", "EXTENSION", name, "SET", "SCHEMA", schema] => {
                self.extensions.insert((*name).to_owned(), (*schema).to_owned());
            }
            ["ALTER", "DEFAULT", "PRIVILEGES", "FOR", "ROLE", maker, "IN", "SCHEMA", schema, "GRANT", rest @ ..] => {
                self.grant(maker, schema, rest);
            }
            ["ALTER", "DEFAULT", "PRIVILEGES", "FOR", "ROLE", maker, "GRANT", rest @ ..] => self.grant(maker, "", rest),
            _ => return None,
        }
        Some(Ok(()))
    }

    /// `words` are privileges, then `ON`, the kind, `TO` and the grantee.
    fn grant(&mut self, maker: &str, schema: &str, words: &[&str]) {
        let [privileges @ .., "ON", kind, "TO", grantee] = words else { return };
        let letter = match *kind {
            "SCHEMAS" => "n",
            "TABLES" => "r",
            "SEQUENCES" => "S",
            "FUNCTIONS" => "f",
            _ => "T",
        };
        let granted = privileges.iter().map(|privilege| [maker, schema, letter, grantee, privilege].map(str::to_owned));
        self.defaults.extend(granted);
    }
}

impl Database {
    pub(super) fn schema_rows(&self, place: &Place) -> Vec<Vec<Cell>> {
        let row = |(name, (_, users)): (&String, &(String, BTreeSet<String>))| {
            vec![Cell::Text(name.clone()), Cell::Texts(users.iter().cloned().collect())]
        };
        let own = self.contents.get(&place.database).into_iter().flat_map(|contents| &contents.schemas);
        let public = vec![Cell::Text("public".to_owned()), Cell::Texts(Vec::new())];
        std::iter::once(public).chain(own.map(row)).collect()
    }

    pub(super) fn extension_rows(&self, place: &Place) -> Vec<Vec<Cell>> {
        let row = |(name, schema): (&String, &String)| vec![Cell::Text(name.clone()), Cell::Text(schema.clone())];
        self.contents
            .get(&place.database)
            .into_iter()
            .flat_map(|contents| contents.extensions.iter().map(row))
            .collect()
    }

    pub(super) fn default_rows(&self, place: &Place) -> Vec<Vec<Cell>> {
        let row = |default: &[String; 5]| default.clone().map(Cell::Text).into();
        self.contents.get(&place.database).into_iter().flat_map(|contents| contents.defaults.iter().map(row)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_manifest_prepares_is_kept_by_database() {
        let mut server = Database::new(("postgres", "one"), ("standby", "two"));
        let sql = "CREATE SCHEMA \"s\" AUTHORIZATION \"o\"; GRANT USAGE ON SCHEMA \"s\" TO \"r\", \"w\"; \
            CREATE EXTENSION IF NOT EXISTS \"x\" SCHEMA \"public\"; \
            ALTER DEFAULT PRIVILEGES FOR ROLE \"o\" IN SCHEMA \"s\" GRANT INSERT, UPDATE ON TABLES TO \"w\"";
        server.execute("d", &[sql.to_owned()]).unwrap();
        let expected = json!({
            "schemas": {"s": ["o", ["r", "w"]]}, "extensions": {"x": "public"},
            "default privileges": [["o", "s", "r", "w", "INSERT"], ["o", "s", "r", "w", "UPDATE"]],
        });
        assert_eq!(server.describe()["contents"], json!({"d": expected}));
        let found =
            |database: &str| server.schema_rows(&Place { database: database.to_owned(), is_replica: false }).len();
        assert_eq!((found("d"), found("other")), (2, 1));
        let again = server.execute("d", &["CREATE SCHEMA \"s\" AUTHORIZATION \"o\"".to_owned()]);
        assert_eq!(again.map_err(|error| error.code), Err("42P06"));
    }
}
