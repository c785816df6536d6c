//! The fields for which the API server refuses an object, as far as its answer names them.

use kube::core::Status;
use pgloom_common::quantity::Quantity;
use serde_json::Value;

/// The most fields that are kept of one answer.
const MOST: usize = 16;
/// What the API server says of a quantity that it cannot read. It does not say which one.
const QUANTITY: &str = "quantities must match the regular expression";

/// The fields, as the API server writes them, each once.
pub(super) fn fields(status: &Status, sent: &Value) -> Vec<String> {
    let causes = status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.field.clone());
    let mut fields: Vec<String> = causes.filter(|field| !field.is_empty()).collect();
    if fields.is_empty() {
        fields = typed(&status.message);
    }
    if fields.is_empty() && status.message.contains(QUANTITY) {
        bad_quantities(sent, &mut String::new(), false, &mut fields);
    }
    let mut seen = Vec::new();
    fields.retain(|field| {
        seen.len() < MOST && !seen.contains(field) && {
            seen.push(field.clone());
            true
        }
    });
    fields
}

/// The fields in a message of server-side apply about values of another type, as in
/// `failed to create typed patch object (ns/c; apps/v1, Kind=StatefulSet): .spec.replicas: expected numeric`.
fn typed(message: &str) -> Vec<String> {
    let starts = message.match_indices(" .").map(|(at, _)| at + 1);
    let field = |at: usize| {
        let rest = message.get(at..)?;
        let (field, _) = rest.split_once(": ")?;
        (!field.contains(' ')).then(|| field.to_owned())
    };
    starts.filter_map(field).collect()
}

/// The quantities in an object that cannot be read: amounts of resources, and sizes of volumes.
fn bad_quantities(value: &Value, path: &mut String, amounts: bool, found: &mut Vec<String>) {
    let length = path.len();
    match value {
        Value::String(text) if amounts && Quantity::parse(text).is_err() => found.push(path.clone()),
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push_str(&format!("[{name}]"));
                let holds_amounts = matches!(&**name, "requests" | "limits" | "sizeLimit" | "divisor");
                bad_quantities(value, path, holds_amounts || amounts && value.is_string(), found);
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                bad_quantities(item, path, false, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(message: &str, causes: &[&str]) -> Status {
        let causes: Vec<Value> = causes.iter().map(|field| json!({"field": field, "message": "x"})).collect();
        serde_json::from_value(json!({"message": message, "details": {"causes": causes}})).unwrap()
    }

    #[test]
    fn the_fields_are_those_of_the_causes_or_of_the_message_or_the_quantities_that_cannot_be_read() {
        let of = |message: &str, causes: &[&str]| fields(&status(message, causes), &json!({}));
        assert_eq!(of("no", &["spec.a", "spec.b", "spec.a"]), ["spec.a", "spec.b"]);
        let message = "failed to create typed patch object (ns/c; apps/v1, Kind=StatefulSet): errors:\n  \
                       .spec.nonsense: field not declared in schema\n  .spec.template.x: expected map";
        assert_eq!(of(message, &[]), [".spec.nonsense", ".spec.template.x"]);
        assert_eq!(of("the object has been changed", &[]), [""; 0]);
        let amounts = |cpu: &str| json!({"name": "x", "resources": {"limits": {"cpu": cpu, "memory": "1Gi"}}});
        let sent = json!({"kind": "StatefulSet", "spec": {"containers": [amounts("100m"), amounts("much")]}});
        let message = "failed to convert new object: quantities must match the regular expression '^([+-]?[0-9.]+)'";
        assert_eq!(fields(&status(message, &[]), &sent), ["[spec][containers][1][resources][limits][cpu]"]);
    }
}
