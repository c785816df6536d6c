//! One case, applied to the server and to the merge.

use pgloom_api::Privilege;
use pgloom_engine::{
    ObjectKind, Scope,
    merge::{Error, Merger, Writer},
    permission::{ObjectRights, Permissions, Rights},
};
use serde_json::{Map, Value, json};

use crate::{
    cluster::{Answer, Cluster},
    generate::{Case, Fragment},
};

/// How often each outcome occurred.
#[derive(Debug, Default)]
pub struct Tally {
    pub merged: u32,
    pub conflicts: u32,
    pub forced: u32,
    pub invalid: u32,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.merged += other.merged;
        self.conflicts += other.conflicts;
        self.forced += other.forced;
        self.invalid += other.invalid;
    }
}

/// Applies the fragments of a case on both sides and compares the objects. An error says what differs.
pub fn compare(cluster: &Cluster, case: &Case) -> Result<Tally, String> {
    let name = format!("case-{}", unique());
    let scope = Scope { namespace: cluster.namespace.clone(), ..Scope::default() };
    let mut merger = Merger::new(cluster.schemas.clone(), scope);
    let mut tally = Tally::default();
    let mut live = Value::Null;
    for (index, fragment) in case.fragments.iter().enumerate() {
        let object = case.object(fragment, &name);
        let manager = format!("step-{index}");
        let before = merger.clone();
        let ours = apply(&mut merger, &manager, fragment, &object);
        // What only gives a place creates nothing in the merge, see `wit/`; the server would create an empty entry.
        let mut sent = object.clone();
        drop_anchors(&mut sent, &live);
        match (cluster.apply(&sent, &manager, fragment.force), ours) {
            (Answer::Merged(object), Ok(())) => {
                live = object;
                tally.merged += 1;
                tally.forced += u32::from(fragment.force);
            }
            (Answer::Conflict(_), Err(Error::Conflict(_))) => tally.conflicts += 1,
            // The combination is not a valid object: both sides continue without the fragment.
            (Answer::Invalid(_), Ok(())) if index > 0 => {
                merger = before;
                tally.invalid += 1;
            }
            (Answer::Merged(_), Err(ours)) => return Err(format!("{manager}: only we refuse it: {ours}")),
            (Answer::Conflict(theirs), ours) => return Err(format!("{manager}: {theirs}; we: {ours:?}")),
            (Answer::Invalid(theirs), ours) => return Err(format!("{manager}: invalid: {theirs}; we: {ours:?}")),
        }
    }
    let mut merged = merger.finish().pop().ok_or("there is no object")?.object;
    merged["metadata"]["name"] = json!(format!("{name}-merged"));
    match cluster.apply(&merged, "pgloom", false) {
        Answer::Merged(object) if comparable(&object) == comparable(&live) => Ok(tally),
        Answer::Merged(object) => Err(difference(&comparable(&object), &comparable(&live), "")),
        Answer::Conflict(message) | Answer::Invalid(message) => Err(format!("the merged object is refused: {message}")),
    }
}

fn apply(merger: &mut Merger, step: &str, fragment: &Fragment, object: &Value) -> Result<(), Error> {
    let text = |field: &str| object[field].as_str().expect("text").to_owned();
    let kind = ObjectKind { api_version: text("apiVersion"), kind: text("kind") };
    let all = || vec!["*".parse().expect("a pattern")];
    let overrides = if fragment.force { all() } else { Vec::new() };
    let names = vec!["*".to_owned()];
    let objects = vec![ObjectRights { kind, names, creates: true, fields: all(), overrides, removes: Vec::new() }];
    let permissions = Permissions::granted(&Rights { objects, privileges: Privilege::ALL.into() });
    merger.apply(&Writer { step, permissions: &permissions }, object.clone())
}

/// Removes list entries that have nothing but a name, and are not in the live object.
fn drop_anchors(fragment: &mut Value, live: &Value) {
    let Value::Object(fields) = fragment else { return };
    fields.retain(|field, value| {
        let live = &live[field];
        drop_anchors(value, live);
        // A reference to a Secret has no other field than its name, so it is one.
        let Value::Array(entries) = value else { return true };
        if entries.is_empty() || field == "imagePullSecrets" {
            return true;
        }
        entries.retain_mut(|entry| {
            let named = |other: &&Value| other["name"].is_string() && other["name"] == entry["name"];
            let known = live.as_array().into_iter().flatten().find(named);
            let is_anchor = entry.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key("name"));
            drop_anchors(entry, known.unwrap_or(&Value::Null));
            known.is_some() || !is_anchor
        });
        !entries.is_empty()
    });
}

/// The applied fields, without those that the server adds.
fn comparable(object: &Value) -> Value {
    let mut rest: Map<String, Value> = object.as_object().cloned().unwrap_or_default();
    rest.remove("status");
    let metadata = rest.remove("metadata").unwrap_or_default();
    let mut annotations = metadata["annotations"].clone();
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove("deployment.kubernetes.io/revision");
    }
    if let Some(spec) = rest.get_mut("spec").and_then(Value::as_object_mut) {
        // The server allocates them for each Service.
        for allocated in ["clusterIP", "clusterIPs", "healthCheckNodePort"] {
            spec.remove(allocated);
        }
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            port.as_object_mut().map(|port| port.remove("nodePort"));
        }
    }
    rest.insert("labels".to_owned(), metadata["labels"].clone());
    rest.insert("annotations".to_owned(), annotations);
    Value::Object(rest)
}

/// The first field in which two values differ.
fn difference(ours: &Value, theirs: &Value, path: &str) -> String {
    match (ours, theirs) {
        (Value::Object(left), Value::Object(right)) => {
            let names = left.keys().chain(right.keys());
            let differs = |name: &&String| left.get(*name) != right.get(*name);
            let name = names.into_iter().find(differs).map(String::as_str).unwrap_or_default();
            difference(&ours[name], &theirs[name], &format!("{path}.{name}"))
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let index = left.iter().zip(right).position(|(left, right)| left != right).unwrap_or_default();
            difference(&left[index], &right[index], &format!("{path}[{index}]"))
        }
        _ => format!("{path}: we make {ours}, the server {theirs}"),
    }
}

fn unique() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
