//! What the commands that decide read, the pipeline aside: manifests, the operator configuration, existing objects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use pgloom_api::config::Config;
use pgloom_api::postgresql::{KIND, PostgresqlStatus};
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::{Observed, namespaces_of};
use pgloom_engine::{Pipeline, Response};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::file::{read_all, read_objects};
use crate::pipeline;
use crate::usage::{namespace, usage};

/// The flags of what a decision depends on, the pipeline aside.
#[derive(Args)]
pub struct Arguments {
    /// The operator configuration: a ConfigMap or an OperatorConfiguration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Objects that exist already
    #[arg(long, value_name = "FILE")]
    observed: Option<PathBuf>,
    /// The namespace of manifests that name none; without it `default`
    #[arg(long, short, value_name = "NAME", value_parser = namespace)]
    pub namespace: Option<String>,
    /// The operator's own namespace, which has operator-wide Secrets; without it that of the configuration
    #[arg(long, value_name = "NAME", value_parser = namespace)]
    pub operator_namespace: Option<String>,
}

/// What a decision depends on, the manifest and the pipeline aside.
pub struct Inputs {
    namespace: String,
    /// The operator configuration.
    pub config: Config,
    operator_namespace: String,
    existing: Vec<Value>,
    /// By uid of a cluster and by step, the last answers of steps that keep them.
    last: BTreeMap<String, BTreeMap<String, Response>>,
}

impl Arguments {
    /// Reads the files.
    pub fn read(&self) -> Result<Inputs> {
        let document = self.config.as_deref().map(configuration).transpose()?;
        let config = match (&document, &self.config) {
            (Some(document), Some(path)) => read_config(document, path)?,
            _ => Config::defaults(),
        };
        let mut existing = self.observed.as_deref().map_or_else(|| Ok(Vec::new()), read_objects)?;
        let namespace = self.namespace.clone().unwrap_or_else(|| "default".to_owned());
        existing.iter_mut().for_each(|object| complete(object, &namespace));
        let operator_namespace = self.own(document.as_ref()).unwrap_or(&namespace).to_owned();
        Ok(Inputs { namespace, config, operator_namespace, existing, last: BTreeMap::new() })
    }

    /// Refuses the flags that are about manifests in files.
    pub fn refuse_observed(&self) -> Result<()> {
        match &self.observed {
            Some(path) => Err(usage(format!(
                "{}: --observed is for manifests in files; of clusters that run the existing objects are read",
                path.display()
            ))),
            None => Ok(()),
        }
    }

    /// The namespace of operator-wide Secrets: that of the flag, or of the configuration.
    fn own<'a>(&'a self, configuration: Option<&'a Value>) -> Option<&'a str> {
        let of_configuration = configuration.and_then(|document| document["metadata"]["namespace"].as_str());
        self.operator_namespace.as_deref().or(of_configuration)
    }
}

impl Inputs {
    /// The inputs of clusters that run. The operator's namespace is `own`.
    pub fn of_running(config: Config, own: &str, existing: Vec<Value>) -> Self {
        let own = own.to_owned();
        Self { namespace: own.clone(), config, operator_namespace: own, existing, last: BTreeMap::new() }
    }

    /// Adds what the steps of a cluster answered last, by the name of the step.
    pub fn add_last_answers(&mut self, manifest: &Value, answers: BTreeMap<String, Response>) {
        self.last.insert(uid(manifest).to_owned(), answers);
    }

    /// The manifests of a file, `-` being standard input. Objects of other kinds beside them are left out with a word; a file
    /// without a manifest is given whole, to be refused.
    pub fn manifests(&self, path: &Path) -> Result<Vec<Value>> {
        let mut manifests = read_all(path)?;
        // One that is written in other letters is refused with the right ones.
        let is_manifest = |object: &Value| object["kind"].as_str().is_none_or(|kind| kind.eq_ignore_ascii_case(KIND));
        if manifests.iter().any(|object| object["kind"] == KIND) {
            leave_out(&mut manifests, is_manifest, path, KIND);
        }
        manifests.iter_mut().for_each(|manifest| complete(manifest, &self.namespace));
        manifests.iter().for_each(|manifest| self.say_unobserved(manifest, path));
        Ok(manifests)
    }

    /// Says of a cluster whose existing objects are all in another namespace that none of them is observed.
    fn say_unobserved(&self, manifest: &Value, path: &Path) {
        let cluster = ObjectKey::of(manifest);
        let namespaces = namespaces_of(&self.existing, &self.config, cluster.name);
        if namespaces.is_empty() || namespaces.contains(cluster.namespace) {
            return;
        }
        let elsewhere = namespaces.into_iter().collect::<Vec<_>>().join(", ");
        crate::log::say(format_args!(
            "warning: {}: no object of {} in the namespace {} is among the observed ones, which are in {elsewhere}; name the \
             namespace with --namespace, or in the manifest",
            path.display(),
            cluster.name,
            cluster.namespace,
        ));
    }

    /// The existing objects of a cluster.
    pub fn observed(&self, manifest: &Value, pipeline: &Pipeline) -> Observed {
        self.observed_with(&self.config, manifest, pipeline)
    }

    /// The same by another operator configuration.
    pub fn observed_with(&self, config: &Config, manifest: &Value, pipeline: &Pipeline) -> Observed {
        let own = &self.operator_namespace;
        let mut observed = Observed::in_files(&self.existing, manifest, config, pipeline, own);
        let status = manifest.get("status").map(PostgresqlStatus::deserialize).and_then(Result::ok).unwrap_or_default();
        observed.actions = Observed::actions(status.actions);
        observed.last = self.last.get(uid(manifest)).cloned().unwrap_or_default();
        observed
    }
}

/// Reads an operator configuration.
pub fn config(path: &Path) -> Result<Config> {
    read_config(&configuration(path)?, path)
}

/// The operator configuration in a file that may have other objects beside it.
fn configuration(path: &Path) -> Result<Value> {
    let mut documents = read_all(path)?;
    for kind in ["OperatorConfiguration", "ConfigMap"] {
        let is_it = |object: &Value| object["kind"] == kind;
        if documents.iter().filter(|object| is_it(object)).count() == 1 {
            leave_out(&mut documents, is_it, path, "operator configuration");
            break;
        }
    }
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok(document),
        _ => {
            bail!("{}: has several documents, and not one operator configuration; name a file with one", path.display())
        }
    }
}

/// Leaves out what is not wanted of a file, with a word for each.
fn leave_out(documents: &mut Vec<Value>, is_wanted: impl Fn(&Value) -> bool, path: &Path, what: &str) {
    documents.retain(|object| {
        let is_wanted = is_wanted(object);
        if !is_wanted {
            let key = ObjectKey::of(object);
            crate::log::say(format_args!(
                "note: {}: {} {} is no {what}, and is left out",
                path.display(),
                key.kind,
                key.name
            ));
        }
        is_wanted
    });
}

fn read_config(document: &Value, path: &Path) -> Result<Config> {
    let read = Config::read(document).map_err(|problems| pipeline::refused(path, &problems))?;
    read.warnings.iter().for_each(|warning| crate::log::say(format_args!("warning: {}: {warning}", path.display())));
    Ok(read.config)
}

fn uid(manifest: &Value) -> &str {
    manifest["metadata"]["uid"].as_str().unwrap_or_default()
}

fn complete(manifest: &mut Value, namespace: &str) {
    if let Some(Value::Object(metadata)) = manifest.get_mut("metadata") {
        metadata.entry("namespace").or_insert_with(|| json!(namespace));
    }
}
