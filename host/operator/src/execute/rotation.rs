//! When a password changes: dates by the operator's clock, and the roles whose turn it is.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Unit};
use pgloom_api::Finding;
use pgloom_api::config::Config;
use pgloom_decide::credential::Login;
use pgloom_decide::role::{Role, Rotation, rotated_name};

/// The longest period, in days.
const MAX_DAYS: i64 = 36_500;

/// The time, and the periods of the operator configuration.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    now: Timestamp,
    interval: SignedDuration,
    retention: SignedDuration,
}

impl Calendar {
    /// The time with `password_rotation_interval` and `password_rotation_user_retention`. Login roles are kept for two
    /// intervals at least.
    pub fn of(config: &Config, now: Timestamp) -> Self {
        let days = |key: &str| config.integer(key).unwrap_or_default().clamp(0, MAX_DAYS);
        let interval = days("password_rotation_interval").max(1);
        let retention = days("password_rotation_user_retention").max(2 * interval);
        let duration = |days: i64| SignedDuration::from_hours(24 * days);
        Self { now, interval: duration(interval), retention: duration(retention) }
    }

    /// The time of the next rotation after one of now, in RFC 3339, in full seconds of UTC.
    pub fn next(&self) -> String {
        let next = self.now.checked_add(self.interval).unwrap_or(Timestamp::MAX);
        next.round(Unit::Second).unwrap_or(next).to_string()
    }

    /// The date of today in the name of a login role.
    fn today(&self) -> String {
        self.now.to_zoned(TimeZone::UTC).strftime("%y%m%d").to_string()
    }

    /// Whether a login role of this date, `YYMMDD`, is no longer kept.
    pub fn is_over(&self, date: &str) -> bool {
        let oldest = self.now.checked_sub(self.retention).unwrap_or(Timestamp::MIN);
        read(date).is_some_and(|date| date < oldest.to_zoned(TimeZone::UTC).date())
    }

    /// Who logs in next with the Secret of a role; `None` while that stays as it is.
    fn turn(&self, role: &Role, login: &Login) -> Option<Login> {
        let is_own = login.username == role.name;
        let next = login.next_rotation.as_deref().and_then(|next| next.parse::<Timestamp>().ok());
        let is_due = next.is_some_and(|next| next < self.now);
        let (username, next) = match role.rotation {
            Rotation::NewRole if is_due => (rotated_name(&role.name, &self.today()), self.next()),
            Rotation::InPlace if is_due || !is_own => (role.name.clone(), self.next()),
            Rotation::Off if !is_own => (role.name.clone(), String::new()),
            _ => return None,
        };
        Some(Login { username, next_rotation: Some(next) })
    }
}

/// The date of six digits, `YYMMDD`.
fn read(date: &str) -> Option<Date> {
    let number = |start: usize| date.get(start..start + 2)?.parse::<i8>().ok();
    let (year, month, day) = (number(0)?, number(2)?, number(4)?);
    Date::new(2000 + i16::from(year), month, day).ok()
}

/// A role whose password changes now.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// The name of the role in the manifest.
    pub of: String,
    /// The role that gets the new password.
    pub role: Role,
    /// Who logs in with the Secret afterwards.
    pub login: Login,
}

/// The roles whose passwords change now. `logins` are those of [`pgloom_decide::credential::SecretChanges`].
pub fn turns(
    roles: &BTreeMap<String, Role>,
    logins: &BTreeMap<String, Login>,
    calendar: &Calendar,
) -> (Vec<Turn>, Vec<Finding>) {
    let (mut turns, mut findings) = (Vec::new(), Vec::new());
    for (name, before) in logins {
        let Some(role) = roles.get(name) else { continue };
        let Some(login) = calendar.turn(role, before) else { continue };
        let role = if login.username == *name { role.clone() } else { role.rotated(&login.username) };
        if role.name != *name && roles.contains_key(&role.name) {
            let message = format!(
                "the password of role \"{name}\" does not change today: the manifest has a role \"{}\"",
                role.name
            );
            findings.push(Finding::warning(message).remedy("rename that role"));
            continue;
        }
        turns.push(Turn { of: name.clone(), role, login });
    }
    (turns, findings)
}

#[cfg(test)]
mod tests {
    use pgloom_api::config::Config;
    use pgloom_common::role::Attributes;
    use pgloom_decide::role::{Sources, gather};
    use serde_json::json;

    use super::*;

    fn calendar(interval: i64, retention: i64) -> Calendar {
        let config = Config::defaults();
        let config = config.with("password_rotation_interval", Some(json!(interval))).unwrap();
        let config = config.with("password_rotation_user_retention", Some(json!(retention))).unwrap();
        Calendar::of(&config, "2024-03-21T10:00:00.5Z".parse().unwrap())
    }

    fn roles(rotation: Rotation, others: &[&str]) -> BTreeMap<String, Role> {
        let none: [&str; 0] = [];
        let users = others.iter().copied().chain(["foo"]);
        let users = users.map(|name| (name.to_owned(), Attributes::parse(none).unwrap())).collect();
        let mut roles = gather(&Sources { users, ..Sources::default() }).roles;
        roles.get_mut("foo").unwrap().rotation = rotation;
        roles
    }

    /// `role -> login, next` of the turn of `foo`.
    fn turn(rotation: Rotation, username: &str, next: Option<&str>) -> Option<String> {
        let login = Login { username: username.into(), next_rotation: next.map(str::to_owned) };
        let (turns, findings) = turns(&roles(rotation, &[]), &[("foo".to_owned(), login)].into(), &calendar(90, 180));
        assert!(findings.is_empty());
        let turn = turns.into_iter().next()?;
        Some(format!("{} -> {}, {}", turn.role.name, turn.login.username, turn.login.next_rotation.unwrap()))
    }

    const PAST: Option<&str> = Some("2024-03-21T10:00:00Z");
    const FUTURE: Option<&str> = Some("2024-03-21T10:00:01Z");

    #[test]
    fn a_new_role_is_made_when_the_time_in_the_secret_has_passed() {
        let new = Some("foo240321 -> foo240321, 2024-06-19T10:00:01Z".to_owned());
        assert_eq!(turn(Rotation::NewRole, "foo", PAST), new);
        assert_eq!(turn(Rotation::NewRole, "foo231222", PAST), new);
        for next in [FUTURE, None, Some(""), Some("soon")] {
            assert_eq!(turn(Rotation::NewRole, "foo231222", next), None, "{next:?}");
        }
    }

    #[test]
    fn in_place_the_role_stays_and_a_change_from_new_roles_is_made_at_once() {
        let own = Some("foo -> foo, 2024-06-19T10:00:01Z".to_owned());
        assert_eq!(turn(Rotation::InPlace, "foo", PAST), own);
        assert_eq!(turn(Rotation::InPlace, "foo", FUTURE), None);
        assert_eq!(turn(Rotation::InPlace, "foo231222", FUTURE), own);
    }

    #[test]
    fn switched_off_the_secret_gets_the_role_back_and_no_time() {
        assert_eq!(turn(Rotation::Off, "foo231222", FUTURE), Some("foo -> foo, ".to_owned()));
        assert_eq!(turn(Rotation::Off, "foo", PAST), None);
        assert_eq!(turn(Rotation::Never, "foo", PAST), None);
    }

    #[test]
    fn a_role_of_the_manifest_is_not_taken_for_a_login_role() {
        let login = Login { username: "foo".into(), next_rotation: PAST.map(str::to_owned) };
        let roles = roles(Rotation::NewRole, &["foo240321"]);
        let (turns, findings) = turns(&roles, &[("foo".to_owned(), login)].into(), &calendar(90, 180));
        assert!(turns.is_empty());
        assert!(findings[0].message.contains("\"foo240321\""));
    }

    #[test]
    fn login_roles_are_kept_for_two_intervals_at_least() {
        for (interval, retention, kept, over) in
            [(90, 180, "230923", "230922"), (30, 30, "240121", "240120"), (1, 0, "240319", "240318")]
        {
            let calendar = calendar(interval, retention);
            assert_eq!((calendar.is_over(kept), calendar.is_over(over)), (false, true), "{interval} {retention}");
        }
        assert!(!calendar(1, 0).is_over("230231"), "there is no such day");
        assert!(!calendar(i64::MAX, i64::MAX).is_over("000101"));
    }
}
