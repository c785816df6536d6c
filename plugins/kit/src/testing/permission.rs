//! Checks a call against the plugin's description, as the host does: what the description does not ask for fails the
//! test, with the line to add. The host checks more: the values of privileges and credentials, and who created an object.

use pgloom_common::name::covers;
use serde_json::{Map, Value};

use super::pattern::{Pattern, Segment};
use crate::bindings::contract::{
    Action, ActionKind, Contribution, Description, ObjectKind, ObjectPermission, ObjectRef, Request, Response,
};

/// What a test gives and the host would not send: a sentence for each.
pub(super) fn unread(description: &Description, request: &Request) -> Vec<String> {
    let mut problems = Vec::new();
    for ObjectRef { api_version, kind, name } in request.desired.iter().map(|desired| &desired.identity) {
        let is_it = |asked: &ObjectKind| asked.api_version == *api_version && asked.kind == *kind;
        if !description.desired.iter().any(is_it) {
            problems.push(format!(
                "the description does not read desired objects as {kind} {name}; add to describe: \
                 .reads_desired(kind(\"{api_version}\", \"{kind}\"))"
            ));
        }
    }
    for observed in &request.observed {
        let ObjectRef { api_version, kind, name } = &observed.identity;
        let id = &observed.selector;
        let asked = description.observed.iter().find(|selector| selector.id == *id);
        if asked.is_none_or(|asked| asked.kind.kind != *kind || asked.kind.api_version != *api_version) {
            problems.push(format!(
                "the description has no selector \"{id}\" that finds {kind} {name}; add to describe: \
                 .observes_owned(\"{id}\", kind(\"{api_version}\", \"{kind}\"), &[])"
            ));
        }
    }
    problems
}

/// What the answer does and the description does not ask for: a sentence for each.
pub(super) fn forbidden(description: &Description, response: &Response, cluster: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for contribution in &response.contributions {
        match contribution {
            Contribution::Apply(json) => {
                let object = serde_json::from_str(json).unwrap_or_default();
                problems.extend(of_object(description, &object, cluster));
            }
            Contribution::Remove(removal) => {
                let rights = rights(description, &removal.object, cluster);
                let removes = |asked: &&&ObjectPermission| !asked.removes.is_empty();
                if rights.iter().filter(removes).count() == 0 {
                    let call = call("removes", &removal.object, cluster, std::slice::from_ref(&removal.path));
                    let ObjectRef { kind, name, .. } = &removal.object;
                    problems
                        .push(format!("the description removes nothing from {kind} {name}; add to describe: {call}"));
                }
            }
        }
    }
    for requested in &response.actions {
        let kind = kind_of(&requested.action);
        if !description.actions.iter().any(|asked| asked.kind == kind) {
            problems.push(format!(
                "the description does not ask for the action {}; add to describe: .acts(ActionKind::{kind:?}, &[…])",
                requested.key
            ));
        }
    }
    problems
}

fn kind_of(action: &Action) -> ActionKind {
    match action {
        Action::Credential(_) => ActionKind::Credential,
        Action::UserList(_) => ActionKind::UserList,
        Action::PoolerAccess(_) => ActionKind::PoolerAccess,
        Action::ConfigurePatroni(_) => ActionKind::ConfigurePatroni,
        Action::Promote => ActionKind::Promote,
        Action::ExpandClaim(_) => ActionKind::ExpandClaim,
        Action::ModifyVolume(_) => ActionKind::ModifyVolume,
        Action::GrowFilesystem(_) => ActionKind::GrowFilesystem,
    }
}

fn of_object(description: &Description, object: &Value, cluster: &str) -> Vec<String> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of = ObjectRef { api_version: text("/apiVersion"), kind: text("/kind"), name: text("/metadata/name") };
    let ObjectRef { kind, name, .. } = &of;
    let rights = rights(description, &of, cluster);
    if rights.is_empty() {
        let (creates, writes) = (call("creates", &of, cluster, &[]), call("writes", &of, cluster, &fields(object)));
        return vec![format!(
            "the description does not ask for {kind} {name}; add to describe: {creates}, or, if an earlier step creates \
             it: {writes}"
        )];
    }
    // It sets all fields of what it creates, if it names none.
    if rights.iter().any(|asked| asked.creates && asked.fields.is_empty()) {
        return Vec::new();
    }
    let paths = rights.iter().flat_map(|asked| asked.fields.iter().chain(&asked.overrides));
    let patterns: Vec<Pattern> = match paths.map(|path| Pattern::parse(path)).collect() {
        Ok(patterns) => patterns,
        Err(problem) => return vec![format!("the description of {kind} {name}: {problem}")],
    };
    let open: Vec<&[Segment]> = patterns.iter().map(Pattern::segments).collect();
    let mut uncovered = Vec::new();
    walk(&without_identity(object), &open, "", &mut uncovered);
    let asks = |path: &String| {
        let call = call("writes", &of, cluster, std::slice::from_ref(path));
        format!("the description does not ask for {path} of {kind} {name}; add the path to it: {call}")
    };
    uncovered.iter().map(asks).collect()
}

/// The entries of the description about an object.
fn rights<'a>(description: &'a Description, of: &ObjectRef, cluster: &str) -> Vec<&'a ObjectPermission> {
    let is_it = |asked: &&ObjectPermission| {
        let names = || asked.names.iter().any(|pattern| covers(pattern, cluster, &of.name));
        asked.kind.kind == of.kind && asked.kind.api_version == of.api_version && names()
    };
    description.objects.iter().filter(is_it).collect()
}

/// The call that asks for it, as in `.creates(kind("v1", "ConfigMap"), &["{cluster}-motto"])`.
fn call(method: &str, of: &ObjectRef, cluster: &str, paths: &[String]) -> String {
    let ObjectRef { api_version, kind, name } = of;
    let name = if cluster.is_empty() { name.clone() } else { name.replace(cluster, "{cluster}") };
    let paths: Vec<String> = paths.iter().map(|path| format!("{path:?}")).collect();
    let paths = if paths.is_empty() { String::new() } else { format!(", &[{}]", paths.join(", ")) };
    format!(".{method}(kind(\"{api_version}\", \"{kind}\"), &[\"{name}\"]{paths})")
}

/// The object without what every partial object has.
pub(super) fn without_identity(object: &Value) -> Value {
    let mut fields = object.as_object().cloned().unwrap_or_default();
    fields.retain(|key, _| key != "apiVersion" && key != "kind");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| key != "name" && key != "namespace");
    }
    fields.retain(|key, value| key != "metadata" || value.as_object().is_none_or(|fields| !fields.is_empty()));
    Value::Object(fields)
}

/// The fields that an object sets, for the line to add: those of `spec`, or the outermost ones.
fn fields(object: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    walk(&without_identity(object), &[], "", &mut paths);
    paths
}

/// Keys by which the API merges the entries of a list. An entry with no other field is an anchor, which sets nothing.
pub(super) const MERGE_KEYS: [&str; 10] =
    ["containerPort", "devicePath", "ip", "key", "mountPath", "name", "port", "protocol", "topologyKey", "type"];

/// Collects the paths of what is set and of what none of the open patterns covers.
fn walk(value: &Value, open: &[&[Segment]], path: &str, uncovered: &mut Vec<String>) {
    if value.is_null() || open.iter().any(|pattern| pattern.is_empty()) {
        return;
    }
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let below: Vec<&[Segment]> = open.iter().filter_map(|pattern| Segment::field(pattern, key)).collect();
                walk(value, &below, &Segment::path_of_field(path, key), uncovered);
            }
        }
        Value::Array(entries) if !entries.is_empty() => {
            entries.iter().for_each(|entry| walk_entry(entry, open, path, uncovered));
        }
        // An empty list or map has no entry that a pattern below it would name.
        Value::Object(_) | Value::Array(_) if !open.is_empty() => {}
        _ => uncovered.push(path.to_owned()),
    }
}

fn walk_entry(entry: &Value, open: &[&[Segment]], path: &str, uncovered: &mut Vec<String>) {
    let below: Vec<&[Segment]> = open.iter().filter_map(|pattern| Segment::entry(pattern, entry)).collect();
    let path = Segment::path_of_entry(path, entry);
    let Some(fields) = entry.as_object().filter(|_| !below.iter().any(|pattern| pattern.is_empty())) else {
        return walk(entry, &below, &path, uncovered);
    };
    let rest: Map<String, Value> = fields
        .iter()
        .filter(|(key, _)| !MERGE_KEYS.contains(&key.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    match (rest.is_empty(), below.is_empty()) {
        (true, _) => {}
        // The whole entry is named, not each of its fields.
        (false, true) => uncovered.push(path),
        (false, false) => walk(&Value::Object(rest), &below, &path, uncovered),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Call;
    use crate::{Description as Asked, NoSettings, Plugin, Response, Result, kind};

    fn problems(asked: Asked, object: &Value) -> Vec<String> {
        let response = Response::new().apply(object.clone()).build();
        forbidden(&asked.build(), &response, "acid-orders")
    }

    /// Answers with nothing.
    struct Silent;

    impl Plugin for Silent {
        type Spec = Value;
        type Config = ();
        type Settings = NoSettings;

        fn describe() -> Asked {
            Asked::of::<Self>("silent", "0.1.0", "Does nothing.")
        }

        fn mutate(_request: &crate::Request<Self>) -> Result<Response> {
            Ok(Response::new())
        }
    }

    fn nothing() -> Asked {
        Silent::describe()
    }

    fn workload(container: Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "acid-orders"},
            "spec": {"template": {"spec": {"containers": [{"name": "postgres"}, container]}}},
        })
    }

    #[test]
    fn an_object_that_is_not_asked_for_names_the_line_to_add() {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "acid-orders-a"}, "data": {"a.b": "c"}});
        let line = r#".creates(kind("v1", "ConfigMap"), &["{cluster}-a"])"#;
        let said = problems(nothing(), &object).join("\n");
        assert!(said.contains(line) && said.contains(r#"&["{cluster}-a"], &["data[\"a.b\"]"])"#), "{said}");
        assert_eq!(problems(nothing().creates(kind("v1", "ConfigMap"), &["{cluster}-*"]), &object), [""; 0]);
    }

    #[test]
    fn a_field_that_is_not_asked_for_names_its_path() {
        let set = || kind("apps/v1", "StatefulSet");
        let object = workload(json!({"name": "exporter", "image": "a", "env": [{"name": "A", "value": "b"}]}));
        let path = "spec.template.spec.containers[name=exporter]";
        for (fields, missing) in [
            (&["spec.template.spec.containers"][..], None),
            (&["spec.template.spec.containers[*]"], None),
            (&[path], None),
            (&["spec.replicas"], Some(path)),
            (&["spec.template.spec.containers[name=other]"], Some(path)),
            (&["spec.template.spec.containers[name=exporter].env[name=A]"], Some(".image of")),
            (&["spec.template.spec.containers[name=exporter].image"], Some(".env[name=A] of")),
            (&["*.template.spec.containers[name=exporter].image", "spec.*.spec.containers[*].env[*].value"], None),
        ] {
            let said = problems(nothing().writes(set(), &["{cluster}"], fields), &object).join("\n");
            assert_eq!(said.is_empty(), missing.is_none(), "{fields:?}: {said}");
            assert!(missing.is_none_or(|missing| said.contains(missing) && said.contains(".writes(kind(")), "{said}");
        }
        let wrong = problems(nothing().writes(set(), &["{cluster}"], &["spec.a[name"]), &object).join("\n");
        assert!(wrong.contains("`spec.a[name` is not a field path"), "{wrong}");
    }

    #[test]
    fn a_removal_that_is_not_asked_for_names_the_line_to_add() {
        let of = ObjectRef { api_version: "v1".to_owned(), kind: "Service".to_owned(), name: "acid-orders".to_owned() };
        let response = Response::new().remove(of, "spec.type").build();
        let said = forbidden(&nothing().build(), &response, "acid-orders").join("\n");
        assert!(said.ends_with(r#".removes(kind("v1", "Service"), &["{cluster}"], &["spec.type"])"#), "{said}");
        let asked = nothing().removes(kind("v1", "Service"), &["{cluster}"], &["spec"]).build();
        assert_eq!(forbidden(&asked, &response, "acid-orders"), [""; 0]);
    }

    fn called(add: impl Fn(Call) -> Call + std::panic::UnwindSafe) -> String {
        let call = || Call::new(&json!({"metadata": {"name": "acid-orders"}, "spec": {}}));
        let panic = std::panic::catch_unwind(move || add(call()).mutate::<Silent>()).err().unwrap();
        panic.downcast_ref::<String>().unwrap().clone()
    }

    #[test]
    fn what_the_host_would_not_send_names_the_line_to_add() {
        let object = workload(json!({"name": "a"}));
        let said = called(|call| call.desired(&workload(json!({"name": "a"}))));
        assert!(said.ends_with(r#".reads_desired(kind("apps/v1", "StatefulSet"))"#), "{said}");
        let said = called(move |call| call.observed("running", &object));
        assert!(said.ends_with(r#".observes_owned("running", kind("apps/v1", "StatefulSet"), &[])"#), "{said}");
    }
}
