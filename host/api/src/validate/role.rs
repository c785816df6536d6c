//! Roles of the manifest: their names and options.

use std::fmt;

/// What a role may do, or explicitly may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flag {
    /// The right.
    pub right: Right,
    /// Whether it is denied, as in `NOINHERIT`.
    pub denied: bool,
}

/// The rights of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "PostgreSQL's own words")]
pub enum Right {
    BypassRls,
    CreateDb,
    CreateRole,
    Inherit,
    Login,
    Replication,
    Superuser,
}

impl Right {
    /// Every right, in order of the words.
    pub const ALL: [Self; 7] = [
        Self::BypassRls,
        Self::CreateDb,
        Self::CreateRole,
        Self::Inherit,
        Self::Login,
        Self::Replication,
        Self::Superuser,
    ];

    /// PostgreSQL's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
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
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let no = if self.denied { "NO" } else { "" };
        write!(f, "{no}{}", self.right.as_str())
    }
}

/// Why options make no sense, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a word.
    #[error("user flag {0:?} is not alphanumeric")]
    NotAlphanumeric(String),
    /// No such right.
    #[error("user flag {0:?} is not valid")]
    NotValid(String),
    /// Granted and denied at once.
    #[error("conflicting user flags: \"NO{0}\" and \"{0}\"")]
    Conflict(&'static str),
}

/// Options in the form that SQL needs: in order, each once, `LOGIN` added unless `NOLOGIN` is given, which is then left out.
pub fn normalised<'a>(flags: impl IntoIterator<Item = &'a str>) -> Result<Vec<Flag>, Error> {
    let mut found = Vec::new();
    for flag in flags {
        found.push(read(flag)?);
    }
    found.sort_by_key(ToString::to_string);
    found.dedup();
    if let Some(flag) = found.iter().find(|flag| flag.denied && found.contains(&Flag { denied: false, ..**flag })) {
        return Err(Error::Conflict(flag.right.as_str()));
    }
    let no_login = Flag { right: Right::Login, denied: true };
    if found.contains(&no_login) {
        found.retain(|flag| *flag != no_login);
    } else if !found.iter().any(|flag| flag.right == Right::Login) {
        found.push(Flag { right: Right::Login, denied: false });
    }
    Ok(found)
}

fn read(flag: &str) -> Result<Flag, Error> {
    let starts = flag.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if !starts || !flag.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Error::NotAlphanumeric(flag.to_owned()));
    }
    let word = flag.to_uppercase();
    let right = |word: &str| Right::ALL.into_iter().find(|right| right.as_str() == word);
    if let Some(right) = right(&word) {
        return Ok(Flag { right, denied: false });
    }
    match word.strip_prefix("NO").and_then(right) {
        Some(right) => Ok(Flag { right, denied: true }),
        None => Err(Error::NotValid(word)),
    }
}

/// Whether a text may be a role's name: parts of `a-z`, `0-9`, `-` and `_` with dots between, none starting or ending with
/// a hyphen or an underscore.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let outer = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let inner = |byte: u8| outer(byte) || byte == b'-' || byte == b'_';
    text.split('.').all(|part| match part.as_bytes() {
        [] => false,
        [only] => outer(*only),
        [first, middle @ .., last] => outer(*first) && outer(*last) && middle.iter().copied().all(inner),
    })
}

/// Whether a text may be the name of a database, a schema, or the role that owns one, so that SQL needs no quotes.
#[must_use]
pub fn is_identifier(text: &str) -> bool {
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    starts && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(flags: &[&str]) -> Result<Vec<String>, String> {
        let flags = normalised(flags.iter().copied()).map_err(|error| error.to_string())?;
        Ok(flags.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn options_are_normalised_as_upstream_does() {
        for (flags, expected) in [
            (&[][..], Ok(&["LOGIN"][..])),
            (&["login"], Ok(&["LOGIN"])),
            (&["LOGIN", "login"], Ok(&["LOGIN"])),
            (&["createdb", "LOGIN"], Ok(&["CREATEDB", "LOGIN"])),
            (&["superuser", "createdb"], Ok(&["CREATEDB", "SUPERUSER", "LOGIN"])),
            (&["nologin"], Ok(&[])),
            (&["NoInherit", "bypassrls"], Ok(&["BYPASSRLS", "NOINHERIT", "LOGIN"])),
            (&["inherit", "noinherit"], Err("conflicting user flags: \"NOINHERIT\" and \"INHERIT\"")),
            (&["login", "nologin"], Err("conflicting user flags: \"NOLOGIN\" and \"LOGIN\"")),
            (&["superuser1"], Err("user flag \"SUPERUSER1\" is not valid")),
            (&["no"], Err("user flag \"NO\" is not valid")),
            (&["!superuser"], Err("user flag \"!superuser\" is not alphanumeric")),
            (&[""], Err("user flag \"\" is not alphanumeric")),
        ] {
            let expected =
                expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect()).map_err(str::to_owned);
            assert_eq!(words(flags), expected, "{flags:?}");
        }
    }

    #[test]
    fn names_of_roles_and_of_databases_have_their_own_rules() {
        for name in ["foo", "foo_user", "foo-user", "a", "0", "appspace.db_user"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "!fooBar", "Foo", "_foo", "foo_", "a..b", ".a", "a b"] {
            assert!(!is_name(name), "{name}");
        }
        for name in ["foo", "_foo", "Foo1"] {
            assert!(is_identifier(name), "{name}");
        }
        for name in ["", "foo-bar", "1foo", "a.b"] {
            assert!(!is_identifier(name), "{name}");
        }
    }
}
