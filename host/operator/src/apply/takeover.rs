//! Taking over what others wrote: their entries among the managed fields become the operator's own.
//!
//! An apply alone would leave both as owners, and a field that is no longer desired could then never be removed. That is done
//! for what the operator that came before wrote, and for a hand edit that stands in the way of what is desired: one that
//! changes the key of a list's entry, as a Service's port, leaves an entry of the editor's beside ours.

use serde_json::{Map, Value, json};

use crate::trim::MANAGER;

/// Whether an entry is that of a person or a tool, and not of one of Kubernetes' or Patroni's own writers.
pub fn is_editor(entry: &Value) -> bool {
    let manager = entry["manager"].as_str().unwrap_or_default();
    let own =
        manager == "kubelet" || manager == "Patroni" || manager.ends_with("controller-manager") || manager == MANAGER;
    entry["operation"] == "Update" && entry.get("subresource").is_none() && !own
}

/// The JSON patch that hands over the entries that are meant; `None` if there are none. `object` is as the API server gave
/// it, and the patch fails where it has changed since.
pub fn patch(object: &Value, is_meant: impl Fn(&Value) -> bool) -> Option<Value> {
    let metadata = object.get("metadata")?;
    let entries = metadata.get("managedFields")?.as_array()?;
    let (theirs, mut rest): (Vec<Value>, Vec<Value>) = entries.iter().cloned().partition(is_meant);
    let newest = theirs.last()?.clone();
    let mut fields = Map::new();
    for entry in &theirs {
        merge(&mut fields, entry.get("fieldsV1").and_then(Value::as_object)?);
    }
    let is_ours = |entry: &Value| {
        entry["manager"] == MANAGER && entry["operation"] == "Apply" && entry.get("subresource").is_none()
    };
    match rest.iter_mut().find(|entry| is_ours(entry)) {
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
    use crate::trim::is_predecessor;

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
        let patch = patch(&object, is_predecessor).unwrap();
        assert_eq!(patch[0], json!({"op": "test", "path": "/metadata/resourceVersion", "value": "5"}));
        assert_eq!(
            patch[1]["value"],
            json!([entry("pgloom", "Apply", json!({"f:spec": {"f:ports": {}, "f:type": {}}})), status])
        );
    }

    #[test]
    fn where_the_predecessor_wrote_nothing_there_is_nothing_to_take_over() {
        let object =
            json!({"metadata": {"resourceVersion": "5", "managedFields": [entry("kubectl", "Update", json!({}))]}});
        assert_eq!(patch(&object, is_predecessor), None);
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
