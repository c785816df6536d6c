//! Guests whose description lies, or cannot be used.

use serde_json::json;

use super::{By, Case, guest, object};
use crate::script::Script;

const INVALID: &str = "describe failed: the component's description is invalid: ";

pub(super) fn cases() -> Vec<Case> {
    [kinds(), lists(), grants()].into_iter().flatten().collect()
}

fn invalid(name: &'static str, script: Script, says: &'static str) -> Case {
    Case::new(name, script, By::Load, &[INVALID, says]).step("grants", json!({}))
}

fn kinds() -> Vec<Case> {
    let case = |name, kind, says| invalid(name, guest().creates(kind, &["*"]), says);
    let rbac = "only the host creates service accounts, roles and role bindings";
    vec![
        case("asks for Secrets", "v1 Secret", "v1 Secret must not be contributed: the host creates credentials"),
        case("asks for service accounts", "v1 ServiceAccount", rbac),
        case("asks for roles", "rbac.authorization.k8s.io/v1 Role", rbac),
        case("asks for cluster roles", "rbac.authorization.k8s.io/v1 ClusterRoleBinding", rbac),
        case("asks for pods without a controller", "v1 Pod", "plugins create Deployments, StatefulSets"),
        case("asks for a pod on every node", "apps/v1 DaemonSet", "plugins create Deployments, StatefulSets"),
        case("asks for namespaces", "v1 Namespace", "a plugin writes only in the namespace of its cluster"),
        case(
            "asks for hooks of the API server",
            "admissionregistration.k8s.io/v1 MutatingWebhookConfiguration",
            "a plugin must not change the API of the cluster",
        ),
        case("asks for manifests", "acid.zalan.do/v1 postgresql", "a plugin must not change what the user wrote"),
        case("asks for the pipeline", "pgloom.dev/v1alpha1 Pipeline", "a plugin must not change the pipeline"),
        case("asks for a kind in other letters", "V1 Secret", "objects[0]: \"V1\" is not an apiVersion"),
        case(
            "asks for a kind that leads to another URL",
            "evil.example/../../api/v1 X",
            "objects[0]: \"evil.example/../../api/v1\" is not an apiVersion",
        ),
    ]
}

fn lists() -> Vec<Case> {
    let selector =
        |id: &str, pointer: &str| json!({"id": id, "api_version": "v1", "kind": "ConfigMap", "manifest": pointer});
    let selectors =
        (0..33).fold(guest(), |script, number| script.asks("observed", selector(&format!("s{number}"), "/spec/tls")));
    vec![
        invalid(
            "has a name that would forge a line of the log",
            guest().describes("name", json!("a\nb")),
            "name \"a\\nb\" is not",
        ),
        invalid("has no version", guest().describes("version", json!("new")), "version \"new\" is not semver"),
        invalid(
            "observes by a text that is no pointer",
            guest().asks("observed", selector("s", "spec.tls")),
            "observed[0]: \"spec.tls\" is not a JSON pointer; write it as in /spec/tls/secretName",
        ),
        invalid("observes so much that every reconcile is slow", selectors, "observed has 33 entries, the limit is 32"),
        invalid(
            "reads a key that the configuration does not have",
            guest().asks("config_keys", json!("docker_imag")),
            "config-keys[0]: \"docker_imag\" is not a key of the operator configuration",
        ),
        invalid(
            "asks for a privilege that does not exist",
            guest().asks("privileges", json!({"name": "hostpath"})),
            "privileges[0]: \"hostpath\" is not a privilege",
        ),
        invalid(
            "asks for a field that cannot be one",
            guest().sets("v1 Service", &["*"], &["spec..ports"]),
            "objects[0].fields[0]: ",
        ),
        invalid(
            "asks for objects without a name",
            guest().creates("v1 ConfigMap", &[]),
            "objects[0]: names is empty; name the objects, as in {cluster}-*",
        ),
        invalid(
            "has an example that its schema refuses",
            guest().describes("config_schema", json!(r#"{"required":["a"]}"#)),
            "the configuration example is not what the schema accepts",
        ),
        invalid(
            "has a schema that is not one",
            guest().describes("config_schema", json!(r#"{"type":"anything"}"#)),
            "the configuration schema is invalid",
        ),
        invalid(
            "has a schema whose references double at each step, so that no check of it ends",
            guest().describes("config_schema", json!(doubling_schema())),
            "the configuration schema refers to itself too often",
        ),
    ]
}

fn doubling_schema() -> String {
    let part = |index: usize| {
        let next = json!({"$ref": format!("#/$defs/{}", index + 1)});
        (index.to_string(), json!({"allOf": [next, next]}))
    };
    let parts: serde_json::Map<_, _> = (0..60).map(part).chain([("60".to_owned(), json!({}))]).collect();
    json!({"$defs": parts, "$ref": "#/$defs/0"}).to_string()
}

fn grants() -> Vec<Case> {
    vec![
        Case::new(
            "asks for ConfigMaps and writes a Service",
            guest().creates("v1 ConfigMap", &["*"]).applies(&object(
                "v1 Service",
                "{cluster}-x",
                json!({"spec": {"type": "LoadBalancer"}}),
            )),
            By::Merge,
            &["v1 Service acid-orders-x", "the plugin's description does not ask for objects of this kind and name"],
        )
        .step("grants", guest().creates("v1 ConfigMap", &["*"]).creates("v1 Service", &["*"]).grants()),
        Case::new(
            "asks for more than the version before, and is not granted it",
            guest().creates("v1 ConfigMap", &["*"]).creates("v1 Service", &["*"]),
            By::Load,
            &["configure failed: the pipeline does not grant what plugin hostile 0.1.0 needs", "kind: Service"],
        )
        .step("grants", guest().creates("v1 ConfigMap", &["*"]).grants()),
        Case::new(
            "reads what earlier steps want, and is not granted the kind",
            guest().asks("desired", json!({"api_version": "apps/v1", "kind": "StatefulSet"})),
            By::Load,
            &["does not grant what plugin hostile 0.1.0 needs", "desired:", "apiVersion: apps/v1", "kind: StatefulSet"],
        )
        .step("grants", json!({"desired": [{"apiVersion": "apps/v1", "kind": "Deployment"}]})),
        Case::new(
            "reads a key of the operator configuration that it is not granted",
            guest().asks("config_keys", json!("docker_image")).asks("config_keys", json!("sidecars")),
            By::Load,
            &["does not grant what plugin hostile 0.1.0 needs", "config: [sidecars]"],
        )
        .step("grants", json!({"config": ["docker_image"]})),
        Case::new(
            "takes the name of a plugin that another step requires",
            guest().asks("requires", json!({"plugin": "database", "version": ">=9"})),
            By::Load,
            &["the plugin requires plugin database >=9, step database has 0.1.0"],
        ),
        Case::new(
            "has a configuration that its schema refuses",
            guest().describes("config_schema", json!(r#"{"additionalProperties":false}"#)),
            By::Load,
            &["configure failed: config: "],
        )
        .step("config", json!({"unknown": true})),
    ]
}
