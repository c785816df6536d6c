//! Maintenance windows: spans of time in a week, UTC.

use std::fmt;

/// A span of time in which rolling updates may continue, every day or on one day of the week, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaintenanceWindow {
    /// The day; `None` means every day.
    pub weekday: Option<Weekday>,
    /// The first minute of the day.
    pub from: u16,
    /// The last minute of the day.
    pub to: u16,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "days need no words")]
pub enum Weekday {
    Sunday,
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
}

/// The reason why a text is not a window, with the messages of the Zalando operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not `[Day:]HH:MM-HH:MM`.
    #[error("incorrect maintenance window format")]
    Format,
    /// Not `Mon` to `Sun`.
    #[error("could not parse weekday: incorrect weekday")]
    Weekday,
    /// Not a time of the day.
    #[error("could not parse start time: {0}")]
    Start(String),
    /// Not a time of the day.
    #[error("could not parse end time: {0}")]
    End(String),
    /// Ends before it starts.
    #[error("'From' time must be prior to the 'To' time")]
    Order,
}

impl MaintenanceWindow {
    /// Reads `HH:MM-HH:MM` or `Ddd:HH:MM-HH:MM`; the day may be repeated before the second time.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (start, end) = text.trim().split_once('-').filter(|(_, end)| !end.contains('-')).ok_or(Error::Format)?;
        let (weekday, from) = match start.split(':').collect::<Vec<_>>().as_slice() {
            [day, hour, minute] => (Some(Weekday::parse(day)?), format!("{hour}:{minute}")),
            [hour, minute] => (None, format!("{hour}:{minute}")),
            _ => return Err(Error::Format),
        };
        let from = time(&from).map_err(Error::Start)?;
        let to = time(without_day(end, weekday)).map_err(Error::End)?;
        if from > to { Err(Error::Order) } else { Ok(Self { weekday, from, to }) }
    }

    /// Whether the window contains a minute of a day; the last minute is included.
    #[must_use]
    pub fn contains(&self, weekday: Weekday, minute: u16) -> bool {
        self.weekday.is_none_or(|day| day == weekday) && (self.from..=self.to).contains(&minute)
    }
}

/// `04:00` of `Sat:04:00` in a window that starts on a Saturday.
fn without_day(end: &str, weekday: Option<Weekday>) -> &str {
    weekday.and_then(|day| end.strip_prefix(day.as_str())).and_then(|end| end.strip_prefix(':')).unwrap_or(end)
}

/// Minutes since midnight.
fn time(text: &str) -> Result<u16, String> {
    let parts: Vec<_> = text.split(':').collect();
    let [hour, minute] = parts.as_slice() else { return Err("incorrect time format".to_owned()) };
    let number = |digits: &str, least: usize, layout: &str| {
        let fits = (least..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = if fits { digits.parse::<u16>().ok() } else { None };
        parsed.ok_or_else(|| format!("parsing time {text:?}: cannot parse {digits:?} as {layout:?}"))
    };
    let hours = number(hour, 1, "15")?;
    if hours > 23 {
        return Err(format!("parsing time {text:?}: hour out of range"));
    }
    let minutes = number(minute, 2, "04")?;
    if minutes > 59 {
        return Err(format!("parsing time {text:?}: minute out of range"));
    }
    Ok(hours * 60 + minutes)
}

impl Weekday {
    const ALL: [Self; 7] =
        [Self::Sunday, Self::Monday, Self::Tuesday, Self::Wednesday, Self::Thursday, Self::Friday, Self::Saturday];

    /// The day so many days after a Sunday.
    #[must_use]
    pub fn after_sunday(days: usize) -> Self {
        Self::ALL.into_iter().cycle().nth(days % 7).unwrap_or(Self::Sunday)
    }

    /// The day of that name, as in `Mon`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|day| day.as_str() == text).ok_or(Error::Weekday)
    }

    /// The name of three letters, as in `Mon`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sunday => "Sun",
            Self::Monday => "Mon",
            Self::Tuesday => "Tue",
            Self::Wednesday => "Wed",
            Self::Thursday => "Thu",
            Self::Friday => "Fri",
            Self::Saturday => "Sat",
        }
    }
}

impl fmt::Display for MaintenanceWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(day) = self.weekday {
            write!(f, "{}:", day.as_str())?;
        }
        write!(f, "{:02}:{:02}-{:02}:{:02}", self.from / 60, self.from % 60, self.to / 60, self.to % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_and_written_as_upstream_does() {
        for text in ["Tue:10:00-20:00", "Mon:10:00-10:00", "Sun:00:00-00:00", "01:00-10:00"] {
            assert_eq!(MaintenanceWindow::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(MaintenanceWindow::parse("01:00-10:00").unwrap().weekday, None);
        assert_eq!(MaintenanceWindow::parse(" Sat:00:00-Sat:04:00 ").unwrap().to_string(), "Sat:00:00-04:00");
        assert_eq!(
            MaintenanceWindow::parse("1:00-4:30").unwrap(),
            MaintenanceWindow { weekday: None, from: 60, to: 270 }
        );
    }

    #[test]
    fn what_is_no_window_is_refused_in_upstreams_words() {
        let order = "'From' time must be prior to the 'To' time";
        let format = "incorrect maintenance window format";
        let weekday = "could not parse weekday: incorrect weekday";
        for (text, expected) in [
            ("Mon:12:00-11:00", order),
            ("Mon:10:00-00:00", order),
            ("Wed:33:00-00:00", "could not parse start time: parsing time \"33:00\": hour out of range"),
            ("Wed:00:00-26:00", "could not parse end time: parsing time \"26:00\": hour out of range"),
            ("Sunday:00:00-00:00", weekday),
            (":00:00-10:00", weekday),
            ("mon:00:00-10:00", weekday),
            ("Mon:00:00:00-10:00:00", format),
            ("Mon:00:00", format),
            ("Mon:00:00-01:00-02:00", format),
            ("Mon:00:00-00:00:00", "could not parse end time: incorrect time format"),
            ("Sat:00:00-Sun:04:00", "could not parse end time: incorrect time format"),
            ("", format),
        ] {
            assert_eq!(MaintenanceWindow::parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_window_holds_its_minutes_every_day_or_on_its_day() {
        let window = |text: &str| MaintenanceWindow::parse(text).unwrap();
        let saturday = Weekday::after_sunday(6);
        assert_eq!(saturday, Weekday::Saturday);
        for (text, minute, expected) in [
            ("01:00-04:30", 59, false),
            ("01:00-04:30", 60, true),
            ("Sat:01:00-04:30", 270, true),
            ("Sat:01:00-04:30", 271, false),
            ("Sun:01:00-04:30", 60, false),
        ] {
            assert_eq!(window(text).contains(saturday, minute), expected, "{text} {minute}");
        }
    }

    #[test]
    fn times_and_days_are_read_as_upstream_does() {
        assert_eq!((time("16:08"), time("11:00"), time("23:59")), (Ok(968), Ok(660), Ok(1439)));
        assert_eq!(time("26:09"), Err("parsing time \"26:09\": hour out of range".to_owned()));
        assert_eq!(time("23:69"), Err("parsing time \"23:69\": minute out of range".to_owned()));
        assert_eq!(Weekday::parse("Wed"), Ok(Weekday::Wednesday));
        for text in ["Sunday", ""] {
            assert_eq!(Weekday::parse(text), Err(Error::Weekday), "{text}");
        }
    }
}
