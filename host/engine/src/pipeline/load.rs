//! From a document to a pipeline: fetch, verify, compile, describe, configure; all steps or none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pgloom_api::pipeline::{self as document, Document, Grants, Source};
use pgloom_common::error::error_chain;
use serde_json::Map;

use super::configuration;
use super::step::{Pipeline, Step};
use crate::call::Limits;
use crate::engine::{Engine, MEMORY_CEILING};
use crate::grant;
use crate::model::{ActionPermission, Description, ObjectKind};
use crate::path::Pattern;
use crate::permission::{ObjectRights, Permissions, Rights};
use crate::plugin::{self, Phase, Plugin};

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
        let mut steps: Vec<Step> = Vec::new();
        for step in &document.steps {
            let fail = |phase, reason: String| Error { step: step.name.clone(), phase, reason };
            let bytes = fetch(&step.source, folder).map_err(|reason| fail(Phase::Fetch, reason))?;
            let plugin =
                load_plugin(engine, &bytes, step, running).map_err(|error| fail(error.phase(), error_chain(&error)))?;
            let step = configure(step, plugin, &steps).map_err(|reason| fail(Phase::Configure, reason))?;
            steps.push(step);
        }
        Ok(Self { name: document.name.clone(), steps })
    }

    /// A pipeline of loaded plugins. Each step has its plugin's name, an empty configuration and is granted all that
    /// the plugin asks for.
    ///
    /// # Errors
    /// If a plugin's schema refuses the empty configuration, or a requirement is not met.
    pub fn of(plugins: Vec<Arc<Plugin>>) -> Result<Self, Error> {
        let mut steps: Vec<Step> = Vec::new();
        for plugin in plugins {
            let name = plugin.description.name.clone();
            let step = document::Step {
                name: name.clone(),
                source: Source::File(PathBuf::new()),
                digest: None,
                config: Map::new(),
                grants: grant::all(&plugin.description),
                on_failure: document::OnFailure::default(),
                limits: document::Limits { memory: document::DEFAULT_MEMORY, deadline: document::DEFAULT_DEADLINE },
                matches: document::Match::default(),
            };
            let step = configure(&step, plugin, &steps).map_err(|reason| Error {
                step: name,
                phase: Phase::Configure,
                reason,
            })?;
            steps.push(step);
        }
        Ok(Self { name: "pipeline".to_owned(), steps })
    }
}

fn fetch(source: &Source, folder: &Path) -> Result<Vec<u8>, String> {
    match source {
        Source::File(file) => {
            let path = folder.join(file);
            std::fs::read(&path)
                .map_err(|error| format!("{}: {error}; check `source.file` and the plugin folder", path.display()))
        }
    }
}

fn load_plugin(
    engine: &Arc<Engine>,
    bytes: &[u8],
    step: &document::Step,
    running: Option<&Pipeline>,
) -> Result<Arc<Plugin>, plugin::Error> {
    let digest = plugin::digest(bytes);
    let pinned = step.digest.as_ref().map(document::Digest::as_str);
    let same = |candidate: &&Step| candidate.plugin.digest == digest && pinned.is_none_or(|pinned| pinned == digest);
    match running.and_then(|running| running.steps.iter().find(same)) {
        Some(loaded) => Ok(Arc::clone(&loaded.plugin)),
        None => Plugin::load(engine, bytes, pinned).map(Arc::new),
    }
}

fn configure(step: &document::Step, plugin: Arc<Plugin>, earlier: &[Step]) -> Result<Step, String> {
    check_requirements(&plugin, earlier)?;
    let description = &plugin.description;
    let config = configuration::complete(&step.config, &description.config_schema)?;
    check_granted(description, &step.grants)?;
    let asked = rights(&grant::all(description))?;
    let granted = rights(&step.grants)?;
    let creates = asked.objects.iter().filter(|asked| asked.creates).map(|asked| &asked.kind);
    let may_create = |kind: &&ObjectKind| granted.objects.iter().any(|grant| grant.creates && grant.kind == **kind);
    let mut creates: Vec<ObjectKind> = creates.filter(may_create).cloned().collect();
    creates.dedup();
    let credentials = description.credentials.iter().map(|asked| &asked.source);
    let credentials = credentials.filter(|source| step.grants.credentials.contains(source)).cloned().collect();
    let actions = step.grants.actions.iter().map(action).collect();
    let memory = usize::try_from(step.limits.memory).unwrap_or(usize::MAX);
    if memory > MEMORY_CEILING {
        return Err(format!("limits.memory is {memory} bytes; use {MEMORY_CEILING} or less"));
    }
    Ok(Step {
        name: step.name.clone(),
        permissions: Permissions::new(&asked, &granted),
        plugin,
        config,
        creates,
        actions,
        credentials,
        on_failure: step.on_failure,
        limits: Limits { memory, deadline: step.limits.deadline, ..Limits::default() },
        matches: step.matches.clone(),
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

fn patterns(paths: &[String]) -> Result<Vec<Pattern>, String> {
    paths.iter().map(|path| path.parse().map_err(|error| format!("{path}: {error}"))).collect()
}
