//! Generates passwords from the random numbers of the operating system.
//!
//! Why not `Alphanumeric` of `rand`: it takes only generators that cannot fail, and the operating system's can. A
//! failure has to be an error of the reconcile, not a panic.

use pgloom_decide::credential::Password;
use rand::TryRng as _;
use rand::rngs::SysRng;

/// The length of a generated password, in characters.
const LENGTH: usize = 64;
const ALPHABET: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The reason why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system returned no random bytes.
    #[error("the operating system gave no random bytes")]
    Random(#[source] rand::rngs::SysError),
    /// The password has to exist already, and does not.
    #[error("role \"{0}\" has no Secret with a password yet")]
    Missing(String),
}

/// A new password: 64 letters and digits.
///
/// # Errors
/// If the operating system gives none.
pub fn generate() -> Result<Password, Error> {
    // The largest multiple of the alphabet's size that fits a byte. Larger bytes are skipped, because they would make
    // the first characters more likely.
    const FAIR: u8 = (256 / ALPHABET.len() * ALPHABET.len()) as u8;
    let mut plain = String::with_capacity(LENGTH);
    let mut bytes = [0; 2 * LENGTH];
    while plain.len() < LENGTH {
        SysRng.try_fill_bytes(&mut bytes).map_err(Error::Random)?;
        let fair = bytes.iter().filter(|byte| **byte < FAIR);
        let letters = fair.map(|byte| ALPHABET[usize::from(*byte) % ALPHABET.len()] as char);
        plain.extend(letters.take(LENGTH - plain.len()));
    }
    Ok(Password::new(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_are_64_letters_and_digits_and_differ() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_eq!(one.reveal().len(), 64);
        assert!(one.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(one, two);
    }

    #[test]
    fn every_letter_and_digit_is_used() {
        let many: String = (0..40).map(|_| generate().unwrap().reveal().to_string()).collect();
        for letter in ALPHABET {
            assert!(many.contains(*letter as char), "{}", *letter as char);
        }
    }
}
