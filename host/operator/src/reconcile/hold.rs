//! Why no member is taken down at the moment: a maintenance window that is not open, or restarts by Patroni.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use pgloom_api::validate::window::{MaintenanceWindow, Weekday};

use super::Reconciliation;
use super::decide::Decided;

/// Why nothing is taken down while the job that configures Patroni runs: it restarts members, one at a time.
pub const RESTARTING: &str = "Patroni is being configured, and may restart members";

impl Reconciliation<'_> {
    /// Why the leadership may not be moved now, and no member taken down: a maintenance window is awaited, or Patroni may
    /// be restarting a member.
    pub fn hold(&self, decided: &Decided) -> Option<String> {
        let window = closed(&self.windows(decided)).map(|windows| format!("waits for {windows}"));
        window.or_else(|| self.state.patroni.is_running().then(|| RESTARTING.to_owned()))
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
}
