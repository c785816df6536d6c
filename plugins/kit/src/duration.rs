//! Durations of the operator configuration, in the syntax of Go's
//! [`ParseDuration`](https://pkg.go.dev/time#ParseDuration): `5m`, `1h30m`, `90s`.

use crate::{Result, invalid_config};

/// The seconds of a duration; fractions of a second are dropped.
///
/// # Errors
/// If the text is not a duration; `key` is its key in the operator configuration.
pub fn seconds(key: &str, text: &str) -> Result<u64> {
    parse(text)
        .ok_or_else(|| invalid_config(format!("{key}: \"{text}\" is not a duration; write it as in 90s, 5m or 1h30m")))
}

fn parse(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut millis = 0_u64;
    while !rest.is_empty() && rest != "0" {
        let number = rest.find(|c: char| !c.is_ascii_digit())?;
        let unit = rest[number..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |unit| number + unit);
        let scale = match &rest[number..unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        millis = millis.checked_add(rest[..number].parse::<u64>().ok()?.checked_mul(scale)?)?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(millis / 1_000)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn durations_have_the_syntax_of_go() {
        for (text, expected) in [("5m", 300), ("1h30m", 5400), ("90s", 90), ("1500ms", 1), ("0", 0), ("0s", 0)] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["", "5", "m", "5x", "5m3", "-5m", "99999999999999999999h"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
