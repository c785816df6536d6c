//! Of two running operators, only one writes. Another one takes over when it goes, and does its work.

use e2e::process::kill_in_pod;
use e2e::{Namespace, ensure, eventually, has_cluster, kubectl, minimal, namespace};
use serde_json::{Value, json};

const SYSTEM: &str = "pgloom-system";
const CLUSTER: &str = "acid-operators";

#[test]
fn another_operator_takes_over_and_reconciles_when_the_one_that_leads_goes_or_is_killed() {
    if !has_cluster("operators") {
        return;
    }
    let namespace = namespace("operators");
    namespace.apply(&minimal(CLUSTER, 1));
    let pod = leading_pod();
    kubectl(&["--namespace", SYSTEM, "delete", "pod", &pod, "--wait=false"]).unwrap();
    another_leads_and_applies_an_edit(&namespace, "after a deletion", |holder| !holder.starts_with(&pod));

    let pod = leading_pod();
    let old = holder().unwrap();
    let uid = ["--namespace", SYSTEM, "get", "pod", &pod, "--output", "jsonpath={.metadata.uid}"];
    kill_in_pod(&kubectl(&uid).unwrap(), "pgloom");
    // The container starts again, so its next process may lead.
    another_leads_and_applies_an_edit(&namespace, "after a kill", |holder| holder != old);
    namespace.running(CLUSTER);
}

/// The pod of the operator that leads, while two are ready.
fn leading_pod() -> String {
    eventually("two operators are ready", || {
        let field = "jsonpath={.status.readyReplicas}";
        let ready = kubectl(&["--namespace", SYSTEM, "get", "deployment", "pgloom", "--output", field])?;
        ensure(ready == "2", ready)
    });
    eventually("one operator leads", holder).split('_').next().unwrap().to_owned()
}

fn another_leads_and_applies_an_edit(namespace: &Namespace, note: &str, is_other: impl Fn(&str) -> bool) {
    eventually("another operator leads", || {
        let holder = holder()?;
        ensure(is_other(&holder), holder)
    });
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"serviceAnnotations": {"note": note}}}));
    eventually("the edit is applied", || {
        let manifest = namespace.get("postgresql", CLUSTER)?;
        let (status, generation) = (&manifest["status"], &manifest["metadata"]["generation"]);
        ensure(status["observedGeneration"] == *generation, status)?;
        let annotations = namespace.get("service", CLUSTER)?["metadata"]["annotations"].clone();
        ensure(annotations["note"] == note, annotations)
    });
}

fn holder() -> Result<String, String> {
    let text = kubectl(&["--namespace", SYSTEM, "get", "lease", "pgloom", "--output", "json"])?;
    let lease: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let holder = lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty());
    holder.map(str::to_owned).ok_or_else(|| "the Lease has no holder".to_owned())
}
