//! Whether an apply would change anything: compares the desired object with the applied fields and with the live
//! object.
//!
//! The managed fields of the operator (`fieldsV1`) show which lists have merge keys and which fields the last apply
//! stated, so no schema is needed. In doubt the answer is that the apply would change something: an apply without an
//! effect is cheap, an apply that is left out is a fault.

use pgloom_common::quantity::Quantity;
use pgloom_decide::api_defaults::is_filled_in;
use pgloom_decide::normal::is_not_stored;
use serde_json::{Map, Value};

/// Where in an object a value is, as far as it matters for its comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Among the fields of Kubernetes.
    Fields,
    /// Among amounts, by the names of resources.
    Quantities,
    /// Among texts by keys that are no fields, as labels.
    Texts,
}

impl Place {
    /// The place of what is below a field.
    fn below(self, key: &str) -> Self {
        match key {
            "requests" | "limits" | "sizeLimit" => Self::Quantities,
            "annotations" | "data" | "labels" | "matchLabels" | "nodeSelector" => Self::Texts,
            _ => self,
        }
    }
}

/// Whether the last apply stated exactly the fields of `desired`, and `live` has their values.
pub fn unchanged(desired: &Value, applied: &Value, live: &Value) -> bool {
    let (Some(desired), Some(applied)) = (desired.as_object(), applied.as_object()) else { return false };
    let stated = desired.iter().filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind"));
    let mut without_identity: Map<String, Value> = stated.map(|(key, value)| (key.clone(), value.clone())).collect();
    if let Some(metadata) = without_identity.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("name");
        metadata.remove("namespace");
        if metadata.is_empty() {
            without_identity.remove("metadata");
        }
    }
    object(&without_identity, applied, live, Place::Fields)
}

fn node(desired: &Value, applied: &Map<String, Value>, live: &Value, place: Place) -> bool {
    let known = applied.keys().any(|key| key != ".");
    match desired {
        Value::Object(desired) if known => object(desired, applied, live, place),
        Value::Array(desired) if applied.keys().any(|key| key.starts_with("k:")) => keyed_list(desired, applied, live),
        Value::Array(desired) if applied.keys().any(|key| key.starts_with("v:")) => set(desired, applied, live),
        _ => covers_at(desired, live, place),
    }
}

fn object(desired: &Map<String, Value>, applied: &Map<String, Value>, live: &Value, place: Place) -> bool {
    let stated = desired.iter().filter(|(_, value)| !value.is_null());
    let forgotten = applied.keys().filter_map(|key| key.strip_prefix("f:")).any(|key| is_absent(desired.get(key)));
    !forgotten
        && stated.clone().all(|(key, value)| {
            if place == Place::Fields && is_not_stored(key, value) && is_absent(live.get(key)) {
                return true;
            }
            let Some(below) = applied.get(&format!("f:{key}")).and_then(Value::as_object) else {
                // The API server does not record an empty map inside `metadata`.
                return is_empty(value) && is_empty(&live[key.as_str()]);
            };
            node(value, below, &live[key.as_str()], place.below(key))
        })
}

/// Compares a list with merge keys, in the stated order.
fn keyed_list(desired: &[Value], applied: &Map<String, Value>, live: &Value) -> bool {
    let keys: Vec<(Map<String, Value>, &Value)> = applied
        .iter()
        .filter_map(|(key, below)| Some((serde_json::from_str(key.strip_prefix("k:")?).ok()?, below)))
        .collect();
    let mut position = None;
    keys.len() == desired.len()
        && desired.iter().all(|entry| {
            let Some((key, below)) = keys.iter().find(|(key, _)| matches_stated(key, entry)) else { return false };
            let found = live.as_array().and_then(|list| list.iter().position(|entry| matches_key(key, entry)));
            let in_order = found.is_some() && found > position;
            position = found;
            let Some(live) = found.and_then(|index| live.get(index)) else { return false };
            in_order && below.as_object().is_some_and(|below| node(entry, below, live, Place::Fields))
        })
}

fn matches_key(key: &Map<String, Value>, entry: &Value) -> bool {
    key.iter().all(|(name, value)| entry.get(name) == Some(value))
}

/// Whether a key of `fieldsV1` is that of an entry. For a merge key that the entry leaves out, the key has the API
/// server's default, as `protocol` of a port.
pub(super) fn matches_stated(key: &Map<String, Value>, entry: &Value) -> bool {
    key.iter().all(|(name, value)| match entry.get(name) {
        None => name == "protocol" && value == "TCP",
        stated => stated == Some(value),
    })
}

fn set(desired: &[Value], applied: &Map<String, Value>, live: &Value) -> bool {
    let stated = applied.keys().filter(|key| key.starts_with("v:")).count();
    let live = live.as_array().map(Vec::as_slice).unwrap_or_default();
    stated == desired.len()
        && desired.iter().all(|value| live.contains(value) && applied.contains_key(&format!("v:{value}")))
}

/// Whether a structure that is applied as a whole exists as stated, except for the API server's defaults.
pub fn covers(desired: &Value, live: &Value) -> bool {
    covers_at(desired, live, Place::Fields)
}

fn covers_at(desired: &Value, live: &Value, place: Place) -> bool {
    match (desired, live) {
        (desired, live) if is_empty(desired) && is_empty(live) => true,
        (Value::Object(desired), Value::Object(live)) => {
            let stated = desired
                .iter()
                .all(|(key, value)| covers_at(value, live.get(key).unwrap_or(&Value::Null), place.below(key)));
            let rest = live.iter().filter(|(key, _)| is_absent(desired.get(*key)));
            stated
                && rest.into_iter().all(|(key, value)| key == "status" || is_empty(value) || is_filled_in(key, value))
        }
        (Value::Array(desired), Value::Array(live)) => {
            desired.len() == live.len()
                && desired.iter().zip(live).all(|(desired, live)| covers_at(desired, live, place))
        }
        (desired, live) => desired == live || (place == Place::Quantities && same_quantity(desired, live)),
    }
}

fn is_absent(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// Whether two quantities have the same value.
fn same_quantity(left: &Value, right: &Value) -> bool {
    let read = |value: &Value| match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    };
    matches!((read(left), read(right)), (Some(left), Some(right)) if left == right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn desired() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "c", "labels": {"app": "x"}},
            "spec": {"containers": [{
                "name": "postgres",
                "env": [{"name": "B", "value": "1"}, {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "ports": [{"containerPort": 8008}],
                "resources": {"limits": {"cpu": "1000m"}},
            }]}
        })
    }

    fn applied() -> Value {
        json!({
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"postgres\"}": {
                ".": {}, "f:name": {},
                "f:env": {
                    "k:{\"name\":\"B\"}": {".": {}, "f:name": {}, "f:value": {}},
                    "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:valueFrom": {"f:fieldRef": {}}},
                },
                "f:ports": {"k:{\"containerPort\":8008,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                "f:resources": {"f:limits": {"f:cpu": {}}},
            }}}
        })
    }

    fn live() -> Value {
        json!({
            "metadata": {"name": "c", "uid": "u", "labels": {"app": "x", "of": "other"}},
            "spec": {"restartPolicy": "Always", "containers": [{
                "name": "postgres", "imagePullPolicy": "IfNotPresent",
                "env": [{"name": "B", "value": "1"}, {"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}],
                "ports": [{"containerPort": 8008, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1"}},
            }]}
        })
    }

    fn after(change: impl FnOnce(&mut Value, &mut Value, &mut Value)) -> bool {
        let (mut desired, mut applied, mut live) = (desired(), applied(), live());
        change(&mut desired, &mut applied, &mut live);
        unchanged(&desired, &applied, &live)
    }

    #[test]
    fn defaults_of_the_api_server_and_fields_of_others_are_no_difference() {
        assert!(after(|_, _, _| {}));
    }

    #[test]
    fn an_empty_value_of_a_variable_is_not_stored_by_the_api_server() {
        let empty = |desired: &mut Value, live: &mut Value, stored: Value| {
            desired["spec"]["containers"][0]["env"][0]["value"] = json!("");
            live["spec"]["containers"][0]["env"][0] = stored;
        };
        assert!(after(|desired, _, live| empty(desired, live, json!({"name": "B"}))));
        assert!(!after(|desired, _, live| empty(desired, live, json!({"name": "B", "value": "1"}))));
    }

    #[test]
    fn an_empty_value_is_stored_where_the_key_is_no_field_of_kubernetes() {
        let empty = |desired: &mut Value, applied: &mut Value, live: &mut Value, stored: Value| {
            desired["metadata"]["labels"] = json!({"type": ""});
            applied["f:metadata"]["f:labels"] = json!({"f:type": {}});
            live["metadata"]["labels"] = stored;
        };
        assert!(after(|desired, applied, live| empty(desired, applied, live, json!({"type": ""}))));
        assert!(!after(|desired, applied, live| empty(desired, applied, live, json!({}))));
    }

    #[test]
    fn a_switch_that_is_off_by_default_is_not_stored_by_the_api_server() {
        let off = |desired: &mut Value, applied: &mut Value| {
            desired["spec"]["hostNetwork"] = json!(false);
            applied["f:spec"]["f:hostNetwork"] = json!({});
        };
        assert!(after(|desired, applied, _| off(desired, applied)));
        assert!(!after(|desired, applied, live| {
            off(desired, applied);
            live["spec"]["hostNetwork"] = json!(true);
        }));
    }

    #[test]
    fn a_hand_edit_of_a_stated_field_is_a_difference() {
        assert!(!after(|_, _, live| live["spec"]["containers"][0]["env"][0]["value"] = json!("2")));
        assert!(!after(|_, _, live| live["metadata"]["labels"]["app"] = json!("y")));
    }

    #[test]
    fn a_new_statement_is_a_difference_even_if_it_exists_already() {
        assert!(!after(|desired, _, _| desired["spec"]["restartPolicy"] = json!("Always")));
    }

    #[test]
    fn a_statement_that_is_no_longer_made_is_a_difference() {
        assert!(!after(|_, applied, live| {
            applied["f:metadata"]["f:labels"]["f:old"] = json!({});
            live["metadata"]["labels"]["old"] = json!("1");
        }));
        assert!(!after(|desired, _, _| {
            desired["spec"]["containers"][0]["env"].as_array_mut().unwrap().pop();
        }));
    }

    #[test]
    fn another_order_of_entries_is_a_difference() {
        assert!(!after(|_, _, live| live["spec"]["containers"][0]["env"].as_array_mut().unwrap().reverse()));
    }

    #[test]
    fn an_entry_that_somebody_added_between_is_none() {
        assert!(after(|_, _, live| {
            live["spec"]["containers"][0]["env"]
                .as_array_mut()
                .unwrap()
                .insert(1, json!({"name": "THEIRS", "value": "x"}));
        }));
    }

    #[test]
    fn a_key_that_a_whole_structure_no_longer_has_is_a_difference() {
        let desired = json!({"metadata": {"name": "c"}, "spec": {"selector": {"a": "1"}}});
        let applied = json!({"f:spec": {"f:selector": {}}});
        let mut live = json!({"spec": {"selector": {"a": "1"}}});
        assert!(unchanged(&desired, &applied, &live));
        live["spec"]["selector"]["b"] = json!("2");
        assert!(!unchanged(&desired, &applied, &live));
    }

    #[test]
    fn a_claim_template_as_the_api_server_completes_it_is_covered() {
        let desired = json!([{"metadata": {"name": "pgdata"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}}]);
        let live = json!([{
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "pgdata"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem"},
            "status": {"phase": "Pending"}
        }]);
        assert!(covers(&desired, &live));
        let mut grown = desired.clone();
        grown[0]["spec"]["resources"]["requests"]["storage"] = json!("2Gi");
        assert!(!covers(&grown, &live));
    }
}
