//! Options of a role: parsed, normalised, printed.

use std::collections::BTreeMap;
use std::fmt;

/// What an option is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// Ignores row-level security.
    BypassRls,
    /// May create databases.
    CreateDb,
    /// May create roles.
    CreateRole,
    /// Has the rights of the roles it is a member of.
    Inherit,
    /// May log in.
    Login,
    /// May replicate.
    Replication,
    /// May do everything.
    Superuser,
}

impl Attribute {
    /// All of them, by word.
    pub const ALL: [Self; 7] = [
        Self::BypassRls,
        Self::CreateDb,
        Self::CreateRole,
        Self::Inherit,
        Self::Login,
        Self::Replication,
        Self::Superuser,
    ];

    /// The word that grants it, as in SQL.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::BypassRls => "BYPASSRLS",
            Self::CreateDb => "CREATEDB",
            Self::CreateRole => "CREATEROLE",
            Self::Inherit => "INHERIT",
            Self::Login => "LOGIN",
            Self::Replication => "REPLICATION",
            Self::Superuser => "SUPERUSER",
        }
    }

    /// The attribute and whether it is granted, by a word in upper case, as in `NOSUPERUSER`.
    fn of(word: &str) -> Option<(Self, bool)> {
        let named = |name: &str| Self::ALL.into_iter().find(|one| one.word() == name);
        named(word).map(|one| (one, true)).or_else(|| word.strip_prefix("NO").and_then(named).map(|one| (one, false)))
    }
}

/// Why options cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// Not a word.
    #[error("user flag \"{0}\" is not alphanumeric")]
    NotAlphanumeric(String),
    /// Not one of the known words.
    #[error("user flag \"{0}\" is not valid")]
    Unknown(String),
    /// A word and its opposite.
    #[error("conflicting user flags: \"NO{0}\" and \"{0}\"")]
    Conflict(&'static str),
}

/// The options that a role was given. A role may log in unless `NOLOGIN` is said; what is not said is left to the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(BTreeMap<Attribute, bool>);

impl Flags {
    /// Reads options as the manifest gives them, in any case.
    ///
    /// # Errors
    /// For a word that is no option, and for a word together with its opposite.
    pub fn parse<T: AsRef<str>>(words: &[T]) -> Result<Self, FlagError> {
        let mut said = BTreeMap::new();
        let mut conflict = None;
        for word in words.iter().map(AsRef::as_ref) {
            if !is_word(word) {
                return Err(FlagError::NotAlphanumeric(word.into()));
            }
            let upper = word.to_ascii_uppercase();
            let Some((attribute, granted)) = Attribute::of(&upper) else {
                return Err(FlagError::Unknown(upper));
            };
            if said.insert(attribute, granted) == Some(!granted) {
                conflict.get_or_insert(attribute.word());
            }
        }
        if let Some(word) = conflict {
            return Err(FlagError::Conflict(word));
        }
        match said.get(&Attribute::Login) {
            Some(false) => said.remove(&Attribute::Login),
            _ => said.insert(Attribute::Login, true),
        };
        Ok(Self(said))
    }

    /// Exactly these, all granted.
    #[must_use]
    pub fn of(attributes: &[Attribute]) -> Self {
        Self(attributes.iter().map(|one| (*one, true)).collect())
    }

    /// Each attribute that something is said about, and whether it is granted.
    pub fn iter(&self) -> impl Iterator<Item = (Attribute, bool)> {
        self.0.iter().map(|(attribute, granted)| (*attribute, *granted))
    }

    /// Whether the attribute is granted.
    #[must_use]
    pub fn grants(&self, attribute: Attribute) -> bool {
        self.0.get(&attribute) == Some(&true)
    }

    /// The options as words, sorted, as in `CREATEDB`, `LOGIN`.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<_> = self.iter().map(|(attribute, granted)| word(attribute, granted)).collect();
        words.sort();
        words
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

/// The SQL word that grants or denies an attribute.
#[must_use]
pub fn word(attribute: Attribute, granted: bool) -> String {
    format!("{}{}", if granted { "" } else { "NO" }, attribute.word())
}

fn is_word(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(given: &[&str]) -> Result<String, String> {
        Flags::parse(given).map(|flags| flags.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_role_may_log_in_unless_it_is_told_not_to() {
        assert_eq!(words(&[]), Ok("LOGIN".into()));
        assert_eq!(words(&["login"]), Ok("LOGIN".into()));
        assert_eq!(words(&["LOGIN", "login"]), Ok("LOGIN".into()));
        assert_eq!(words(&["nologin"]), Ok(String::new()));
    }

    #[test]
    fn options_are_upper_case_sorted_and_said_once() {
        assert_eq!(words(&["createdb", "LOGIN"]), Ok("CREATEDB LOGIN".into()));
        assert_eq!(words(&["superuser", "noinherit", "Superuser"]), Ok("LOGIN NOINHERIT SUPERUSER".into()));
    }

    #[test]
    fn what_is_no_option_is_named() {
        for (given, expected) in [
            (&["SUPERUSER1"][..], "user flag \"SUPERUSER1\" is not valid"),
            (&["!superuser"], "user flag \"!superuser\" is not alphanumeric"),
            (&[""], "user flag \"\" is not alphanumeric"),
            (&["inherit", "noinherit"], "conflicting user flags: \"NOINHERIT\" and \"INHERIT\""),
            (&["nologin", "login"], "conflicting user flags: \"NOLOGIN\" and \"LOGIN\""),
        ] {
            assert_eq!(words(given), Err(expected.into()), "{given:?}");
        }
    }
}
