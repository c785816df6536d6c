//! Placeholders in strings, and the manifest as a value for expressions.

use pgloom_kit::json::{self, object, text};
use pgloom_kit::{Cluster, Value};

use crate::Whole;
use crate::settings::Partial;

/// The `postgresql` object.
pub fn manifest(cluster: &Cluster<Whole>) -> Value {
    object([
        ("apiVersion", text("acid.zalan.do/v1")),
        ("kind", text("postgresql")),
        (
            "metadata",
            object([
                ("name", text(&cluster.name)),
                ("namespace", text(&cluster.namespace)),
                ("uid", text(&cluster.uid)),
                ("labels", json::map(cluster.labels.clone())),
                ("annotations", json::map(cluster.annotations.clone())),
            ]),
        ),
        ("spec", cluster.spec.0.clone()),
    ])
}

/// The partial object with the values of `{cluster}`, `{namespace}` and `{team}`.
pub fn placeholders(partial: &Partial, cluster: &Cluster<Whole>) -> Value {
    let mut object = partial.0.clone();
    fill(&mut object, &[("{cluster}", &cluster.name), ("{namespace}", &cluster.namespace), ("{team}", &cluster.team)]);
    object
}

fn fill(value: &mut Value, names: &[(&str, &str)]) {
    match value {
        Value::String(text) => *text = filled(text, names),
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, names)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// In one pass, so that a placeholder in a value is not filled.
fn filled(text: &str, names: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        let (known, name) = names.iter().find(|(known, _)| rest.starts_with(known)).copied().unwrap_or(("{", "{"));
        filled.push_str(name);
        rest = &rest[known.len()..];
    }
    filled.push_str(rest);
    filled
}
