//! Password verifiers: computed by the operator, and compared with those that the database stores.
//!
//! `postgres-protocol` makes a verifier with a salt of its own. Whether a stored verifier is that of a password has
//! to be computed with the stored salt and number of iterations, for which it has no function.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgloom_decide::credential::Password;
use postgres_protocol::password::{md5, scram_sha_256};
use ring::{digest, hmac, pbkdf2};

use super::session::column;
use super::{Error, Session};

/// The first PostgreSQL release with SCRAM.
const FIRST_WITH_SCRAM: i32 = 100_000;
const SCRAM_PREFIX: &str = "SCRAM-SHA-256$";
const KEY: usize = digest::SHA256_OUTPUT_LEN;
/// The most SCRAM iterations that the operator computes; PostgreSQL's default is 4096. A verifier with more is replaced
/// without a comparison, because the tenant could store one that takes hours.
const MAX_ITERATIONS: u32 = 100_000;

/// The method by which a new password is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    /// `scram-sha-256`, from PostgreSQL 10 on.
    Scram,
    /// `md5`, for clients without SCRAM.
    Md5,
}

impl Encryption {
    /// The method for a server of this version; `asked` is its `password_encryption`, if that is not the default.
    fn at(version: i32, asked: Option<&str>) -> Self {
        if version < FIRST_WITH_SCRAM || asked == Some("md5") { Self::Md5 } else { Self::Scram }
    }
}

/// The method for this server: SCRAM, unless the server lacks it or its configuration sets another one. The md5 of an
/// old server's default does not count as set.
pub(super) async fn encryption(session: &Session) -> Result<Encryption, Error> {
    let sql = "SELECT setting FROM pg_settings WHERE name = 'password_encryption' AND source <> 'default'";
    let what = "ask how passwords are stored";
    let asked = session.query(what, sql, &[]).await?;
    let asked: Option<String> = asked.first().map(|row| column(row, 0, what)).transpose()?;
    Ok(Encryption::at(session.version().await?, asked.as_deref()))
}

/// The verifier of a role's password. A password that is already a verifier is returned unchanged.
pub(super) fn make(encryption: Encryption, username: &str, password: &Password) -> Password {
    let plain = password.reveal();
    if is_verifier(plain) {
        return password.clone();
    }
    Password::new(match encryption {
        Encryption::Scram => scram_sha_256(plain.as_bytes()),
        Encryption::Md5 => md5(plain.as_bytes(), username),
    })
}

/// Whether the stored verifier is one of the password.
pub(super) fn matches(stored: &Password, username: &str, password: &Password) -> bool {
    let (stored, plain) = (stored.reveal(), password.reveal());
    if is_verifier(plain) {
        return stored == plain;
    }
    match stored.strip_prefix(SCRAM_PREFIX) {
        Some(scram) => matches_scram(scram, plain).unwrap_or(false),
        None => stored == md5(plain.as_bytes(), username),
    }
}

fn is_verifier(text: &str) -> bool {
    let is_md5 = text
        .strip_prefix("md5")
        .is_some_and(|hash| hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_md5 || text.strip_prefix(SCRAM_PREFIX).is_some_and(|scram| Scram::parse(scram).is_some())
}

/// `iterations:salt$stored key:server key`, the last three in base64.
struct Scram {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl Scram {
    fn parse(text: &str) -> Option<Self> {
        let (how, keys) = text.split_once('$')?;
        let (iterations, salt) = how.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let bytes = |text: &str| STANDARD.decode(text).ok();
        Some(Self {
            iterations: iterations.parse().ok()?,
            salt: bytes(salt)?,
            stored_key: bytes(stored_key)?,
            server_key: bytes(server_key)?,
        })
    }
}

fn matches_scram(stored: &str, plain: &str) -> Option<bool> {
    let scram = Scram::parse(stored)?;
    if scram.iterations.get() > MAX_ITERATIONS {
        return None;
    }
    // As in the server and libpq, a password that SASLprep refuses is used as it is.
    let prepared = stringprep::saslprep(plain);
    let prepared = prepared.as_deref().unwrap_or(plain);
    let mut salted = [0; KEY];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, scram.iterations, &scram.salt, prepared.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client_key = hmac::sign(&key, b"Client Key");
    let server_key = hmac::sign(&key, b"Server Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    Some(stored_key.as_ref() == scram.stored_key && server_key.as_ref() == scram.server_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(plain: &str) -> Password {
        Password::new(plain)
    }

    #[test]
    fn the_md5_verifier_is_the_known_one() {
        let verifier = make(Encryption::Md5, "test", &password("password"));
        assert_eq!(verifier.reveal(), "md587f77988ccb5aa917c93201ba314fcd4");
        assert!(matches(&verifier, "test", &password("password")));
        assert!(!matches(&verifier, "other", &password("password")));
    }

    #[test]
    fn a_scram_verifier_matches_its_password_and_no_other() {
        for plain in ["password", "пароль", "I\u{ad}X", "\u{2168}", "a\u{a0}b", ""] {
            let verifier = make(Encryption::Scram, "test", &password(plain));
            assert!(verifier.reveal().starts_with("SCRAM-SHA-256$4096:"));
            assert!(matches(&verifier, "test", &password(plain)), "{plain:?}");
            assert!(!matches(&verifier, "test", &password("else")), "{plain:?}");
        }
    }

    #[test]
    fn what_the_server_made_matches() {
        // Made by PostgreSQL 15 with `ALTER ROLE … PASSWORD 'secret'`.
        let stored = password(SERVER_MADE);
        assert!(matches(&stored, "any", &password("secret")));
        assert!(!matches(&stored, "any", &password("Secret")));
    }

    #[test]
    fn a_password_that_is_a_verifier_is_taken_as_it_is() {
        for plain in ["md587f77988ccb5aa917c93201ba314fcd4", SERVER_MADE] {
            let verifier = make(Encryption::Scram, "test", &password(plain));
            assert_eq!(verifier.reveal(), plain);
            assert!(matches(&verifier, "test", &password(plain)));
        }
        let no_verifier = make(Encryption::Scram, "test", &password("md5 is old"));
        assert!(no_verifier.reveal().starts_with(SCRAM_PREFIX));
    }

    #[test]
    fn a_verifier_with_more_iterations_than_the_limit_is_not_computed() {
        let with = |iterations: u32| {
            let mut salted = [0; KEY];
            let count = NonZeroU32::new(iterations).unwrap();
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, b"salt", b"secret", &mut salted);
            let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
            let stored = digest::digest(&digest::SHA256, hmac::sign(&key, b"Client Key").as_ref());
            let server = hmac::sign(&key, b"Server Key");
            let [salt, stored, server] =
                [b"salt", stored.as_ref(), server.as_ref()].map(|bytes| STANDARD.encode(bytes));
            password(&format!("SCRAM-SHA-256${iterations}:{salt}${stored}:{server}"))
        };
        assert!(matches(&with(MAX_ITERATIONS), "test", &password("secret")));
        assert!(!matches(&with(MAX_ITERATIONS + 1), "test", &password("secret")));
    }

    #[test]
    fn what_is_no_verifier_matches_nothing() {
        for stored in ["", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:YQ==$YQ==:YQ==", "SCRAM-SHA-256$4096:!$!:!", "md5"] {
            assert!(!matches(&password(stored), "test", &password("password")), "{stored}");
        }
    }

    #[test]
    fn scram_is_used_unless_the_server_cannot_or_shall_not() {
        assert_eq!(Encryption::at(90_624, None), Encryption::Md5);
        assert_eq!(Encryption::at(100_000, None), Encryption::Scram);
        assert_eq!(Encryption::at(180_000, Some("scram-sha-256")), Encryption::Scram);
        assert_eq!(Encryption::at(180_000, Some("md5")), Encryption::Md5);
    }

    const SERVER_MADE: &str = "SCRAM-SHA-256$4096:Cb1/7q8p11TFsuAycUSJlw==$d6tvGq3532Prp2Sv0pcFveJFzWPtJaLZm5h6oSo1hko=:d47sTlAXYbcUjr9Q9I/Ja/hbm0XDDGCAliNXQH2S9vo=";
}
