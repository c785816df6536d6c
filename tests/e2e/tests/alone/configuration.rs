//! A changed operator configuration takes effect while the operator runs; an invalid one is reported and changes
//! nothing.

use e2e::{Namespace, ensure, eventually, has_cluster, kubectl, minimal, namespace};
use serde_json::{Value, json};

const CLUSTER: &str = "acid-configured";
const SYSTEM: &str = "pgloom-system";

/// Changes the operator configuration until it is dropped.
struct Changed {
    /// The values before the change; null for a key that did not exist.
    before: Value,
}

impl Changed {
    fn to(data: &Value) -> Self {
        let now = kubectl(&["--namespace", SYSTEM, "get", "configmap", "pgloom", "--output", "json"]).unwrap();
        let now: Value = serde_json::from_str(&now).unwrap();
        let keys = data.as_object().unwrap().keys();
        let before = keys.map(|key| (key.clone(), now["data"][key].clone())).collect();
        patch(data);
        Self { before: Value::Object(before) }
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        patch(&self.before);
    }
}

fn patch(data: &Value) {
    let change = json!({"data": data}).to_string();
    kubectl(&["--namespace", SYSTEM, "patch", "configmap", "pgloom", "--type", "merge", "--patch", &change]).unwrap();
}

#[test]
fn a_new_operator_configuration_reaches_what_runs_and_a_bad_one_changes_nothing() {
    if !has_cluster("configuration") {
        return;
    }
    let namespace = namespace("configuration");
    namespace.apply(&minimal(CLUSTER, 1));
    namespace.running(CLUSTER);

    let changed = Changed::to(&json!({"custom_service_annotations": "owner:dba"}));
    eventually("the Service has the new annotation", || owner(&namespace, &json!("dba")));

    let bad = Changed::to(&json!({"custom_service_annotations": "owner:test", "resync_period": "often"}));
    eventually("an event reports what is wrong with the bad one", || {
        let events = kubectl(&["--namespace", SYSTEM, "get", "events", "--field-selector", "reason=Configuration"])?;
        ensure(events.contains("data.resync_period: \"often\" is not a duration"), events)
    });
    // Later reconciles still use the valid configuration.
    namespace.kubectl(&["annotate", "service", CLUSTER, "owner=me", "--overwrite"]).unwrap();
    eventually("the good one still holds", || owner(&namespace, &json!("dba")));

    drop(bad);
    drop(changed);
    eventually("the annotation goes with the key", || owner(&namespace, &Value::Null));
}

fn owner(namespace: &Namespace, wanted: &Value) -> Result<(), String> {
    let service = namespace.get("service", CLUSTER)?;
    ensure(service["metadata"]["annotations"]["owner"] == *wanted, &service["metadata"]["annotations"])
}
