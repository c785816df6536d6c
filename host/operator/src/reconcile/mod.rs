//! The driver: reconciles one cluster. Each step is a method in the file of its name: observe, decide, apply, roll,
//! database, execute, report; or delete.
//!
//! Nothing here waits for what takes time: the cluster is reconciled again when a watch event comes or a job ends.

mod apply;
mod certificates;
mod check;
mod claims;
mod credentials;
mod database;
mod decide;
mod delete;
mod departure;
mod error;
mod execute;
mod finalizer;
mod fleet;
mod hold;
mod last_answers;
mod marks;
mod observe;
mod preconditions;
mod preview;
mod progress;
mod prune;
mod recover;
mod report;
mod requeue;
mod roll;
mod rotation;
mod service_account;
mod setters;
mod upgrade;
mod volumes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::controller::Action;
use pgloom_common::error::error_chain;
use pgloom_decide::members::Members;
use pgloom_decide::ownership::Identity;
use pgloom_decide::{BuiltIn, Kind};
use serde::Deserialize as _;
use serde_json::Value;
use tracing::{Instrument, info_span, warn};

pub use check::check_leaders;
pub use error::Error;
pub use last_answers::{kept_answers, map_of_answers};
pub use preview::preview;

use crate::apply::Writer;
use crate::cache::ClusterKey;
use crate::context::Context;
use crate::observe::teams_api::Teams;
use crate::report::reference;
use crate::serve::metrics::ResultLabel;
use crate::settings::Settings;
use crate::state::ClusterState;
use execute::Progress;
use finalizer::Patched;
use progress::Step;
use report::Steps;
use requeue::{Requeue, begin, spread};

/// The annotation that names the operator that a manifest belongs to.
const CONTROLLER: &str = "acid.zalan.do/controller";

/// When to reconcile first again while not everything has been listed.
const UNSYNCED: Duration = Duration::from_secs(1);

/// When to reconcile first again a cluster whose teams are asked for the first time, if no answer comes before.
const ASKING: Duration = Duration::from_secs(15);

/// When to reconcile first again a manifest that was changed while it was reconciled, if no watch event comes before.
const OUTDATED: Duration = Duration::from_secs(15);

/// One reconcile of one cluster.
struct Reconciliation<'a> {
    context: &'a Context,
    key: &'a ClusterKey,
    settings: Settings,
    manifest: Value,
    version: u64,
    about: ObjectReference,
    state: Arc<ClusterState>,
}

/// Reconciles a cluster and returns when to reconcile it again.
///
/// # Errors
/// Why a step failed. It is in the log, the status and an event already.
pub async fn reconcile(context: &Context, key: &ClusterKey) -> Result<Action, Error> {
    let span = info_span!("cluster", namespace = %key.namespace, name = %key.name);
    let begun = Instant::now();
    context.metrics.reconciles_running.inc();
    let result = limited(context, key).instrument(span.clone()).await;
    context.metrics.reconciles_running.dec();
    context.metrics.reconcile_seconds.observe(begun.elapsed().as_secs_f64());
    let category = result.as_ref().err().map_or("ok", Error::category);
    context.metrics.reconciles.get_or_create(&ResultLabel { result: category.to_owned() }).inc();
    if let Err(error) = &result {
        span.in_scope(|| warn!(category, error = %error_chain(error), "reconcile failed"));
    }
    result
}

/// Reconciles within the deadline, and only while this operator may write.
async fn limited(context: &Context, key: &ClusterKey) -> Result<Action, Error> {
    let _running = context.liveness.begin(context.deadline);
    let work = tokio::time::timeout(context.deadline, reconcile_manifest(context, key));
    match context.fence.guard(work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => {
            context.states.of(key).memory.lock().failures += 1;
            Err(Error::Deadline(context.deadline))
        }
        Err(closed) => Err(Error::NotLeading(closed)),
    }
}

async fn reconcile_manifest(context: &Context, key: &ClusterKey) -> Result<Action, Error> {
    if !context.store.synced(&key.namespace) {
        // After a start of new watches an object that they have not listed yet would be taken for deleted.
        return Ok(again(context, key, Requeue::asking(UNSYNCED)));
    }
    let slot = context.slots.acquire().await;
    // Read only now: the manifest may have changed or gone while the reconcile waited for the slot.
    let Some(kept) = context.store.manifest(key) else {
        context.forget(key);
        // Secrets of a cluster may be in another namespace, where they carry its name.
        for other in context.store.clusters().into_iter().filter(|other| other.name == key.name) {
            // The receiver is gone only when the operator stops.
            _ = context.changed.unbounded_send(other);
        }
        return Ok(Action::await_change());
    };
    let manifest = kept.object();
    if !is_ours(&manifest, &context.controller_id) {
        // Another operator may have it from now on: the jobs end.
        context.forget(key);
        return Ok(Action::await_change());
    }
    let all = context.settings.borrow().clone();
    let of_cluster = all.for_cluster(&fleet::cluster(key, &manifest));
    let has_pipeline = of_cluster.is_some();
    let (settings, about) = (of_cluster.unwrap_or(all), reference(&manifest));
    let (version, state) = (kept.version, context.states.of(key));
    begin(&mut state.memory.lock());
    let reconciliation = Reconciliation { context, key, settings, version, about, manifest, state };
    // A cluster whose deletion is refused runs on, so it is cared for.
    let guarded = match reconciliation.metadata().deletion_timestamp.is_some() {
        true => match reconciliation.guard() {
            None => return reconciliation.delete().await,
            guarded => guarded,
        },
        false => None,
    };
    if !has_pipeline {
        // Which pipeline the cluster has is known soon, and then all clusters are reconciled. A deletion needs none.
        return Ok(reconciliation.again(Requeue::within(UNSYNCED)));
    }
    let teams = reconciliation.teams();
    if teams.asking {
        return Ok(reconciliation.again(Requeue::asking(ASKING)));
    }
    let mut steps = Steps { members: reconciliation.members(), guarded, ..Steps::default() };
    let ended = match reconciliation.ensure_finalizer().await {
        Ok(Patched::Written) => reconciliation.run(teams, slot, &mut steps).await,
        Ok(Patched::Gone) => {
            context.forget(key);
            return Ok(Action::await_change());
        }
        Ok(Patched::Outdated) => return Ok(reconciliation.again(Requeue::asking(OUTDATED))),
        Err(error) => Err(error),
    };
    if let Err(Error::Gone) = ended {
        context.forget(key);
        return Ok(Action::requeue(UNSYNCED));
    }
    steps.failures.extend(ended.err());
    reconciliation.report(steps).await
}

/// When a cluster is reconciled again, if no event comes before.
fn again(context: &Context, key: &ClusterKey, requeue: Requeue) -> Action {
    let (resync, repair) = {
        let settings = context.settings.borrow();
        (settings.resync(), settings.repair())
    };
    let state = context.states.of(key);
    Action::requeue(requeue.delay(&mut state.memory.lock(), repair, spread(resync, key)))
}

impl Reconciliation<'_> {
    /// The steps in their order. Each takes what those before it returned. A step that fails ends the reconcile, except
    /// where an object is refused and in a rolling update: roles, databases and Patroni do not depend on them. What was
    /// returned is in `steps` for the report. `slot` is held until the objects are written.
    async fn run<S>(&self, teams: Teams, slot: S, steps: &mut Steps) -> Result<(), Error> {
        let members = &steps.members;
        // client required
        let observed = self.observe(teams).await?;
        // pure, on a thread for computation
        let decided = &*steps.decided.insert(self.decide(observed).await?);
        // client required; before anything is applied, which may remove the reason for an action
        self.record_actions(decided).await?;
        // client required; before the StatefulSet is applied, which may remove its mark
        self.hand_on_marks(members).await?;
        // starts a job that asks Patroni
        let promotion = &*steps.promotion.insert(self.promote(decided, members));
        // client required
        let Step { mut found, result } = self.apply(decided, members).await;
        let refused = std::mem::take(&mut found.refused);
        let (set, is_whole) = (&*self.key.name, refused.is_empty());
        let is_set_refused = refused.iter().any(|(kind, name, _)| kind.is(BuiltIn::StatefulSet) && name == set);
        steps.failures.extend(refused.into_iter().map(|(_, _, error)| error));
        let found = &*steps.applied.insert(found);
        let applied = match result {
            Err(error) if error.is_of_one_object() => {
                steps.failures.push(error);
                None
            }
            result => result.map(|()| Some(found).filter(|_| !is_set_refused))?,
        };
        drop(slot);
        if let Some(applied) = applied {
            // client required
            let roll = self.roll(decided, applied, members).await;
            steps.failures.extend(roll.result.err());
            steps.rolled = Some(roll.found);
        }
        let settled = steps.rolled.as_ref().is_some_and(|rolled| rolled.settled);
        // client required; starts a job that runs commands
        let Step { found: upgraded, result } = self.upgrade(decided, settled, members).await;
        steps.failures.extend(result.err());
        steps.upgraded = Some(upgraded);
        // starts a job that has a client
        let synchronized = &*steps.synchronized.insert(self.database(decided, members));
        // client required
        let progress = Progress { promotion, synchronized, settled, foreign_lists: found.foreign_lists.as_deref() };
        steps.executed = Some(self.execute(decided, &progress, members).await);
        let (Some(applied), Some(rolled)) = (applied.filter(|_| is_whole), &steps.rolled) else { return Ok(()) };
        // client required
        self.prune(decided, settled, [&applied.underway, &rolled.underway, &synchronized.underway]).await
    }

    /// When the cluster is reconciled again, if no event comes before.
    fn again(&self, requeue: Requeue) -> Action {
        again(self.context, self.key, requeue)
    }

    /// The metadata of the manifest.
    fn metadata(&self) -> ObjectMeta {
        self.manifest.get("metadata").and_then(|metadata| ObjectMeta::deserialize(metadata).ok()).unwrap_or_default()
    }

    /// What identifies the cluster's objects.
    fn identity(&self) -> Identity {
        Identity::of(&self.manifest, &self.settings.config)
    }

    /// Writes the objects of the cluster.
    fn writer(&self) -> Writer {
        self.context.writer(&self.state, self.identity())
    }

    /// The members as their pods show them.
    fn members(&self) -> Members {
        self.context.members(self.key, &self.identity(), &self.settings.config)
    }

    /// The StatefulSet as it exists.
    fn stateful_set(&self) -> Option<StatefulSet> {
        let kind = Kind::new("apps/v1", "StatefulSet");
        let objects = self.context.store.objects(self.key);
        let set = objects.iter().find(|cached| cached.kind == kind && cached.name == self.key.name)?;
        StatefulSet::deserialize(set.object()).ok()
    }

    /// The number of members that the StatefulSet asks for.
    pub fn wanted(&self) -> usize {
        let replicas = self.stateful_set().and_then(|set| set.spec?.replicas);
        replicas.and_then(|replicas| usize::try_from(replicas).ok()).unwrap_or(0)
    }
}

/// Whether a manifest belongs to the operator with this id; without the annotation, to the one with an empty id.
pub fn is_ours(manifest: &Value, controller_id: &str) -> bool {
    manifest["metadata"]["annotations"][CONTROLLER].as_str().unwrap_or_default() == controller_id
}

#[cfg(test)]
pub mod tests;
