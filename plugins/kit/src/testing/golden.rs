//! Replays the golden folder of a plugin natively: the same cases that `pgloom plugin test` decides with the component.
//!
//! The host merges what a plugin answers with the objects of earlier steps, and adds metadata. So of an object each field
//! that the plugin sets must be as expected, and each expected field must be the plugin's or an earlier step's, its
//! metadata aside. Findings, conditions, refusals and keys of actions must be the same. A value that depends on a
//! credential or on a Secret, and what a plugin removes, are compared with the component alone.

mod compare;

use std::path::{Path, PathBuf};

use pgloom_common::golden::{self, title};
use pgloom_common::hidden;
use serde_json::{Value, json};

use super::document::documents;
use super::{Call, identity, operator_config_of};
use crate::bindings::contract::{Description, ObservedSelector, Selection};
use crate::plugin::Plugin;

/// The label of the objects of a cluster, if the operator configuration names no other.
const CLUSTER_LABEL: &str = "cluster-name";

/// Calls `P` natively for every case of the golden folder of a plugin's folder, which in a test is
/// `env!("CARGO_MANIFEST_DIR")`, and compares its answers with what is expected.
///
/// # Panics
/// If an answer is not as expected, a file cannot be read, or the description does not ask for what an answer does; with
/// each problem and its place.
#[track_caller]
#[expect(clippy::panic, reason = "a test of a plugin that answers otherwise has to fail")]
pub fn replay<P: Plugin>(plugin: impl AsRef<Path>) {
    let built_for = plugin.as_ref().to_owned();
    // A plugin that was moved, and whose build folder was not, is not built again: cargo says where it is now.
    let moved = std::env::var_os("CARGO_MANIFEST_DIR").filter(|_| !built_for.is_dir());
    let problems = problems::<P>(&moved.map_or(built_for, PathBuf::from));
    if !problems.is_empty() {
        panic!("{}", problems.join("\n"));
    }
}

fn problems<P: Plugin>(plugin: &Path) -> Vec<String> {
    let folder = plugin.join(golden::FOLDER);
    let cases = match golden::cases(plugin) {
        Ok(cases) => cases,
        Err(error) => return vec![format!("{}: {error}", folder.display())],
    };
    if cases.is_empty() {
        return vec![format!("{}: has no case; make a folder golden/CASE with a manifest.yaml", folder.display())];
    }
    let step = match optional(&plugin.join(golden::STEP)) {
        Ok(documents) => documents.into_iter().next().unwrap_or_default(),
        Err(problem) => return vec![problem],
    };
    let of = |case: &std::path::PathBuf| {
        let problems = Case::read(case, &step).map_or_else(|problem| vec![problem], |case| case.problems::<P>());
        problems.into_iter().map(|problem| format!("{}: {problem}", title(case))).collect::<Vec<_>>()
    };
    cases.iter().flat_map(of).collect()
}

/// The documents of a file that may be absent; each is a map.
fn optional(path: &Path) -> Result<Vec<Value>, String> {
    let documents = if path.exists() { documents(path)? } else { Vec::new() };
    match documents.iter().position(|document| !document.is_object()) {
        None => Ok(documents),
        Some(at) => Err(format!("{}: document {} is not a map; write it as `key: value`", path.display(), at + 1)),
    }
}

/// A case, as its files have it.
struct Case {
    /// The name of the step, which is before the types of its conditions.
    step: String,
    manifest: Value,
    operator: Value,
    config: Value,
    desired: Vec<Value>,
    existing: Vec<Value>,
    expected: Value,
}

impl Case {
    fn read(folder: &Path, step: &Value) -> Result<Self, String> {
        let all = |name: &str| optional(&folder.join(name));
        let one = |name: &str| Ok::<_, String>(all(name)?.into_iter().next());
        let mut manifest = one(golden::MANIFEST)?.ok_or_else(|| format!("has no {}", golden::MANIFEST))?;
        if let Some(metadata) = manifest["metadata"].as_object_mut() {
            metadata.entry("namespace").or_insert_with(|| json!(golden::NAMESPACE));
        }
        let operator = one(golden::OPERATOR)?.unwrap_or_default();
        let entries = if operator["kind"] == "ConfigMap" { &operator["data"] } else { &operator["configuration"] };
        let config = match folder.join(golden::CONFIG).exists() {
            true => one(golden::CONFIG)?,
            false => step.get("config").cloned(),
        };
        let expected = one(golden::EXPECTED)?.ok_or_else(|| {
            format!("has no {}; `pgloom plugin test --update` writes what the component answers", golden::EXPECTED)
        })?;
        Ok(Self {
            step: step["name"].as_str().unwrap_or_default().to_owned(),
            operator: operator_config_of(entries),
            config: config.unwrap_or_else(|| json!({})),
            desired: all(golden::DESIRED)?,
            existing: all(golden::EXISTING)?,
            manifest,
            expected,
        })
    }

    fn problems<P: Plugin>(&self) -> Vec<String> {
        let description = P::describe().build();
        match self.call(&description).answer::<P>() {
            Err(problem) => vec![problem],
            Ok(answer) => compare::problems(self, !description.relevant.is_empty(), answer),
        }
    }

    /// The call for what the description reads.
    fn call(&self, description: &Description) -> Call {
        let mut call = Call::new(&self.manifest).operator_config(&self.operator).settings(&self.config);
        for object in &self.desired {
            let of = identity(object);
            if description.desired.iter().any(|kind| kind.kind == of.kind && kind.api_version == of.api_version) {
                call = call.desired(object);
            }
        }
        for selector in &description.observed {
            for object in self.existing.iter().filter(|object| self.is_selected(object, selector)) {
                call = call.observed(&selector.id, &without_values(object));
            }
        }
        call
    }

    fn is_selected(&self, object: &Value, selector: &ObservedSelector) -> bool {
        let ObservedSelector { kind, from, .. } = selector;
        let of = identity(object);
        if of.kind != kind.kind || of.api_version != kind.api_version {
            return false;
        }
        let name = match from {
            Selection::Owned => {
                let label = self.operator["cluster_name_label"].as_str().unwrap_or(CLUSTER_LABEL);
                return object["metadata"]["labels"][label] == self.manifest["metadata"]["name"];
            }
            Selection::Manifest(pointer) => self.manifest.pointer(pointer),
            Selection::Config(key) => self.operator.get(key),
        };
        let name = name.and_then(Value::as_str).unwrap_or_default();
        name.rsplit('/').next() == Some(&*of.name)
    }
}

/// The object; a Secret with a hash in place of each value.
fn without_values(object: &Value) -> Value {
    let mut object = object.clone();
    if object["kind"] == "Secret" {
        for field in ["data", "stringData"] {
            for value in
                object.get_mut(field).and_then(Value::as_object_mut).into_iter().flat_map(|data| data.values_mut())
            {
                *value = json!(hidden::HASH);
            }
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Description as Asked, Request, Response, Result, invalid, kind};

    /// Puts the text of its configuration into a ConfigMap, and a variable into the StatefulSet.
    struct Note;

    #[derive(Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
    #[serde(default)]
    struct Settings {
        text: String,
    }

    impl Plugin for Note {
        type Spec = Value;
        type Config = ();
        type Settings = Settings;

        fn describe() -> Asked {
            Asked::of::<Self>("note", "0.1.0", "Notes.").creates(kind("v1", "ConfigMap"), &["{cluster}-note"]).writes(
                kind("apps/v1", "StatefulSet"),
                &["{cluster}"],
                &["spec.template.spec.containers[name=postgres].env"],
            )
        }

        fn mutate(request: &Request<Self>) -> Result<Response> {
            let (name, text) = (&request.cluster.name, &request.settings.text);
            if text.is_empty() {
                return Err(invalid("spec.text", "is empty", "fill it in"));
            }
            Ok(Response::new()
                .apply(json!({
                    "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("{name}-note")},
                    "data": {"text": text},
                }))
                .apply(json!({
                    "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
                    "spec": {"template": {"spec": {"containers": [
                        {"name": "postgres", "env": [{"name": "NOTE", "value": text}]},
                    ]}}},
                }))
                .warn("spec", "is noted", "nothing"))
        }
    }

    const DESIRED: &str = "apiVersion: apps/v1
kind: StatefulSet
metadata: {name: c}
spec: {replicas: 2, template: {spec: {containers: [{name: other}, {name: postgres, image: spilo}]}}}
";
    const EXPECTED: &str = "findings: ['warning: spec: is noted; nothing']
objects:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: c-note, labels: {a: b}}, data: {text: hello}}
- apiVersion: apps/v1
  kind: StatefulSet
  metadata: {name: c, namespace: default}
  spec:
    replicas: 2
    template:
      spec: {containers: [{name: other}, {name: postgres, image: spilo, env: [{name: NOTE, value: hello}]}]}
";

    /// What is wrong with a case that has these files.
    fn replayed(files: &[(&str, &str)]) -> String {
        let plugin = tempfile::tempdir().unwrap();
        let case = plugin.path().join("golden/case");
        std::fs::create_dir_all(&case).unwrap();
        std::fs::write(plugin.path().join("step.yaml"), "name: note\nconfig: {text: hello}\n").unwrap();
        for (name, text) in files {
            std::fs::write(case.join(name), text).unwrap();
        }
        problems::<Note>(plugin.path()).join("\n")
    }

    fn with(expected: &str) -> String {
        replayed(&[
            ("manifest.yaml", "metadata: {name: c}\nspec: {}\n"),
            ("desired.yaml", DESIRED),
            ("expected.yaml", expected),
        ])
    }

    #[test]
    fn an_answer_that_is_merged_to_what_is_expected_has_no_problem() {
        assert_eq!(with(EXPECTED), "");
    }

    #[test]
    fn each_difference_between_the_native_answer_and_what_is_expected_has_its_place() {
        for (was, is, problem) in [
            (
                "data: {text: hello}",
                "data: {text: bye}",
                "ConfigMap c-note: data.text: expected \"bye\", the native plugin answers \"hello\"",
            ),
            (
                "data: {text: hello}",
                "data: {}",
                "ConfigMap c-note: data.text: is not expected, the native plugin answers \"hello\"",
            ),
            (
                "{text: hello}",
                "{text: hello, more: x}",
                "ConfigMap c-note: data.more: expected \"x\", the native plugin does not answer it",
            ),
            (
                "value: hello",
                "value: bye",
                "env[name=NOTE].value: expected \"bye\", the native plugin answers \"hello\"",
            ),
            (
                "replicas: 2",
                "replicas: 3",
                "StatefulSet c: spec.replicas: expected 3, the native plugin does not answer it",
            ),
            ("image: spilo, env", "env", ""),
            (
                "is noted",
                "is known",
                "findings: expected [\"warning: spec: is known; nothing\"], the native plugin answers [\"warning: spec: is noted; nothing\"]",
            ),
            ("kind: ConfigMap", "kind: Service", "ConfigMap c-note: is not expected, the native plugin answers it"),
            ("kind: ConfigMap", "kind: Service", "Service c-note: is expected, the native plugin does not answer it"),
        ] {
            assert!(EXPECTED.contains(was));
            let said = with(&EXPECTED.replace(was, is));
            assert!(
                said.contains(problem) && (problem.is_empty() || said.starts_with("golden/case: ")),
                "{problem}: {said}"
            );
        }
    }

    #[test]
    fn a_refusal_is_compared_with_the_lines_that_are_expected() {
        let refused = |expected: &str| {
            let manifest = ("manifest.yaml", "metadata: {name: c}\nspec: {}\n");
            replayed(&[manifest, ("config.yaml", "text: ''\n"), ("expected.yaml", expected)])
        };
        assert_eq!(refused("refused: ['spec.text: is empty; fill it in']\n"), "");
        let said = refused("refused: ['spec.text: is long']\n");
        assert!(said.contains("refused: expected [\"spec.text: is long\"], the native plugin answers [\"spec.text: is empty; fill it in\"]"), "{said}");
        let said = refused(EXPECTED);
        assert!(said.contains("the native plugin refuses: spec.text: is empty; fill it in"), "{said}");
        assert!(with("refused: ['no']\n").contains("refused: expected [\"no\"], the native plugin answers"));
    }

    #[test]
    fn a_case_without_a_file_that_it_needs_says_so() {
        assert!(replayed(&[]).contains("golden/case: has no manifest.yaml"));
        let said = replayed(&[("manifest.yaml", "metadata: {name: c}\n")]);
        assert!(said.contains("has no expected.yaml; `pgloom plugin test --update` writes"), "{said}");
        assert!(replayed(&[("manifest.yaml", "a: b: c")]).contains("manifest.yaml: "));
    }

    #[test]
    fn a_document_that_is_no_map_is_named_with_its_file() {
        let manifest = ("manifest.yaml", "metadata: {name: c}\nspec: {}\n");
        let expected = ("expected.yaml", EXPECTED);
        for text in ["- a\n", "text\n", "3\n"] {
            let said = replayed(&[("manifest.yaml", text), expected]);
            assert!(said.contains("manifest.yaml: document 1 is not a map; write it as `key: value`"), "{said}");
            for name in ["desired.yaml", "existing.yaml", "operator.yaml", "config.yaml"] {
                let said = replayed(&[manifest, (name, text), expected]);
                assert!(said.contains(&format!("{name}: document 1 is not a map")), "{said}");
            }
            let said = replayed(&[manifest, ("expected.yaml", text)]);
            assert!(said.contains("expected.yaml: document 1 is not a map"), "{said}");
        }
    }
}
