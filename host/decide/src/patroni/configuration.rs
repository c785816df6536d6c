//! Compares the desired dynamic configuration of Patroni with the current one.
//!
//! See [dynamic configuration](https://patroni.readthedocs.io/en/latest/dynamic_configuration.html).

use serde_json::{Map, Value};

/// Settings that must not be lower on a replica than on its leader, or the replica stops.
///
/// See [administrator's overview](https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN).
const LIMITS: [&str; 5] = [
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
];

/// The merge patch that brings every value of `wanted` into `current`; `None` if they are all there. A null in `wanted`
/// removes a key; keys that `wanted` does not have stay.
#[must_use]
pub fn difference(current: &Value, wanted: &Value) -> Option<Value> {
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

/// Whether `wanted` lowers a limit that a replica must not have lower than its leader: then the leader is restarted
/// first.
#[must_use]
pub fn lowers_a_limit(current: &Value, wanted: &Value) -> bool {
    let limit = |of: &Value, name: &str| text(&of["postgresql"]["parameters"][name])?.parse::<u64>().ok();
    LIMITS.iter().any(|name| match (limit(current, name), limit(wanted, name)) {
        (Some(current), Some(wanted)) => wanted < current,
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
}
