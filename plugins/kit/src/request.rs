//! What a call may depend on, as types.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bindings::contract::{self, ActionState};
use crate::failure::{Result, internal, invalid, invalid_config};
use crate::plugin::{OperatorConfig, Plugin};

/// All that a call of `P` may depend on.
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

#[derive(Deserialize)]
struct Manifest<S> {
    metadata: ObjectMeta,
    spec: S,
}

#[derive(Deserialize)]
struct ObjectMeta {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct OnlyTeam {
    spec: Team,
}

#[derive(Deserialize)]
struct Team {
    #[serde(rename = "teamId", default)]
    team: String,
}

impl<P: Plugin> Request<P> {
    /// Reads the contract's request.
    ///
    /// # Errors
    /// If a field of the manifest or of a configuration has another type than `P` says.
    pub fn read(request: contract::Request) -> Result<Self> {
        let settings = serde_json::from_str(&request.config)
            .map_err(|error| invalid_config(format!("the step's configuration cannot be read: {error}")))?;
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

    /// The object of that kind and name that earlier steps want, if its kind is one that the description reads.
    ///
    /// # Errors
    /// If the host sent something that is not JSON.
    pub fn desired<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Result<Option<T>> {
        self.desired
            .iter()
            .find(|desired| desired.identity.kind == kind && desired.identity.name == name)
            .map(|desired| read(&desired.object))
            .transpose()
    }

    /// The existing objects that the selector with this id found, by name.
    ///
    /// # Errors
    /// If the host sent something that is not JSON.
    pub fn observed<T: DeserializeOwned>(&self, selector: &str) -> Result<Vec<(String, T)>> {
        self.observed
            .iter()
            .filter(|observed| observed.selector == selector)
            .map(|observed| Ok((observed.identity.name.clone(), read(&observed.object)?)))
            .collect()
    }

    /// What became of every action that the plugin asked for before.
    pub fn actions(&self) -> &[ActionState] {
        &self.actions
    }

    /// What became of the action with this key.
    pub fn action(&self, key: &str) -> Option<&ActionState> {
        self.actions.iter().find(|action| action.key == key)
    }
}

impl<S: DeserializeOwned> Cluster<S> {
    fn read(json: &str) -> Result<Self> {
        let Manifest { metadata, spec } = serde_json::from_str::<Manifest<S>>(json).map_err(|error| {
            invalid(
                "spec",
                format!("the manifest cannot be read: {error}"),
                "give the field the type that its documentation says",
            )
        })?;
        let OnlyTeam { spec: Team { team } } = read(json)?;
        Ok(Self {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            team,
            spec,
        })
    }
}

fn read<T: DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| internal(format!("the host sent what cannot be read: {error}")))
}
