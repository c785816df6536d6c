//! Taking over what the operator that came before wrote: its entries among the managed fields become the operator's own.
//!
//! An apply alone would leave both as owners, and a field that is no longer desired could then never be removed.

use serde_json::{Map, Value, json};

use crate::trim::{MANAGER, is_predecessor};

/// The JSON patch that hands the predecessor's entries over; `None` if it has none. `object` is as the API server gave it,
/// and the patch fails where it has changed since.
pub fn patch(object: &Value) -> Option<Value> {
    let metadata = object.get("metadata")?;
    let entries = metadata.get("managedFields")?.as_array()?;
    let (theirs, mut rest): (Vec<Value>, Vec<Value>) = entries.iter().cloned().partition(is_predecessor);
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
        let patch = patch(&object).unwrap();
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
        assert_eq!(patch(&object), None);
    }
}
