//! Fields of a partial object that its kind does not have. An API server that does not know one either refuses the object.

use pgloom_api::field::Place;
use pgloom_api::suggest::instead;
use pgloom_api::{Finding, ObjectRef};
use serde_json::Value;

use crate::convert;
use crate::schema::{Schema, Schemas, Type, TypeId};

/// The most findings about one object.
const MOST: usize = 8;

/// A warning for each such field of a built-in kind. Releases of Kubernetes that are newer than the merge table may know it.
pub(crate) fn unknown_fields(schemas: &Schemas, fragment: &Value) -> Vec<Finding> {
    let text = |pointer: &str| fragment.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("/apiVersion"), text("/kind"));
    if !schemas.is_built_in(api_version, kind) {
        return Vec::new();
    }
    let (schema, known) = schemas.kind(api_version, kind);
    let mut findings = Vec::new();
    // The status of an object is in no table, and refused for another reason.
    let fields = fragment.as_object().into_iter().flatten().filter(|(name, _)| *name != "status");
    each(schema, known.root, fields, &Place::Start(""), &mut findings);
    let object = ObjectRef { api_version: api_version.into(), kind: kind.into(), name: text("/metadata/name").into() };
    findings.into_iter().map(|finding| finding.of(object.clone())).collect()
}

fn any(schema: &Schema, id: TypeId, value: &Value, place: &Place<'_>, findings: &mut Vec<Finding>) {
    match (schema.get(id), value) {
        (Type::Nullable(inner), value) => any(schema, *inner, value, place, findings),
        (Type::Struct(_) | Type::Map(_), Value::Object(fields)) => each(schema, id, fields, place, findings),
        (Type::Keyed(_, item) | Type::AtomicList(item), Value::Array(items)) => {
            for (index, value) in items.iter().enumerate() {
                any(schema, *item, value, &Place::Entry(place, index), findings);
            }
        }
        _ => {}
    }
}

fn each<'a>(
    schema: &Schema,
    id: TypeId,
    fields: impl IntoIterator<Item = (&'a String, &'a Value)>,
    place: &Place<'_>,
    findings: &mut Vec<Finding>,
) {
    let known = schema.get(id);
    for (name, value) in fields {
        let place = Place::Member(place, name);
        match known {
            Type::Struct(fields) if !fields.iter().any(|(field, _)| field == name) => {
                if findings.len() < MOST {
                    let finding = Finding::warning(
                        "is no field that pgloom knows; an API server that does not know it refuses the object",
                    );
                    let fields = fields.iter().map(|(field, _)| field.as_ref());
                    findings.push(finding.at(convert::text(&place.to_string())).remedy(instead(name, fields)));
                }
            }
            known => any(schema, known.field(name), value, &place, findings),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(object: Value) -> Vec<String> {
        unknown_fields(&Schemas::built_in().unwrap(), &object).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_field_that_the_kind_does_not_have_is_named_with_the_nearest_one() {
        let container =
            json!({"name": "postgres", "imagee": "a", "resources": {"limit": {}}, "env": [{"name": "A", "valu": "b"}]});
        let spec = json!({"containers": [container], "nodeSelector": {"any": "b"}});
        let object = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "acid-a", "annotations": {"any": "b"}}, "spec": {"template": {"spec": spec}, "replica": 1}});
        let refused =
            "is no field that pgloom knows; an API server that does not know it refuses the object; did you mean";
        let container = "spec.template.spec.containers[0]";
        assert_eq!(
            said(object),
            [
                format!("StatefulSet acid-a spec.replica: {refused} replicas?"),
                format!("StatefulSet acid-a {container}.env[0].valu: {refused} value?"),
                format!("StatefulSet acid-a {container}.imagee: {refused} image?"),
                format!("StatefulSet acid-a {container}.resources.limit: {refused} limits?"),
            ]
        );
    }

    #[test]
    fn of_a_custom_resource_nothing_is_known() {
        assert!(
            said(json!({"apiVersion": "a.b/v1", "kind": "C", "metadata": {"name": "d"}, "spec": {"e": 1}})).is_empty()
        );
    }
}
