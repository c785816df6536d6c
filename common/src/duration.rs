//! Durations in Go's syntax: `30m`, `1h30m`, `500ms`.

use std::fmt;
use std::time::Duration;

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        write!(f, "{text:?} is not a duration; write a number with a unit, as in 500ms, 30s, 5m, 1h30m")
    }
}

impl std::error::Error for Error {}

/// The delay before the next attempt: `first`, doubled with each of `failures`, at most `longest`.
pub fn doubled(first: Duration, failures: u32, longest: Duration) -> Duration {
    // The limit keeps the shift from overflowing.
    first.saturating_mul(1 << failures.min(16)).min(longest)
}

/// Parses a duration: numbers with the units `ns us ms s m h`, one after the other; `0` needs no unit.
///
/// The syntax is that of Go's [`time.ParseDuration`](https://pkg.go.dev/time#ParseDuration), without a sign.
///
/// # Errors
/// If the text has another form, or is longer than 584 years.
pub fn parse(text: &str) -> Result<Duration, Error> {
    let fail = || Error { text: text.to_owned() };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fail)?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        nanos += part(number, unit).ok_or_else(fail)?;
        rest = tail;
    }
    if text.is_empty() {
        return Err(fail());
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| fail())
}

fn part(number: &str, unit: &str) -> Option<u128> {
    let scale: u128 = match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 12 || whole.len() > 12 {
        return None;
    }
    let digits: u128 = format!("0{whole}{fraction}").parse().ok()?;
    Some(digits * scale / 10_u128.pow(u32::try_from(fraction.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_as_by_go() {
        for (text, millis) in [
            ("30m", 1_800_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("0", 0),
            ("0s", 0),
            (".5s", 500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn an_error_names_the_text_and_the_units() {
        for text in ["", "5", "5 m", "-1s", "m", "1d", "1s2", "9999999999999h"] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(&format!("{text:?}")) && message.contains("1h30m"), "{message}");
        }
    }
}
