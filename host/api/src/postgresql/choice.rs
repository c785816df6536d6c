//! The values that Kubernetes accepts in fields of its types. The schemas of these types do not have them: the API server
//! checks them in the pods that are made.

use serde_json::{Value, json};

use crate::schema::{ALONE, CHOICES};

/// By the name of a field, its values. An empty text counts as not given.
const VALUES: [(&str, &[&str]); 9] = [
    ("effect", &["", "NoSchedule", "PreferNoSchedule", "NoExecute"]),
    ("imagePullPolicy", &["", "Always", "IfNotPresent", "Never"]),
    ("mountPropagation", &["None", "HostToContainer", "Bidirectional"]),
    ("nodeAffinityPolicy", &["Honor", "Ignore"]),
    ("nodeTaintsPolicy", &["Honor", "Ignore"]),
    ("protocol", &["", "TCP", "UDP", "SCTP"]),
    ("scheme", &["", "HTTP", "HTTPS"]),
    ("terminationMessagePolicy", &["", "File", "FallbackToLogsOnError"]),
    ("whenUnsatisfiable", &["DoNotSchedule", "ScheduleAnyway"]),
];

/// The operators of requirements, by the list that holds these.
const LABELS: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist"];
const NODES: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];
/// Those of tolerations. The last two are of newer releases of Kubernetes.
const TAINTS: &[&str] = &["", "Equal", "Exists", "Lt", "Gt"];

/// Sets of fields of which Kubernetes accepts one.
const ALTERNATIVES: [&[&str]; 5] = [
    &["value", "valueFrom"],
    &["configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"],
    &["configMapRef", "secretRef"],
    &["exec", "grpc", "httpGet", "sleep", "tcpSocket"],
    &["subPath", "subPathExpr"],
];

/// Adds the values to the fields of a type, and below it.
pub fn add(schema: &mut Value) {
    below(schema, LABELS);
}

fn below(schema: &mut Value, operators: &'static [&'static str]) {
    for key in ["items", "additionalProperties"] {
        if let Some(nested) = schema.get_mut(key).filter(|nested| nested.is_object()) {
            below(nested, operators);
        }
    }
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let is_whole = |names: &&&[&str]| names.iter().filter(|name| properties.contains_key(**name)).count() > 1;
    let alternatives: Vec<_> = ALTERNATIVES.iter().filter(is_whole).collect();
    let is_toleration = properties.contains_key("tolerationSeconds");
    // Of terms about nodes, unlike selectors of labels.
    let operators = if properties.contains_key("matchFields") { NODES } else { operators };
    for (name, property) in properties {
        let values = match name.as_str() {
            "operator" if is_toleration => Some(TAINTS),
            "operator" => Some(operators),
            other => VALUES.iter().find(|(known, _)| *known == other).map(|(_, values)| *values),
        };
        if let Some(values) = values.filter(|_| property["type"] == "string") {
            property[CHOICES] = json!(values);
        }
        below(property, operators);
    }
    if !alternatives.is_empty() {
        schema[ALONE] = json!(alternatives);
    }
}
