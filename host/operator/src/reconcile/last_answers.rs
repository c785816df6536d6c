//! The last answers of the steps with `onFailure: keepLast`, kept for a restart of the operator.
//!
//! They are in a ConfigMap of the operator's own namespace, one for each cluster, because an answer is used with all that its
//! step is granted: who may write in the namespace of a cluster must not be able to write one. An answer holds no secret
//! value; placeholders are names, which are the same after a restart.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use pgloom_common::error::error_chain;
use pgloom_common::fingerprint::fingerprint;
use pgloom_common::name::is_dns1123_subdomain;
use pgloom_decide::Kind;
use pgloom_decide::field_manager::MANAGER;
use pgloom_engine::Response;
use pgloom_engine::pipeline::Identity;
use serde_json::json;
use tracing::{info, warn};

use super::Reconciliation;
use crate::context::Context;

/// The prefix of the ConfigMaps' names; the manifest's uid follows.
const PREFIX: &str = "pgloom-last-";
/// The key of the ConfigMap's data.
const KEY: &str = "answers.json";
/// The label of the ConfigMaps, by which people find them.
const LABEL: &str = "pgloom.dev/last-answers";
/// The annotation with the namespace and the name of the cluster.
const CLUSTER: &str = "pgloom.dev/cluster";
/// The largest answers that are kept, in bytes. The API server takes objects up to about 1 MiB.
const MOST: usize = 512 << 10;

/// By step name, the last answer of each step that keeps it.
type Answers = BTreeMap<String, Response>;

/// The name of the ConfigMap with the answers for the cluster with this uid, in the operator's namespace; `None` if no
/// object can have it.
#[must_use]
pub fn map_of_answers(uid: &str) -> Option<String> {
    let name = format!("{PREFIX}{uid}");
    is_dns1123_subdomain(&name).then_some(name)
}

/// The answers that such a ConfigMap has.
///
/// # Errors
/// If they are not of this release.
pub fn kept_answers(data: &BTreeMap<String, String>) -> serde_json::Result<Answers> {
    data.get(KEY).map_or_else(|| Ok(Answers::new()), |text| serde_json::from_str(text))
}

/// Deletes what is kept for clusters that do not exist any more, as after a finalizer was removed by hand. Only what
/// provably is such a remainder: named, labelled and written by the operator, for a cluster of a namespace of which every
/// manifest is known.
pub async fn sweep_answers(context: &Context) {
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.namespace);
    let found = match maps.list(&ListParams::default().labels(&format!("{LABEL}=true"))).await {
        Ok(found) => found.items,
        Err(error) => {
            warn!(error = %error_chain(&error), "the last answers of steps of former clusters are not known");
            return;
        }
    };
    for map in found.into_iter().filter(|map| is_abandoned(context, &map.metadata)) {
        let name = map.name_any();
        let preconditions = Preconditions { uid: map.uid(), resource_version: map.resource_version() };
        let how = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match maps.delete(&name, &how).await {
            Ok(_) => info!(name, "the last answers of steps are deleted, as their cluster is gone"),
            Err(error) => warn!(name, error = %error_chain(&error), "the last answers of steps are not deleted"),
        }
    }
}

/// Whether answers are kept for a cluster that is gone.
fn is_abandoned(context: &Context, metadata: &ObjectMeta) -> bool {
    let name = metadata.name.as_deref().unwrap_or_default();
    let cluster = metadata.annotations.as_ref().and_then(|annotations| annotations.get(CLUSTER));
    let (Some(uid), Some((namespace, _))) =
        (name.strip_prefix(PREFIX), cluster.and_then(|cluster| cluster.split_once('/')))
    else {
        return false;
    };
    let mut managers = metadata.managed_fields.iter().flatten();
    let is_ours = managers.any(|entry| entry.manager.as_deref() == Some(MANAGER));
    let store = &context.store;
    let is_known = store.watches(&Kind::cluster(), namespace) && store.synced(namespace);
    is_ours && is_known && !store.has_manifest(uid)
}

impl Reconciliation<'_> {
    /// The last answers. After a start they are read once.
    pub async fn last_answers(&self) -> Answers {
        let is_known = self.state.memory.lock().answers_kept.is_some();
        if !is_known
            && self.settings.pipeline.keeps_last()
            && let Some(name) = self.name_of_answers()
        {
            match self.answers_api().get_opt(&name).await {
                Ok(found) => self.restore(&found.and_then(|found| found.data).unwrap_or_default()),
                Err(error) => warn!(error = %error_chain(&error), "the last answers of steps cannot be read"),
            }
        }
        let memory = self.state.memory.lock();
        match &memory.answers_on_trial {
            // Also after all clusters have it: they are newer than those of the pipeline before.
            Some((pipeline, answers)) if *pipeline == self.settings.pipeline.identity => answers.clone(),
            _ => memory.last_answers.clone(),
        }
    }

    /// Remembers the answers of a decision. Those of a pipeline that is being rolled out stay apart and are not kept for a
    /// restart: after it was taken back, the steps of the pipeline before go on with their own.
    pub async fn remember_answers(&self, answers: &Answers) {
        if self.settings.is_on_trial() {
            let of = self.settings.pipeline.identity;
            self.state.memory.lock().answers_on_trial = Some((of, answers.clone()));
            return;
        }
        {
            let mut memory = self.state.memory.lock();
            memory.last_answers.clone_from(answers);
            memory.answers_on_trial = None;
        }
        // Before anything is applied: after a restart the answer may be newer than what is applied, and not older.
        self.keep_answers(answers).await;
    }

    /// Forgets what another pipeline answered on trial, as one that was taken back.
    pub fn forget_others_trial(&self) {
        let is_others = |(pipeline, _): &mut (Identity, Answers)| *pipeline != self.settings.pipeline.identity;
        drop(self.state.memory.lock().answers_on_trial.take_if(is_others));
    }

    fn restore(&self, data: &BTreeMap<String, String>) {
        let kept = kept_answers(data).inspect_err(|error| warn!(%error, "the last answers of steps cannot be used"));
        let kept = kept.unwrap_or_default();
        let mut memory = self.state.memory.lock();
        memory.answers_kept = Some(fingerprint(&kept));
        for (step, answer) in kept {
            memory.last_answers.entry(step).or_insert(answer);
        }
    }

    /// Keeps the answers, if they differ from those that are kept. A failure is logged only: without a restart nothing
    /// depends on it.
    async fn keep_answers(&self, answers: &Answers) {
        let print = fingerprint(answers);
        let kept = self.state.memory.lock().answers_kept;
        let is_kept = kept == Some(print) || kept.is_none() && answers.is_empty();
        let Some(name) = self.name_of_answers().filter(|_| !is_kept && self.settings.pipeline.keeps_last()) else {
            return;
        };
        let Ok(text) = serde_json::to_string(answers) else { return };
        if text.len() > MOST {
            warn!(bytes = text.len(), most = MOST, "the answers of steps are too large to be kept for a restart");
            self.state.memory.lock().answers_kept = Some(print);
            return;
        }
        let metadata = json!({
            "name": name, "labels": {LABEL: "true"},
            "annotations": {CLUSTER: format!("{}/{}", self.key.namespace, self.key.name)},
        });
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: text}});
        match self.answers_api().patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(map)).await {
            Ok(_) => self.state.memory.lock().answers_kept = Some(print),
            Err(error) => warn!(error = %error_chain(&error), "the last answers of steps are not kept for a restart"),
        }
    }

    /// Deletes what is kept. A failure is logged only: it must not keep the manifest.
    pub async fn forget_answers(&self) {
        let Some(name) = self.name_of_answers() else { return };
        let api = self.answers_api();
        let deleted = match api.get_metadata_opt(&name).await {
            Ok(None) => return,
            Ok(Some(_)) => api.delete(&name, &DeleteParams::default()).await.map(drop),
            Err(error) => Err(error),
        };
        match deleted {
            Ok(()) => info!(name, "the last answers of steps are deleted"),
            Err(error) => warn!(name, error = %error_chain(&error), "the last answers of steps are not deleted"),
        }
    }

    fn name_of_answers(&self) -> Option<String> {
        map_of_answers(&self.metadata().uid?)
    }

    fn answers_api(&self) -> Api<ConfigMap> {
        Api::namespaced(self.context.client.clone(), &self.context.namespace)
    }
}
