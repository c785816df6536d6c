//! The hostile suite: guests that try one thing each, and who refuses it with which words.
//!
//! `tests/hostile.rs` runs every case, `tests/bench` measures what the guests cost other clusters. The guests of a case
//! are the third step of a small pipeline, after `database` and `monitor`, which are what the guests are after.

mod actions;
mod answers;
mod credentials;
mod descriptions;
mod modules;
mod objects;
mod pods;

use serde_json::{Value, json};

use crate::script::Script;

/// Who refuses what the guest of a case does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The pipeline document is refused: it asks for more than a step may have.
    Document,
    /// The step is not loaded.
    Load,
    /// The call gives no answer.
    Call,
    /// The answer is not taken.
    Answer,
    /// A contribution is not merged.
    Merge,
    /// The cluster is decided, and the action is refused.
    Action,
    /// The cluster is decided with the object, which is not written, because the one that exists is not the cluster's.
    Owner,
    /// Nobody: what the guest does has no effect on others. The texts are in what it contributes.
    Harmless,
}

/// One hostile guest.
pub struct Case {
    /// What the guest does.
    pub name: &'static str,
    /// The group for the measurement.
    pub group: &'static str,
    /// Its component.
    pub component: Vec<u8>,
    /// The step's fields besides its name, its source and the clusters that it is for.
    pub step: Value,
    /// Who refuses it.
    pub by: By,
    /// What the refusal says: who, where, and the remedy.
    pub says: Vec<&'static str>,
}

impl Case {
    /// A case with a script, which is granted all that it asks for.
    fn new(name: &'static str, script: Script, by: By, says: &[&'static str]) -> Self {
        Self::bytes(name, script.component(), by, says).step("grants", script.grants())
    }

    /// A case with other bytes.
    fn bytes(name: &'static str, component: Vec<u8>, by: By, says: &[&'static str]) -> Self {
        Self { name, group: "", component, step: json!({}), by, says: says.to_vec() }
    }

    /// With a field of the step.
    fn step(mut self, field: &str, value: Value) -> Self {
        self.step[field] = value;
        self
    }
}

/// All cases.
pub fn cases() -> Vec<Case> {
    let groups = [
        ("objects", objects::cases()),
        ("pods", pods::cases()),
        ("credentials", credentials::cases()),
        ("actions", actions::cases()),
        ("answers", answers::cases()),
        ("descriptions", descriptions::cases()),
        ("modules", modules::cases()),
    ];
    let of_group =
        |(group, cases): (&'static str, Vec<Case>)| cases.into_iter().map(move |case| Case { group, ..case });
    groups.into_iter().flat_map(of_group).collect()
}

/// The name of the hostile step.
pub const STEP: &str = "hostile";

/// A hostile guest that asks for nothing.
fn guest() -> Script {
    Script::new(STEP)
}

/// The step whose objects the guests are after: the database with its Services.
pub fn database() -> Script {
    let container = json!({
        "name": "postgres", "image": "postgres",
        "env": [{"name": "KEY", "value": "pgloom-placeholder:database:config:scalyr_api_key"}],
    });
    let labels = json!({"cluster-name": "{cluster}"});
    Script::new("database")
        .creates("apps/v1 StatefulSet", &["{cluster}"])
        .creates("v1 Service", &["{cluster}"])
        .credential("scalyr_api_key")
        .action("configure-patroni", &["ttl"])
        .applies(&json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "{cluster}", "labels": labels},
            "spec": {
                "replicas": 2, "serviceName": "{cluster}", "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }))
        .applies(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "{cluster}", "labels": labels},
            "spec": {"selector": labels, "ports": [{"name": "postgresql", "port": 5432}]},
        }))
        .requests("ttl", "configure-patroni", json!({"configuration": r#"{"ttl":30}"#}))
}

/// The step that has a role of its own.
pub fn monitor() -> Script {
    Script::new("monitor").action("credential", &["monitor"]).requests(
        "monitor",
        "credential",
        json!({"username": "monitor"}),
    )
}

/// An object with a name and other fields.
fn object(kind: &str, name: &str, fields: Value) -> Value {
    let (api_version, kind) = kind.split_once(' ').unwrap_or((kind, ""));
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    merge(&mut object, fields);
    object
}

fn merge(into: &mut Value, fields: Value) {
    match (into, fields) {
        (Value::Object(into), Value::Object(fields)) => {
            fields.into_iter().for_each(|(name, value)| merge(into.entry(name).or_insert(Value::Null), value));
        }
        (into, value) => *into = value,
    }
}
