//! Taking over what others wrote: their entries among the managed fields become the operator's own.
//!
//! An apply alone would leave both as owners, and a field that is no longer desired could then never be removed. That is done
//! for what the operator that came before wrote, and for a hand edit that stands in the way of what is desired: one that
//! changes the key of a list's entry, as a Service's port, leaves an entry of the editor's beside ours.

use serde_json::{Map, Value, json};

use pgloom_decide::field_manager::{MANAGER, is_entry_of, is_predecessor};

use super::compare::matches_stated;

/// Owner entries are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The operator's that came before, as a whole.
    Predecessor,
    /// People's and tools', as far as the specification goes: labels, annotations and finalizers stay theirs.
    Editors,
}

impl Owner {
    fn is_meant(self, entry: &Value) -> bool {
        match self {
            Self::Predecessor => is_predecessor(entry),
            Self::Editors => is_editor(entry),
        }
    }

    /// What is taken over of an entry's fields, and what stays.
    fn split(self, fields: &Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
        let taken = |key: &str| self == Self::Predecessor || key == "f:spec";
        fields.clone().into_iter().partition(|(key, _)| taken(key))
    }
}

/// Whether an entry is that of a person or a tool, and not of one of Kubernetes' or Patroni's own writers.
fn is_editor(entry: &Value) -> bool {
    let manager = entry["manager"].as_str().unwrap_or_default();
    let own =
        manager == "kubelet" || manager == "Patroni" || manager.ends_with("controller-manager") || manager == MANAGER;
    is_entry_of(entry, manager, "Update") && !own
}

/// The JSON patch that hands over what is meant; `None` if there is nothing. `object` is as the API server gave it, and the
/// patch fails where it has changed since.
pub fn patch(object: &Value, owner: Owner) -> Option<Value> {
    let metadata = object.get("metadata")?;
    let (mut fields, mut rest, mut newest) = (Map::new(), Vec::new(), None);
    for entry in metadata.get("managedFields")?.as_array()? {
        if !owner.is_meant(entry) {
            rest.push(entry.clone());
            continue;
        }
        let (taken, left) = owner.split(entry.get("fieldsV1").and_then(Value::as_object)?);
        if !taken.is_empty() {
            merge(&mut fields, &taken);
            newest = Some(entry);
        }
        if !left.is_empty() {
            let mut entry = entry.clone();
            entry["fieldsV1"] = Value::Object(left);
            rest.push(entry);
        }
    }
    let newest = newest?;
    match rest.iter_mut().find(|entry| is_entry_of(entry, MANAGER, "Apply")) {
        Some(ours) => {
            if let Some(own) = ours.get_mut("fieldsV1").and_then(Value::as_object_mut) {
                merge(own, &fields);
            }
        }
        None => rest.push(json!({
            "manager": MANAGER, "operation": "Apply", "apiVersion": newest["apiVersion"], "time": newest["time"],
            "fieldsType": "FieldsV1", "fieldsV1": fields,
        })),
    }
    Some(json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata.get("resourceVersion")?},
        {"op": "replace", "path": "/metadata/managedFields", "value": rest},
    ]))
}

/// The JSON patch that turns the entry of the operator's creation into that of an apply of `desired`; `None` if there is
/// none. What the API server filled in is left out: an apply does not own it. `object` is as the creation returned it.
pub fn patch_created(object: &Value, desired: &Value) -> Option<Value> {
    let metadata = object.get("metadata")?;
    let mut entries = metadata.get("managedFields")?.as_array()?.clone();
    let created = entries.iter_mut().find(|entry| is_entry_of(entry, MANAGER, "Update"))?;
    let fields = stated(created.get("fieldsV1")?.as_object()?, desired);
    created["operation"] = json!("Apply");
    created["fieldsV1"] = Value::Object(fields);
    Some(json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata.get("resourceVersion")?},
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
    ]))
}

/// The part of a set of fields that `desired` states.
fn stated(fields: &Map<String, Value>, desired: &Value) -> Map<String, Value> {
    let of_field = |(key, below): (&String, &Value)| {
        let value = if key == "." {
            desired
        } else if let Some(name) = key.strip_prefix("f:") {
            desired.get(name).filter(|value| !value.is_null())?
        } else if let Some(keys) = key.strip_prefix("k:") {
            let keys: Map<String, Value> = serde_json::from_str(keys).ok()?;
            desired.as_array()?.iter().find(|entry| matches_stated(&keys, entry))?
        } else {
            let value: Value = serde_json::from_str(key.strip_prefix("v:")?).ok()?;
            desired.as_array()?.iter().find(|entry| **entry == value)?
        };
        Some((key.clone(), Value::Object(stated(below.as_object()?, value))))
    };
    fields.iter().filter_map(of_field).collect()
}

/// Adds the fields of one set to another.
fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from),
            (Some(_), _) => {}
            (None, value) => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "time": "t", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn what_the_predecessor_wrote_becomes_what_the_operator_applied() {
        let status = json!({"manager": "kube-controller-manager", "operation": "Update", "subresource": "status", "fieldsV1": {}});
        let object = json!({"metadata": {"resourceVersion": "5", "managedFields": [
            entry("postgres-operator", "Update", json!({"f:spec": {"f:type": {}}})),
            entry("pgloom", "Apply", json!({"f:spec": {"f:ports": {}}})),
            status,
        ]}});
        let patch = patch(&object, Owner::Predecessor).unwrap();
        assert_eq!(patch[0], json!({"op": "test", "path": "/metadata/resourceVersion", "value": "5"}));
        assert_eq!(
            patch[1]["value"],
            json!([entry("pgloom", "Apply", json!({"f:spec": {"f:ports": {}, "f:type": {}}})), status])
        );
    }

    #[test]
    fn what_a_creation_wrote_becomes_an_apply_of_what_was_stated() {
        let created = json!({
            "f:metadata": {"f:annotations": {".": {}, "f:mark": {}}},
            "f:spec": {
                "f:type": {},
                "f:finalizers": {".": {}, "v:\"a\"": {}, "v:\"b\"": {}},
                "f:ports": {".": {}, "k:{\"port\":5432,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:protocol": {}}},
            }
        });
        let status = json!({"manager": "kube-controller-manager", "operation": "Update", "subresource": "status", "fieldsV1": {}});
        let object = json!({"metadata": {"resourceVersion": "5", "managedFields": [entry("pgloom", "Update", created), status]}});
        let desired = json!({
            "metadata": {"annotations": {"mark": "u"}}, "spec": {"finalizers": ["a"], "ports": [{"port": 5432}]},
        });
        let stated = json!({
            "f:metadata": {"f:annotations": {".": {}, "f:mark": {}}},
            "f:spec": {
                "f:finalizers": {".": {}, "v:\"a\"": {}},
                "f:ports": {".": {}, "k:{\"port\":5432,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}},
            }
        });
        let patch = patch_created(&object, &desired).unwrap();
        assert_eq!(patch[1]["value"], json!([entry("pgloom", "Apply", stated), status]));
        assert_eq!(patch_created(&json!({"metadata": {"managedFields": []}}), &desired), None);
    }

    #[test]
    fn where_the_predecessor_wrote_nothing_there_is_nothing_to_take_over() {
        let object =
            json!({"metadata": {"resourceVersion": "5", "managedFields": [entry("kubectl", "Update", json!({}))]}});
        assert_eq!(patch(&object, Owner::Predecessor), None);
    }

    #[test]
    fn of_an_editors_entry_the_specification_is_taken_over_and_the_rest_stays_theirs() {
        let of_tool = json!({"f:metadata": {"f:finalizers": {}}, "f:spec": {"f:ports": {"k:{\"port\":1}": {}}}});
        let object = json!({"metadata": {"resourceVersion": "5", "managedFields": [
            entry("load-balancer", "Update", of_tool),
            entry("kubectl-edit", "Update", json!({"f:spec": {"f:type": {}}})),
            entry("pgloom", "Apply", json!({"f:spec": {"f:ports": {}}})),
        ]}});
        assert_eq!(
            patch(&object, Owner::Editors).unwrap()[1]["value"],
            json!([
                entry("load-balancer", "Update", json!({"f:metadata": {"f:finalizers": {}}})),
                entry("pgloom", "Apply", json!({"f:spec": {"f:ports": {"k:{\"port\":1}": {}}, "f:type": {}}})),
            ])
        );
        let annotated = json!({"metadata": {"resourceVersion": "5", "managedFields": [entry("kubectl", "Update", json!({"f:metadata": {}}))]}});
        assert_eq!(patch(&annotated, Owner::Editors), None);
    }

    #[test]
    fn an_editor_is_whoever_is_no_part_of_the_machinery() {
        assert!(is_editor(&entry("kubectl-edit", "Update", json!({}))));
        for manager in ["kube-controller-manager", "aws-cloud-controller-manager", "Patroni", "kubelet", "pgloom"] {
            assert!(!is_editor(&entry(manager, "Update", json!({}))), "{manager}");
        }
        assert!(!is_editor(&entry("argocd", "Apply", json!({}))));
    }
}
