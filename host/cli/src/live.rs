//! The clusters that run, their operator configuration and the pipeline in use, read from the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Args;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Client, discovery};
use pgloom_api::config::Config;
use pgloom_api::postgresql;
use pgloom_common::error::error_chain;
use pgloom_conformance::recording;
use pgloom_decide::Kind;
use pgloom_decide::role::infrastructure_definitions;
use pgloom_engine::{NamedObject, Pipeline, Response};
use pgloom_operator::args::Named;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{api_server, file, pipeline};

/// The operator's own namespace, if no flag names one.
pub const OPERATOR_NAMESPACE: &str = "pgloom-system";
/// The most objects in one answer of the API server.
const PAGE: u32 = 500;

/// The flags that name the operator configuration in the API server, as those of `pgloom run`.
#[derive(Args)]
pub struct Configuration {
    /// The ConfigMap with the operator configuration of clusters that run, as [namespace/]name
    #[arg(long, value_name = "NAME", default_value = "pgloom", value_parser = Named::from_str)]
    config_map: Named,
    /// The OperatorConfiguration of clusters that run, as [namespace/]name; it comes before the ConfigMap
    #[arg(long, value_name = "NAME", value_parser = Named::from_str)]
    config_object: Option<Named>,
}

/// What is read of some clusters.
#[derive(Default)]
pub struct Wanted {
    kinds: BTreeSet<Kind>,
    /// Each with its namespace.
    named: BTreeSet<NamedObject>,
    /// The operator's own namespace, where it is known.
    own: Option<String>,
}

impl Wanted {
    /// What the operator observes of every cluster.
    pub fn of_every_cluster(config: &Config, own: &str) -> Self {
        let mut wanted =
            Self { kinds: pgloom_decide::kind::of_every_cluster().into_iter().collect(), ..Self::default() };
        wanted.own = Some(own.to_owned());
        for definition in infrastructure_definitions(config) {
            let (namespace, name) = definition.place(own);
            wanted.named.extend(["Secret", "ConfigMap"].map(|kind| NamedObject {
                api_version: "v1".to_owned(),
                kind: kind.to_owned(),
                namespace: Some(namespace.to_owned()),
                name: name.to_owned(),
            }));
        }
        wanted
    }

    /// Adds what the steps of a pipeline observe of a cluster.
    pub fn add(&mut self, pipeline: &Pipeline, manifest: &Value, config: &Config) {
        let (kinds, named) = recording::wanted(pipeline, manifest, config);
        self.kinds.extend(kinds.iter().map(|(api_version, kind)| Kind::new(api_version, kind)));
        let of_cluster = manifest["metadata"]["namespace"].as_str().map(str::to_owned);
        let within = |object: NamedObject, namespace: Option<String>| NamedObject {
            namespace: object.namespace.clone().or(namespace),
            ..object
        };
        let configured = pipeline.configured(config.values());
        self.named.extend(configured.into_iter().map(|object| within(object, self.own.clone())));
        self.named.extend(named.into_iter().map(|object| within(object, of_cluster.clone())));
    }
}

/// What a command does about objects that cannot be read: without the right, or of a kind that the API server does not
/// have.
#[derive(Clone, Copy)]
pub enum Unreadable {
    /// It fails.
    Fails,
    /// It warns, and goes on as if there were none.
    Warns,
}

/// A connection to the API server.
pub struct Live {
    runtime: Runtime,
    client: Client,
    /// The namespace of the clusters; `None`: all.
    namespace: Option<String>,
    /// The operator's own namespace.
    own: String,
}

impl Live {
    /// Connects. The clusters are those of `namespace`, or of that of the kubeconfig.
    pub fn connect(flags: &api_server::Connection, namespace: Option<&str>, own: Option<&str>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (client, default) = runtime.block_on(flags.connect())?;
        let namespace = Some(namespace.map_or(default, str::to_owned));
        Ok(Self { runtime, client, namespace, own: own.unwrap_or(OPERATOR_NAMESPACE).to_owned() })
    }

    /// The same for the clusters of all namespaces.
    pub fn everywhere(self) -> Self {
        Self { namespace: None, ..self }
    }

    /// The operator's own namespace.
    pub fn own(&self) -> &str {
        &self.own
    }

    /// The operator configuration, as document and read: of a file, or of the object that the flags name.
    pub fn configuration(&self, flags: &Configuration, given: Option<&Path>) -> Result<(Value, Config)> {
        let (document, place) = match (given, &flags.config_object) {
            (Some(path), _) => (file::read_one(path)?, path.to_owned()),
            (None, Some(named)) => {
                self.document(&Kind::new(postgresql::API_VERSION, "OperatorConfiguration"), named)?
            }
            (None, None) => self.document(&Kind::new("v1", "ConfigMap"), &flags.config_map)?,
        };
        let read = Config::read(&document).map_err(|problems| pipeline::refused(&place, &problems))?;
        Ok((document, read.config))
    }

    fn document(&self, kind: &Kind, named: &Named) -> Result<(Value, PathBuf)> {
        let namespace = named.namespace.as_deref().unwrap_or(&self.own);
        let title = format!("{} {namespace}/{}", kind.kind, named.name);
        let found = self.get(kind, namespace, &named.name)?;
        let found = found.with_context(|| {
            format!("there is no {title}; name the configuration with --config-map, --config-object or --config FILE")
        })?;
        Ok((found, PathBuf::from(title)))
    }

    /// Loads the pipeline in use: that of the file that the flags name, or of the Pipeline object with components from
    /// `folder`, or the shipped one.
    pub fn pipeline(&self, flags: &pipeline::Arguments, folder: &Path) -> Result<Pipeline> {
        if flags.is_named() {
            return self.load(flags);
        }
        let Some(document) = self.pipeline_document()? else {
            let (path, _) = flags.place()?;
            crate::log::say(format_args!(
                "warning: no Pipeline object of {} is in use, so the operator has its pipeline in a file; {} is used here",
                self.own,
                path.display()
            ));
            return self.load(flags);
        };
        let name = document["metadata"]["name"].as_str().unwrap_or_default();
        let place = format!("Pipeline {}/{name}", self.own);
        let loaded = pipeline::load_document(flags, &document, Path::new(&place), folder);
        let loaded = loaded.with_context(|| {
            let folder = folder.display();
            format!(
                "components of files are in the operator's image; looked for in {folder}, name another with --plugins"
            )
        });
        self.with_schemas(loaded?.pipeline)
    }

    /// Loads the pipeline of a file, for clusters that run.
    pub fn load(&self, flags: &pipeline::Arguments) -> Result<Pipeline> {
        self.with_schemas(pipeline::load(flags)?)
    }

    /// The pipeline with the schemas of the custom resources that its steps write, as the operator has it.
    fn with_schemas(&self, pipeline: Pipeline) -> Result<Pipeline> {
        let kinds = pipeline.custom_kinds();
        let schemas = self.runtime.block_on(pgloom_operator::custom_schemas(&self.client, &kinds));
        Ok(pipeline.with_schemas(schemas?))
    }

    /// By step name, what the steps with `onFailure: keepLast` answered last for a cluster, if one of these pipelines has
    /// such a step.
    pub fn last_answers(
        &self,
        manifest: &Value,
        pipelines: &[&Pipeline],
        unreadable: Unreadable,
    ) -> Result<BTreeMap<String, Response>> {
        let uid = manifest["metadata"]["uid"].as_str().filter(|_| pipelines.iter().any(|it| it.keeps_last()));
        let Some(name) = uid.and_then(pgloom_operator::map_of_answers) else { return Ok(BTreeMap::new()) };
        let found = self.get(&Kind::new("v1", "ConfigMap"), &self.own, &name);
        let found = unreadable.allow(found.map(Vec::from_iter))?;
        let data = found.first().and_then(|map| BTreeMap::deserialize(&map["data"]).ok()).unwrap_or_default();
        pgloom_operator::kept_answers(&data).with_context(|| {
            format!("ConfigMap {}/{name}: is not of this release; use the pgloom of the operator's release", self.own)
        })
    }

    /// The document of the pipeline in use, with the digest of each component; `None`, if no Pipeline object is in use.
    fn pipeline_document(&self) -> Result<Option<Value>> {
        let kind = Kind::new("pgloom.dev/v1alpha1", "Pipeline");
        let found = match self.list(&kind, Some(&self.own), None) {
            Err(error) if is(&error, 404) => Vec::new(),
            found => found.context("the pipeline in use is not known; name it with a file")?,
        };
        let in_use: Vec<Value> = found.iter().filter_map(last_loaded).collect();
        let name = |document: &Value| document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match &in_use[..] {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            several => {
                let names: Vec<String> = several.iter().map(name).collect();
                bail!("several Pipelines of {} are in use: {}; name one with a file", self.own, names.join(", "))
            }
        }
    }

    /// One cluster.
    pub fn cluster(&self, name: &str) -> Result<Value> {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        let found = self.get(&Kind::cluster(), namespace, name)?;
        found.with_context(|| format!("there is no postgresql {namespace}/{name}; check --namespace"))
    }

    /// The clusters of the namespace, or of all.
    pub fn clusters(&self) -> Result<Vec<Value>> {
        let found = self.list(&Kind::cluster(), self.namespace.as_deref(), None)?;
        match (&self.namespace, found.is_empty()) {
            (Some(namespace), true) => bail!("there is no postgresql in the namespace {namespace}; check --namespace"),
            (None, true) => bail!("there is no postgresql in any namespace"),
            (_, false) => Ok(found),
        }
    }

    /// The existing objects that are wanted. Those of a kind are selected by the label that every object of a cluster has,
    /// and by its value if one cluster is named.
    pub fn existing(
        &self,
        wanted: &Wanted,
        config: &Config,
        cluster: Option<&str>,
        unreadable: Unreadable,
    ) -> Result<Vec<Value>> {
        let label = config.text("cluster_name_label");
        let selector = cluster.map_or_else(|| label.to_owned(), |name| format!("{label}={name}"));
        let mut existing = Vec::new();
        for kind in &wanted.kinds {
            existing.extend(unreadable.allow(self.list(kind, self.namespace.as_deref(), Some(&selector)))?);
        }
        for NamedObject { api_version, kind, namespace, name } in &wanted.named {
            let kind = Kind::new(api_version, kind);
            let found = self.get(&kind, namespace.as_deref().unwrap_or(&self.own), name);
            existing.extend(unreadable.allow(found.map(Vec::from_iter))?);
        }
        Ok(existing)
    }

    fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Option<Value>> {
        self.runtime.block_on(async {
            let resource = self.resource(kind).await?;
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
            let found = api.get_opt(name).await;
            let found = found.map_err(|error| failed(error, "get", &format!("{} {namespace}/{name}", kind.kind)))?;
            Ok(found.map(|object| whole(object, kind)))
        })
    }

    fn list(&self, kind: &Kind, namespace: Option<&str>, selector: Option<&str>) -> Result<Vec<Value>> {
        self.runtime.block_on(async {
            let resource = self.resource(kind).await?;
            let api: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
                None => Api::all_with(self.client.clone(), &resource),
            };
            let place = namespace.map_or_else(|| "all namespaces".to_owned(), |name| format!("the namespace {name}"));
            let what = format!("the {} objects of {place}", kind.kind);
            let params = ListParams { label_selector: selector.map(str::to_owned), ..ListParams::default() };
            let mut params = params.limit(PAGE);
            let mut found = Vec::new();
            loop {
                let page = api.list(&params).await.map_err(|error| failed(error, "list", &what))?;
                found.extend(page.items.into_iter().map(|object| whole(object, kind)));
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params.continue_token = Some(token),
                    None => return Ok(found),
                }
            }
        })
    }

    /// The plural of a custom resource may be anything; that of the others follows from the kind.
    async fn resource(&self, kind: &Kind) -> Result<ApiResource> {
        let gvk = match kind.api_version.split_once('/') {
            Some((group, version)) => GroupVersionKind::gvk(group, version, &kind.kind),
            None => GroupVersionKind::gvk("", &kind.api_version, &kind.kind),
        };
        let own = ["acid.zalan.do", "pgloom.dev"];
        let is_custom = gvk.group.contains('.') && !gvk.group.ends_with(".k8s.io") && !own.contains(&&*gvk.group);
        if !is_custom {
            return Ok(ApiResource::from_gvk(&gvk));
        }
        let found = discovery::pinned_kind(&self.client, &gvk).await;
        Ok(found.with_context(|| format!("the API server has no {}", kind.kind))?.0)
    }
}

impl Unreadable {
    fn allow(self, found: Result<Vec<Value>>) -> Result<Vec<Value>> {
        match (self, found) {
            (Self::Warns, Err(error)) if is(&error, 403) || is(&error, 404) || is_unknown(&error) => {
                crate::log::say(format_args!("warning: {}; it is decided as if there were none", error_chain(&*error)));
                Ok(Vec::new())
            }
            (_, found) => found,
        }
    }
}

/// The pipeline of a Pipeline object that is in use, as a document.
fn last_loaded(object: &Value) -> Option<Value> {
    let last = pgloom_operator::in_use(object)?;
    let name = &object["metadata"]["name"];
    let (api_version, kind) = (&object["apiVersion"], &object["kind"]);
    Some(json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": last.spec}))
}

/// The error of a request. What the API server says of a right that is missing has the user and the resource.
fn failed(error: kube::Error, verb: &str, what: &str) -> anyhow::Error {
    let remedy = match &error {
        kube::Error::Api(status) if status.code == 403 => format!("; ask for the right to {verb} that kind"),
        _ => String::new(),
    };
    anyhow::Error::new(error).context(format!("{what} cannot be read{remedy}"))
}

/// Whether the API server answered with this status code.
fn is(error: &anyhow::Error, code: u16) -> bool {
    let status = error.downcast_ref::<kube::Error>();
    status.is_some_and(|error| matches!(error, kube::Error::Api(status) if status.code == code))
}

/// Whether the API server does not have the kind.
fn is_unknown(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Discovery(_)))
}

/// The object with its kind, which the entries of a list do not have.
fn whole(mut object: DynamicObject, kind: &Kind) -> Value {
    object.metadata.managed_fields = None;
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = json!(&*kind.api_version);
    value["kind"] = json!(&*kind.kind);
    value
}
