//! Why no member is taken down at the moment: a maintenance window that is not open, or restarts by Patroni.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use pgloom_api::validate::window::{MaintenanceWindow, Weekday};

use super::Reconciliation;
use super::decide::Decided;
use super::requeue::Requeue;

/// Why nothing is taken down while the job that configures Patroni runs: it restarts members, one at a time.
pub const RESTARTING: &str = "Patroni is being configured, and may restart members";
/// Why nothing is taken down while the data is upgraded to another major version.
pub const UPGRADING: &str = "the data is being upgraded to another major version";

impl Reconciliation<'_> {
    /// Why the leadership may not be moved now, and no member taken down: a maintenance window is awaited, or Patroni may
    /// be restarting a member.
    pub fn hold(&self, decided: &Decided) -> Option<String> {
        let window = closed(&self.windows(decided)).map(|windows| format!("waits for {windows}"));
        window.or_else(|| self.busy().map(str::to_owned))
    }

    /// What the operator does that no member may be taken down during.
    pub fn busy(&self) -> Option<&'static str> {
        if self.is_upgrading() {
            return Some(UPGRADING);
        }
        self.state.patroni.is_running().then_some(RESTARTING)
    }

    /// The maintenance windows of the cluster.
    pub fn windows(&self, decided: &Decided) -> Vec<MaintenanceWindow> {
        self.settings.config.maintenance_windows(&decided.plan.cluster.maintenance_windows)
    }
}

/// Which maintenance windows are awaited, if there are any and none is open now.
pub fn closed(windows: &[MaintenanceWindow]) -> Option<String> {
    let all = || windows.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    is_closed(windows, &Timestamp::now().to_zoned(TimeZone::UTC))
        .then(|| format!("a maintenance window: {} (UTC)", all()))
}

/// When the next maintenance window opens, if there are any.
pub fn opening(windows: &[MaintenanceWindow]) -> Requeue {
    opens_in(windows, &Timestamp::now().to_zoned(TimeZone::UTC)).map(Requeue::within).unwrap_or_default()
}

/// The time until the next maintenance window begins; `None` without any.
fn opens_in(windows: &[MaintenanceWindow], now: &Zoned) -> Option<Duration> {
    let today = i64::from(now.weekday().to_sunday_zero_offset());
    let now = i64::from(now.hour()) * 3600 + i64::from(now.minute()) * 60 + i64::from(now.second());
    let on = |window: &MaintenanceWindow, days: i64| {
        let weekday = Weekday::after_sunday(usize::try_from((today + days) % 7).ok()?);
        let begins = days * 86400 + i64::from(window.from) * 60 - now;
        let counts = window.contains(weekday, window.from) && begins > 0;
        u64::try_from(begins).ok().filter(|_| counts).map(Duration::from_secs)
    };
    windows.iter().flat_map(|window| (0..=7).filter_map(move |days| on(window, days))).min()
}

/// Whether there are maintenance windows and none is open.
fn is_closed(windows: &[MaintenanceWindow], now: &Zoned) -> bool {
    !windows.is_empty() && !is_open(windows, now)
}

/// Whether one of the windows holds this minute.
fn is_open(windows: &[MaintenanceWindow], now: &Zoned) -> bool {
    let weekday = usize::try_from(now.weekday().to_sunday_zero_offset()).map(Weekday::after_sunday);
    let minute = u16::try_from(i32::from(now.hour()) * 60 + i32::from(now.minute()));
    let (Ok(weekday), Ok(minute)) = (weekday, minute) else { return false };
    windows.iter().any(|window| window.contains(weekday, minute))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_open_on_its_day_and_in_its_minutes() {
        let windows = ["Sat:01:00-04:00", "12:00-12:30"].map(|text| MaintenanceWindow::parse(text).unwrap());
        let open = |text: &str| is_open(&windows, &text.parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC));
        // A Saturday and the Sunday after it.
        assert!(open("2031-05-17T01:00:00Z") && open("2031-05-17T04:00:59Z") && !open("2031-05-17T04:01:00Z"));
        assert!(!open("2031-05-18T01:00:00Z") && open("2031-05-18T12:15:00Z"));
        assert!(!is_open(&[], &Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC)));
        assert!(!is_closed(&[], &Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC)));
    }

    #[test]
    fn the_time_until_a_window_opens_is_that_until_its_next_beginning() {
        let opens = |windows: &[&str], text: &str| {
            let windows: Vec<_> = windows.iter().map(|text| MaintenanceWindow::parse(text).unwrap()).collect();
            let now = text.parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC);
            opens_in(&windows, &now).map(|time| time.as_secs())
        };
        const DAY: u64 = 86400;
        // A Saturday.
        assert_eq!(opens(&["12:00-12:30"], "2031-05-17T11:59:10Z"), Some(50));
        assert_eq!(opens(&["12:00-12:30"], "2031-05-17T12:00:00Z"), Some(DAY), "it is open");
        assert_eq!(opens(&["Sat:01:00-04:00", "12:00-12:30"], "2031-05-17T00:00:00Z"), Some(3600));
        assert_eq!(opens(&["Sat:01:00-04:00"], "2031-05-17T01:00:00Z"), Some(7 * DAY));
        assert_eq!(opens(&["Sun:01:00-04:00"], "2031-05-17T01:00:00Z"), Some(DAY));
        assert_eq!(opens(&[], "2031-05-17T01:00:00Z"), None);
    }
}
