//! The clusters as a rollout of a pipeline sees them: what it changes for each, and how each is.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use pgloom_api::finding::errors;
use pgloom_common::error::{cut, error_chain};
use pgloom_decide::fleet::{Before, Cluster, Seen};
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
use crate::state::{Case, Failure, Fault, Reconciled};

/// The end of the type of the condition that a step failed.
const FAILED: &str = "/Failed";
/// The longest text about a failure, in bytes.
const MAX_TEXT: usize = 512;
/// How many namespaces a message names.
const MAX_NAMES: usize = 5;

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
        Known { clusters, unlisted: (!unlisted.is_empty()).then(|| not_listed(&unlisted)) }
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

    fn before(&self, key: &ClusterKey, now: &Settings) -> Option<Before> {
        let cluster = self.asking(key, now)?;
        let failed = |type_name: &str| {
            let conditions = cluster.status().conditions;
            conditions.iter().any(|condition| condition.type_ == type_name && condition.status == "False")
        };
        let failing = failed("Applied") || failed("Valid");
        Some(Before { ready: cluster.members().ready(), wanted: cluster.wanted(), failing })
    }

    fn seen<'a>(&'a self, key: &'a ClusterKey, now: &'a Settings, then: &'a Settings) -> BoxFuture<'a, Option<Seen>> {
        async move {
            let cluster = self.asking(key, then)?;
            let reconciled = cluster.state.memory.lock().reconciled.clone();
            let reconciled = reconciled.filter(|reconciled| reconciled.pipeline == then.pipeline.identity);
            let created = cluster.metadata().creation_timestamp.map(|created| created.0.as_second());
            let failure = reconciled.as_ref().and_then(|reconciled| reconciled.failure.clone());
            let fault = match failure {
                Some(failure) => Some(self.fault(&cluster, failure, now).await),
                None => None,
            };
            let (failure, obstacle) = match &fault {
                Some(Fault::Pipeline(reason)) => (Some(reason.clone()), None),
                Some(Fault::Elsewhere(reason)) => (None, Some(reason.clone())),
                Some(Fault::Both) | None => (None, None),
            };
            Some(Seen {
                ready: cluster.members().ready(),
                wanted: cluster.wanted(),
                created: created.unwrap_or_default(),
                reconciled: reconciled.is_some(),
                // What neither pipeline accepts, as an invalid manifest, is not waited for.
                settled: fault == Some(Fault::Both) || reconciled.is_some_and(|reconciled| reconciled.settled),
                failure,
                obstacle,
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

    /// Whose fault a failure of a cluster is that has the new pipeline. What was found out is remembered as long as nothing
    /// changes that it depends on.
    async fn fault(&self, cluster: &Reconciliation<'_>, failure: Failure, now: &Settings) -> Fault {
        let reason = match &failure {
            Failure::Elsewhere(reason) => return Fault::Elsewhere(reason.clone()),
            Failure::Decision(reason) | Failure::Object { reason, .. } => reason.clone(),
        };
        let then = &cluster.settings;
        let case = Case {
            manifest: self.store.manifest(cluster.key).map_or(0, |kept| kept.content),
            config: then.config.clone(),
            pipelines: [now.pipeline.identity, then.pipeline.identity],
            failure,
        };
        let known = cluster.state.memory.lock().verdict.clone().filter(|(known, _)| *known == case);
        if let Some((_, fault)) = known {
            return fault;
        }
        match self.compare(cluster.key, &case.failure, (now, then)).await {
            Some(fault) => {
                cluster.state.memory.lock().verdict = Some((case, fault.clone()));
                fault
            }
            None => Fault::Elsewhere(reason),
        }
    }

    /// Decides a cluster by both pipelines, to find out whether the new one is the reason for a failure; `None` if that
    /// cannot be found out now.
    async fn compare(&self, key: &ClusterKey, failure: &Failure, (now, then): (&Settings, &Settings)) -> Option<Fault> {
        let new = self.outcome(key, then).await?;
        let before = match now.pipeline.is_available() {
            true => Some(self.outcome(key, now).await?),
            // Nothing says that the same fails without the new one.
            false => None,
        };
        match (before, new, failure) {
            (Some(Err(_)), Err(_), _) | (Some(Err(_)), Ok(_), Failure::Object { .. }) => Some(Fault::Both),
            (_, Err(failure), _) => Some(Fault::Pipeline(failure)),
            (Some(Ok(before)), Ok(new), Failure::Object { kind, name, .. })
                if object_of(&before, kind, name) == object_of(&new, kind, name) =>
            {
                Some(Fault::Both)
            }
            (_, Ok(_), Failure::Object { reason, .. }) => Some(Fault::Pipeline(reason.clone())),
            (_, Ok(_), Failure::Decision(_) | Failure::Elsewhere(_)) => None,
        }
    }

    /// What a decision of a cluster comes to: the plan, or why it or a step fails; `None` if that is not known.
    async fn outcome(&self, key: &ClusterKey, settings: &Settings) -> Option<Result<Plan, String>> {
        let cluster = self.asking(key, settings)?;
        let observed = cluster.observe(cluster.teams()).await.ok()?;
        match decided(self, settings, cluster.manifest.clone(), Arc::new(observed)).await {
            Ok(plan) => Some(step_failure(&plan).map_or(Ok(plan), Err)),
            Err(Error::Decide(error)) => Some(Err(cut(&decision_failure(&error), MAX_TEXT))),
            Err(_) => None,
        }
    }
}

/// What is known of namespaces that are not listed.
fn not_listed(scopes: &[String]) -> String {
    let named = scopes.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>().join(", ");
    let more = scopes.len().saturating_sub(MAX_NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "not all clusters are known: {named}{more} not listed yet; if it stays so, give the operator the right to list what \
        it watches there (`pgloom rbac` prints the rules), or take the namespace out of watched_namespace"
    )
}

/// An object of a plan.
fn object_of<'a>(plan: &'a Plan, kind: &str, name: &str) -> Option<&'a Value> {
    let mut objects = plan.objects.iter().map(|desired| &desired.object);
    objects.find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
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
        failed.map_or_else(|| "a step failed".to_owned(), |failed| cut(&failed.message, MAX_TEXT))
    })
}

impl Reconciliation<'_> {
    /// What a reconcile came to.
    pub fn reconciled(&self, steps: &Steps) -> Reconciled {
        let degraded = steps.decided.as_ref().and_then(|decided| step_failure(&decided.plan));
        let failures = steps.failures.iter().map(failure_of).chain(degraded.map(Failure::Decision));
        let settled = steps.rolled.as_ref().is_some_and(|rolled| rolled.settled);
        Reconciled {
            pipeline: self.settings.pipeline.identity,
            settled: settled && steps.failures.is_empty(),
            failure: failures.min_by_key(|failure| matches!(failure, Failure::Elsewhere(_))),
        }
    }
}

/// What failed in a reconcile, as far as the pipeline may be the reason.
fn failure_of(error: &Error) -> Failure {
    let reason = cut(&error_chain(error), MAX_TEXT);
    let object =
        |kind: &str, name: &str, reason| Failure::Object { kind: kind.to_owned(), name: name.to_owned(), reason };
    match error {
        Error::Decide(_) => Failure::Decision(reason),
        Error::NoStatefulSet { name } => object("StatefulSet", name, reason),
        Error::Object { source, .. } => match source.refused() {
            Some((kind, name)) => object(kind, name, reason),
            None => Failure::Elsewhere(reason),
        },
        _ => Failure::Elsewhere(reason),
    }
}
