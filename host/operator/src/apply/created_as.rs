//! What an object was created as. It shows whether a replacement would change the object.
//!
//! Admission may change a field of a new object that cannot be changed later. Such an object differs for ever from what
//! is desired, and a replacement gives the same again. So an object that may be replaced has an annotation, a hash of what
//! was desired of it when it was created or last applied: an apply that succeeds leaves no other difference than those of
//! admission. It is on the object, not in the operator's memory: the next operator reads it as well.

use pgloom_decide::{BuiltIn, Kind};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::operation::{fixed_of, may_be_replaced};

/// The annotation: sixteen hexadecimal digits.
pub const CREATED_AS: &str = "pgloom.dev/created-as";

/// Adds the annotation to an object that will be written.
pub fn state(desired: &mut Value) {
    if let Some(hash) = hash(desired) {
        desired["metadata"]["annotations"][CREATED_AS] = json!(hash);
    }
}

/// Whether the same was desired of an object when it was created, so that a replacement would change nothing.
pub fn is_as_desired(desired: &Value, live: &Value) -> bool {
    of(live).is_some_and(|created_as| Some(created_as) == hash(desired).as_deref())
}

fn of(live: &Value) -> Option<&str> {
    live.pointer("/metadata/annotations")?.get(CREATED_AS)?.as_str()
}

/// A hash of the fields for which an object is replaced: of a StatefulSet those that cannot be changed, of others the
/// whole `spec`; `None` if the kind is never replaced. It is the same in every build of the operator.
fn hash(desired: &Value) -> Option<String> {
    let kind = Kind::of(desired)?;
    let fields = match () {
        () if kind.is(BuiltIn::StatefulSet) => fixed_of(desired),
        () if may_be_replaced(&kind) => desired["spec"].clone(),
        () => return None,
    };
    Some(short_hash(fields.to_string().as_bytes()))
}

/// A hash for an annotation: sixteen hexadecimal digits, the same in every build of the operator.
pub fn short_hash(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(class: &str, labels: &Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "c"},
            "spec": {"replicas": 2, "volumeClaimTemplates": [
                {"metadata": {"name": "pgdata", "labels": labels}, "spec": {"storageClassName": class}}
            ]}
        })
    }

    fn created(mut object: Value) -> Value {
        state(&mut object);
        object
    }

    #[test]
    fn an_object_is_as_desired_until_a_field_is_desired_otherwise_for_which_it_would_be_replaced() {
        let live = created(set("fast", &json!({"a": "1"})));
        let mut scaled = set("fast", &json!({"a": "2"}));
        scaled["spec"]["replicas"] = json!(3);
        assert!(is_as_desired(&scaled, &live));
        assert!(!is_as_desired(&set("slow", &json!({"a": "1"})), &live));
        assert!(!is_as_desired(&scaled, &set("fast", &json!({}))), "it has no annotation");
    }

    #[test]
    fn kinds_that_are_never_replaced_have_no_annotation() {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "c"}, "spec": {}});
        assert_eq!(created(service.clone()), service);
    }

    #[test]
    fn the_hash_is_the_same_in_every_build() {
        let deployment =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "spec": {"replicas": 2}});
        assert_eq!(hash(&deployment).as_deref(), Some("7beb3ba39c1d7ed5"));
    }
}
