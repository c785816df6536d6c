//! What a call may depend on, as types.

use std::collections::BTreeMap;

use crate::Failure;
use crate::bindings::contract::{self, ActionState};
use crate::failure::{Result, internal, invalid};
use crate::field::{Field, Reader, Spec, Text, Wrong};
use crate::plugin::{OperatorConfig, Plugin, Settings};

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

    /// The object of that kind and name that earlier steps want, if its kind is one that the description reads.
    ///
    /// # Errors
    /// If the host sent something that is not JSON, or not a `T`.
    pub fn desired<T: Field>(&self, kind: &str, name: &str) -> Result<Option<T>> {
        self.desired
            .iter()
            .find(|desired| desired.identity.kind == kind && desired.identity.name == name)
            .map(|desired| read(&desired.object))
            .transpose()
    }

    /// The existing objects that the selector with this id found, by name.
    ///
    /// # Errors
    /// If the host sent something that is not JSON, or not a `T`.
    pub fn observed<T: Field>(&self, selector: &str) -> Result<Vec<(String, T)>> {
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

impl<S: Spec> Cluster<S> {
    fn read(json: &str) -> Result<Self> {
        let text = Text::of(json);
        let mut manifest = Reader::of_text(&text);
        let spec = manifest.text("spec").unwrap_or("{}");
        let metadata: ObjectMeta = manifest.take("metadata");
        let ObjectMeta { name, namespace, uid, labels, annotations } =
            manifest.finish(metadata).map_err(|wrong| malformed("", &wrong))?;
        let fields = Text::of(spec);
        let mut reader = Reader::of_text(&fields);
        let team: Option<String> = reader.take("teamId");
        let team = reader.finish(team).map_err(|wrong| malformed("spec.", &wrong))?;
        Ok(Self {
            name,
            namespace: namespace.unwrap_or_default(),
            uid: uid.unwrap_or_default(),
            labels,
            annotations,
            team: team.unwrap_or_default(),
            spec: S::read(spec, &fields).map_err(|wrong| malformed("spec.", &wrong))?,
        })
    }
}

#[cold]
fn malformed(under: &str, wrong: &Wrong) -> Failure {
    let path = [under, &wrong.path].concat();
    let message = [path.trim_end_matches('.'), " is not ", &wrong.wanted].concat();
    invalid(path, message, "give the field the type that its documentation says")
}

fn read<T: Field>(text: &str) -> Result<T> {
    T::read(text).map_err(|wrong| internal(["the host sent an object whose ", &wrong.to_string()].concat()))
}
