//! Takes over fields of other managers: their entries of `managedFields` become the operator's own.
//!
//! An apply alone would make both managers owners, and a field that is no longer desired could then never be removed.
//! This is done for the fields of the Zalando operator, and for manual edits that conflict with the desired object: an
//! edit of the merge key of a list entry, as `port` of a Service, leaves the editor's entry in the list in addition to
//! the operator's.

use serde_json::{Map, Value, json};

use pgloom_decide::field_manager::{BESIDE, MANAGER, is_entry_of, is_predecessor};

use super::compare::matches_stated;

/// The managers whose entries are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The Zalando operator: all fields.
    Predecessor,
    /// Users and tools: `spec` only. They keep labels, annotations and finalizers.
    Editors,
}

impl Owner {
    fn is_meant(self, entry: &Value) -> bool {
        match self {
            Self::Predecessor => is_predecessor(entry),
            Self::Editors => is_editor(entry),
        }
    }

    /// Splits the fields of an entry into those that are taken over and those that are kept.
    fn split(self, fields: &Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
        let taken = |key: &str| self == Self::Predecessor || key == "f:spec";
        fields.clone().into_iter().partition(|(key, _)| taken(key))
    }
}

/// Whether an entry is that of a user or a tool, not of a Kubernetes component or of Patroni.
fn is_editor(entry: &Value) -> bool {
    let manager = entry["manager"].as_str().unwrap_or_default();
    let own = ["kubelet", "Patroni", MANAGER, BESIDE].contains(&manager) || manager.ends_with("controller-manager");
    is_entry_of(entry, manager, "Update") && !own
}

/// The JSON patch that takes over the fields of `owner`; `None` if there are none. `object` is as the API server
/// returned it; the patch fails if the object has changed since.
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

/// The JSON patch that converts the entry of the operator's create request to that of an apply of `desired`; `None` if
/// there is no such entry. Defaults of the API server are left out, because an apply does not own them. `object` is the
/// answer to the create request.
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

/// The fields of `fields` that `desired` states.
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
        let object = json!({"metadata": {"resourceVersion": "5", "managedFields": [entry("kubectl", "Update", json!({})), entry(BESIDE, "Update", json!({}))]}});
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
        for manager in
            ["kube-controller-manager", "aws-cloud-controller-manager", "Patroni", "kubelet", "pgloom", BESIDE]
        {
            assert!(!is_editor(&entry(manager, "Update", json!({}))), "{manager}");
        }
        assert!(!is_editor(&entry("argocd", "Apply", json!({}))));
    }
}
