//! A change to the database, with words for people and SQL for the server.

use std::fmt;

use postgres_protocol::escape::escape_identifier;

/// One change: everything in it happens or nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it does, as in `create role foo_user`. Never holds a secret value.
    pub what: String,
    /// The SQL.
    sql: String,
    /// Whether a verifier is in it.
    confidential: bool,
    /// Whether the server refuses it inside a transaction.
    alone: bool,
}

impl Statement {
    /// A change that is made in a transaction of its own.
    pub(super) fn new(what: impl Into<String>, sql: impl Into<String>) -> Self {
        Self { what: what.into(), sql: sql.into(), confidential: false, alone: false }
    }

    /// The same with a verifier in it, which must not show.
    pub(super) fn confidential(self) -> Self {
        Self { confidential: true, ..self }
    }

    /// The same for what cannot run inside a transaction.
    pub(super) fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    pub(super) fn is_confidential(&self) -> bool {
        self.confidential
    }

    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sql = if self.confidential { "(secret)" } else { &self.sql };
        write!(f, "{}: {sql}", self.what)
    }
}

/// A name in double quotes.
pub(super) fn name(text: &str) -> String {
    escape_identifier(text)
}

/// Names in double quotes, with commas between.
pub(super) fn names<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<_> = texts.into_iter().map(|text| name(text)).collect();
    names.join(", ")
}
