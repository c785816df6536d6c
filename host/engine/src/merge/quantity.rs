//! Amounts of resources in pods and claims: a value that is no quantity is refused with its field before the API server
//! refuses the whole object.

use pgloom_api::pod_template;
use pgloom_common::quantity::Quantity;
use serde_json::Value;

use crate::model::ObjectKind;
use crate::path::{FieldPath, Key, Segment};

/// The first value of a contribution that should be a quantity and is not, and what is wrong with it. Only kinds that have
/// pods or claims are looked into: a custom resource may give the names of the fields another meaning.
pub(super) fn find(kind: &ObjectKind, fields: &Value) -> Option<(FieldPath, String)> {
    let is_claim = kind.api_version == "v1" && kind.kind == "PersistentVolumeClaim";
    let has_pods = pod_template::path(&kind.api_version, &kind.kind).is_some();
    if is_claim || has_pods { below(fields, &mut Vec::new()) } else { None }
}

fn below(value: &Value, path: &mut Vec<Segment>) -> Option<(FieldPath, String)> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            path.push(Segment::Field(name.clone()));
            let found = match (&**name, value) {
                ("resources", Value::Object(resources)) => amounts(resources, path),
                ("sizeLimit", amount) => wrong(amount, path),
                _ => below(value, path),
            };
            path.pop();
            found
        }),
        Value::Array(items) => items.iter().find_map(|item| {
            let name = item.get("name").map(|name| Key::new([("name", name)]));
            path.push(name.map_or(Segment::AnyEntry, Segment::Entry));
            let found = below(item, path);
            path.pop();
            found
        }),
        _ => None,
    }
}

fn amounts(resources: &serde_json::Map<String, Value>, path: &mut Vec<Segment>) -> Option<(FieldPath, String)> {
    ["limits", "requests"].into_iter().find_map(|list| {
        let amounts = resources.get(list)?.as_object()?;
        path.push(Segment::Field(list.to_owned()));
        let found = amounts.iter().find_map(|(resource, amount)| {
            path.push(Segment::Field(resource.clone()));
            let found = wrong(amount, path);
            path.pop();
            found
        });
        path.pop();
        found
    })
}

fn wrong(amount: &Value, path: &[Segment]) -> Option<(FieldPath, String)> {
    let text = match amount {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        // What is of another type is refused by the schema.
        _ => return None,
    };
    let problem = || format!("{text:?} is no quantity; write it as in 500m or 1Gi");
    Quantity::parse(&text).is_err().then(|| (FieldPath::new(path.to_vec()), problem()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(kind: &str, limit: Value) -> Option<String> {
        let container = json!({"name": "exporter", "resources": {"limits": {"cpu": limit}}});
        let object = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        find(&ObjectKind::new("apps/v1", kind), &object).map(|(path, problem)| format!("{path}: {problem}"))
    }

    #[test]
    fn a_value_that_is_no_quantity_is_named_with_its_field() {
        let expected = "spec.template.spec.containers[name=exporter].resources.limits.cpu: \"lots\" is no quantity; write it \
                        as in 500m or 1Gi";
        assert_eq!(said("StatefulSet", json!("lots")).as_deref(), Some(expected));
    }

    #[test]
    fn quantities_and_kinds_without_pods_are_let_through() {
        for quantity in [json!("500m"), json!("1Gi"), json!(2), json!(0.5), json!("1e3")] {
            assert_eq!(said("StatefulSet", quantity), None);
        }
        assert_eq!(said("Unknown", json!("lots")), None);
    }

    #[test]
    fn claims_and_volumes_have_amounts_as_well() {
        let claim = ObjectKind::new("v1", "PersistentVolumeClaim");
        let object = json!({"spec": {"resources": {"requests": {"storage": "big"}}}});
        assert!(find(&claim, &object).unwrap().0.to_string().ends_with("requests.storage"));
        let volume =
            json!({"spec": {"template": {"spec": {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "x"}}]}}}});
        let found = find(&ObjectKind::new("apps/v1", "Deployment"), &volume).unwrap().0.to_string();
        assert!(found.ends_with("volumes[name=v].emptyDir.sizeLimit"), "{found}");
    }
}
