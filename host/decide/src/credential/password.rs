//! A password whose text is in no log and no message.

use std::fmt;

/// A password. `Debug` and `Display` print `(secret)`, so that it cannot be logged by accident.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Password(String);

impl Password {
    /// Wraps a plain text.
    #[must_use]
    pub fn new(plain: impl Into<String>) -> Self {
        Self(plain.into())
    }

    /// The plain text, for the places that need it: a Secret's data, a log-in, a verifier.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl fmt::Display for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_shows() {
        let password = Password::new("tops3cret");
        assert_eq!(format!("{password} {password:?} {:#?}", [&password]), "(secret) (secret) [\n    (secret),\n]");
    }
}
