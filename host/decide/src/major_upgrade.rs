//! Whether the data of a cluster is upgraded to the major version that its pods ask for, and what is waited for.
//!
//! What the pods ask for is not what the data is of: Spilo runs data by its own version until it is upgraded. So the pods are
//! replaced first, by a rolling update, and the leader's server says what the data is of.

use k8s_openapi::api::core::v1::{Container, Pod};
use pgloom_common::major_version::{FAILURE, in_path, is_older};
use serde_json::Value;

use crate::patroni::{Cluster, Role};
use crate::status::Condition;

/// The type of the condition.
pub const CONDITION: &str = "MajorVersionUpgraded";
/// The reason of the condition after an upgrade that failed.
pub const FAILED: &str = "Failed";

/// The farthest that a replica may be behind the leader, in bytes. The script of the image has the same limit.
const MAX_LAG: u64 = 16 << 20;

/// What a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The container that runs the database.
    pub container: String,
    /// The major version, as in `18`.
    pub version: String,
}

/// What a member's pod asks for: its variable `PGVERSION` or, of earlier releases, the path of the programs in Spilo's
/// configuration.
#[must_use]
pub fn asked(pod: &Pod) -> Option<Asked> {
    pod.spec.as_ref()?.containers.iter().find_map(|container| {
        let by_path = || variable(container, "SPILO_CONFIGURATION").and_then(of_configuration);
        let version = variable(container, "PGVERSION").map(str::to_owned).or_else(by_path)?;
        Some(Asked { container: container.name.clone(), version })
    })
}

fn variable<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    container.env.iter().flatten().find(|variable| variable.name == name)?.value.as_deref()
}

fn of_configuration(text: &str) -> Option<String> {
    let configuration: Value = serde_json::from_str(text).ok()?;
    in_path(configuration.pointer("/postgresql/bin_dir")?.as_str()?).map(str::to_owned)
}

/// What is known of a cluster that may be upgraded.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The version that the leader's pod asks for.
    pub asked: &'a str,
    /// The version of the data.
    pub data: &'a str,
    /// Whether a step of the pipeline has the privilege.
    pub granted: bool,
    /// When the last upgrade failed; `None` if none did, or if it may be tried again.
    pub failed: Option<&'a str>,
    /// Whether every pod runs the template.
    pub settled: bool,
    /// Why no member may be taken down now.
    pub held: Option<&'a str>,
    /// The number of members that the cluster is to have.
    pub wanted: usize,
    /// The leader's pod.
    pub leader: &'a str,
    /// What the leader's Patroni reports; `None` if it does not answer.
    pub report: Option<&'a Cluster>,
}

/// What is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The data is of the version that is asked for, or of a newer one.
    UpToDate,
    /// The upgrade begins.
    Begin,
    /// Not now: one word in CamelCase, and what is missing.
    Wait(&'static str, String),
}

/// What is done next about the major version of a cluster.
#[must_use]
pub fn next(seen: &Seen<'_>) -> Next {
    if !is_older(seen.data, seen.asked) {
        return Next::UpToDate;
    }
    match lacking(seen) {
        Some((reason, missing)) => Next::Wait(reason, missing),
        None => Next::Begin,
    }
}

fn lacking(seen: &Seen<'_>) -> Option<(&'static str, String)> {
    if !seen.granted {
        let grant = "no step has the privilege major-upgrade; grant it to the step that makes the StatefulSet";
        return Some(("NotGranted", grant.to_owned()));
    }
    if let Some(time) = seen.failed {
        let message = format!("the upgrade at {time} failed; to try it again, remove the annotation {FAILURE}");
        return Some((FAILED, message));
    }
    if !seen.settled {
        return Some(("RollingUpdate", "the pods are replaced first".to_owned()));
    }
    if let Some(reason) = seen.held {
        return Some(("Held", reason.to_owned()));
    }
    let Some(report) = seen.report else {
        return Some(("PatroniSilent", format!("Patroni of pod {} does not answer", seen.leader)));
    };
    of_members(seen, report).map(|missing| ("Members", missing))
}

fn of_members(seen: &Seen<'_>, report: &Cluster) -> Option<String> {
    if report.pause {
        return Some("Patroni is paused".to_owned());
    }
    let Some(leader) = report.leader() else { return Some("Patroni names no leader".to_owned()) };
    if leader.role == Role::StandbyLeader {
        return Some("the cluster follows another one; upgrade that one, and make this one again".to_owned());
    }
    if leader.name != seen.leader {
        return Some(format!("pod {} is labelled as leader, and Patroni names {}", seen.leader, leader.name));
    }
    if report.members.len() != seen.wanted {
        return Some(format!("{} of {} members are there", report.members.len(), seen.wanted));
    }
    report.members.iter().find_map(|member| match member.lag {
        _ if !member.is_running() => Some(format!("{} is in the state \"{}\"", member.name, member.state)),
        _ if member.role.leads() => None,
        Some(lag) if lag <= MAX_LAG => None,
        Some(lag) => Some(format!("{} is {lag} bytes behind, and at most {MAX_LAG} are allowed", member.name)),
        None => Some(format!("it is not known how far {} is behind", member.name)),
    })
}

/// The condition for what is done next. `before` is the message of the condition after a failure: it has the reason.
#[must_use]
pub fn condition(seen: &Seen<'_>, next: &Next, before: Option<&str>) -> Option<Condition> {
    let Seen { asked, data, .. } = seen;
    match next {
        Next::Begin => None,
        Next::UpToDate => Some(Condition::holds(CONDITION, "UpToDate", format!("the data is of {data}"))),
        Next::Wait(FAILED, message) => {
            Some(Condition::fails(CONDITION, FAILED, before.map_or_else(|| message.clone(), str::to_owned)))
        }
        Next::Wait(reason, message) => {
            let message = format!("the upgrade from {data} to {asked} waits: {message}");
            Some(Condition::fails(CONDITION, reason, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(document: Value) -> Cluster {
        serde_json::from_value(document).unwrap()
    }

    fn two(state: &str, lag: Value) -> Cluster {
        cluster(json!({"members": [
            {"name": "c-0", "role": "leader", "state": "running"},
            {"name": "c-1", "role": "replica", "state": state, "lag": lag},
        ]}))
    }

    fn seen(report: &Cluster) -> Seen<'_> {
        Seen {
            asked: "18",
            data: "15",
            granted: true,
            failed: None,
            settled: true,
            held: None,
            wanted: 2,
            leader: "c-0",
            report: Some(report),
        }
    }

    fn missing(seen: &Seen<'_>) -> String {
        match next(seen) {
            Next::Wait(reason, message) => format!("{reason}: {message}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_healthy_cluster_with_older_data_than_its_pods_ask_for_is_upgraded() {
        let report = two("streaming", json!(MAX_LAG));
        assert_eq!(next(&seen(&report)), Next::Begin);
        for (data, asked) in [("18", "18"), ("18", "15"), ("next", "18")] {
            assert_eq!(next(&Seen { data, asked, ..seen(&report) }), Next::UpToDate, "{data} {asked}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let (well, seen_of) = (two("streaming", json!(0)), seen);
        let base = seen_of(&well);
        for (seen, expected) in [
            (
                Seen { granted: false, ..base },
                "NotGranted: no step has the privilege major-upgrade; grant it to the step that makes the StatefulSet",
            ),
            (
                Seen { failed: Some("2031-05-12T12:00:00Z"), ..base },
                "Failed: the upgrade at 2031-05-12T12:00:00Z failed; to try it again, remove the annotation last-major-upgrade-failure",
            ),
            (Seen { settled: false, ..base }, "RollingUpdate: the pods are replaced first"),
            (
                Seen { held: Some("waits for a maintenance window: Sat:00:00-04:00 (UTC)"), ..base },
                "Held: waits for a maintenance window: Sat:00:00-04:00 (UTC)",
            ),
            (Seen { report: None, ..base }, "PatroniSilent: Patroni of pod c-0 does not answer"),
            (Seen { wanted: 3, ..base }, "Members: 2 of 3 members are there"),
            (Seen { leader: "c-1", ..base }, "Members: pod c-1 is labelled as leader, and Patroni names c-0"),
            (seen_of(&two("start failed", json!(0))), "Members: c-1 is in the state \"start failed\""),
            (
                seen_of(&two("streaming", json!(MAX_LAG + 1))),
                "Members: c-1 is 16777217 bytes behind, and at most 16777216 are allowed",
            ),
            (seen_of(&two("running", json!("unknown"))), "Members: it is not known how far c-1 is behind"),
            (seen_of(&cluster(json!({"members": [], "pause": true}))), "Members: Patroni is paused"),
            (seen_of(&cluster(json!({"members": []}))), "Members: Patroni names no leader"),
            (
                seen_of(&cluster(
                    json!({"members": [{"name": "c-0", "role": "standby_leader", "state": "streaming"}]}),
                )),
                "Members: the cluster follows another one; upgrade that one, and make this one again",
            ),
        ] {
            assert_eq!(missing(&seen), expected);
        }
    }

    #[test]
    fn the_reason_of_a_failure_stays_in_the_condition() {
        let report = two("streaming", json!(0));
        let seen = Seen { failed: Some("2031-05-12T12:00:00Z"), ..seen(&report) };
        let message = |before| condition(&seen, &next(&seen), before).unwrap().message;
        assert_eq!(message(Some("pg_upgrade failed")), "pg_upgrade failed");
        assert!(message(None).starts_with("the upgrade at 2031-05-12T12:00:00Z failed"));
    }

    #[test]
    fn a_pod_asks_for_a_version_by_its_variable_or_by_the_path_of_the_programs() {
        let pod = |env: Value| -> Pod {
            let containers = json!([{"name": "sidecar"}, {"name": "postgres", "env": env}]);
            serde_json::from_value(json!({"spec": {"containers": containers}})).unwrap()
        };
        let text = r#"{"postgresql": {"bin_dir": "/usr/lib/postgresql/9.6/bin"}}"#;
        for (env, expected) in [
            (json!([{"name": "PGVERSION", "value": "18"}, {"name": "SPILO_CONFIGURATION", "value": text}]), Some("18")),
            (json!([{"name": "SPILO_CONFIGURATION", "value": text}]), Some("9.6")),
            (json!([{"name": "SPILO_CONFIGURATION", "value": "{}"}]), None),
        ] {
            let expected = expected.map(|version| Asked { container: "postgres".into(), version: version.to_owned() });
            assert_eq!(asked(&pod(env)), expected);
        }
    }
}
