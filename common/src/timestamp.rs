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

/// A timestamp with its time zone as an offset, as in `2017-12-19T12:40:33+01:00`. `Z` becomes `+00:00`, because PostgreSQL
/// knows no names of zones yet when it reads `recovery_target_time`; `+0100` and `+01` become `+01:00`, and a space between
/// date and time becomes `T`.
///
/// ```
/// # use pgloom_common::timestamp::with_offset;
/// assert_eq!(with_offset("2017-12-19 12:40:33z"), Ok("2017-12-19T12:40:33+00:00".to_owned()));
/// ```
///
/// # Errors
/// If it is no timestamp, or has no time zone.
pub fn with_offset(text: &str) -> Result<String, Error> {
    let (date, rest) = text.split_once(['T', 't', ' ']).ok_or(Error::Malformed)?;
    let (time, zone) = rest.split_at(rest.find(['+', '-', 'Z', 'z']).unwrap_or(rest.len()));
    if !is_date(date) || !is_time(time) {
        return Err(Error::Malformed);
    }
    if zone.is_empty() {
        return Err(Error::NoZone);
    }
    let offset = offset(zone).ok_or(Error::Malformed)?;
    Ok(format!("{date}T{time}{offset}"))
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

/// `+01:00` of `+01:00`, `+0100`, `+01` or `Z`.
fn offset(zone: &str) -> Option<String> {
    if zone.eq_ignore_ascii_case("z") {
        return Some("+00:00".to_owned());
    }
    let digits = zone.strip_prefix(['+', '-'])?;
    let text = match digits.len() {
        2 => format!("{digits}:00"),
        4 => format!("{}:{}", digits.get(..2)?, digits.get(2..)?),
        _ => digits.to_owned(),
    };
    let [hour, minute] = numbers(&text, ':')?;
    (text.len() == "01:00".len() && hour < 24 && minute < 60).then(|| format!("{}{text}", &zone[..1]))
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
    fn a_timestamp_gets_its_zone_as_an_offset() {
        for (text, expected) in [
            ("2017-12-19T12:40:33+01:00", "2017-12-19T12:40:33+01:00"),
            ("2017-12-19T12:40:33-11:30", "2017-12-19T12:40:33-11:30"),
            ("2017-12-19t12:40:33.123Z", "2017-12-19T12:40:33.123+00:00"),
            ("2017-12-19T12:40:33z", "2017-12-19T12:40:33+00:00"),
            ("2017-12-19 12:40:33+0100", "2017-12-19T12:40:33+01:00"),
            ("2017-12-19T12:40:33-05", "2017-12-19T12:40:33-05:00"),
            ("2016-02-29T23:59:60+00:00", "2016-02-29T23:59:60+00:00"),
        ] {
            assert_eq!(with_offset(text).as_deref(), Ok(expected), "{text}");
        }
        for naive in ["2017-12-19T12:40:33", "2017-12-19 12:40:33.5"] {
            assert_eq!(with_offset(naive), Err(Error::NoZone), "{naive}");
        }
    }

    #[test]
    fn what_is_not_a_timestamp_is_refused() {
        for bad in [
            "",
            "yesterday",
            "2017-12-19  12:40:33+01:00",
            "2017-12-19T12:40+01:00",
            "2017-13-19T12:40:33+01:00",
            "2017-02-29T12:40:33+01:00",
            "2017-12-19T24:40:33+01:00",
            "2017-12-19T12:40:33+010",
            "2017-12-19T12:40:33+2400",
            "2017-12-19T12:40:33 UTC",
            "2017-12-19T12:40:33.+01:00",
            "17-12-19T12:40:33+01:00",
            "2017-12-19T12:40:33+01:00Z",
            "2017-12-19T12:40:33\u{e9}",
            "2017-12-19T12:40:33+\u{e9}\u{e9}",
        ] {
            assert_eq!(with_offset(bad), Err(Error::Malformed), "{bad}");
        }
    }
}
