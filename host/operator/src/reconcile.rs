//! One look at one cluster: observe, decide, apply, act, roll, keep the database, prune, report.
//!
//! Nothing here sleeps: what takes time is looked at again when the API server tells of it, or when a piece of background
//! work ends.

mod act;
mod begin;
mod credentials;
mod delete;
mod finish;
mod members;
mod namespace;
mod plan;
mod policy;
mod recover;
mod roll;
mod work;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::controller::Action;
use serde_json::Value;
use tracing::{Instrument, info_span, warn};

pub use act::DEADLINE as PATRONI_DEADLINE;
pub use policy::{Error, chain};
pub use work::DEADLINE as DATABASE_DEADLINE;

use crate::context::{Context, Settings};
use crate::decide::Plan;
use crate::event::{self, Announcement};
use crate::kind::Kind;
use crate::metrics::ResultLabel;
use crate::report::Condition;
use crate::store::ClusterKey;
use crate::team::Known;
use members::Members;

/// The annotation that says which operator looks after a manifest.
const CONTROLLER: &str = "acid.zalan.do/controller";

/// When to look again at a cluster while not everything has been listed.
const UNSYNCED: Duration = Duration::from_secs(1);

/// When to look again at a cluster whose teams are asked for the first time, should nobody tell of the answer.
const ASKING: Duration = Duration::from_secs(15);

/// One look at one cluster.
struct Turn<'a> {
    context: &'a Context,
    key: &'a ClusterKey,
    settings: Settings,
    manifest: Value,
    version: u64,
    about: ObjectReference,
}

/// What a turn found, whether it came to its end or not.
#[derive(Default)]
struct Progress {
    plan: Option<Arc<Plan>>,
    members: Members,
    conditions: Vec<Condition>,
    warnings: Vec<Announcement>,
    actions: Option<Vec<Value>>,
    /// Whether something failed that did not keep the turn from going on.
    failed: bool,
    /// The leader that has to hand over before the cluster gets smaller, and the members that may take over.
    handover: Option<(String, Vec<String>)>,
    /// When to look again at the latest.
    look_again: Option<Duration>,
    /// What is under way, and whether it changes what runs.
    underway: Option<(String, bool)>,
}

impl Progress {
    /// Asks to look again after a time.
    fn look_after(&mut self, time: Duration) {
        self.look_again = Some(self.look_again.map_or(time, |before| before.min(time)));
    }

    /// Notes that something is under way.
    fn wait(&mut self, why: impl Into<String>, changing: bool) {
        let changing = changing || self.underway.as_ref().is_some_and(|(_, changing)| *changing);
        self.underway = Some((why.into(), changing));
    }
}

/// Looks at a cluster once and says when to look again.
pub async fn reconcile(context: &Context, key: &ClusterKey) -> Result<Action, Error> {
    let span = info_span!("cluster", namespace = %key.namespace, name = %key.name);
    let begun = Instant::now();
    context.metrics.reconciles_running.inc();
    let result = look(context, key).instrument(span.clone()).await;
    context.metrics.reconciles_running.dec();
    context.metrics.reconcile_seconds.observe(begun.elapsed().as_secs_f64());
    let category = result.as_ref().err().map_or("ok", Error::category);
    context.metrics.reconciles.get_or_create(&ResultLabel { result: category.to_owned() }).inc();
    if let Err(error) = &result {
        span.in_scope(|| warn!(category, error = %policy::chain(error), "the reconcile did not come to its end"));
    }
    result
}

async fn look(context: &Context, key: &ClusterKey) -> Result<Action, Error> {
    if !context.store.synced() {
        // New watches have been started, and what they have not listed yet would look as if it were gone.
        return Ok(Action::requeue(UNSYNCED));
    }
    let Some(kept) = context.store.manifest(key) else {
        context.forget(key).await;
        return Ok(Action::await_change());
    };
    let manifest = kept.object();
    if !is_ours(&manifest, &context.controller_id) {
        return Ok(Action::await_change());
    }
    let (settings, about) = (context.settings.borrow().clone(), event::reference(&manifest));
    let turn = Turn { context, key, settings, version: kept.version, about, manifest };
    if turn.manifest["metadata"]["deletionTimestamp"].is_string() {
        return turn.delete().await;
    }
    let teams = turn.teams();
    if teams.asking {
        return Ok(Action::requeue(ASKING));
    }
    let mut progress = Progress::default();
    let result = turn.run(teams, &mut progress).await;
    turn.finish(progress, result).await
}

impl Turn<'_> {
    async fn run(&self, teams: Known, progress: &mut Progress) -> Result<(), Error> {
        let slot = self.context.slots.acquire().await;
        progress.members = Members::of(&self.key.name, &self.context.store.objects(self.key), &self.settings);
        self.hold().await?;
        let plan = self.decide(teams, progress).await?;
        self.begin(&plan).await?;
        self.prepare_namespace(&plan).await;
        self.apply(&plan, progress).await?;
        drop(slot);
        self.roll(progress).await?;
        self.work(&plan, progress).await;
        self.prune(&plan, progress).await
    }

    /// The StatefulSet as it exists.
    fn stateful_set(&self) -> Option<Value> {
        let kind = Kind::new("apps/v1", "StatefulSet");
        let objects = self.context.store.objects(self.key);
        objects.iter().find(|kept| kept.kind == kind && kept.name == self.key.name).map(|kept| kept.object())
    }
}

/// Whether a manifest is looked after by the operator with this id. No annotation goes with no id.
fn is_ours(manifest: &Value, controller_id: &str) -> bool {
    manifest["metadata"]["annotations"][CONTROLLER].as_str().unwrap_or_default() == controller_id
}

#[cfg(test)]
mod tests;
