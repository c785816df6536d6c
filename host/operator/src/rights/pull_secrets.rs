//! The Role for the Secrets with credentials for registries that a pipeline names, as YAML.

/// The rights to read these Secrets, and no others, in the operator's own namespace, with the names of
/// `manifests/rbac.yaml`; no text if there are none.
pub fn pull_secrets_role(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!(
        "\
---
# The Secrets of imagePullSecrets are read, in the operator's own namespace.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: pgloom-pull
  namespace: pgloom-system
rules:
- apiGroups: [\"\"]
  resources: [secrets]
  resourceNames: [{}]
  verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: pgloom-pull
  namespace: pgloom-system
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: pgloom-pull
subjects:
- kind: ServiceAccount
  name: pgloom
  namespace: pgloom-system
",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_secrets_may_be_read() {
        assert_eq!(pull_secrets_role(&[]), "");
        let text = pull_secrets_role(&["registry".to_owned(), "1".to_owned()]);
        let role = text.split("---\n").nth(1).unwrap();
        let role: serde_json::Value = serde_yaml_ng::from_str(role).unwrap();
        assert_eq!(role["rules"][0]["resourceNames"], serde_json::json!(["registry", "1"]));
        assert_eq!(role["rules"][0]["verbs"], serde_json::json!(["get"]));
    }
}
