//! From a document to a pipeline: fetch, verify, compile, describe, configure; all steps or none.

use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use pgloom_api::pipeline::{self as document, Artifact, Document, Grants, OnFailure, Source};
use pgloom_common::error::error_chain;
use serde_json::{Map, Value};

use super::identity::Identity;
use super::step::{Counters, Pipeline, Step};
use super::{configuration, restarts};
use crate::call::Limits;
use crate::description;
use crate::engine::Engine;
use crate::grant;
use crate::model::{ActionPermission, Description, ObjectKind};
use crate::path::Pattern;
use crate::permission::{ObjectRights, Permissions, Rights};
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

/// Fetches a component from a registry, and verifies it. An error is the phase that failed, and why.
pub type Remote<'a> = dyn Fn(&Artifact) -> Result<Vec<u8>, (Phase, String)> + 'a;

impl Pipeline {
    /// Loads every step of a document. Files are relative to `folder`. A plugin of `running` with the same digest is
    /// reused. A step with a component in a registry cannot be loaded by this, see [`load_with`](Self::load_with).
    ///
    /// # Errors
    /// If a step cannot be loaded: the first one, its phase and the remedy. No step is loaded then.
    pub fn load(
        engine: &Arc<Engine>,
        document: &Document,
        folder: &Path,
        running: Option<&Self>,
    ) -> Result<Self, Error> {
        let refuse = |artifact: &Artifact| {
            Err((Phase::Fetch, format!("{} is in a registry, which is not asked here", artifact.reference)))
        };
        Self::load_with(engine, document, folder, running, &refuse)
    }

    /// The same with what fetches and verifies the components that are in registries.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(
        engine: &Arc<Engine>,
        document: &Document,
        folder: &Path,
        running: Option<&Self>,
        remote: &Remote<'_>,
    ) -> Result<Self, Error> {
        Self::load_by(document, |step, earlier| {
            let bytes = match &step.source {
                Source::File(file) => {
                    fetch(file, folder, engine.max_component).map_err(|reason| (Phase::Fetch, reason))?
                }
                Source::Oci(artifact) => remote(artifact)?,
            };
            let loaded = earlier.iter().chain(running.into_iter().flat_map(|running| &running.steps));
            load_plugin(engine, &bytes, step, loaded).map_err(|error| (error.phase(), error_chain(&error)))
        })
    }

    /// Loads a document that names the digest of every component, as it was loaded before. A component of which only the
    /// compiled code is kept, or whose file has another name, is found by its digest; `kept` are those from registries.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn restore(
        engine: &Arc<Engine>,
        document: &Document,
        folder: &Path,
        kept: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, Error> {
        Self::load_by(document, |step, _| {
            let digest = step.digest.as_ref().map(document::Digest::as_str).unwrap_or_default();
            let plugin = match Plugin::cached(engine, digest) {
                Some(plugin) => plugin,
                None => {
                    let found = find(digest, &step.source, folder, engine.max_component);
                    let bytes = found.or_else(|reason| kept(digest).ok_or((Phase::Fetch, reason)))?;
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
        let (identity, unavailable) = (Identity::unique(), Some(reason.to_owned()));
        Ok(Self { name, identity, steps: Vec::new(), schemas, unavailable, reused: None })
    }

    fn load_by(
        document: &Document,
        plugin_of: impl Fn(&document::Step, &[Step]) -> Result<Arc<Plugin>, (Phase, String)>,
    ) -> Result<Self, Error> {
        let schemas = built_in(&document.name)?;
        let mut steps: Vec<Step> = Vec::new();
        for (index, step) in document.steps.iter().enumerate() {
            let fail = |(phase, reason)| Error { step: step.name.clone(), phase, reason };
            // What a plugin logs when it describes itself names its step, too.
            let _entered = tracing::info_span!("plugin", step = %step.name).entered();
            let plugin = plugin_of(step, &steps).map_err(fail)?;
            let later = |name: &str| {
                let later = document.steps.get(index + 1..).unwrap_or_default().iter();
                let mut later =
                    later.filter(|later| plugin_of(later, &steps).is_ok_and(|plugin| plugin.description.name == name));
                later.next().map(|later| later.name.as_str())
            };
            let step = check_requirements(&step.name, &plugin, &steps, &later)
                .and_then(|()| configure(step, plugin))
                .map_err(|reason| fail((Phase::Configure, reason)))?;
            steps.push(step);
        }
        let (name, identity) = (document.name.clone(), Identity::unique());
        Ok(Self { name, identity, steps, schemas, unavailable: None, reused: None })
    }

    /// A pipeline of a document whose plugins are loaded: `plugins` has one for each step, in the same order.
    ///
    /// # Errors
    /// If a step has no plugin, or cannot be configured: a configuration that the schema refuses, a grant that is missing, a
    /// requirement that is not met.
    pub fn assemble(document: &Document, plugins: &[Arc<Plugin>]) -> Result<Self, Error> {
        Self::load_by(document, |step, _| {
            let missing = || (Phase::Fetch, "no plugin is given for the step".to_owned());
            let index = document.steps.iter().position(|other| std::ptr::eq(other, step));
            index.and_then(|index| plugins.get(index)).cloned().ok_or_else(missing)
        })
    }

    /// A pipeline of loaded plugins. Each step has its plugin's name, an empty configuration and is granted all that
    /// the plugin asks for.
    ///
    /// # Errors
    /// If a plugin's schema refuses the empty configuration, or a requirement is not met.
    pub fn of(plugins: Vec<Arc<Plugin>>) -> Result<Self, Error> {
        Self::of_configured(plugins.into_iter().map(|plugin| (plugin, Map::new())).collect())
    }

    /// The same, each step with its configuration.
    ///
    /// # Errors
    /// If a plugin's schema refuses the configuration, or a requirement is not met.
    pub fn of_configured(plugins: Vec<(Arc<Plugin>, Map<String, Value>)>) -> Result<Self, Error> {
        let step = |(plugin, config): (Arc<Plugin>, Map<String, Value>)| {
            let step = document::Step {
                name: plugin.description.name.clone(),
                source: Source::File(PathBuf::new()),
                digest: None,
                config,
                grants: grant::all(&plugin.description),
                on_failure: document::OnFailure::default(),
                allow_restarts: false,
                limits: document::Limits::default(),
                matches: document::Match::default(),
            };
            (step, plugin)
        };
        let (steps, plugins): (Vec<_>, Vec<_>) = plugins.into_iter().map(step).unzip();
        let name = "pipeline".to_owned();
        Self::assemble(&Document { name, steps, pull_secrets: Vec::new(), rollout: None }, &plugins)
    }
}

/// The table is compiled in, so an error means a broken build. It is reported like any other failure.
fn built_in(pipeline: &str) -> Result<Schemas, Error> {
    let fail = |reason: String| Error { step: pipeline.to_owned(), phase: Phase::Configure, reason };
    Schemas::built_in().map_err(|error| fail(error.to_string()))
}

/// The bytes of a component: a regular file in the plugin folder, or in a folder below, with at most `most` bytes. A link
/// is followed if it leads to such a file, as those of a mounted ConfigMap do.
fn fetch(file: &Path, folder: &Path, most: u64) -> Result<Vec<u8>, String> {
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
    let others = entries.map(|entry| PathBuf::from(entry.file_name())).filter(|file| is_component(file));
    let own = match source {
        Source::File(file) => Some(file.clone()),
        Source::Oci(_) => None,
    };
    let mut files = own.into_iter().chain(others);
    files.find_map(|file| fetch(&file, folder, most).ok().filter(|bytes| plugin::digest(bytes) == digest)).ok_or_else(
        || format!("component {digest} is neither in {} nor among the compiled code; copy it there", folder.display()),
    )
}

fn is_component(file: &Path) -> bool {
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

fn configure(step: &document::Step, plugin: Arc<Plugin>) -> Result<Step, String> {
    let description = &plugin.description;
    let config = configuration::complete(&step.config, &description.config_schema)?;
    // Before what is missing: a grant that cannot be read grants nothing.
    description::check_grants(&step.grants)?;
    check_granted(description, &step.grants)?;
    let asked = rights(&grant::all(description))?;
    let granted = rights(&step.grants)?;
    let restarting = restarts::field_of_pods(&asked.objects, &granted.objects);
    if step.on_failure == OnFailure::Ignore
        && !step.allow_restarts
        && let Some(field) = &restarting
    {
        return Err(format!(
            "onFailure is ignore, but the step may write {field}: without its fields the pods would be restarted; use \
             hold or keepLast, or set allowRestarts: true"
        ));
    }
    let creates = asked.objects.iter().filter(|asked| asked.creates).map(|asked| &asked.kind);
    let may_create = |kind: &&ObjectKind| granted.objects.iter().any(|grant| grant.creates && grant.kind == **kind);
    let mut creates: Vec<ObjectKind> = creates.filter(may_create).cloned().collect();
    creates.dedup();
    let credentials = description.credentials.iter().map(|asked| &asked.source);
    let credentials = credentials.filter(|source| step.grants.credentials.contains(source)).cloned().collect();
    let actions = step.grants.actions.iter().map(action).collect();
    let document::Limits { memory, fuel, deadline } = step.limits;
    let memory = usize::try_from(memory).unwrap_or(usize::MAX);
    Ok(Step {
        name: step.name.clone(),
        permissions: Permissions::new(&asked, &granted),
        plugin,
        config,
        creates,
        actions,
        credentials,
        on_failure: step.on_failure,
        may_restart: restarting.is_some() && !step.allow_restarts,
        limits: Limits { memory, fuel, deadline, ..Limits::default() },
        matches: step.matches.clone(),
        shown: Arc::default(),
        counters: Arc::new(Counters::default()),
    })
}

/// Refuses grants that lack what the plugin needs. The error holds the lines to add.
fn check_granted(description: &Description, granted: &Grants) -> Result<(), String> {
    let missing = grant::missing(description, granted);
    if grant::is_empty(&missing) {
        return Ok(());
    }
    let Description { name, version, .. } = description;
    let lines = grant::yaml(&missing, 2);
    Err(format!("the pipeline does not grant what plugin {name} {version} needs; add to the step's grants:\n{lines}"))
}

fn rights(grants: &Grants) -> Result<Rights, String> {
    let objects = grants.objects.iter().map(|grant| {
        Ok(ObjectRights {
            kind: ObjectKind::new(grant.api_version.clone(), grant.kind.clone()),
            names: grant.names.clone(),
            creates: grant.creates,
            fields: patterns(&grant.fields)?,
            overrides: patterns(&grant.overrides)?,
            removes: patterns(&grant.removes)?,
        })
    });
    Ok(Rights { objects: objects.collect::<Result<_, String>>()?, privileges: grants.privileges.clone() })
}

fn action(grant: &document::ActionGrant) -> ActionPermission {
    ActionPermission { kind: grant.kind, subjects: grant.subjects.clone(), optional: false }
}

/// Checks that what the plugin of a step requires is in an earlier one; `later` finds the step after it that has a plugin.
fn check_requirements<'a>(
    step: &str,
    plugin: &Plugin,
    earlier: &[Step],
    later: &dyn Fn(&str) -> Option<&'a str>,
) -> Result<(), String> {
    for requirement in &plugin.description.requires {
        let found = earlier.iter().find(|step| step.plugin.description.name == requirement.plugin);
        let Some(found) = found else {
            let remedy = match later(&requirement.plugin) {
                Some(later) => {
                    format!("step {later}, which has it, comes after step {step}: move {step} behind {later}")
                }
                None => "add it".to_owned(),
            };
            return Err(format!(
                "the plugin requires plugin {} {} in an earlier step; {remedy}",
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

fn patterns(paths: &[String]) -> Result<Vec<Pattern>, String> {
    paths.iter().map(|path| path.parse().map_err(|error| format!("{path}: {error}"))).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::model::{ObjectPermission, Requirement, Response};

    fn plugin(name: &str, requires: &[(&str, &str)]) -> Arc<Plugin> {
        let requires = requires
            .iter()
            .map(|(plugin, version)| Requirement { plugin: (*plugin).to_owned(), version: (*version).to_owned() });
        let objects = vec![ObjectPermission::creates(ObjectKind::new("v1", "Service"), &["{cluster}"])];
        let (name, requires) = (name.to_owned(), requires.collect());
        let description = Description { name, requires, objects, ..Description::default() };
        Arc::new(Plugin::native(description, |_request| Ok(Response::default())))
    }

    #[test]
    fn a_step_before_the_one_that_it_requires_is_told_to_stand_behind_it() {
        let (tls, needs) = (plugin("tls", &[]), plugin("needs", &[("tls", "*")]));
        let error = Pipeline::of(vec![Arc::clone(&needs), Arc::clone(&tls)]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "step needs: configure failed: the plugin requires plugin tls * in an earlier step; step tls, which has it, \
             comes after step needs: move needs behind tls"
        );
        let error = Pipeline::of(vec![Arc::clone(&needs)]).err().unwrap();
        assert!(error.reason.ends_with("in an earlier step; add it"), "{error}");
        assert!(Pipeline::of(vec![tls, needs]).is_ok());
    }

    #[test]
    fn a_grant_that_cannot_be_read_is_named_before_what_is_missing() {
        let plugin = plugin("writer", &[]);
        let mut grants = grant::all(&plugin.description);
        grants.objects[0].names = vec!["{claster}".to_owned()];
        let step = document::Step {
            name: "writer".to_owned(),
            source: Source::File(PathBuf::new()),
            digest: None,
            config: Map::new(),
            grants,
            on_failure: OnFailure::default(),
            allow_restarts: false,
            limits: document::Limits::default(),
            matches: document::Match::default(),
        };
        let (name, steps) = ("pipeline".to_owned(), vec![step]);
        let document = Document { name, steps, pull_secrets: Vec::new(), rollout: None };
        let error = Pipeline::assemble(&document, &[plugin]).err().unwrap().to_string();
        let place = "step writer: configure failed: grants.objects[0].names[0]: \"{claster}\" is not a pattern";
        assert!(error.starts_with(place), "{error}");
    }

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
        let fetch = |file: &str, most| fetch(Path::new(file), &folder, most);
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
