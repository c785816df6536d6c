//! From a document to a pipeline: fetch, verify, compile, describe, configure; all steps or none.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use pgloom_api::ActionKind;
use pgloom_api::pipeline::{self as document, Document, OnFailure, Source};
use pgloom_common::error::error_chain;
use serde_json::{Map, Value};

use super::restarts;
use super::step::{Counters, Pipeline, Step};
use crate::call::Limits;
use crate::contract::{ObjectKind, WriteClaim};
use crate::engine::Engine;
use crate::path::Pattern;
use crate::permission::{FieldPermission, Permissions, WritePermission};
use crate::plugin::{self, Phase, Plugin};
use crate::schema::Schemas;

/// Why a step could not be loaded. The running pipeline is not changed.
#[derive(Debug, thiserror::Error)]
#[error("step {step}: {} failed: {reason}", phase.as_str())]
pub struct Error {
    /// The step's name in the document.
    pub step: String,
    /// The phase that failed.
    pub phase: Phase,
    /// What failed, and the remedy.
    pub reason: String,
}

impl Pipeline {
    /// Loads every step of a document. Files are relative to `folder`. A plugin of `running` with the same digest is
    /// reused.
    ///
    /// # Errors
    /// If a step cannot be loaded: the first one, its phase and the remedy. No step is loaded then.
    pub fn load(
        engine: &Arc<Engine>,
        document: &Document,
        folder: &Path,
        running: Option<&Self>,
    ) -> Result<Self, Error> {
        Self::load_by(document, |step, earlier| {
            let bytes = fetch(&step.source, folder, engine.max_component).map_err(|reason| (Phase::Fetch, reason))?;
            let loaded = earlier.iter().chain(running.into_iter().flat_map(|running| &running.steps));
            load_plugin(engine, &bytes, step, loaded).map_err(|error| (error.phase(), error_chain(&error)))
        })
    }

    /// Loads a document that names the digest of every component, as it was loaded before. A component of which only the
    /// compiled code is kept, or whose file has another name, is found by its digest.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn restore(engine: &Arc<Engine>, document: &Document, folder: &Path) -> Result<Self, Error> {
        Self::load_by(document, |step, _| {
            let digest = step.digest.as_ref().map(document::Digest::as_str).unwrap_or_default();
            let plugin = match Plugin::cached(engine, digest) {
                Some(plugin) => plugin,
                None => {
                    let bytes = find(digest, &step.source, folder, engine.max_component)
                        .map_err(|reason| (Phase::Fetch, reason))?;
                    Plugin::load(engine, &bytes, Some(digest))
                }
            };
            plugin.map(Arc::new).map_err(|error| (error.phase(), error_chain(&error)))
        })
    }

    /// No pipeline, for this reason: each run is an error, so that every cluster stays as it is.
    ///
    /// # Errors
    /// If the table of the built-in kinds, which is compiled in, cannot be parsed.
    pub fn unavailable(reason: &str) -> Result<Self, Error> {
        let name = "pipeline".to_owned();
        let schemas = built_in(&name)?;
        Ok(Self { name, steps: Vec::new(), schemas, unavailable: Some(reason.to_owned()) })
    }

    fn load_by(
        document: &Document,
        plugin_of: impl Fn(&document::Step, &[Step]) -> Result<Arc<Plugin>, (Phase, String)>,
    ) -> Result<Self, Error> {
        let schemas = built_in(&document.name)?;
        let mut steps: Vec<Step> = Vec::new();
        for step in &document.steps {
            let fail = |(phase, reason)| Error { step: step.name.clone(), phase, reason };
            let plugin = plugin_of(step, &steps).map_err(fail)?;
            let step = configure(step, plugin, &steps).map_err(|reason| fail((Phase::Configure, reason)))?;
            steps.push(step);
        }
        Ok(Self { name: document.name.clone(), steps, schemas, unavailable: None })
    }

    /// A pipeline of loaded plugins. Each step has its plugin's name, an empty configuration and all permissions that
    /// the plugin describes.
    ///
    /// # Errors
    /// If a plugin's schema refuses the empty configuration, or a requirement is not met.
    pub fn of(plugins: Vec<Arc<Plugin>>) -> Result<Self, Error> {
        let schemas = built_in("pipeline")?;
        let mut steps: Vec<Step> = Vec::new();
        for plugin in plugins {
            let name = plugin.description.name.clone();
            let step = document::Step {
                name: name.clone(),
                source: Source::File(PathBuf::new()),
                digest: None,
                config: Map::new(),
                grants: document::Grants::default(),
                on_failure: document::OnFailure::default(),
                allow_restarts: false,
                limits: document::Limits::default(),
                matches: document::Match::default(),
            };
            let step = configure(&step, plugin, &steps).map_err(|reason| Error {
                step: name,
                phase: Phase::Configure,
                reason,
            })?;
            steps.push(step);
        }
        Ok(Self { name: "pipeline".to_owned(), steps, schemas, unavailable: None })
    }
}

/// The table is compiled in, so an error means a broken build. It is reported like any other failure.
fn built_in(pipeline: &str) -> Result<Schemas, Error> {
    let fail = |reason: String| Error { step: pipeline.to_owned(), phase: Phase::Configure, reason };
    Schemas::built_in().map_err(|error| fail(error.to_string()))
}

/// The bytes of a component: a regular file in the plugin folder, or in a folder below, with at most `most` bytes. A link
/// is followed if it leads to such a file, as those of a mounted ConfigMap do.
fn fetch(Source::File(file): &Source, folder: &Path, most: u64) -> Result<Vec<u8>, String> {
    let path = folder.join(file);
    let fail = |reason: &str| format!("{}: {reason}; check `source.file` and the plugin folder", path.display());
    if !file.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(fail("the path must be relative, without `..`"));
    }
    let read = || -> std::io::Result<Result<Vec<u8>, String>> {
        let (real, folder) = (path.canonicalize()?, folder.canonicalize()?);
        if !real.starts_with(folder) {
            return Ok(Err(fail("a link leads out of the plugin folder")));
        }
        if !real.metadata()?.is_file() {
            return Ok(Err(fail("not a regular file")));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(real)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            let reason = format!("the component has more than {most} bytes; make it smaller, or raise --max-component");
            return Ok(Err(format!("{}: {reason}", path.display())));
        }
        Ok(Ok(bytes))
    };
    read().map_err(|error| fail(&error.to_string()))?
}

/// The bytes of the component with this digest: the file of the source, or another one in the folder.
fn find(digest: &str, source: &Source, folder: &Path, most: u64) -> Result<Vec<u8>, String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let others = entries.map(|entry| Source::File(entry.file_name().into()));
    let mut sources = std::iter::once(source.clone()).chain(others.filter(is_component));
    sources
        .find_map(|source| fetch(&source, folder, most).ok().filter(|bytes| plugin::digest(bytes) == digest))
        .ok_or_else(|| {
            format!("component {digest} is neither in {} nor among the compiled code; copy it there", folder.display())
        })
}

fn is_component(Source::File(file): &Source) -> bool {
    file.extension().is_some_and(|extension| extension == "wasm")
}

fn load_plugin<'a>(
    engine: &Arc<Engine>,
    bytes: &[u8],
    step: &document::Step,
    mut loaded: impl Iterator<Item = &'a Step>,
) -> Result<Arc<Plugin>, plugin::Error> {
    let digest = plugin::digest(bytes);
    let pinned = step.digest.as_ref().map(document::Digest::as_str);
    let same = |candidate: &&Step| candidate.plugin.digest == digest && pinned.is_none_or(|pinned| pinned == digest);
    match loaded.find(same) {
        Some(loaded) => Ok(Arc::clone(&loaded.plugin)),
        None => Plugin::load(engine, bytes, pinned).map(Arc::new),
    }
}

fn configure(step: &document::Step, plugin: Arc<Plugin>, earlier: &[Step]) -> Result<Step, String> {
    check_requirements(&plugin, earlier)?;
    let config = complete(&step.config, &plugin.description.config_schema)?;
    let writes = plugin.description.writes.iter().map(described).collect::<Result<Vec<_>, _>>()?;
    let overrides = field_permissions(&step.grants.overrides)?;
    let removes = field_permissions(&step.grants.removes)?;
    let grants = step.grants.writes.as_ref();
    let grants = grants.map(|grants| grants.iter().map(granted).collect::<Result<Vec<_>, _>>()).transpose()?;
    if step.on_failure == OnFailure::Ignore
        && !step.allow_restarts
        && let Some(field) = restarts::field_of_pods(&writes, grants.as_deref(), &overrides, &removes)
    {
        return Err(format!(
            "onFailure is ignore, but the step may write {field}: without its fields the pods would be restarted; use \
             hold or keepLast, or set allowRestarts: true"
        ));
    }
    let mut permissions = Permissions::new(&writes).overrides(overrides).removes(removes);
    if let Some(grants) = &grants {
        permissions = permissions.granted(grants);
    }
    if step.grants.secrets != document::SecretsGrant::None {
        permissions = permissions.confidential();
    }
    let described = plugin.description.actions.iter().map(|&kind| ActionKind::from(kind));
    let actions = match &step.grants.actions {
        None => described.collect(),
        Some(granted) => described.filter(|kind| granted.contains(kind)).collect(),
    };
    let may_create = |kind: &ObjectKind| match &step.grants.writes {
        None => true,
        Some(grants) => {
            grants.iter().any(|grant| grant.creates && grant.api_version == kind.api_version && grant.kind == kind.kind)
        }
    };
    let creates = writes.iter().filter(|write| write.creates && may_create(&write.kind));
    let creates = creates.map(|write| write.kind.clone()).collect();
    let document::Limits { memory, fuel, deadline } = step.limits;
    let memory = usize::try_from(memory).unwrap_or(usize::MAX);
    Ok(Step {
        name: step.name.clone(),
        plugin,
        config,
        permissions,
        creates,
        actions,
        secrets: step.grants.secrets.clone(),
        on_failure: step.on_failure,
        limits: Limits { memory, fuel, deadline, ..Limits::default() },
        matches: step.matches.clone(),
        counters: Arc::new(Counters::default()),
    })
}

fn check_requirements(plugin: &Plugin, earlier: &[Step]) -> Result<(), String> {
    for requirement in &plugin.description.requires {
        let found = earlier.iter().find(|step| step.plugin.description.name == requirement.plugin);
        let Some(found) = found else {
            return Err(format!(
                "the plugin requires plugin {} {} in an earlier step; add it",
                requirement.plugin, requirement.version
            ));
        };
        let version = &found.plugin.description.version;
        let required = semver::VersionReq::parse(&requirement.version).map_err(|error| error.to_string())?;
        if !semver::Version::parse(version).is_ok_and(|version| required.matches(&version)) {
            return Err(format!(
                "the plugin requires plugin {} {}, step {} has {version}",
                requirement.plugin, requirement.version, found.name
            ));
        }
    }
    Ok(())
}

/// The step's configuration as JSON text, with the schema's defaults, checked against the schema.
fn complete(config: &Map<String, Value>, schema: &str) -> Result<String, String> {
    let schema: Value = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    let mut config = config.clone();
    let properties: BTreeMap<&String, &Value> =
        schema.get("properties").and_then(Value::as_object).map(|map| map.iter().collect()).unwrap_or_default();
    for (name, property) in properties {
        if let (false, Some(default)) = (config.contains_key(name), property.get("default")) {
            config.insert(name.clone(), default.clone());
        }
    }
    let config = Value::Object(config);
    let validator = jsonschema::validator_for(&schema)
        .map_err(|error| format!("the plugin's configuration schema is invalid: {error}"))?;
    let problems: Vec<String> = validator
        .iter_errors(&config)
        .map(|error| {
            let path = error.instance_path().to_string().replace('/', ".");
            format!("config{path}: {error}")
        })
        .collect();
    if problems.is_empty() { Ok(config.to_string()) } else { Err(problems.join("; ")) }
}

fn described(claim: &WriteClaim) -> Result<WritePermission, String> {
    Ok(WritePermission { kind: claim.kind.clone(), creates: claim.creates, paths: patterns(&claim.paths)? })
}

fn granted(grant: &document::WriteGrant) -> Result<WritePermission, String> {
    let kind = ObjectKind { api_version: grant.api_version.clone(), kind: grant.kind.clone() };
    Ok(WritePermission { kind, creates: grant.creates, paths: patterns(&grant.paths)? })
}

fn field_permissions(grants: &[document::KindPaths]) -> Result<Vec<FieldPermission>, String> {
    let permission = |grant: &document::KindPaths| {
        let kind = ObjectKind { api_version: grant.api_version.clone(), kind: grant.kind.clone() };
        Ok(FieldPermission { kind: Some(kind), paths: patterns(&grant.paths)? })
    };
    grants.iter().map(permission).collect()
}

fn patterns(paths: &[String]) -> Result<Vec<Pattern>, String> {
    paths.iter().map(|path| path.parse().map_err(|error| format!("{path}: {error}"))).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_in_the_plugin_folder_are_read_up_to_their_limit() {
        let place = tempfile::tempdir().unwrap();
        let (folder, outside) = (place.path().join("plugins"), place.path().join("outside.wasm"));
        std::fs::create_dir_all(folder.join("..data")).unwrap();
        std::fs::write(&outside, "secret").unwrap();
        std::fs::write(folder.join("..data/a.wasm"), "component").unwrap();
        symlink("..data/a.wasm", folder.join("a.wasm")).unwrap();
        symlink(&outside, folder.join("link.wasm")).unwrap();
        symlink("/dev/zero", folder.join("device.wasm")).unwrap();
        let fetch = |file: &str, most| fetch(&Source::File(file.into()), &folder, most);
        assert_eq!(fetch("a.wasm", 9), Ok(b"component".to_vec()), "a link as a mounted ConfigMap has it");
        assert!(fetch("a.wasm", 8).unwrap_err().contains("more than 8 bytes"));
        for (file, reason) in [
            ("../outside.wasm", "without `..`"),
            ("/dev/zero", "must be relative"),
            ("link.wasm", "leads out of the plugin folder"),
            ("device.wasm", "leads out of the plugin folder"),
            ("..data", "not a regular file"),
            ("absent.wasm", "No such file"),
        ] {
            let error = fetch(file, 100).unwrap_err();
            assert!(error.contains(reason) && error.contains(file), "{error}");
        }
    }
}
