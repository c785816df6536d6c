//! What the API server and its controllers add to objects, as far as the host has to ignore it when it compares.

use pgloom_common::api_default::is_default;
use serde_json::Value;

/// The mount path of the service account's token in every container.
///
/// See [the ServiceAccount admission
/// controller](https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#serviceaccount-admission-controller).
pub const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Whether a toleration is one that every pod gets, by its key and effect.
///
/// See [taint based
/// evictions](https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions).
#[must_use]
pub fn is_added_toleration(key: &str, effect: &str) -> bool {
    matches!(key, "node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable") && effect == "NoExecute"
}

/// Whether the API server gives a field this value where a structure that is applied as a whole leaves it out: in the
/// templates of volume claims, in references to fields and in projected volumes.
#[must_use]
pub fn is_filled_in(field: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => is_default(field, text),
        Value::Bool(_) | Value::Number(_) => is_default(field, &value.to_string()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_default_is_one_by_field_and_value() {
        assert!(is_filled_in("volumeMode", &json!("Filesystem")) && !is_filled_in("volumeMode", &json!("Block")));
        assert!(is_filled_in("expirationSeconds", &json!(3607)) && is_filled_in("optional", &json!(false)));
        assert!(!is_filled_in("optional", &json!(true)) && !is_filled_in("image", &json!("v1")));
    }

    #[test]
    fn tolerations_of_every_pod_are_known_by_key_and_effect() {
        assert!(is_added_toleration("node.kubernetes.io/not-ready", "NoExecute"));
        assert!(!is_added_toleration("node.kubernetes.io/not-ready", "NoSchedule"));
        assert!(!is_added_toleration("postgres", "NoExecute"));
    }
}
