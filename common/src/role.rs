//! Role attributes of PostgreSQL, and the names that roles, databases and schemas may have in a manifest.

use std::collections::BTreeMap;
use std::fmt;

/// The longest identifier in bytes; PostgreSQL truncates longer ones.
///
/// See [identifiers](https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS).
pub const MAX_IDENTIFIER: usize = 63;

/// A role attribute. A keyword grants it, and the keyword with the prefix `NO` denies it.
///
/// See [`CREATE ROLE`](https://www.postgresql.org/docs/current/sql-createrole.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// Bypasses row-level security.
    BypassRls,
    /// May create databases.
    CreateDb,
    /// May create roles.
    CreateRole,
    /// Has the privileges of the roles it is a member of.
    Inherit,
    /// May log in.
    Login,
    /// May start replication.
    Replication,
    /// Bypasses every permission check.
    Superuser,
}

impl Attribute {
    /// All attributes, in the order of their keywords.
    pub const ALL: [Self; 7] = [
        Self::BypassRls,
        Self::CreateDb,
        Self::CreateRole,
        Self::Inherit,
        Self::Login,
        Self::Replication,
        Self::Superuser,
    ];

    /// The SQL keyword that grants it.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
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

    /// The SQL keyword that grants or denies it, as in `NOSUPERUSER`.
    #[must_use]
    pub fn word(self, granted: bool) -> String {
        format!("{}{}", if granted { "" } else { "NO" }, self.keyword())
    }

    /// The attribute of an upper case keyword, and whether the keyword grants it.
    fn from_keyword(keyword: &str) -> Option<(Self, bool)> {
        let named = |name: &str| Self::ALL.into_iter().find(|one| one.keyword() == name);
        named(keyword)
            .map(|one| (one, true))
            .or_else(|| keyword.strip_prefix("NO").and_then(named).map(|one| (one, false)))
    }
}

/// The reason why attributes cannot be used. The messages are the Zalando operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The keyword has other characters than letters and digits.
    NotAlphanumeric(String),
    /// There is no attribute of this keyword.
    Unknown(String),
    /// An attribute is both granted and denied.
    Conflict(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAlphanumeric(word) => write!(f, "user flag {word:?} is not alphanumeric"),
            Self::Unknown(word) => write!(f, "user flag {word:?} is not valid"),
            Self::Conflict(keyword) => write!(f, "conflicting user flags: \"NO{keyword}\" and \"{keyword}\""),
        }
    }
}

impl std::error::Error for Error {}

/// The attributes of a role. An attribute that is absent is neither granted nor denied: the database keeps its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(BTreeMap<Attribute, bool>);

impl Attributes {
    /// Parses the keywords of `spec.users`, in any case. A role may log in unless `nologin` is given. See
    /// [manifest roles](https://postgres-operator.readthedocs.io/en/latest/user/#manifest-roles).
    ///
    /// # Errors
    /// If a keyword is unknown, or is given together with its opposite.
    pub fn parse<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        let mut attributes = BTreeMap::new();
        let mut conflict = None;
        for word in words {
            let word = word.as_ref();
            if !is_word(word) {
                return Err(Error::NotAlphanumeric(word.to_owned()));
            }
            let keyword = word.to_ascii_uppercase();
            let Some((attribute, granted)) = Attribute::from_keyword(&keyword) else {
                return Err(Error::Unknown(keyword));
            };
            if attributes.insert(attribute, granted) == Some(!granted) {
                conflict.get_or_insert(attribute.keyword());
            }
        }
        if let Some(keyword) = conflict {
            return Err(Error::Conflict(keyword));
        }
        match attributes.get(&Attribute::Login) {
            Some(false) => attributes.remove(&Attribute::Login),
            _ => attributes.insert(Attribute::Login, true),
        };
        Ok(Self(attributes))
    }

    /// Exactly these attributes, all granted.
    #[must_use]
    pub fn of(attributes: &[Attribute]) -> Self {
        Self(attributes.iter().map(|one| (*one, true)).collect())
    }

    /// Each attribute that is granted or denied, and whether it is granted.
    pub fn iter(&self) -> impl Iterator<Item = (Attribute, bool)> {
        self.0.iter().map(|(attribute, granted)| (*attribute, *granted))
    }

    /// Whether the attribute is granted.
    #[must_use]
    pub fn grants(&self, attribute: Attribute) -> bool {
        self.0.get(&attribute) == Some(&true)
    }

    /// The SQL keywords, sorted, as in `CREATEDB`, `LOGIN`.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<_> = self.iter().map(|(attribute, granted)| attribute.word(granted)).collect();
        words.sort();
        words
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

fn is_word(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a text may be the name of a role in a manifest: parts joined by dots, each of `a-z`, `0-9`, `-` and `_`,
/// with a letter or digit first and last.
#[must_use]
pub fn is_username(text: &str) -> bool {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.split('.').all(|part| {
        let bytes = part.as_bytes();
        bytes.first().copied().is_some_and(edge)
            && bytes.last().copied().is_some_and(edge)
            && bytes.iter().all(|byte| edge(*byte) || matches!(byte, b'-' | b'_'))
    })
}

/// Whether a text may be the name of a database or a schema in a manifest: a letter or underscore, then letters, digits
/// and underscores.
#[must_use]
pub fn is_identifier(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Whether PostgreSQL refuses to create a role of the name: it reads `public` and `none` as all roles and as no role, even in
/// quotes, and keeps the names that start with `pg_`.
///
/// ```
/// # use pgloom_common::role::is_reserved;
/// assert!(is_reserved("public") && is_reserved("pg_read") && !is_reserved("pgloom"));
/// ```
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    matches!(name, "public" | "none") || name.starts_with("pg_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(given: &[&str]) -> Result<String, String> {
        Attributes::parse(given).map(|attributes| attributes.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_role_may_log_in_unless_nologin_is_given() {
        assert_eq!(words(&[]), Ok("LOGIN".into()));
        assert_eq!(words(&["login"]), Ok("LOGIN".into()));
        assert_eq!(words(&["LOGIN", "login"]), Ok("LOGIN".into()));
        assert_eq!(words(&["nologin"]), Ok(String::new()));
    }

    #[test]
    fn attributes_are_upper_case_sorted_and_there_once() {
        assert_eq!(words(&["createdb", "LOGIN"]), Ok("CREATEDB LOGIN".into()));
        assert_eq!(words(&["superuser", "createdb"]), Ok("CREATEDB LOGIN SUPERUSER".into()));
        assert_eq!(words(&["NoInherit", "bypassrls"]), Ok("BYPASSRLS LOGIN NOINHERIT".into()));
        assert_eq!(words(&["superuser", "noinherit", "Superuser"]), Ok("LOGIN NOINHERIT SUPERUSER".into()));
    }

    #[test]
    fn what_is_not_an_attribute_is_named() {
        for (given, expected) in [
            (&["SUPERUSER1"][..], "user flag \"SUPERUSER1\" is not valid"),
            (&["superuser1"], "user flag \"SUPERUSER1\" is not valid"),
            (&["no"], "user flag \"NO\" is not valid"),
            (&["!superuser"], "user flag \"!superuser\" is not alphanumeric"),
            (&[""], "user flag \"\" is not alphanumeric"),
            (&["inherit", "noinherit"], "conflicting user flags: \"NOINHERIT\" and \"INHERIT\""),
            (&["nologin", "login"], "conflicting user flags: \"NOLOGIN\" and \"LOGIN\""),
            (&["login", "nologin"], "conflicting user flags: \"NOLOGIN\" and \"LOGIN\""),
        ] {
            assert_eq!(words(given), Err(expected.into()), "{given:?}");
        }
    }

    #[test]
    fn usernames_are_lower_case_words_joined_by_dots() {
        for good in ["a", "0", "foo", "foo_user", "foo-user", "appspace.db_user", "a1"] {
            assert!(is_username(good), "{good}");
        }
        for bad in ["", "!fooBar", "fooBar", "Foo", "_a", "a_", "-a", "a.", ".a", "a..b", "a b", "\u{e9}"] {
            assert!(!is_username(bad), "{bad}");
        }
    }

    #[test]
    fn identifiers_need_no_quotes_in_sql() {
        for good in ["foo", "_foo", "Foo1", "Foo_1"] {
            assert!(is_identifier(good), "{good}");
        }
        for bad in ["", "1a", "1foo", "a-b", "foo-bar", "a.b", "a b", "\"a"] {
            assert!(!is_identifier(bad), "{bad}");
        }
    }
}
