//! The golden folder of a plugin: one folder per case, with what a decision is made of, and what is expected of the plugin.
//!
//! The plugin is a step behind one that creates the case's desired objects, in a pipeline of the engine, and `decide` is
//! called as by the operator. What is expected is the difference that the plugin makes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use pgloom_api::config::Config;
use pgloom_api::pipeline::{Document, Match, OnFailure, Step};
use pgloom_common::golden;
use pgloom_decide::{Error, Observed, Plan, decide};
use pgloom_engine::permission::Missing;
use pgloom_engine::pipeline::Permission;
use pgloom_engine::{
    Contribution, Description, Lack, ObjectKind, ObjectPermission, Pipeline, Plugin, PrivilegePermission, Response,
    grant, reserved_kind,
};
use serde_json::{Map, Value, json};

use super::ask;
use super::language::Language;
use super::project::Project;
use crate::file::{check_objects, read_map, read_maps};

/// What the check of a case came to.
pub enum Checked {
    /// The answer is what is expected.
    AsExpected,
    /// The answer is expected from now on.
    Written,
    /// The answer is another one: where it differs.
    Differs(String),
    /// There is no answer: the call failed, or the host refused what the plugin wants.
    Failed(String),
}

/// One case.
pub struct Case {
    /// The name of its folder.
    pub name: String,
    folder: PathBuf,
    manifest: Value,
    /// The objects of earlier steps; `None` without a file.
    desired: Option<Vec<Value>>,
    existing: Vec<Value>,
    config: Config,
    /// The plugin's own step.
    step: Step,
    /// The language of the plugin.
    language: Language,
}

/// The cases of a project, by name. The step is that of `step.yaml`; `config.yaml` of a case replaces its
/// configuration.
pub fn cases(project: &Project) -> Result<Vec<Case>> {
    let place = project.file(golden::FOLDER);
    let folders = golden::cases(&project.file(""));
    let folders = folders.with_context(|| {
        format!("{}: cannot be read; make a folder golden/CASE with a manifest.yaml", place.display())
    })?;
    if folders.is_empty() {
        bail!("{}: has no case; make a folder golden/CASE with a manifest.yaml", place.display());
    }
    // A step whose failure is ignored would hide it.
    let step = Step { on_failure: OnFailure::default(), matches: Match::default(), ..super::step::document(project)? };
    folders.iter().map(|folder| Case::read(folder, &step, project.language())).collect()
}

impl Case {
    fn read(folder: &Path, step: &Step, language: Language) -> Result<Self> {
        let file = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
        let mut manifest = read_map(&folder.join(golden::MANIFEST))?;
        if let Some(metadata) = manifest["metadata"].as_object_mut() {
            metadata.entry("namespace").or_insert_with(|| json!(golden::NAMESPACE));
        }
        let config = match file(golden::OPERATOR) {
            None => Config::defaults(),
            Some(path) => {
                let document = read_map(&path)?;
                Config::read(&document).map_err(|problems| crate::pipeline::refused(&path, &problems))?.config
            }
        };
        let mut step = step.clone();
        if let Some(path) = file(golden::CONFIG) {
            step.config = super::step::mapping(&path)?;
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Unlike a file of `--observed`, one of a case may be empty.
        let objects = |path: PathBuf| {
            let objects = read_maps(&path)?;
            check_objects(&objects, &path)?;
            anyhow::Ok(objects)
        };
        let desired = file(golden::DESIRED).map(objects).transpose()?;
        let existing = file(golden::EXISTING).map(objects).transpose()?.unwrap_or_default();
        Ok(Self { name, folder: folder.to_owned(), manifest, desired, existing, config, step, language })
    }

    /// Compares the plugin's answer with what is expected. With `update`, what it answers is expected.
    pub fn check(&self, plugin: &Arc<Plugin>, update: bool) -> Result<Checked> {
        let answer = match self.answer(plugin)? {
            Ok(answer) => answer,
            Err(error) => {
                let line = self.file_to_add(&error, plugin).or_else(|| self.line_to_add(&error)).unwrap_or_default();
                return Ok(Checked::Failed(format!("golden/{}: {error}{line}", self.name)));
            }
        };
        let text = pgloom_api::document::write(&answer)?;
        let path = self.folder.join(golden::EXPECTED);
        if update {
            super::project::write(&path, text.as_bytes())?;
            return Ok(Checked::Written);
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        Ok(match difference(&expected, &text) {
            None => Checked::AsExpected,
            Some(difference) => Checked::Differs(format!("golden/{}/{}:{difference}", self.name, golden::EXPECTED)),
        })
    }

    /// The desired objects that the case lacks: the plugin reads or changes objects of earlier steps, there are none, and so
    /// it has no answer.
    fn file_to_add(&self, error: &Error, plugin: &Plugin) -> Option<String> {
        let Description { desired, objects, .. } = &plugin.description;
        let reads = is_answer(error) && self.desired.is_none() && !desired.is_empty();
        let changes = match error {
            Error::Pipeline(run) => match run.lack.as_deref().map(|lack| &lack.permission) {
                Some(Permission::Object(lacking)) => {
                    lacking.creates && objects.iter().any(|asked| !asked.creates && asked.kind == lacking.kind)
                }
                _ => false,
            },
            _ => false,
        };
        (reads || changes).then(|| {
            let place = format!("golden/{}/{}", self.name, golden::DESIRED);
            match self.desired {
                None => format!(
                    "\n  the plugin depends on objects of earlier steps: add {place} with them, as `pgloom render` prints \
                     them; an empty file says that there are none"
                ),
                Some(_) => format!("\n  the plugin changes an object of an earlier step: add it to {place}"),
            }
        })
    }

    /// The permission that the description does not ask for, in the language of the plugin.
    fn line_to_add(&self, error: &Error) -> Option<String> {
        let Error::Pipeline(run) = error else { return None };
        let Lack { permission, .. } = run.lack.as_deref().filter(|lack| lack.missing == Missing::Description)?;
        Some(format!("\n  in {}: {}", self.language.title(), ask::line(self.language, permission)))
    }

    /// What the plugin adds, as a document: `refused`, or those of `findings`, `conditions`, `actions`, `objects` and
    /// `removed` that are not empty. The inner error is not an answer of the plugin, and never expected.
    fn answer(&self, plugin: &Arc<Plugin>) -> Result<Result<Value, Error>> {
        let without = self.decide(self.pipeline(plugin, None)?);
        let without = without.map_err(|error| anyhow!("golden/{}: without the plugin: {error}", self.name))?;
        let with = match self.decide(self.pipeline(plugin, Some(Arc::clone(plugin)))?) {
            Ok(plan) => plan,
            // Without the objects that it reads, a refusal says nothing about the plugin.
            Err(error) if is_answer(&error) && self.file_to_add(&error, plugin).is_none() => {
                return Ok(Ok(json!({(golden::REFUSED): error.to_string().lines().collect::<Vec<_>>()})));
            }
            Err(error) => return Ok(Err(error)),
        };
        let (before, after) = (without.documents(), with.documents());
        let removed = before.iter().filter(|object| !after.iter().any(|other| names(other) == names(object)));
        let findings = with.findings.iter().filter(|finding| !without.findings.contains(finding));
        let actions = with.actions.iter().map(|requested| {
            let refused = requested.refusal.iter().map(|reason| format!(" (refused: {reason})")).collect::<String>();
            format!("{}: {:?}{refused}", requested.key, requested.action)
        });
        let conditions = with.conditions.iter();
        let conditions =
            conditions.map(|it| golden::condition(&it.type_name, &format!("{:?}", it.status), &it.reason, &it.message));
        let parts = [
            (
                golden::FINDINGS,
                json!(findings.map(|it| golden::finding(it.severity.name(), &it.to_string())).collect::<Vec<_>>()),
            ),
            (golden::CONDITIONS, json!(conditions.collect::<Vec<_>>())),
            (golden::ACTIONS, json!(actions.collect::<Vec<_>>())),
            (golden::OBJECTS, json!(after.iter().filter(|object| !before.contains(object)).collect::<Vec<_>>())),
            (golden::REMOVED, json!(removed.map(names).collect::<Vec<_>>())),
        ];
        let is_set = |part: &Value| part.as_array().is_some_and(|items| !items.is_empty());
        Ok(Ok(parts.into_iter().filter(|(_, part)| is_set(part)).map(|(name, part)| (name.to_owned(), part)).collect()))
    }

    /// Decides with a plugin in place of the component, which has its description.
    pub fn decide_with(&self, plugin: Plugin) -> Result<()> {
        let plugin = Arc::new(plugin);
        let decided = self.decide(self.pipeline(&plugin, Some(Arc::clone(&plugin)))?);
        decided.map(drop).map_err(|error| anyhow!("golden/{}: {error}", self.name))
    }

    fn decide(&self, pipeline: Pipeline) -> Result<Plan, Error> {
        let observed = Observed::in_files(&self.existing, &self.manifest, &self.config, &pipeline, golden::NAMESPACE);
        decide(&self.manifest, &self.config, &observed, &pipeline)
    }

    /// The steps before the plugin, and the plugin itself.
    fn pipeline(&self, of: &Plugin, plugin: Option<Arc<Plugin>>) -> Result<Pipeline> {
        let required = of.description.requires.iter().map(|required| {
            let name = required.plugin.clone();
            let description = Description { name, version: version(&required.version), ..earlier() };
            Plugin::native(description, |_request| Ok(Response::default()))
        });
        let earlier = required.chain([self.earlier_step()]).map(Arc::new);
        let earlier = earlier.map(|plugin| (Step { config: Map::new(), ..granted(&self.step, &plugin) }, plugin));
        let own = plugin.map(|plugin| (self.step.clone(), plugin));
        let (steps, plugins): (Vec<_>, Vec<_>) = earlier.chain(own).unzip();
        let name = "pipeline".to_owned();
        let document = Document { name, steps, pull_secrets: Vec::new(), rollout: None };
        Pipeline::assemble(&document, &plugins).with_context(|| format!("golden/{}", self.name))
    }

    /// The step that creates the desired objects of the case.
    fn earlier_step(&self) -> Plugin {
        let desired = self.desired.iter().flatten().filter(|object| is_of_step(object));
        let desired: Vec<Value> = desired.map(partial).collect();
        let asks = |object: &Value| {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let kind = ObjectKind::new(text("/apiVersion"), text("/kind"));
            ObjectPermission::creates(kind, &[text("/metadata/name")])
        };
        let privilege = |privilege: pgloom_api::Privilege| PrivilegePermission {
            name: privilege.name().to_owned(),
            optional: false,
        };
        let description = Description {
            objects: desired.iter().map(asks).collect(),
            privileges: pgloom_api::Privilege::ALL.into_iter().map(privilege).collect(),
            ..earlier()
        };
        Plugin::native(description, move |_request| {
            let contributions = desired.iter().map(|object| Contribution::Apply(object.to_string())).collect();
            Ok(Response { contributions, ..Response::default() })
        })
    }
}

/// The step of a plugin that has all grants that it asks for; it is as `like` in all else.
fn granted(like: &Step, plugin: &Plugin) -> Step {
    let Description { name, .. } = &plugin.description;
    Step { name: name.clone(), grants: grant::all(&plugin.description), ..like.clone() }
}

/// Whether the plugin itself refuses the manifest or its configuration. Every other error is a fault of the plugin.
fn is_answer(error: &Error) -> bool {
    matches!(error.category(), "InvalidManifest" | "InvalidConfig" | "PluginFailed")
}

/// A description of a step of the case.
fn earlier() -> Description {
    Description { name: "earlier".to_owned(), ..Description::default() }
}

/// The lowest version that a requirement such as `^0.1` allows.
fn version(requirement: &str) -> String {
    let digits = requirement.trim_start_matches(|first: char| !first.is_ascii_digit());
    let digits = digits.split(|end: char| !(end.is_ascii_digit() || end == '.')).next().unwrap_or_default();
    let mut parts: Vec<&str> = digits.split('.').filter(|part| !part.is_empty()).collect();
    parts.resize(3, "0");
    parts.join(".")
}

/// Whether a step may have created the object: the output of `pgloom render` has those of the host, too.
fn is_of_step(object: &Value) -> bool {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    reserved_kind(&ObjectKind::new(text("apiVersion"), text("kind"))).is_none()
}

/// An object as a step contributes it: without what the host sets, so that the output of `pgloom render` can be used.
fn partial(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|key, _| matches!(key.as_str(), "name" | "labels" | "annotations"));
    }
    object
}

fn names(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// The first line that differs, as `LINE: was …, is …`.
fn difference(expected: &str, text: &str) -> Option<String> {
    if expected == text {
        return None;
    }
    let shorter = expected.lines().count().min(text.lines().count());
    let line = expected.lines().zip(text.lines()).position(|(was, is)| was != is).unwrap_or(shorter);
    let at = |text: &str| {
        let mut lines = text.lines().skip(line).map(str::trim);
        match lines.next() {
            // The line of a key says nothing without the next one.
            Some(key) if key.ends_with(':') => format!("{key} {}", lines.next().unwrap_or_default()),
            line => line.unwrap_or("(the end)").to_owned(),
        }
    };
    Some(format!("{}: expected `{}`, the component answers `{}`", line + 1, at(expected), at(text)))
}

#[cfg(test)]
mod tests {
    use pgloom_api::pipeline::{Limits, Source};
    use pgloom_engine::{Failure, call};

    use super::*;

    const MANIFEST: &str = include_str!("../../../../manifests/examples/minimal.yaml");

    /// A case with these files.
    fn case(files: &[(&str, &str)]) -> Result<(tempfile::TempDir, Case)> {
        let folder = tempfile::tempdir()?;
        for (name, text) in [&[(golden::MANIFEST, MANIFEST)][..], files].concat() {
            std::fs::write(folder.path().join(name), text)?;
        }
        let step = Step {
            name: "reader".to_owned(),
            source: Source::File(PathBuf::new()),
            digest: None,
            config: Map::new(),
            grants: grant::all(&reading()),
            on_failure: OnFailure::default(),
            allow_restarts: false,
            limits: Limits::default(),
            matches: Match::default(),
        };
        let case = Case::read(folder.path(), &step, Language::Rust)?;
        Ok((folder, case))
    }

    fn reading() -> Description {
        Description {
            name: "reader".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "Reads the StatefulSet.".to_owned(),
            config_schema: "{}".to_owned(),
            config_example: "{}".to_owned(),
            desired: vec![ObjectKind::new("apps/v1", "StatefulSet")],
            ..Description::default()
        }
    }

    /// A plugin that fails without the cluster's StatefulSet.
    fn reader() -> Arc<Plugin> {
        Arc::new(Plugin::native(reading(), |request| match request.desired.is_empty() {
            true => Err(call::Error::Refuse(Failure::Internal("no StatefulSet".to_owned()))),
            false => Ok(Response::default()),
        }))
    }

    #[test]
    fn a_file_of_a_case_that_is_no_map_is_named() {
        for text in ["- a\n", "text\n", "3\n"] {
            for name in [golden::MANIFEST, golden::DESIRED, golden::EXISTING, golden::OPERATOR] {
                let said = case(&[(name, text)]).err().unwrap().to_string();
                assert!(
                    said.ends_with(&format!("{name}: document 1 is not a map; write it as `key: value`")),
                    "{said}"
                );
            }
        }
    }

    #[test]
    fn the_output_of_render_is_used_as_desired_objects_without_those_of_the_host() {
        let plan = include_str!("../../../../tests/golden/examples/minimal.yaml");
        let plan: Value = serde_yaml_ng::from_str(plan).unwrap();
        let rendered = json!({"apiVersion": "v1", "kind": "List", "items": plan["objects"]}).to_string();
        assert!(["Secret", "ServiceAccount", "RoleBinding"].iter().all(|kind| rendered.contains(kind)));
        let (_folder, case) = case(&[(golden::DESIRED, &rendered)]).unwrap();
        assert_eq!(case.answer(&reader()).unwrap().unwrap(), json!({}));
    }

    #[test]
    fn documents_that_are_no_objects_are_refused_as_those_of_render_are() {
        for file in [golden::EXISTING, golden::DESIRED] {
            let said = case(&[(file, "kind: Service\nmetadata: {name: a}\n")]).err().unwrap().to_string();
            assert!(said.contains(&format!("{file}: object 1: apiVersion is missing; give objects as ")), "{said}");
        }
    }

    #[test]
    fn a_plugin_that_reads_desired_objects_has_no_answer_without_their_file() {
        let (folder, without) = case(&[]).unwrap();
        let Checked::Failed(said) = without.check(&reader(), true).unwrap() else { panic!() };
        assert!(
            said.contains("no StatefulSet") && said.contains("/desired.yaml with them, as `pgloom render`"),
            "{said}"
        );
        assert!(!folder.path().join(golden::EXPECTED).exists());
        // An empty file says that there are none: then the refusal is the answer.
        let (folder, empty) = case(&[(golden::DESIRED, "")]).unwrap();
        assert!(matches!(empty.check(&reader(), true).unwrap(), Checked::Written));
        assert!(std::fs::read_to_string(folder.path().join(golden::EXPECTED)).unwrap().contains("no StatefulSet"));
    }

    #[test]
    fn a_plugin_that_changes_an_object_that_the_case_lacks_is_pointed_to_its_desired_objects() {
        let asked = ObjectPermission {
            creates: false,
            fields: vec!["spec.replicas".to_owned()],
            ..ObjectPermission::creates(ObjectKind::new("apps/v1", "StatefulSet"), &["{cluster}"])
        };
        let description = Description { objects: vec![asked], desired: Vec::new(), ..reading() };
        let set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "acid-minimal-cluster"},
            "spec": {"replicas": 3},
        });
        let grants = grant::all(&description);
        let writer = Arc::new(Plugin::native(description, move |_| {
            Ok(Response { contributions: vec![Contribution::Apply(set.to_string())], ..Response::default() })
        }));
        for (files, remedy) in [(&[][..], "/desired.yaml with them"), (&[(golden::DESIRED, "")], "add it to golden/")] {
            let (_folder, mut case) = case(files).unwrap();
            case.step.grants = grants.clone();
            let Checked::Failed(said) = case.check(&writer, false).unwrap() else { panic!() };
            assert!(said.contains(remedy) && !said.contains(".creates("), "{said}");
        }
    }

    #[test]
    fn the_lowest_version_of_a_requirement_is_found() {
        for (requirement, lowest) in [("^0.1", "0.1.0"), ("1", "1.0.0"), (">=1.2.3, <2", "1.2.3"), ("*", "0.0.0")] {
            assert_eq!(version(requirement), lowest, "{requirement}");
        }
    }

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\nb\n", "a\nc\n").unwrap(), "2: expected `b`, the component answers `c`");
        let refused = difference("{}\n", "refused:\n- too long\n").unwrap();
        assert_eq!(refused, "1: expected `{}`, the component answers `refused: - too long`");
        assert_eq!(difference("", "a\n").unwrap(), "1: expected `(the end)`, the component answers `a`");
    }
}
