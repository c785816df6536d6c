//! `description`: the plugin describes itself in the same way each time, and all that it asks for can be granted.

use pgloom_api::pipeline::Document;
use pgloom_engine::grant;
use serde_json::{Value, json};

use super::{Check, Outcome};
use crate::bench::Bench;

/// How often the plugin is asked.
const TIMES: usize = 10;

/// The check. The engine has checked the description when it loaded the component.
pub const CHECK: Check = Check {
    id: "description",
    proves: "The engine accepts the description, it is the same in each fresh instance, and a pipeline document can \
             grant all that it asks for.",
    remedy: "Return constants from describe; the failure names the entry that is refused.",
    with_others: false,
    run,
};

fn run(bench: &Bench) -> Outcome {
    let asked = &bench.plugin.description;
    for call in 1..=TIMES {
        match bench.plugin.describe() {
            Ok(again) if again == *asked => {}
            Ok(_) => return Outcome::Failed(format!("call {call} of describe returned another description")),
            Err(error) => return Outcome::Failed(format!("call {call} of describe failed: {error}")),
        }
    }
    if asked.summary.trim().is_empty() {
        return Outcome::Failed("the summary is empty; say in one sentence what the plugin does".to_owned());
    }
    let wanted = grant::all(asked);
    let text = grant::yaml(&wanted, 0);
    let grants: Value = match serde_yaml_ng::from_str(&text) {
        Ok(grants) => grants,
        Err(error) => return Outcome::Failed(format!("its grants are no YAML: {error}")),
    };
    let grants = if grants.is_null() { json!({}) } else { grants };
    let step = json!({"name": "plugin", "source": {"file": "plugin.wasm"}, "grants": grants});
    let document = Document::read(&json!({
        "apiVersion": "pgloom.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": {"name": "conformance"},
        "spec": {"steps": [step]},
    }));
    match document {
        Ok(document) if document.steps.iter().all(|step| grant::is_empty(&grant::lacking(&wanted, &step.grants))) => {
            Outcome::Passed(format!("{TIMES} calls"))
        }
        Ok(_) => Outcome::Failed("a pipeline that grants all that it asks for lacks some of it".to_owned()),
        Err(problems) => {
            let problem = problems.first().map(ToString::to_string).unwrap_or_default();
            Outcome::Failed(format!("no pipeline can grant what it asks for: {problem}"))
        }
    }
}
