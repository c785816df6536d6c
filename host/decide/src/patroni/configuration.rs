//! Compares the desired dynamic configuration of Patroni with the current one.
//!
//! What the operator set is noted in the configuration itself, under a key that Patroni ignores: the note and the change
//! are one write, so none is without the other after an interruption. What is not in the note was set by others.
//!
//! See [dynamic configuration](https://patroni.readthedocs.io/en/latest/dynamic_configuration.html).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// The key of the note, an object of these fields:
///
/// - `slots`: the names of the slots that the manifest had;
/// - `parameters`: the parameters that the operator changed, by name, each with the value `before`, if there was one;
/// - `standby_cluster`: whether the cluster is a standby because its manifest says so.
const NOTE: &str = "pgloom";

/// Patroni's default of `loop_wait` in seconds.
const LOOP_WAIT: u64 = 10;

/// What Patroni's dynamic configuration is to be.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// The keys that are kept as they are here.
    pub parts: Value,
    /// Whether `parts` is everything that is desired. Only then what left it is taken back.
    pub complete: bool,
    /// Whether the manifest says that the cluster is a standby.
    pub standby: bool,
    /// Whether a cluster that was a standby by its manifest may be promoted.
    pub may_promote: bool,
}

/// Settings that must not be lower on a replica than on its leader, or the replica stops.
///
/// See [administrator's overview](https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN).
pub const LIMITS: [&str; 5] = [
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
];

/// The merge patch that makes the configuration what is desired, and keeps the note; `None` if nothing is to be changed.
///
/// What is taken back, if it is in the note and no longer desired:
///
/// - a slot is removed;
/// - a parameter gets the value from before; one that had the desired value already when it was first seen stays, because
///   that value may be the image's own;
/// - `standby_cluster` is removed, which promotes the cluster.
#[must_use]
pub fn patch(current: &Value, desired: &Desired) -> Option<Value> {
    let mut patch = match difference(current, &desired.parts) {
        Some(Value::Object(patch)) => patch,
        _ => Map::new(),
    };
    patch_slots(current, desired, &mut patch);
    patch_parameters(current, desired, &mut patch);
    patch_standby(current, desired, &mut patch);
    drop_empty_note(current, &mut patch);
    (!patch.is_empty()).then_some(Value::Object(patch))
}

fn patch_slots(current: &Value, desired: &Desired, patch: &mut Map<String, Value>) {
    let wanted = desired.parts["slots"].as_object().into_iter().flatten();
    let wanted: BTreeSet<&str> = wanted.filter(|(_, slot)| !slot.is_null()).map(|(name, _)| name.as_str()).collect();
    let noted = current[NOTE]["slots"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let noted: BTreeSet<&str> = noted.collect();
    let (gone, kept): (BTreeSet<&str>, BTreeSet<&str>) =
        noted.iter().partition(|name| desired.complete && !wanted.contains(**name));
    for name in gone {
        if current["slots"].get(name).is_some() {
            set(patch, &["slots", name], Value::Null);
        }
    }
    let after: BTreeSet<&str> = wanted.union(&kept).copied().collect();
    if after != noted {
        let after = if after.is_empty() { Value::Null } else { json!(after) };
        set(patch, &[NOTE, "slots"], after);
    }
}

fn patch_parameters(current: &Value, desired: &Desired, patch: &mut Map<String, Value>) {
    let parameters = |of: &Value| of["postgresql"]["parameters"].as_object().cloned().unwrap_or_default();
    let (existing, wanted) = (parameters(current), parameters(&desired.parts));
    let noted = current[NOTE]["parameters"].as_object().cloned().unwrap_or_default();
    let changed = patch.get("postgresql").and_then(|section| section["parameters"].as_object()).cloned();
    let new = changed.unwrap_or_default().into_iter().filter(|(name, _)| !noted.contains_key(name));
    for (name, _) in new {
        let note = existing.get(&name).map_or_else(|| json!({}), |before| json!({"before": before}));
        set(patch, &[NOTE, "parameters", &name], note);
    }
    for (name, note) in noted.iter().filter(|(name, _)| desired.complete && !wanted.contains_key(*name)) {
        let before = &note["before"];
        if existing.get(name).unwrap_or(&Value::Null) != before {
            set(patch, &["postgresql", "parameters", name], before.clone());
        }
        set(patch, &[NOTE, "parameters", name], Value::Null);
    }
}

fn patch_standby(current: &Value, desired: &Desired, patch: &mut Map<String, Value>) {
    let (follows, noted) = (!current["standby_cluster"].is_null(), current[NOTE]["standby_cluster"] == true);
    if desired.standby && follows && !noted {
        set(patch, &[NOTE, "standby_cluster"], json!(true));
    }
    if !desired.standby && noted && desired.may_promote {
        if follows {
            set(patch, &["standby_cluster"], Value::Null);
        }
        set(patch, &[NOTE, "standby_cluster"], Value::Null);
    }
}

/// Removes the note as a whole if the patch leaves nothing in it.
fn drop_empty_note(current: &Value, patch: &mut Map<String, Value>) {
    let Some(Value::Object(changes)) = patch.get_mut(NOTE) else { return };
    let noted = &current[NOTE];
    let left = |noted: &Value, changes: &Map<String, Value>| {
        let stays = noted.as_object().is_some_and(|noted| noted.keys().any(|key| !changes.contains_key(key)));
        stays || changes.values().any(|change| !change.is_null())
    };
    for (key, change) in changes.iter_mut() {
        if change.as_object().is_some_and(|change| !left(&noted[key], change)) {
            *change = Value::Null;
        }
    }
    if !left(noted, changes) {
        patch.insert(NOTE.to_owned(), Value::Null);
    }
}

/// Sets a value in a patch. A value on the way that is no object stays.
fn set(patch: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [key] => drop(patch.insert((*key).to_owned(), value)),
        [key, rest @ ..] => {
            if let Value::Object(inner) = patch.entry(*key).or_insert_with(|| json!({})) {
                set(inner, rest, value);
            }
        }
    }
}

/// Several configurations as one. Of two values of one key the last is taken.
#[must_use]
pub fn merged(parts: impl IntoIterator<Item = Value>) -> Value {
    parts.into_iter().fold(json!({}), merge)
}

fn merge(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            for (key, value) in other {
                let before = one.remove(&key).unwrap_or_default();
                one.insert(key, merge(before, value));
            }
            Value::Object(one)
        }
        (_, other) => other,
    }
}

/// The time from one time that Patroni reads its configuration to the next, in seconds.
#[must_use]
pub fn loop_wait(current: &Value) -> u64 {
    let loop_wait = &current["loop_wait"];
    loop_wait.as_u64().or_else(|| loop_wait.as_str()?.parse().ok()).unwrap_or(LOOP_WAIT)
}

/// The merge patch that brings every value of `wanted` into `current`; `None` if they are all there. A null in `wanted`
/// removes a key; keys that `wanted` does not have stay.
fn difference(current: &Value, wanted: &Value) -> Option<Value> {
    let wanted = wanted.as_object()?;
    let empty = Map::new();
    let current = current.as_object().unwrap_or(&empty);
    let mut patch = Map::new();
    for (key, wanted) in wanted {
        let current = current.get(key).unwrap_or(&Value::Null);
        let change = if wanted.is_object() && (current.is_object() || current.is_null()) {
            difference(current, wanted)
        } else {
            (!same(current, wanted)).then(|| wanted.clone())
        };
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Whether the cluster replicates synchronously, by its dynamic configuration. Patroni reads a switch as a boolean and as a
/// text.
///
/// See [replication modes](https://patroni.readthedocs.io/en/latest/replication_modes.html).
#[must_use]
pub fn is_synchronous(configuration: &Value) -> bool {
    match &configuration["synchronous_mode"] {
        Value::Bool(on) => *on,
        Value::String(text) => {
            matches!(text.to_ascii_lowercase().as_str(), "on" | "true" | "yes" | "1" | "quorum")
        }
        Value::Number(number) => number.as_u64() == Some(1),
        _ => false,
    }
}

/// Whether a patch lowers a limit that a replica must not have lower than its leader: then the leader is restarted
/// first.
#[must_use]
pub fn lowers_a_limit(current: &Value, patch: &Value) -> bool {
    let limit = |of: &Value, name: &str| text(&of["postgresql"]["parameters"][name])?.parse::<u64>().ok();
    LIMITS.iter().any(|name| match (limit(current, name), limit(patch, name)) {
        (Some(before), Some(after)) => after < before,
        _ => false,
    })
}

/// Whether PostgreSQL and Patroni take two values for the same: `100` and `"100"`, `true` and `"on"`.
fn same(one: &Value, other: &Value) -> bool {
    one == other || text(one).is_some_and(|text_of_one| Some(text_of_one) == text(other))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Bool(true) => Some("on".into()),
        Value::Bool(false) => Some("off".into()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(match text.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" => "on".into(),
            "off" | "false" | "no" => "off".into(),
            _ => text.clone(),
        }),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_patched() {
        let current = json!({
            "ttl": 30,
            "loop_wait": 10,
            "synchronous_mode": false,
            "postgresql": {"use_slots": true, "parameters": {"max_connections": "100", "archive_mode": true, "log_statement": "all"}},
        });
        for (wanted, expected) in [
            (json!({}), None),
            (json!({"ttl": 30}), None),
            (json!({"ttl": "30", "synchronous_mode": "off"}), None),
            (json!({"postgresql": {"parameters": {"max_connections": 100, "archive_mode": "on"}}}), None),
            (json!({"ttl": 40, "loop_wait": 10}), Some(json!({"ttl": 40}))),
            (json!({"slots": {"a": {"type": "physical"}}}), Some(json!({"slots": {"a": {"type": "physical"}}}))),
            (
                json!({"postgresql": {"parameters": {"max_connections": "200", "log_statement": "all"}}}),
                Some(json!({"postgresql": {"parameters": {"max_connections": "200"}}})),
            ),
            (json!({"standby_cluster": null}), None),
            (json!({"ttl": null}), Some(json!({"ttl": null}))),
            (json!({"ttl": {"a": 1}}), Some(json!({"ttl": {"a": 1}}))),
        ] {
            assert_eq!(difference(&current, &wanted), expected, "{wanted}");
        }
    }

    #[test]
    fn an_empty_section_is_no_difference() {
        assert_eq!(difference(&json!({}), &json!({"slots": {}})), None);
    }

    #[test]
    fn a_lowered_limit_is_told_from_a_raised_one() {
        let with = |name: &str, value: Value| json!({"postgresql": {"parameters": {name: value}}});
        let current = with("max_connections", json!("100"));
        assert!(lowers_a_limit(&current, &with("max_connections", json!("50"))));
        assert!(!lowers_a_limit(&current, &with("max_connections", json!("200"))));
        assert!(!lowers_a_limit(&current, &with("work_mem", json!("1"))));
        assert!(!lowers_a_limit(&json!({}), &current));
    }

    #[test]
    fn a_cluster_is_synchronous_if_its_configuration_says_so_in_any_of_patronis_words() {
        for (mode, expected) in [
            (json!(true), true),
            (json!("on"), true),
            (json!("quorum"), true),
            (json!("off"), false),
            (json!(false), false),
            (json!(null), false),
        ] {
            assert_eq!(is_synchronous(&json!({ "synchronous_mode": mode })), expected, "{mode}");
        }
        assert!(!is_synchronous(&json!({})));
    }

    /// What Patroni makes of a patch: a null removes a key, also one of a new section.
    fn patched(current: &Value, patch: Option<Value>) -> Value {
        fn apply(current: &mut Value, patch: &Value) {
            let Some(patch) = patch.as_object() else { return current.clone_from(patch) };
            if !current.is_object() {
                *current = json!({});
            }
            let current = current.as_object_mut().unwrap();
            for (key, value) in patch {
                match value {
                    Value::Null => drop(current.remove(key)),
                    value => apply(current.entry(key).or_insert(Value::Null), value),
                }
            }
        }
        let mut after = current.clone();
        apply(&mut after, &patch.unwrap_or(json!({})));
        after
    }

    fn desired(parts: Value) -> Desired {
        Desired { parts, complete: true, ..Desired::default() }
    }

    /// The configuration after it was made each of these in turn. The last is reached in one patch.
    fn after(mut current: Value, all: &[Desired]) -> Value {
        for desired in all {
            current = patched(&current, patch(&current, desired));
            assert_eq!(patch(&current, desired), None, "{current}");
        }
        current
    }

    #[test]
    fn a_slot_that_left_the_manifest_is_removed_and_one_that_others_set_stays() {
        let theirs = json!({"slots": {"theirs": {"type": "physical"}}});
        let ours = desired(json!({"slots": {"ours": {"type": "physical"}}}));
        let with_both = after(theirs.clone(), std::slice::from_ref(&ours));
        assert_eq!(with_both["slots"]["ours"], json!({"type": "physical"}));
        let without = after(with_both, &[desired(json!({}))]);
        assert_eq!(without, theirs);
    }

    #[test]
    fn a_slot_that_existed_when_the_manifest_named_it_is_the_manifests() {
        let slot = json!({"slots": {"a": {"type": "physical"}}});
        let all = [desired(slot.clone()), desired(json!({}))];
        assert_eq!(after(slot, &all)["slots"], json!({}));
    }

    #[test]
    fn nothing_is_taken_back_while_a_plugins_answer_is_missing() {
        let slot = desired(json!({"slots": {"a": {"type": "physical"}}}));
        let unknown = Desired { complete: false, ..desired(json!({})) };
        let current = after(json!({}), &[slot, unknown]);
        assert_eq!(current["slots"], json!({"a": {"type": "physical"}}));
        assert_eq!(after(current, &[desired(json!({}))])["slots"], json!({}));
    }

    #[test]
    fn a_parameter_that_left_the_manifest_gets_the_value_from_before() {
        let with = |value: &str| desired(json!({"postgresql": {"parameters": {"work_mem": value}}}));
        let none = || desired(json!({}));
        let parameters = |current: Value, all: &[Desired]| {
            let after = after(current, all);
            assert_eq!(after["pgloom"], Value::Null);
            after["postgresql"]["parameters"].clone()
        };
        let image = || json!({"postgresql": {"parameters": {"work_mem": "4MB"}}});
        assert_eq!(parameters(image(), &[with("8MB"), with("9MB"), none()]), json!({"work_mem": "4MB"}));
        assert_eq!(parameters(json!({}), &[with("8MB"), none()]), json!({}));
        // Nothing was changed, so nothing is changed back.
        assert_eq!(parameters(image(), &[with("4MB"), none()]), json!({"work_mem": "4MB"}));
    }

    #[test]
    fn the_note_is_written_with_the_change_that_it_is_about() {
        let wanted =
            desired(json!({"slots": {"a": {"type": "physical"}}, "postgresql": {"parameters": {"work_mem": "8MB"}}}));
        let current = json!({"postgresql": {"parameters": {"work_mem": "4MB"}}});
        assert_eq!(
            patch(&current, &wanted),
            Some(json!({
                "slots": {"a": {"type": "physical"}},
                "postgresql": {"parameters": {"work_mem": "8MB"}},
                "pgloom": {"slots": ["a"], "parameters": {"work_mem": {"before": "4MB"}}},
            }))
        );
    }

    #[test]
    fn a_standby_by_its_manifest_is_promoted_when_the_section_is_gone_and_one_by_hand_is_not() {
        let follows = json!({"standby_cluster": {"host": "h"}});
        let standby = || Desired { standby: true, ..desired(json!({})) };
        let section_gone = || Desired { may_promote: true, ..desired(json!({})) };
        let promoted = after(follows.clone(), &[standby(), section_gone()]);
        assert_eq!(promoted, json!({}));
        assert_eq!(after(follows.clone(), &[section_gone()]), follows);
        // The pipeline does not grant the promotion.
        assert_eq!(after(follows.clone(), &[standby(), desired(json!({}))])["standby_cluster"], json!({"host": "h"}));
    }

    #[test]
    fn a_section_of_another_shape_is_passed_on_and_breaks_nothing() {
        let wanted = desired(json!({"slots": "none", "postgresql": 7}));
        let current = json!({"pgloom": {"slots": ["a"], "parameters": {"work_mem": {}}}, "slots": {"a": {}}});
        let patch = patch(&current, &wanted).unwrap();
        assert_eq!((&patch["slots"], &patch["postgresql"]), (&json!("none"), &json!(7)));
    }

    #[test]
    fn configurations_of_several_steps_are_one_and_the_last_of_two_values_counts() {
        let parts = [json!({"ttl": 30, "slots": {"a": {}}}), json!({"ttl": 40, "slots": {"b": {}}})];
        assert_eq!(merged(parts), json!({"ttl": 40, "slots": {"a": {}, "b": {}}}));
        assert_eq!(merged([]), json!({}));
    }

    #[test]
    fn patronis_period_is_read_from_its_configuration() {
        for (current, expected) in [(json!({}), 10), (json!({"loop_wait": 30}), 30), (json!({"loop_wait": "5"}), 5)] {
            assert_eq!(loop_wait(&current), expected);
        }
    }
}
