//! From a document to a pipeline: fetch, verify, compile, describe, configure; all steps or none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pgloom_api::pipeline::{self as document, Document, Source};
use serde_json::{Map, Value};

use super::{Pipeline, Step, action_name};
use crate::call::Limits;
use crate::claim::{Claim, Grant, Rights};
use crate::contract::{ObjectKind, WriteClaim};
use crate::path::Pattern;
use crate::plugin::{self, Plugin};
use crate::runtime::Engine;

/// A phase of loading a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words are the documentation")]
pub enum Phase {
    Fetch,
    Verify,
    Compile,
    Describe,
    Configure,
}

impl Phase {
    /// As it stands in conditions and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Verify => "verify",
            Self::Compile => "compile",
            Self::Describe => "describe",
            Self::Configure => "configure",
        }
    }
}

/// Why a step could not be loaded. The pipeline that runs stays.
#[derive(Debug, thiserror::Error)]
#[error("step {step}: {} failed: {reason}", phase.as_str())]
pub struct Error {
    /// The step's name in the document.
    pub step: String,
    /// How far it came.
    pub phase: Phase,
    /// What is the matter and what to do.
    pub reason: String,
}

impl Pipeline {
    /// Loads every step of a document; files are relative to `folder`. Plugins of `running` with the same digest are kept.
    ///
    /// # Errors
    /// Names the first step that does not load, the phase and the remedy; nothing is loaded then.
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
                load_plugin(engine, &bytes, step, running).map_err(|error| fail(phase_of(&error), chain(&error)))?;
            let step = configure(step, plugin, &steps).map_err(|reason| fail(Phase::Configure, reason))?;
            steps.push(step);
        }
        Ok(Self { name: document.name.clone(), steps })
    }

    /// A pipeline of plugins that are already there, each under its own name, with an empty configuration and with all the
    /// rights that it claims.
    ///
    /// # Errors
    /// If a plugin's schema refuses the empty configuration or a requirement is not met.
    pub fn of(plugins: Vec<Arc<Plugin>>) -> Result<Self, Error> {
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

fn phase_of(error: &plugin::Error) -> Phase {
    match error.phase() {
        "compile" => Phase::Compile,
        "describe" => Phase::Describe,
        _ => Phase::Verify,
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn configure(step: &document::Step, plugin: Arc<Plugin>, earlier: &[Step]) -> Result<Step, String> {
    check_requirements(&plugin, earlier)?;
    let config = complete(&step.config, &plugin.description.config_schema)?;
    let claims = plugin.description.writes.iter().map(claim).collect::<Result<Vec<_>, _>>()?;
    let mut rights =
        Rights::new(&claims).overrides(grants(&step.grants.overrides)?).removes(grants(&step.grants.removes)?);
    if let Some(writes) = &step.grants.writes {
        rights = rights.granted(&writes.iter().map(write_grant).collect::<Result<Vec<_>, _>>()?);
    }
    if step.grants.secrets != document::SecretsGrant::None {
        rights = rights.confidential();
    }
    let claimed = plugin.description.actions.iter().map(|&kind| action_name(kind));
    let actions = match &step.grants.actions {
        None => claimed.collect(),
        Some(granted) => claimed.filter(|name| granted.iter().any(|action| action.name() == *name)).collect(),
    };
    let granted = |kind: &ObjectKind| match &step.grants.writes {
        None => true,
        Some(writes) => {
            writes.iter().any(|grant| grant.creates && grant.api_version == kind.api_version && grant.kind == kind.kind)
        }
    };
    let creates = claims.iter().filter(|claim| claim.creates && granted(&claim.kind));
    let creates = creates.map(|claim| claim.kind.clone()).collect();
    let memory = usize::try_from(step.limits.memory).unwrap_or(usize::MAX);
    if memory > crate::runtime::MEMORY_CEILING {
        return Err(format!(
            "limits.memory is more than the most a call can have, {} bytes",
            crate::runtime::MEMORY_CEILING
        ));
    }
    Ok(Step {
        name: step.name.clone(),
        plugin,
        config,
        rights,
        creates,
        actions,
        secrets: step.grants.secrets.clone(),
        on_failure: step.on_failure,
        limits: Limits { memory, deadline: step.limits.deadline, ..Limits::default() },
        matches: step.matches.clone(),
    })
}

fn check_requirements(plugin: &Plugin, earlier: &[Step]) -> Result<(), String> {
    for requirement in &plugin.description.requires {
        let found = earlier.iter().find(|step| step.plugin.description.name == requirement.plugin);
        let Some(found) = found else {
            return Err(format!(
                "it needs plugin {} {} in an earlier step; add it",
                requirement.plugin, requirement.version
            ));
        };
        let version = &found.plugin.description.version;
        let wanted = semver::VersionReq::parse(&requirement.version).map_err(|error| error.to_string())?;
        if !semver::Version::parse(version).is_ok_and(|version| wanted.matches(&version)) {
            return Err(format!(
                "it needs plugin {} {}, step {} has {version}",
                requirement.plugin, requirement.version, found.name
            ));
        }
    }
    Ok(())
}

/// The step's configuration with the schema's defaults, checked against the schema.
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
        .map_err(|error| format!("the plugin's own configuration schema cannot be used: {error}"))?;
    let problems: Vec<String> = validator
        .iter_errors(&config)
        .map(|error| {
            let path = error.instance_path().to_string().replace('/', ".");
            format!("config{path}: {error}")
        })
        .collect();
    if problems.is_empty() { Ok(config.to_string()) } else { Err(problems.join("; ")) }
}

fn claim(claim: &WriteClaim) -> Result<Claim, String> {
    Ok(Claim { kind: claim.kind.clone(), creates: claim.creates, paths: patterns(&claim.paths)? })
}

fn write_grant(grant: &document::WriteGrant) -> Result<Claim, String> {
    let kind = ObjectKind { api_version: grant.api_version.clone(), kind: grant.kind.clone() };
    Ok(Claim { kind, creates: grant.creates, paths: patterns(&grant.paths)? })
}

fn grants(grants: &[document::KindPaths]) -> Result<Vec<Grant>, String> {
    let grant = |grant: &document::KindPaths| {
        let kind = ObjectKind { api_version: grant.api_version.clone(), kind: grant.kind.clone() };
        Ok(Grant { kind: Some(kind), paths: patterns(&grant.paths)? })
    };
    grants.iter().map(grant).collect()
}

fn patterns(paths: &[String]) -> Result<Vec<Pattern>, String> {
    paths.iter().map(|path| path.parse().map_err(|error| format!("{path}: {error}"))).collect()
}
