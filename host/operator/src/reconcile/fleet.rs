//! The clusters as a rollout of a pipeline sees them: what it changes for each, and how each is.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use pgloom_api::finding::errors;
use pgloom_common::error::{cut, error_chain};
use pgloom_decide::fleet::{Cluster, Seen, Unwell};
use pgloom_decide::impact::{Impact, Setting, impact};
use pgloom_decide::{Error as DecideError, Plan};
use serde_json::Value;
use tracing::warn;

use super::decide::decided;
use super::report::Steps;
use super::{Error, Reconciliation, is_ours};
use crate::cache::ClusterKey;
use crate::context::Context;
use crate::report::reference;
use crate::settings::{Fleet, Known, Settings};
use crate::state::{Failure, Reconciled};

/// The end of the type of the condition that a step failed.
const FAILED: &str = "/Failed";
/// The longest text about a failure, in bytes.
const MAX_TEXT: usize = 512;

/// A cluster, as far as its pipeline depends on it.
pub fn cluster(key: &ClusterKey, manifest: &Value) -> Cluster {
    let labels = manifest["metadata"]["labels"].as_object().into_iter().flatten();
    let labels = labels.filter_map(|(label, value)| Some((label.clone(), value.as_str()?.to_owned())));
    Cluster { namespace: key.namespace.to_string(), name: key.name.to_string(), labels: labels.collect() }
}

impl Fleet for Context {
    fn clusters(&self) -> Known {
        let unlisted = self.store.unlisted();
        let of = |key: ClusterKey| {
            let manifest = self.store.manifest(&key)?.object();
            let counts = is_ours(&manifest, &self.controller_id) && manifest["metadata"]["deletionTimestamp"].is_null();
            counts.then(|| (key.clone(), cluster(&key, &manifest)))
        };
        let mut clusters: Vec<_> = self.store.clusters().into_iter().filter_map(of).collect();
        clusters.sort_by_key(|(_, cluster)| cluster.to_string());
        let unlisted = (!unlisted.is_empty())
            .then(|| format!("not all clusters are known: {} not listed yet", unlisted.join(", ")));
        Known { clusters, unlisted }
    }

    fn impact<'a>(
        &'a self,
        key: &'a ClusterKey,
        now: &'a Settings,
        then: &'a Settings,
    ) -> BoxFuture<'a, Option<Impact>> {
        async move {
            let (one, other) = (self.asking(key, now)?, self.asking(key, then)?);
            let observed = futures::try_join!(one.observe(one.teams()), other.observe(other.teams()));
            let (seen_now, seen_then) = observed
                .inspect_err(|error| warn!(cluster = %key, error = %error_chain(error), "the cluster is not compared"))
                .ok()?;
            let (manifest, now, then) = (one.manifest.clone(), now.clone(), then.clone());
            let _turn = self.turns.acquire(now.pipeline.memory().max(then.pipeline.memory())).await;
            let compared = tokio::task::spawn_blocking(move || {
                let now = Setting { config: &now.config, pipeline: &now.pipeline, observed: &seen_now };
                let then = Setting { config: &then.config, pipeline: &then.pipeline, observed: &seen_then };
                impact(&manifest, now, then)
            });
            compared.await.ok()
        }
        .boxed()
    }

    fn unwell(&self, key: &ClusterKey, now: &Settings) -> Option<Unwell> {
        let cluster = self.asking(key, now)?;
        let (ready, wanted) = (cluster.members().ready(), cluster.wanted());
        let failed = |type_name: &str| {
            let conditions = cluster.status().conditions;
            conditions.iter().any(|condition| condition.type_ == type_name && condition.status == "False")
        };
        let failing = failed("Applied") || failed("Valid");
        (failing || ready < wanted).then_some(Unwell { ready, failing })
    }

    fn seen<'a>(&'a self, key: &'a ClusterKey, now: &'a Settings, then: &'a Settings) -> BoxFuture<'a, Option<Seen>> {
        async move {
            let cluster = self.asking(key, then)?;
            let reconciled = cluster.state.memory.lock().reconciled.clone();
            let of_new = Arc::downgrade(&then.pipeline);
            let reconciled = reconciled.filter(|reconciled| reconciled.pipeline.ptr_eq(&of_new));
            let created = cluster.metadata().creation_timestamp.map(|created| created.0.as_second());
            let (failure, fails_anyway) = match reconciled.as_ref().and_then(|reconciled| reconciled.failure.clone()) {
                Some(Failure::Object(refused)) => (Some(refused), false),
                Some(Failure::Decision) => self.new_failure(key, now, then).await,
                None => (None, false),
            };
            Some(Seen {
                ready: cluster.members().ready(),
                wanted: cluster.wanted(),
                created: created.unwrap_or_default(),
                reconciled: reconciled.is_some(),
                // What neither pipeline accepts, as an invalid manifest, is not waited for.
                settled: fails_anyway || reconciled.is_some_and(|reconciled| reconciled.settled),
                failure,
            })
        }
        .boxed()
    }
}

impl Context {
    /// A cluster as a reconcile with these settings has it; `None` if it is gone. Nothing is written.
    pub(super) fn asking<'a>(&'a self, key: &'a ClusterKey, settings: &Settings) -> Option<Reconciliation<'a>> {
        let kept = self.store.manifest(key)?;
        let manifest = kept.object();
        let (about, state) = (reference(&manifest), self.states.of(key));
        Some(Reconciliation {
            context: self,
            key,
            settings: settings.clone(),
            version: kept.version,
            about,
            manifest,
            state,
        })
    }

    /// Why the new pipeline fails for a cluster, if the one before does not, and whether both fail.
    async fn new_failure(&self, key: &ClusterKey, now: &Settings, then: &Settings) -> (Option<String>, bool) {
        let (before, new) = (self.decision_fails(key, now).await, self.decision_fails(key, then).await);
        match (before, new) {
            (Some(None), Some(Some(failure))) => (Some(cut(&failure, MAX_TEXT)), false),
            (Some(Some(_)), Some(Some(_))) => (None, true),
            _ => (None, false),
        }
    }

    /// Why the decision of a cluster fails; `None` inside if it does not, and outside if that is not known.
    async fn decision_fails(&self, key: &ClusterKey, settings: &Settings) -> Option<Option<String>> {
        let cluster = self.asking(key, settings)?;
        let observed = cluster.observe(cluster.teams()).await.ok()?;
        match decided(self, settings, cluster.manifest.clone(), Arc::new(observed)).await {
            Ok(plan) => Some(step_failure(&plan)),
            Err(Error::Decide(error)) => Some(Some(decision_failure(&error))),
            Err(_) => None,
        }
    }
}

/// Why a decision failed, with the step that refuses the manifest.
fn decision_failure(error: &DecideError) -> String {
    match error {
        DecideError::Manifest(findings) => {
            let step = findings.iter().find_map(|finding| finding.step.as_deref());
            let by = step.map(|step| format!("step {step}: ")).unwrap_or_default();
            by + &errors(findings, "; ")
        }
        _ => error_chain(error),
    }
}

/// Which step of a decision failed; `None` if none did.
fn step_failure(plan: &Plan) -> Option<String> {
    plan.degraded.then(|| {
        let failed = plan.conditions.iter().find(|condition| condition.type_name.ends_with(FAILED));
        failed.map_or_else(|| "a step failed".to_owned(), |failed| failed.message.clone())
    })
}

impl Reconciliation<'_> {
    /// What a reconcile came to.
    pub fn reconciled(&self, steps: &Steps) -> Reconciled {
        let refused = steps.failures.iter().find_map(|error| match error {
            Error::Decide(_) => Some(Failure::Decision),
            Error::Object { .. } | Error::NoStatefulSet { .. } => {
                Some(Failure::Object(cut(&error_chain(error), MAX_TEXT)))
            }
            _ => None,
        });
        let degraded = steps.decided.as_ref().is_some_and(|decided| decided.plan.degraded);
        let settled = steps.rolled.as_ref().is_some_and(|rolled| rolled.settled);
        Reconciled {
            pipeline: Arc::downgrade(&self.settings.pipeline),
            settled: settled && steps.failures.is_empty(),
            failure: refused.or(degraded.then_some(Failure::Decision)),
        }
    }
}
