//! A change of the database: a description for logs and events, and the SQL.

use std::fmt;

use postgres_protocol::escape::escape_identifier;

/// One change, executed in one transaction.
#[derive(Clone, PartialEq, Eq)]
pub struct Statement {
    /// The description, as in `create role foo_user`. It contains no secret value.
    pub what: String,
    /// The SQL.
    sql: String,
    /// Whether the SQL contains a verifier.
    confidential: bool,
    /// Whether the server refuses the SQL inside a transaction.
    alone: bool,
}

impl Statement {
    /// A change that is made in a transaction of its own.
    pub(super) fn new(what: impl Into<String>, sql: impl Into<String>) -> Self {
        Self { what: what.into(), sql: sql.into(), confidential: false, alone: false }
    }

    /// The same for SQL with a verifier, which must not be logged.
    pub(super) fn confidential(self) -> Self {
        Self { confidential: true, ..self }
    }

    /// The same for SQL that cannot run inside a transaction.
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
