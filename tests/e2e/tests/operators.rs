//! Of two running operators, only one writes.

use e2e::{ensure, eventually, has_cluster, kubectl};
use serde_json::Value;

const SYSTEM: &str = "pgloom-system";

fn holder() -> Result<String, String> {
    let text = kubectl(&["--namespace", SYSTEM, "get", "lease", "pgloom", "--output", "json"])?;
    let lease: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    lease["spec"]["holderIdentity"].as_str().map(str::to_owned).ok_or_else(|| "the Lease has no holder".to_owned())
}

#[test]
fn another_operator_takes_over_when_the_one_that_leads_goes() {
    if !has_cluster("operators") {
        return;
    }
    eventually("two operators are ready", || {
        let field = "jsonpath={.status.readyReplicas}";
        let ready = kubectl(&["--namespace", SYSTEM, "get", "deployment", "pgloom", "--output", field])?;
        ensure(ready == "2", ready)
    });
    let old = eventually("one operator leads", holder);
    let pod = old.split('_').next().unwrap().to_owned();
    kubectl(&["--namespace", SYSTEM, "delete", "pod", &pod, "--wait=false"]).unwrap();
    eventually("another operator leads", || {
        let new = holder()?;
        ensure(!new.starts_with(&pod), new)
    });
}
