//! Schedules in the syntax of
//! [Kubernetes](https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax): five fields, or
//! a word such as `@daily`.

/// A field: its name, its range, and the names of its values, starting with the lowest.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, names: &[] },
    Field { name: "day of month", min: 1, max: 31, names: &[] },
    Field { name: "month", min: 1, max: 12, names: &MONTHS },
    Field { name: "day of week", min: 0, max: 6, names: &DAYS },
];
const WORDS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const EVERY: &str = "@every ";

/// Checks a schedule.
///
/// # Errors
/// What is wrong, as the end of a sentence.
pub fn check(schedule: &str) -> Result<(), String> {
    if schedule.contains("TZ=") {
        return Err("Kubernetes refuses a time zone in it".to_owned());
    }
    if WORDS.contains(&schedule) || schedule.strip_prefix(EVERY).is_some_and(is_duration) {
        return Ok(());
    }
    if schedule.starts_with('@') {
        return Err("use @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @every with a duration"
            .to_owned());
    }
    let parts: Vec<&str> = schedule.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(format!("it has {} fields instead of 5", parts.len()));
    }
    for (field, text) in FIELDS.iter().zip(parts) {
        for range in text.split(',') {
            if !field.accepts(range) {
                return Err(format!(
                    "\"{range}\" is not a valid {}, which is {} to {}",
                    field.name, field.min, field.max
                ));
            }
        }
    }
    Ok(())
}

impl Field {
    /// One of `*`, `?`, `5`, `1-5`, each with a step as in `*/15`.
    fn accepts(&self, range: &str) -> bool {
        let (range, step) = range.split_once('/').map_or((range, "1"), |(range, step)| (range, step));
        let is_step = number(step).is_some_and(|step| step > 0);
        let (low, high) = range.split_once('-').map_or((range, None), |(low, high)| (low, Some(high)));
        let is_range = match (low, high) {
            ("*" | "?", _) => high.is_none(),
            (low, None) => self.value(low).is_some(),
            (low, Some(high)) => self.value(low).is_some_and(|low| self.value(high).is_some_and(|high| low <= high)),
        };
        is_step && is_range
    }

    fn value(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().zip(self.min..).find(|(name, _)| text.eq_ignore_ascii_case(name));
        let value = named.map(|(_, value)| value).or_else(|| number(text))?;
        (self.min..=self.max).contains(&value).then_some(value)
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_duration(text: &str) -> bool {
    pgloom_kit::duration::seconds("", text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_schedule_that_kubernetes_accepts_is_accepted() {
        for good in [
            "30 00 * * *",
            "7 7 7 7 *",
            "*/15 0-6,12-18 1,15 jan-mar Mon-FRI",
            "0 0 ? * 0",
            "5/10 * * * *",
            "0  0 1 1\t6",
            "@daily",
            "@every 1h30m",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_schedule_that_kubernetes_refuses_is_refused_with_the_field() {
        for (bad, expected) in [
            ("", "0 fields"),
            ("0 0 * *", "4 fields"),
            ("0 0 0 * * *", "6 fields"),
            ("60 0 * * *", "\"60\" is not a valid minute, which is 0 to 59"),
            ("0 24 * * *", "\"24\" is not a valid hour"),
            ("0 0 0 * *", "\"0\" is not a valid day of month"),
            ("0 0 * 13 *", "\"13\" is not a valid month"),
            ("0 0 * * 7", "\"7\" is not a valid day of week, which is 0 to 6"),
            ("0 0 * * xyz", "\"xyz\" is not a valid day of week"),
            ("*/0 0 * * *", "\"*/0\" is not a valid minute"),
            ("5-1 0 * * *", "\"5-1\" is not a valid minute"),
            ("1-2-3 0 * * *", "\"1-2-3\" is not a valid minute"),
            ("1/2/3 0 * * *", "\"1/2/3\" is not a valid minute"),
            ("*-5 0 * * *", "\"*-5\" is not a valid minute"),
            ("1,,2 0 * * *", "\"\" is not a valid minute"),
            ("+1 0 * * *", "\"+1\" is not a valid minute"),
            ("@often", "use @yearly"),
            ("@every soon", "use @yearly"),
            ("TZ=UTC 0 0 * * *", "a time zone"),
        ] {
            let error = check(bad).unwrap_err();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }
}
