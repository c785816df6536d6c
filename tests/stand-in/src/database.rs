//! A cluster's database: its roles, databases and look-up functions, the statements that change them, and the queries
//! that read them. Only what the operator sends is known.

mod prepared;
mod session;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use prepared::Contents;
pub(crate) use session::Session;

/// The attributes of a role, in the order in which the operator reads them.
const ATTRIBUTES: [&str; 7] = ["SUPERUSER", "INHERIT", "CREATEROLE", "CREATEDB", "LOGIN", "REPLICATION", "BYPASSRLS"];
/// PostgreSQL's version.
const VERSION: i32 = 150_000;

/// The object identifiers of types.
const BOOL: u32 = 16;
const INT8: u32 = 20;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const TEXTS: u32 = 1009;

/// The content of a database server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Database {
    roles: BTreeMap<String, Role>,
    /// The owners by database.
    databases: BTreeMap<String, String>,
    /// The databases with the pooler's look-up function.
    look_ups: BTreeSet<String>,
    /// What the databases contain that the manifest prepares, by database.
    contents: BTreeMap<String, Contents>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Role {
    verifier: Option<String>,
    attributes: BTreeSet<String>,
    settings: BTreeMap<String, String>,
    member_of: BTreeSet<String>,
    comment: Option<String>,
}

/// An error of the server: the SQLSTATE and the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SqlError {
    pub code: &'static str,
    pub message: String,
}

/// A query: the types of its parameters and columns.
pub(crate) struct Query {
    pub parameters: &'static [u32],
    pub columns: &'static [u32],
    rows: fn(&Database, &Place) -> Vec<Vec<Cell>>,
}

/// What a session is connected to.
pub(crate) struct Place {
    pub database: String,
    pub is_replica: bool,
}

/// A value of a row.
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Int4(i32),
    Text(String),
    Texts(Vec<String>),
}

impl Database {
    /// A new server with the roles that the image creates: the superuser and the replication user, by name and password.
    pub(crate) fn new(superuser: (&str, &str), replication: (&str, &str)) -> Self {
        let mut database = Self::default();
        for ((name, password), attributes) in [(superuser, &ATTRIBUTES[..]), (replication, &["LOGIN", "REPLICATION"])] {
            let verifier = Some(postgres_protocol::password::scram_sha_256(password.as_bytes()));
            let attributes = attributes.iter().copied().map(str::to_owned).collect();
            database.roles.insert(name.to_owned(), Role { verifier, attributes, ..Role::default() });
        }
        database.databases.insert("postgres".to_owned(), superuser.0.to_owned());
        database
    }

    /// The verifier of a role's password.
    pub(crate) fn verifier(&self, role: &str) -> Option<&str> {
        self.roles.get(role)?.verifier.as_deref()
    }

    /// Whether a role can log in with a password.
    #[must_use]
    pub fn accepts(&self, role: &str, password: &str) -> bool {
        self.verifier(role).is_some_and(|verifier| wire::is_of(verifier, password).unwrap_or(false))
    }

    /// The content without verifiers, which are random.
    #[must_use]
    pub fn describe(&self) -> Value {
        let roles: BTreeMap<&str, Value> = self
            .roles
            .iter()
            .map(|(name, role)| {
                let Role { verifier, attributes, settings, member_of, comment } = role;
                let has_password = verifier.is_some();
                let role = json!({
                    "has password": has_password, "attributes": attributes, "settings": settings, "member of": member_of,
                    "comment": comment,
                });
                (name.as_str(), role)
            })
            .collect();
        let contents: BTreeMap<&str, Value> =
            self.contents.iter().map(|(name, contents)| (name.as_str(), contents.describe())).collect();
        json!({"roles": roles, "databases": self.databases, "look-ups": self.look_ups, "contents": contents})
    }

    /// Executes the statements of a transaction: all or, if one is refused, none.
    pub(crate) fn execute(&mut self, place: &str, statements: &[String]) -> Result<(), SqlError> {
        let mut after = self.clone();
        for sql in statements {
            if sql.contains(".user_lookup(") {
                after.look_ups.insert(place.to_owned());
                continue;
            }
            for statement in sql.split("; ") {
                let words = words(statement);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let mut contents = after.contents.remove(place).unwrap_or_default();
                let changed = contents.change(&words);
                if contents != Contents::default() {
                    after.contents.insert(place.to_owned(), contents);
                }
                changed.unwrap_or_else(|| after.change(&words))?;
            }
        }
        *self = after;
        Ok(())
    }

    fn change(&mut self, words: &[&str]) -> Result<(), SqlError> {
        match words {
            ["CREATE", "ROLE", name, "WITH", options @ ..] => {
                if self.roles.contains_key(*name) {
                    return Err(error("42710", format!("role \"{name}\" already exists")));
                }
                let role = Role { attributes: ["INHERIT".to_owned()].into(), ..Role::default() };
                self.roles.insert((*name).to_owned(), role);
                self.set_options(name, options)?;
            }
            ["ALTER", "ROLE", name, "WITH", options @ ..] => self.set_options(name, options)?,
            ["ALTER", "ROLE", name, "SET", key, "TO", value @ ..] => {
                self.role(name)?.settings.insert((*key).to_owned(), value.join(", "));
            }
            ["ALTER", "ROLE", name, "RESET", "ALL"] => self.role(name)?.settings.clear(),
            ["GRANT", group, "TO", member] => {
                self.role(group)?;
                self.role(member)?.member_of.insert((*group).to_owned());
            }
            ["REVOKE", group, "FROM", member] => _ = self.role(member)?.member_of.remove(*group),
            ["COMMENT", "ON", "ROLE", name, "IS", text] => self.role(name)?.comment = Some((*text).to_owned()),
            ["DROP", "ROLE", name] => {
                self.role(name)?;
                self.roles.remove(*name);
            }
            ["CREATE", "DATABASE", name, "OWNER", owner] => {
                self.role(owner)?;
                if self.databases.contains_key(*name) {
                    return Err(error("42P04", format!("database \"{name}\" already exists")));
                }
                self.databases.insert((*name).to_owned(), (*owner).to_owned());
            }
            ["ALTER", "DATABASE", name, "OWNER", "TO", owner] => {
                self.role(owner)?;
                self.databases.insert((*name).to_owned(), (*owner).to_owned());
            }
            words => return Err(error("42601", format!("a statement that is not known here: {words:?}"))),
        }
        Ok(())
    }

    fn role(&mut self, name: &str) -> Result<&mut Role, SqlError> {
        self.roles.get_mut(name).ok_or_else(|| error("42704", format!("role \"{name}\" does not exist")))
    }

    fn set_options(&mut self, name: &str, options: &[&str]) -> Result<(), SqlError> {
        let mut rest = options;
        while let [option, after @ ..] = rest {
            rest = after;
            match (*option, after) {
                ("PASSWORD", [password, after @ ..]) => {
                    self.role(name)?.verifier = (*password != "NULL").then(|| (*password).to_owned());
                    rest = after;
                }
                ("IN", ["ROLE", groups @ ..]) => {
                    let end = groups.iter().position(|word| matches!(*word, "ADMIN" | "PASSWORD"));
                    let (groups, after) = groups.split_at(end.unwrap_or(groups.len()));
                    for group in groups {
                        self.change(&["GRANT", group, "TO", name])?;
                    }
                    rest = after;
                }
                ("ADMIN", [admin, after @ ..]) => {
                    self.change(&["GRANT", name, "TO", admin])?;
                    rest = after;
                }
                (word, _) if ATTRIBUTES.contains(&word) => {
                    self.role(name)?.attributes.insert(word.to_owned());
                }
                (word, _) => {
                    let removed = word.strip_prefix("NO").filter(|word| ATTRIBUTES.contains(word));
                    let removed = removed.ok_or_else(|| error("42601", format!("an option not known here: {word}")))?;
                    self.role(name)?.attributes.remove(removed);
                }
            }
        }
        Ok(())
    }

    /// The rows of a query.
    pub(crate) fn rows(&self, query: &Query, place: &Place) -> Vec<Vec<Cell>> {
        (query.rows)(self, place)
    }

    fn role_rows(&self, _: &Place) -> Vec<Vec<Cell>> {
        let row = |(name, role): (&String, &Role)| {
            let mut row = vec![Cell::Text(name.clone()), role.verifier.clone().map_or(Cell::Null, Cell::Text)];
            row.extend(ATTRIBUTES.map(|attribute| Cell::Bool(role.attributes.contains(attribute))));
            row.push(Cell::Texts(role.settings.iter().map(|(key, value)| format!("{key}={value}")).collect()));
            row.push(Cell::Texts(role.member_of.iter().cloned().collect()));
            row
        };
        self.roles.iter().map(row).collect()
    }

    fn member_rows(&self, _: &Place) -> Vec<Vec<Cell>> {
        let of = |(name, role): (&String, &Role)| {
            let has_comment = role.comment.is_some();
            let row = |group: &String| {
                let names = [name, group].map(|name| Cell::Text(name.clone()));
                names.into_iter().chain([false, false, has_comment, has_comment].map(Cell::Bool)).collect()
            };
            role.member_of.iter().map(row).collect::<Vec<_>>()
        };
        self.roles.iter().flat_map(of).collect()
    }

    fn comment_rows(&self, _: &Place) -> Vec<Vec<Cell>> {
        let row = |(name, role): (&String, &Role)| vec![Cell::Text(name.clone()), Cell::Bool(role.comment.is_none())];
        self.roles.iter().map(row).collect()
    }

    fn database_rows(&self, _: &Place) -> Vec<Vec<Cell>> {
        let row = |(name, owner): (&String, &String)| {
            vec![Cell::Text(name.clone()), Cell::Text(owner.clone()), Cell::Bool(false), Cell::Bool(true)]
        };
        self.databases.iter().map(row).collect()
    }

    fn look_up_rows(&self, place: &Place) -> Vec<Vec<Cell>> {
        let exists = self.look_ups.contains(&place.database);
        exists.then(|| vec![Cell::Bool(true), Cell::Bool(true), Cell::Bool(true)]).into_iter().collect()
    }
}

/// The queries, each with a text that no other has.
const QUERIES: [(&str, Query); 12] = [
    ("set_config(", Query { parameters: &[], columns: &[TEXT], rows: |_, _| vec![] }),
    ("password_encryption", Query { parameters: &[], columns: &[TEXT], rows: |_, _| vec![] }),
    (
        "pg_is_in_recovery()",
        Query { parameters: &[], columns: &[BOOL], rows: |_, place| vec![vec![Cell::Bool(place.is_replica)]] },
    ),
    ("server_version_num", Query { parameters: &[], columns: &[INT4], rows: |_, _| vec![vec![Cell::Int4(VERSION)]] }),
    (
        "FROM pg_authid r WHERE",
        Query {
            parameters: &[TEXTS, INT4, INT4, INT8],
            columns: &[TEXT, TEXT, BOOL, BOOL, BOOL, BOOL, BOOL, BOOL, BOOL, TEXTS, TEXTS],
            rows: Database::role_rows,
        },
    ),
    (
        "c.description IS DISTINCT FROM $2 FROM pg_authid r",
        Query { parameters: &[TEXT; 2], columns: &[TEXT, BOOL], rows: Database::comment_rows },
    ),
    (
        "FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid JOIN pg_authid r",
        Query {
            parameters: &[TEXTS, TEXT],
            columns: &[TEXT, TEXT, BOOL, BOOL, BOOL, BOOL],
            rows: Database::member_rows,
        },
    ),
    (
        "FROM pg_database",
        Query { parameters: &[TEXTS, INT8], columns: &[TEXT, TEXT, BOOL, BOOL], rows: Database::database_rows },
    ),
    (
        "FROM pg_namespace n WHERE",
        Query { parameters: &[TEXTS; 2], columns: &[TEXT, TEXTS], rows: Database::schema_rows },
    ),
    ("FROM pg_extension", Query { parameters: &[TEXTS], columns: &[TEXT; 2], rows: Database::extension_rows }),
    ("FROM pg_default_acl", Query { parameters: &[TEXTS; 3], columns: &[TEXT; 5], rows: Database::default_rows }),
    ("p.prosecdef", Query { parameters: &[TEXT; 4], columns: &[BOOL, BOOL, BOOL], rows: Database::look_up_rows }),
];

/// The query of a text.
pub(crate) fn query(sql: &str) -> Result<&'static Query, SqlError> {
    static ALL: [(&str, Query); 12] = QUERIES;
    let found = ALL.iter().find(|(part, _)| sql.contains(part)).map(|(_, query)| query);
    found.ok_or_else(|| error("42601", format!("a query that is not known here: {sql}")))
}

fn error(code: &'static str, message: impl Into<String>) -> SqlError {
    SqlError { code, message: message.into() }
}

/// The words of a statement, without quotes and commas.
fn words(statement: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in statement.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, ',' | ';') => {}
            (None, _) if character.is_whitespace() => words.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Database {
        Database::new(("postgres", "one"), ("standby", "two"))
    }

    fn run(database: &mut Database, sql: &str) -> Result<(), &'static str> {
        database.execute("postgres", &[sql.to_owned()]).map_err(|error| error.code)
    }

    #[test]
    fn a_transaction_changes_roles_and_databases_or_nothing() {
        let mut server = database();
        let sql = "CREATE ROLE \"a\" WITH LOGIN NOINHERIT IN ROLE \"standby\" PASSWORD 'v'; ALTER ROLE \"a\" SET \"x\" TO 'y'; \
                   COMMENT ON ROLE \"a\" IS 'z z'";
        assert_eq!(run(&mut server, sql), Ok(()));
        assert_eq!(run(&mut server, "CREATE DATABASE \"d\" OWNER \"a\""), Ok(()));
        let found = server.describe();
        assert_eq!(
            found["roles"]["a"],
            json!({
                "has password": true, "attributes": ["LOGIN"], "settings": {"x": "y"}, "member of": ["standby"],
                "comment": "z z",
            })
        );
        assert_eq!(found["databases"], json!({"d": "a", "postgres": "postgres"}));
        let before = server.clone();
        for (sql, code) in [
            ("ALTER ROLE \"a\" WITH SUPERUSER; CREATE ROLE \"a\" WITH LOGIN PASSWORD NULL", "42710"),
            ("GRANT \"b\" TO \"a\"", "42704"),
            ("CREATE DATABASE \"d\" OWNER \"a\"", "42P04"),
            ("DROP ROLE \"b\"", "42704"),
        ] {
            assert_eq!(run(&mut server, sql), Err(code));
        }
        assert_eq!(server, before);
        assert!(server.accepts("standby", "two") && !server.accepts("standby", "one"));
        assert_eq!(run(&mut server, "DROP ROLE \"a\""), Ok(()));
        assert_eq!(server.describe()["roles"].get("a"), None);
    }
}
