//! Once a minute: asks the Patroni of every leader whether PostgreSQL serves, as a database that hangs changes nothing
//! that is watched, and removes what is kept for nothing.

use std::time::Duration;

use futures::StreamExt;
use pgloom_decide::ownership::Identity;

use super::last_answers::sweep_answers;
use crate::cache::ClusterKey;
use crate::context::Context;

/// The time between two rounds.
const PERIOD: Duration = Duration::from_secs(60);
/// The number of rounds between two searches for what is kept of clusters that are gone.
const SWEEP: u32 = 60;
/// How many leaders are asked at the same time.
const CONCURRENCY: usize = 16;

/// Asks all leaders once a minute. A cluster whose leader served at the last reconcile and does not now is reconciled, so
/// that its status says so. Plans and events that were kept for something that did not come are removed, and once an hour
/// the answers that are kept for clusters that are gone. Never returns.
pub async fn check_leaders(context: &Context) {
    for round in 0_u32.. {
        tokio::time::sleep(PERIOD).await;
        check_once(context).await;
        context.states.plans.sweep();
        context.recorder.sweep(PERIOD);
        if round.is_multiple_of(SWEEP) {
            sweep_answers(context).await;
        }
    }
}

/// Asks all leaders.
pub(super) async fn check_once(context: &Context) {
    let clusters = futures::stream::iter(context.store.clusters());
    let check = |key| async move {
        if context.states.serves(&key) && !serves(context, &key).await {
            // The receiver is gone only when the operator stops.
            _ = context.changed.unbounded_send(key);
        }
    };
    clusters.for_each_concurrent(CONCURRENCY, check).await;
}

/// Whether the leader of a cluster serves.
async fn serves(context: &Context, key: &ClusterKey) -> bool {
    let config = context.settings.borrow().config.clone();
    let manifest = context.store.manifest(key).map(|kept| kept.object()).unwrap_or_default();
    let members = context.members(key, &Identity::of(&manifest, &config), &config);
    let Some(answer) = context.ask_leader(key, &members).await else { return false };
    members.condition(None, Some(answer.as_ref().map_err(String::as_str))).status == "True"
}
