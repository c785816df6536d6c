//! The rights that `manifests/rbac.yaml` grants the operator. Every request of every test is checked against them, so
//! code that needs another right fails its test.

use std::sync::OnceLock;

use serde::Deserialize as _;
use serde_json::Value;

/// The roles of the operator: in every namespace, in its own, for its webhook, and the optional one.
const ROLES: [(&str, &str); 4] = [
    ("ClusterRole", "pgloom"),
    ("Role", "pgloom"),
    ("ClusterRole", "pgloom-webhook"),
    ("ClusterRole", "pgloom-recover"),
];

/// A request, with the names of an RBAC rule.
#[derive(Debug, PartialEq)]
struct Ask {
    group: String,
    resource: String,
    verb: &'static str,
    /// The name of the object; empty where the path has none.
    name: String,
}

/// The reason why a request is not granted; `None` if it is.
pub fn refusal(method: &str, path: &str, query: &str) -> Option<String> {
    let ask = ask(method, path, query)?;
    let has = |list: &Value, word: &str| list.as_array().into_iter().flatten().any(|entry| entry == word);
    let granted = rules().iter().any(|rule| {
        let is_named = rule["resourceNames"].is_null() || has(&rule["resourceNames"], &ask.name);
        is_named
            && has(&rule["apiGroups"], &ask.group)
            && has(&rule["resources"], &ask.resource)
            && has(&rule["verbs"], ask.verb)
    });
    (!granted)
        .then(|| format!("manifests/rbac.yaml does not grant {} on {} of {:?}", ask.verb, ask.resource, ask.group))
}

/// Whether a path is that of a collection, in one namespace or in all.
pub fn is_collection(path: &str) -> bool {
    ask("GET", path, "").is_some_and(|ask| ask.verb == "list")
}

/// The verb and the resource of a request; `None` for discovery and for questions about the own rights, which every
/// client may send.
fn ask(method: &str, path: &str, query: &str) -> Option<Ask> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", "authorization.k8s.io", ..] => return None,
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    let resource = match rest {
        [] => return None,
        [resource] | [resource, _] => (*resource).to_owned(),
        [resource, _, part, ..] => format!("{resource}/{part}"),
    };
    let verb = match (method, rest.len()) {
        ("GET", 1) if query.contains("watch=true") => "watch",
        ("GET", 1) => "list",
        ("GET", _) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", 1) => "deletecollection",
        _ => "delete",
    };
    let name = rest.get(1).copied().unwrap_or_default().to_owned();
    Some(Ask { group: group.to_owned(), resource, verb, name })
}

fn rules() -> &'static [Value] {
    static RULES: OnceLock<Vec<Value>> = OnceLock::new();
    RULES.get_or_init(|| {
        let text = include_str!("../../../../manifests/rbac.yaml");
        let documents =
            serde_yaml_ng::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap());
        let ours = |object: &Value| {
            ROLES.iter().any(|(kind, name)| object["kind"] == *kind && object["metadata"]["name"] == *name)
        };
        let rules = documents.filter(ours).flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default());
        rules.collect()
    })
}

#[test]
fn requests_are_read_in_the_words_of_rules() {
    let words = |method: &str, path: &str, query: &str| {
        let ask = ask(method, path, query)?;
        Some(format!("{} {} {}", ask.verb, ask.group, ask.resource))
    };
    for (method, path, query, expected) in [
        ("GET", "/api/v1/namespaces/ns/secrets/s", "", Some("get  secrets")),
        ("GET", "/api/v1/secrets", "watch=true", Some("watch  secrets")),
        (
            "PATCH",
            "/apis/acid.zalan.do/v1/namespaces/ns/postgresqls/c/status",
            "",
            Some("patch acid.zalan.do postgresqls/status"),
        ),
        ("DELETE", "/apis/apps/v1/namespaces/ns/statefulsets/c", "", Some("delete apps statefulsets")),
        ("GET", "/api/v1/namespaces/ns/pods/c-0/exec", "", Some("get  pods/exec")),
        ("GET", "/apis/acid.zalan.do/v1", "", None),
    ] {
        assert_eq!(words(method, path, query).as_deref(), expected, "{method} {path}");
    }
}

#[test]
fn what_is_not_granted_is_refused() {
    assert!(refusal("DELETE", "/api/v1/nodes/n", "").is_some());
    assert!(refusal("GET", "/api/v1/namespaces/ns/secrets/s", "").is_none());
    let webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    assert!(refusal("PUT", &format!("{webhooks}/pgloom-webhook"), "").is_none());
    assert!(refusal("PUT", &format!("{webhooks}/another"), "").is_some());
    assert!(refusal("POST", webhooks, "").is_some());
}
