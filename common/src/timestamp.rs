//! Timestamps with a time zone, as in [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339).

use std::fmt;

/// Why a text is not a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The time zone is missing; PostgreSQL would take its own.
    NoZone,
    /// The text has another form, or names a day or a time that does not exist.
    Malformed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoZone => "the timestamp has no time zone",
            Self::Malformed => "this is not a timestamp",
        })
    }
}

impl std::error::Error for Error {}

/// Checks a timestamp with its time zone, as in `2017-12-19T12:40:33+01:00`.
///
/// # Errors
/// If it is not one.
pub fn check(text: &str) -> Result<(), Error> {
    if is_timestamp(text) {
        Ok(())
    } else if is_timestamp(&format!("{text}Z")) {
        Err(Error::NoZone)
    } else {
        Err(Error::Malformed)
    }
}

fn is_timestamp(text: &str) -> bool {
    let Some((date, rest)) = text.split_once(['T', 't']) else { return false };
    let Some(zone) = rest.find(['+', '-', 'Z', 'z']) else { return false };
    let (time, zone) = rest.split_at(zone);
    is_date(date) && is_time(time) && is_zone(zone)
}

fn is_date(text: &str) -> bool {
    let Some([year, month, day]) = numbers::<3>(text, '-') else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    text.len() == "2017-12-19".len() && (1..=days).contains(&day)
}

/// `12:40:33` or `12:40:33.5`; a minute may have a leap second.
fn is_time(text: &str) -> bool {
    let (time, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let Some([hour, minute, second]) = numbers::<3>(time, ':') else { return false };
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_fraction && time.len() == "12:40:33".len() && hour < 24 && minute < 60 && second <= 60
}

/// `Z` or `+01:00`.
fn is_zone(text: &str) -> bool {
    if text.eq_ignore_ascii_case("z") {
        return true;
    }
    let Some([hour, minute]) = text.get(1..).and_then(|offset| numbers::<2>(offset, ':')) else { return false };
    text.len() == "+01:00".len() && hour < 24 && minute < 60
}

/// The numbers between separators, if there are exactly so many.
fn numbers<const COUNT: usize>(text: &str, separator: char) -> Option<[u32; COUNT]> {
    let mut numbers = [0; COUNT];
    let mut rest = text.split(separator);
    for number in &mut numbers {
        let digits = rest.next().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = digits.parse().ok()?;
    }
    rest.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_a_time_zone() {
        for good in [
            "2017-12-19T12:40:33+01:00",
            "2017-12-19T12:40:33-11:30",
            "2017-12-19t12:40:33.123Z",
            "2016-02-29T23:59:60+00:00",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for naive in ["2017-12-19T12:40:33", "2017-12-19T12:40:33.5"] {
            assert_eq!(check(naive), Err(Error::NoZone), "{naive}");
        }
    }

    #[test]
    fn what_is_not_a_timestamp_is_refused() {
        for bad in [
            "",
            "yesterday",
            "2017-12-19 12:40:33+01:00",
            "2017-12-19T12:40+01:00",
            "2017-13-19T12:40:33+01:00",
            "2017-02-29T12:40:33+01:00",
            "2017-12-19T24:40:33+01:00",
            "2017-12-19T12:40:33+0100",
            "2017-12-19T12:40:33.+01:00",
            "17-12-19T12:40:33+01:00",
            "2017-12-19T12:40:33+01:00Z",
            "2017-12-19T12:40:33\u{e9}",
        ] {
            assert_eq!(check(bad), Err(Error::Malformed), "{bad}");
        }
    }
}
