//! Scheduling of pods.

use super::*;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

fn labels() -> Value {
    json!({"application": "spilo", "cluster-name": "acid-test", "team": "acid"})
}

#[test]
fn without_rules_a_pod_has_no_affinity() {
    let answer = answer(json!({}), json!({}));
    for field in ["affinity", "tolerations", "topologySpreadConstraints", "priorityClassName", "schedulerName"] {
        assert_eq!(pod(&answer).get(field), None, "{field}");
    }
}

#[test]
fn members_run_on_different_nodes_strictly_or_where_possible() {
    let term = json!({"labelSelector": {"matchLabels": labels()}, "topologyKey": "zone"});
    let config = json!({"enable_pod_antiaffinity": true, "pod_antiaffinity_topology_key": "zone"});
    let made = answer(json!({}), config.clone());
    assert_eq!(pod(&made)["affinity"], json!({"podAntiAffinity": {REQUIRED: [term]}}));

    let mut config = config;
    config["pod_antiaffinity_preferred_during_scheduling"] = json!(true);
    let made = answer(json!({}), config);
    let expected = json!({"podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": term}]}});
    assert_eq!(pod(&made)["affinity"], expected);
}

#[test]
fn nodes_have_to_be_ready_and_to_match_the_manifest() {
    let zone = json!({"key": "zone", "operator": "In", "values": ["a"]});
    let ready = json!({"key": "lifecycle-status", "operator": "In", "values": ["ready"]});
    let own = json!({REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}});
    let label = json!({"lifecycle-status": "ready"});
    for (merge, expected) in [
        ("OR", json!([{"matchExpressions": [zone]}, {"matchExpressions": [ready]}])),
        ("AND", json!([{"matchExpressions": [zone, ready]}])),
    ] {
        let config = json!({"node_readiness_label": label, "node_readiness_label_merge": merge});
        let made = answer(json!({"nodeAffinity": own}), config);
        assert_eq!(pod(&made)["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"], expected, "{merge}");
    }
    let preferred = json!({PREFERRED: [{"weight": 1, "preference": {"matchExpressions": [zone]}}]});
    let made = answer(json!({"nodeAffinity": preferred}), json!({"node_readiness_label": label}));
    let affinity = &pod(&made)["affinity"]["nodeAffinity"];
    assert_eq!(affinity[REQUIRED]["nodeSelectorTerms"], json!([{"matchExpressions": [ready]}]));
    assert_eq!(affinity[PREFERRED], preferred[PREFERRED]);
}

#[test]
fn the_manifests_tolerations_replace_the_platforms() {
    let config = json!({"toleration": {"key": "db-only", "operator": "Exists", "effect": "NoSchedule"}});
    let made = answer(json!({}), config.clone());
    assert_eq!(pod(&made)["tolerations"], json!([config["toleration"]]));
    let own = json!([{"key": "postgres", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}]);
    assert_eq!(pod(&answer(json!({"tolerations": own}), config))["tolerations"], own);
}

#[test]
fn a_topology_spread_stays_as_it_is_written_and_one_without_a_selector_is_told() {
    let constraint = |selector: Value| {
        json!({
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector,
        })
    };
    let mut bare = constraint(Value::Null);
    bare.as_object_mut().unwrap().remove("labelSelector");
    let own = constraint(json!({"matchLabels": {"a": "b"}}));
    let made = answer(json!({"topologySpreadConstraints": [bare, own]}), json!({}));
    assert_eq!(pod(&made)["topologySpreadConstraints"], json!([bare, own]));
    assert_eq!(made.messages(), ["without a selector the constraint counts no pods, and spreads none"]);
}

#[test]
fn the_manifest_sets_priority_and_scheduler_in_either_spelling() {
    let config = json!({"pod_priority_class_name": "platform"});
    for (spec, expected) in [
        (json!({}), "platform"),
        (json!({"podPriorityClassName": ""}), "platform"),
        (json!({"pod_priority_class_name": "old"}), "old"),
        (json!({"pod_priority_class_name": "old", "podPriorityClassName": "new"}), "new"),
    ] {
        assert_eq!(pod(&answer(spec, config.clone()))["priorityClassName"], expected);
    }
    assert_eq!(pod(&answer(json!({"schedulerName": "mine"}), config))["schedulerName"], "mine");
}
