//! The service account of the database pods, and its role binding: one of each in every namespace that has a cluster.
//!
//! Both are created where they are missing and never removed: they belong to the namespace, not to a cluster. Of an existing
//! one nothing is changed but the annotation [`ROLE`].

use serde_json::{Value, json};

use crate::kind::ObjectKey;

/// The settings of the operator configuration about the pods' service account.
#[derive(Clone, Debug, Default)]
pub struct AccountSettings {
    /// `pod_service_account_name`.
    pub name: String,
    /// `pod_service_account_definition`: JSON or YAML, or empty for the built-in one.
    pub account: String,
    /// `pod_service_account_role_binding_definition`: JSON or YAML, or empty for the built-in one.
    pub binding: String,
    /// `irsa_role_arn`: the AWS role, or empty for none.
    pub role: String,
}

/// The annotation that gives the pods of a service account an AWS role.
///
/// See [IAM roles for service
/// accounts](https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html).
pub const ROLE: &str = "eks.amazonaws.com/role-arn";

/// The reason why a definition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is neither JSON nor YAML, or not an object.
    #[error("{key} cannot be read: write one object as JSON or YAML")]
    Read {
        /// The key of the operator configuration.
        key: &'static str,
        /// The parser's error; `None` if the text is not an object.
        #[source]
        source: Option<serde_yaml_ng::Error>,
    },
    /// Another kind of object.
    #[error("{key} defines a {found}: define a {expected}")]
    Kind {
        /// The key of the operator configuration.
        key: &'static str,
        /// The kind that it has to define.
        expected: &'static str,
        /// The kind that it defines.
        found: String,
    },
}

/// The service account and the role binding for one namespace, in order of creation.
///
/// # Errors
/// For a definition that cannot be read or is of another kind.
pub fn objects(namespace: &str, settings: &AccountSettings) -> Result<[Value; 2], Error> {
    let mut account = match settings.account.trim() {
        "" => json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {}}),
        text => read(text, "pod_service_account_definition", "ServiceAccount")?,
    };
    let mut binding = match settings.binding.trim() {
        "" => built_in_binding(&settings.name),
        text => read(text, "pod_service_account_role_binding_definition", "RoleBinding")?,
    };
    // The pods use the name of the operator configuration. An account with another name would not be used.
    set(&mut account, "name", settings.name.clone().into());
    if ObjectKey::of(&binding).name.is_empty() {
        set(&mut binding, "name", settings.name.clone().into());
    }
    if !settings.role.is_empty() {
        annotate(&mut account, ROLE, &settings.role);
    }
    for object in [&mut account, &mut binding] {
        set(object, "namespace", namespace.into());
    }
    Ok([account, binding])
}

/// Sets a field of the metadata.
fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.insert(field.to_owned(), value);
    }
}

fn annotate(object: &mut Value, name: &str, value: &str) {
    let annotations = object.pointer("/metadata/annotations").cloned().unwrap_or_default();
    let mut annotations = annotations.as_object().cloned().unwrap_or_default();
    annotations.insert(name.to_owned(), value.into());
    set(object, "annotations", annotations.into());
}

fn built_in_binding(name: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name}],
    })
}

fn read(text: &str, key: &'static str, expected: &'static str) -> Result<Value, Error> {
    // JSON is YAML, so one parser reads both.
    let mut object: Value = serde_yaml_ng::from_str(text).map_err(|error| Error::Read { key, source: Some(error) })?;
    let Some(fields) = object.as_object_mut() else {
        return Err(Error::Read { key, source: None });
    };
    let kind = fields.get("kind").and_then(Value::as_str).unwrap_or("thing without a kind");
    if kind != expected {
        return Err(Error::Kind { key, expected, found: kind.into() });
    }
    if !fields.get("metadata").is_some_and(Value::is_object) {
        fields.insert("metadata".into(), json!({}));
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(account: &str, binding: &str) -> AccountSettings {
        AccountSettings {
            name: "postgres-pod".into(),
            account: account.into(),
            binding: binding.into(),
            role: String::new(),
        }
    }

    #[test]
    fn a_namespace_gets_an_account_bound_to_the_cluster_role_of_its_name() {
        let [account, binding] = objects("prod", &settings("", "")).unwrap();
        assert_eq!(
            account,
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "postgres-pod", "namespace": "prod"}})
        );
        assert_eq!(
            binding,
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "postgres-pod", "namespace": "prod"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "postgres-pod"},
                "subjects": [{"kind": "ServiceAccount", "name": "postgres-pod"}],
            })
        );
    }

    #[test]
    fn the_account_carries_the_role_of_its_pods() {
        let role = "arn:aws:iam::1:role/postgres";
        let custom = "kind: ServiceAccount\nmetadata: {annotations: {a: b}}";
        let [account, _] = objects("prod", &AccountSettings { role: role.into(), ..settings(custom, "") }).unwrap();
        assert_eq!(account["metadata"]["annotations"], json!({"a": "b", "eks.amazonaws.com/role-arn": role}));
    }

    #[test]
    fn custom_definitions_are_json_or_yaml() {
        let [account, binding] = objects(
            "prod",
            &settings(
                r#"{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "other", "namespace": "x", "annotations": {"a": "b"}}}"#,
                "kind: RoleBinding\nmetadata:\n  name: mine\nroleRef: {kind: ClusterRole, name: r}\n",
            ),
        )
        .unwrap();
        assert_eq!(
            account["metadata"],
            json!({"name": "postgres-pod", "namespace": "prod", "annotations": {"a": "b"}})
        );
        assert_eq!(binding["metadata"], json!({"name": "mine", "namespace": "prod"}));
        assert_eq!(binding["roleRef"]["name"], "r");
    }

    #[test]
    fn a_definition_that_cannot_be_used_names_its_key() {
        for (account, binding, expected) in [
            ("kind: Pod", "", "pod_service_account_definition defines a Pod: define a ServiceAccount"),
            (
                "",
                "{}",
                "pod_service_account_role_binding_definition defines a thing without a kind: define a RoleBinding",
            ),
            ("nonsense", "", "pod_service_account_definition cannot be read: write one object as JSON or YAML"),
            ("{", "", "pod_service_account_definition cannot be read: write one object as JSON or YAML"),
        ] {
            let error = objects("prod", &settings(account, binding)).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
