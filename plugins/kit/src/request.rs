//! The request of a call, as types.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Failure;
use crate::bindings::contract::{self, ActionState};
use crate::failure::{Result, internal, invalid};
use crate::json::field::{Error, Field, RawObject, Reader, Spec};
use crate::plugin::{OperatorConfig, Plugin, Settings};

/// Everything that an answer of `P` depends on: a call has no other input.
pub struct Request<P: Plugin> {
    /// The `postgresql` object.
    pub cluster: Cluster<P::Spec>,
    /// The operator configuration's keys that `P` names.
    pub config: P::Config,
    /// The step's configuration.
    pub settings: P::Settings,
    desired: Vec<contract::DesiredObject>,
    observed: Vec<contract::ObservedObject>,
    actions: Vec<ActionState>,
}

/// The `postgresql` object as a plugin sees it.
pub struct Cluster<S> {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`; empty when rendered offline.
    pub uid: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `spec.teamId`.
    pub team: String,
    /// The fields of `spec` that the plugin reads.
    pub spec: S,
}

crate::fields! {
    struct ObjectMeta {
        name: String = "name",
        namespace: Option<String> = "namespace",
        uid: Option<String> = "uid",
        labels: BTreeMap<String, String> = "labels",
        annotations: BTreeMap<String, String> = "annotations",
    }
}

impl<P: Plugin> Request<P> {
    /// Reads the contract's request.
    ///
    /// # Errors
    /// If a field of the manifest or of a configuration has another type than `P` says.
    pub fn read(request: contract::Request) -> Result<Self> {
        let settings = P::Settings::read(&request.config)?;
        let config = P::Config::read(&request.operator_config)?;
        Ok(Self {
            cluster: Cluster::read(&request.cluster)?,
            config,
            settings,
            desired: request.desired,
            observed: request.observed,
            actions: request.actions,
        })
    }

    /// The object of this kind and name as the earlier steps want it. The description has to say `reads_desired` of the
    /// kind.
    ///
    /// # Errors
    /// If the object is not a `T`.
    pub fn desired_object<T: Field>(&self, kind: &str, name: &str) -> Result<Option<T>> {
        self.desired
            .iter()
            .find(|desired| desired.identity.kind == kind && desired.identity.name == name)
            .map(|desired| read(&desired.object))
            .transpose()
    }

    /// The JSON text of a desired object.
    #[cfg(feature = "typed")]
    pub(crate) fn desired_text(&self, api_version: &str, kind: &str, name: &str) -> Option<&str> {
        let is_it = |of: &contract::ObjectRef| of.kind == kind && of.name == name && of.api_version == api_version;
        self.desired.iter().find(|desired| is_it(&desired.identity)).map(|desired| desired.object.as_str())
    }

    /// The cluster's StatefulSet as the earlier steps want it. The description has to say `reads_desired` of the kind.
    ///
    /// # Errors
    /// If no earlier step creates it.
    pub fn desired_statefulset(&self) -> Result<Value> {
        self.desired_object("StatefulSet", &self.cluster.name)?.ok_or_else(|| {
            internal("no earlier step creates the cluster's StatefulSet; move this step behind the spilo step")
        })
    }

    /// The existing objects that the selector with this id found, each with its name.
    ///
    /// # Errors
    /// If an object is not a `T`.
    pub fn observed<T: Field>(&self, selector: &str) -> Result<Vec<(String, T)>> {
        self.observed
            .iter()
            .filter(|observed| observed.selector == selector)
            .map(|observed| Ok((observed.identity.name.clone(), read(&observed.object)?)))
            .collect()
    }

    /// Whether the selector with this id found an object of this name.
    pub fn exists(&self, selector: &str, name: &str) -> bool {
        self.observed.iter().any(|observed| observed.selector == selector && observed.identity.name == name)
    }

    /// The state of every action that the plugin has requested.
    pub fn actions(&self) -> &[ActionState] {
        &self.actions
    }

    /// The state of the action with this key; none if the plugin has not requested it yet.
    pub fn action(&self, key: &str) -> Option<&ActionState> {
        self.actions.iter().find(|action| action.key == key)
    }
}

impl<S: Spec> Cluster<S> {
    fn read(json: &str) -> Result<Self> {
        let text = RawObject::of(json);
        let mut manifest = Reader::of_raw(&text);
        let spec = manifest.text("spec").unwrap_or("{}");
        let metadata: ObjectMeta = manifest.take("metadata");
        let ObjectMeta { name, namespace, uid, labels, annotations } =
            manifest.finish(metadata).map_err(|error| malformed("", &error))?;
        let fields = RawObject::of(spec);
        let mut reader = Reader::of_raw(&fields);
        let team: Option<String> = reader.take("teamId");
        let team = reader.finish(team).map_err(|error| malformed("spec.", &error))?;
        Ok(Self {
            name,
            namespace: namespace.unwrap_or_default(),
            uid: uid.unwrap_or_default(),
            labels,
            annotations,
            team: team.unwrap_or_default(),
            spec: S::read(spec, &fields).map_err(|error| malformed("spec.", &error))?,
        })
    }
}

#[cold]
fn malformed(under: &str, error: &Error) -> Failure {
    let path = format!("{under}{}", error.path);
    let message = format!("the value is not {}", error.expected);
    invalid(path.trim_end_matches('.'), message, "give the field a value of the type that its documentation says")
}

fn read<T: Field>(text: &str) -> Result<T> {
    T::read(text).map_err(|error| internal(format!("the host sent an object that cannot be read: {error}")))
}
