//! Schedules of CronJobs, checked as the Kubernetes API server checks them.
//!
//! The syntax is that of [robfig/cron](https://pkg.go.dev/github.com/robfig/cron/v3), which Kubernetes uses.
//!
//! Why not the crate `croner`: it accepts what Kubernetes refuses (seconds, years, `L`, `W` and `#`), and its
//! computation of times, which is not needed here, would become part of a plugin.

use std::fmt;

use crate::duration;

/// The reason why a text is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The number of fields, which is not five.
    Fields(usize),
    /// The text has a time zone, which Kubernetes takes from the CronJob's `spec.timeZone`.
    Zone,
    /// An unknown keyword after `@`, as in `@often`.
    Word(String),
    /// The text after `@every`, which is not a duration.
    Every(String),
    /// An invalid part of a field.
    Part {
        /// The text.
        part: String,
        /// The field, as in `day of the month`.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(found) => write!(
                f,
                "expected exactly 5 fields, found {found}: minute, hour, day of the month, month, day of the week"
            ),
            Self::Zone => f.write_str("cannot use TZ or CRON_TZ in a schedule"),
            Self::Word(word) => write!(f, "{word:?} is none of {}, @every", WORDS.join(", ")),
            Self::Every(text) => write!(f, "{text:?} is not a duration"),
            Self::Part { part, field, reason } => write!(f, "{part:?} is not a valid {field}: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

/// One of the five fields.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WORDS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, names: &[] },
    Field { name: "day of the month", min: 1, max: 31, names: &[] },
    Field { name: "month", min: 1, max: 12, names: &MONTHS },
    Field { name: "day of the week", min: 0, max: 6, names: &DAYS },
];

/// Checks a schedule: five fields with lists, ranges, steps and names, or a keyword such as `@daily`.
///
/// # Errors
/// If the API server would refuse it.
pub fn check(schedule: &str) -> Result<(), Error> {
    if schedule.contains("TZ=") {
        return Err(Error::Zone);
    }
    if schedule.starts_with('@') {
        return word(schedule);
    }
    let texts: Vec<_> = schedule.split_whitespace().collect();
    if texts.len() != FIELDS.len() {
        return Err(Error::Fields(texts.len()));
    }
    for (field, text) in FIELDS.iter().zip(texts) {
        for part in text.split(',') {
            range(field, part).map_err(|reason| Error::Part { part: part.to_owned(), field: field.name, reason })?;
        }
    }
    Ok(())
}

fn word(schedule: &str) -> Result<(), Error> {
    if WORDS.contains(&schedule) {
        return Ok(());
    }
    match schedule.strip_prefix("@every ") {
        Some(text) => duration::parse(text).map(|_| ()).map_err(|_| Error::Every(text.to_owned())),
        None => Err(Error::Word(schedule.to_owned())),
    }
}

/// `*`, `?`, `a`, `a-b`, each with `/step`.
fn range(field: &Field, part: &str) -> Result<(), String> {
    let mut halves = part.split('/');
    let (span, step) = (halves.next().unwrap_or_default(), halves.next());
    if halves.next().is_some() {
        return Err("it has more than one step".to_owned());
    }
    if !matches!(span, "*" | "?") {
        let mut ends = span.split('-');
        let from = number(field, ends.next().unwrap_or_default())?;
        let to = ends.next().map_or(Ok(from), |text| number(field, text))?;
        if ends.next().is_some() {
            return Err("it has more than one hyphen".to_owned());
        }
        if from > to {
            return Err(format!("{from} comes after {to}"));
        }
    }
    match step.map(str::parse::<u32>) {
        None | Some(Ok(1..)) => Ok(()),
        Some(Ok(0)) => Err("the step is zero".to_owned()),
        Some(Err(_)) => Err("the step is not a number".to_owned()),
    }
}

fn number(field: &Field, text: &str) -> Result<u32, String> {
    let lower = text.to_ascii_lowercase();
    if let Some(index) = field.names.iter().position(|name| *name == lower) {
        return Ok(field.min + index as u32);
    }
    let number: u32 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if (field.min..=field.max).contains(&number) && !text.starts_with('+') {
        Ok(number)
    } else {
        Err(format!("the range is {} to {}", field.min, field.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_accepts_is_accepted() {
        for schedule in [
            "30 00 * * *",
            "7 7 7 7 *",
            "*/15 0-6,22 1,15 jan-MAR mon-fri",
            "0 0 ? * 0",
            "5/10 * * * *",
            "0-30/5 * * * *",
            "@daily",
            "@every 1h30m",
            "  0   3 * * 6 ",
        ] {
            assert_eq!(check(schedule), Ok(()), "{schedule}");
        }
    }

    #[test]
    fn what_kubernetes_refuses_is_refused_with_its_part() {
        for (schedule, expected) in [
            ("", "found 0"),
            ("* * * *", "found 4"),
            ("* * * * * *", "found 6"),
            ("60 * * * *", "\"60\" is not a valid minute: the range is 0 to 59"),
            ("* 24 * * *", "is not a valid hour"),
            ("* * 0 * *", "is not a valid day of the month"),
            ("* * * 13 *", "is not a valid month"),
            ("* * * * 7", "is not a valid day of the week: the range is 0 to 6"),
            ("* * * * sunday", "\"sunday\" is not a number"),
            ("5-1 * * * *", "5 comes after 1"),
            ("1-2-3 * * * *", "more than one hyphen"),
            ("*/0 * * * *", "the step is zero"),
            ("*/x * * * *", "the step is not a number"),
            ("1/2/3 * * * *", "more than one step"),
            ("-1 * * * *", "\"\" is not a number"),
            ("TZ=UTC 0 0 * * *", "cannot use TZ"),
            ("CRON_TZ=UTC 0 0 * * *", "cannot use TZ"),
            ("@sometimes", "@yearly"),
            ("@every now", "\"now\" is not a duration"),
        ] {
            let message = check(schedule).unwrap_err().to_string();
            assert!(message.contains(expected), "{schedule}: {message}");
        }
    }
}
