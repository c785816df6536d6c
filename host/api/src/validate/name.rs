//! The rules for a cluster's name, with the order and the messages of the Zalando operator.

use pgloom_common::name::{MAX_CLUSTER_NAME, internal_name, is_dns1035};

use crate::finding::Finding;
use crate::postgresql::pattern::DNS1035;

/// Checks a cluster's name. With `prefix` it has to start with the team and a hyphen, in any case.
pub fn check(name: &str, team: &str, prefix: bool) -> Option<Finding> {
    if prefix && let Some(finding) = prefix_finding(name, team) {
        return Some(finding);
    }
    if name.len() > MAX_CLUSTER_NAME {
        let finding = finding(format!("name cannot be longer than {MAX_CLUSTER_NAME} characters"));
        return Some(finding.remedy(format!("shorten it by {}", name.len() - MAX_CLUSTER_NAME)));
    }
    if !is_dns1035(name) {
        let finding = finding(format!("name must confirm to DNS-1035, regex used for validation is {DNS1035:?}"));
        return Some(finding.remedy(match prefix && !can_begin(team) {
            true => change(team),
            false => "use lower case letters, digits and hyphens, first a letter, last no hyphen".to_owned(),
        }));
    }
    None
}

/// Every object carries the team as a label.
pub fn check_team(team: &str) -> Option<Finding> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let outer = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = team.as_bytes();
    let fits = bytes.len() <= 63 && bytes.iter().copied().all(inner) && outer(bytes.first()) && outer(bytes.last());
    (!fits).then(|| {
        let finding = Finding::error(format!("{team:?} cannot be the value of a label")).at("spec.teamId");
        finding.remedy("use at most 63 letters, digits, -, _ and ., first and last a letter or a digit")
    })
}

fn prefix_finding(name: &str, team: &str) -> Option<Finding> {
    if name.len() < team.len() + 2 {
        let message =
            format!("cluster name must match {{TEAM}}-{{NAME}} format. Got cluster name '{name}', team name '{team}'");
        return Some(finding(message).remedy(rename(name, team)));
    }
    if team.is_empty() {
        return Some(
            Finding::error("team name is empty").at("spec.teamId").remedy("name the team that owns the cluster"),
        );
    }
    let starts = name
        .get(..=team.len())
        .is_some_and(|start| start.strip_suffix('-').is_some_and(|start| start.to_lowercase() == team.to_lowercase()));
    (!starts).then(|| finding("name must match {TEAM}-{NAME} format").remedy(rename(name, team)))
}

fn finding(message: impl Into<String>) -> Finding {
    Finding::error(message).at("metadata.name")
}

fn rename(name: &str, team: &str) -> String {
    let own = match internal_name(name, team) {
        "" => "cluster",
        own => own,
    };
    let proposed = format!("{}-{own}", team.to_lowercase());
    match is_dns1035(&proposed) && proposed.len() <= MAX_CLUSTER_NAME {
        true => format!("call it {proposed}, {SWITCH}"),
        false if can_begin(team) => format!("begin it with {}-, {SWITCH}", team.to_lowercase()),
        false => change(team),
    }
}

/// The alternative remedy for the rule about teams.
const SWITCH: &str = "or set enable_team_id_clustername_prefix of the operator configuration to false";

/// Whether a valid cluster name can begin with this team.
fn can_begin(team: &str) -> bool {
    is_dns1035(&format!("{}-x", team.to_lowercase()))
}

fn change(team: &str) -> String {
    let remedy = format!("no name can begin with the team {team:?}: write spec.teamId in letters, digits and hyphens");
    format!("{remedy}, first a letter, {SWITCH}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_upstream_judges_them() {
        let dns = "name must confirm to DNS-1035, regex used for validation is \"^[a-z]([-a-z0-9]*[a-z0-9])?$\"";
        let format = "name must match {TEAM}-{NAME} format";
        let long = format!("fooobar-{}", "fooobar".repeat(9));
        for (name, team, expected) in [
            ("acid-test", "acid", None),
            ("test-my-name", "test", None),
            ("my-team-another-test", "my-team", None),
            ("acid-test", "ACID", None),
            ("------strange-team-cluster", "-----", Some(dns)),
            ("acid-test", "test", Some(format)),
            ("-test", "", Some("team name is empty")),
            ("-test", "-", Some(format)),
            ("", "-", Some("cluster name must match {TEAM}-{NAME} format. Got cluster name '', team name '-'")),
            ("-", "-", Some("cluster name must match {TEAM}-{NAME} format. Got cluster name '-', team name '-'")),
            (
                "foo-bar",
                "qwerty",
                Some("cluster name must match {TEAM}-{NAME} format. Got cluster name 'foo-bar', team name 'qwerty'"),
            ),
            (&long, "fooobar", Some("name cannot be longer than 58 characters")),
        ] {
            let finding = check(name, team, true);
            assert_eq!(finding.as_ref().map(|finding| finding.message.as_str()), expected, "{name} of {team}");
            assert!(finding.is_none_or(|finding| finding.remedy.is_some()));
        }
    }

    #[test]
    fn without_the_prefix_rule_length_and_form_still_count() {
        assert_eq!(check("orders", "acid", false), None);
        assert!(check("Orders", "acid", false).is_some());
        assert!(check(&"a".repeat(59), "acid", false).is_some());
    }

    #[test]
    fn the_remedy_proposes_a_name() {
        let remedy = check("orders-db", "acid", true).unwrap().remedy.unwrap();
        assert!(remedy.starts_with("call it acid-orders-db, "), "{remedy}");
    }

    #[test]
    fn the_remedy_proposes_nothing_that_would_be_refused() {
        let long = "a".repeat(55);
        for (name, team, expected) in [
            ("orders-db", "ACID", "call it acid-orders-db, or set "),
            (
                "-test",
                "-",
                "no name can begin with the team \"-\": write spec.teamId in letters, digits and hyphens, first a letter, or set ",
            ),
            ("acid!-x", "acid!", "no name can begin with the team \"acid!\": "),
            ("acid-Orders", "acid", "use lower case letters, "),
            ("Orders", "acid", "begin it with acid-, or set "),
            (&long, "acid", "begin it with acid-, or set "),
        ] {
            let remedy = check(name, team, true).unwrap().remedy.unwrap();
            assert!(remedy.starts_with(expected), "{name} of {team}: {remedy}");
        }
    }
}
