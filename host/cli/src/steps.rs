//! What each step of a pipeline did for a cluster, as text.

use std::fmt::Write as _;

use pgloom_decide::kind::ObjectKey;
use pgloom_engine::{Change, ObjectRef, Outcome, StepTrace, Trace};
use serde_json::Value;

/// A line for each step, and one for each object that it changed.
pub fn text(manifest: &Value, trace: &Trace) -> String {
    let cluster = ObjectKey::of(manifest);
    let mut text = format!("steps of {}/{}:\n", cluster.namespace, cluster.name);
    for step in &trace.steps {
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "  {}: {}", title(step), outcome(step));
        for line in contributions(step) {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// The step, and the plugin if it has another name.
fn title(StepTrace { step, plugin, version, .. }: &StepTrace) -> String {
    if step == plugin { format!("{step} {version}") } else { format!("{step} ({plugin} {version})") }
}

fn outcome(step: &StepTrace) -> String {
    let silent = step.changes.is_empty() && step.actions.is_empty() && step.findings == 0 && step.conditions.is_empty();
    let nothing = matches!(step.outcome, Outcome::Called(_) | Outcome::Reused) && silent;
    format!("{}{}", step.outcome, if nothing { ": it contributed nothing" } else { "" })
}

fn contributions(step: &StepTrace) -> Vec<String> {
    let mut lines = Vec::new();
    let mut objects: Vec<&ObjectRef> = Vec::new();
    for change in &step.changes {
        if !objects.contains(&&change.object) {
            objects.push(&change.object);
        }
    }
    for object in objects {
        let changes: Vec<&Change> = step.changes.iter().filter(|change| change.object == *object).collect();
        let created = changes.iter().any(|change| change.path == "kind" || change.path == "metadata.name");
        let created = created && changes.iter().all(|change| change.before.is_none());
        let ObjectRef { kind, name, .. } = object;
        if created {
            lines.push(format!("creates {kind} {name}: {} fields", changes.len()));
            continue;
        }
        lines.push(format!("changes {kind} {name}:"));
        lines.extend(changes.iter().map(|change| format!("  {} {}", verb(change), change.path)));
    }
    if !step.actions.is_empty() {
        lines.push(format!("requests actions: {}", step.actions.join(", ")));
    }
    if !step.conditions.is_empty() {
        lines.push(format!("sets conditions: {}", step.conditions.join(", ")));
    }
    if step.findings > 0 {
        lines.push(format!("has findings: {}", step.findings));
    }
    lines
}

fn verb(change: &Change) -> &'static str {
    match (&change.before, &change.after) {
        (None, _) => "sets",
        (Some(_), Some(_)) => "overrides",
        (Some(_), None) => "removes",
    }
}
