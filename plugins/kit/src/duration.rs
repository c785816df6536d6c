//! Durations of the operator configuration, in the syntax of Go's
//! [`ParseDuration`](https://pkg.go.dev/time#ParseDuration): `5m`, `1h30m`, `90s`.

use pgloom_common::duration;

use crate::{Result, invalid_config};

/// The seconds of a duration; fractions of a second are dropped.
///
/// # Errors
/// If the text is not a duration; `key` is its key in the operator configuration.
pub fn seconds(key: &str, text: &str) -> Result<u64> {
    match duration::parse(text) {
        Ok(duration) => Ok(duration.as_secs()),
        Err(error) => Err(invalid_config(format!("{key}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn fractions_of_a_second_are_dropped() {
        for (text, expected) in [("5m", 300), ("1h30m", 5400), ("90s", 90), ("1500ms", 1), ("0", 0), ("0s", 0)] {
            assert_eq!(seconds("key", text).unwrap(), expected, "{text}");
        }
        for text in ["", "5", "m", "5x", "5m3", "-5m", "99999999999999999999h"] {
            assert!(seconds("key", text).is_err(), "{text:?}");
        }
    }
}
