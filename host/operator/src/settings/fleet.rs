//! The clusters, as far as a rollout of a pipeline depends on them: what the pipeline would change, and how they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use pgloom_api::pipeline::{ImpactExample, ImpactStatus};
use pgloom_common::error::cut;
use pgloom_decide::fleet::{Cluster, Seen, Unwell};
use pgloom_decide::impact::{Impact, Verdict};

use super::Settings;
use crate::cache::ClusterKey;

/// How many clusters are compared at the same time. Each decision waits for its turn besides.
const CONCURRENCY: usize = 4;
/// How many clusters the status names.
const EXAMPLES: usize = 20;
/// The longest text about a cluster in the status, in bytes.
const MAX_TEXT: usize = 512;

/// The clusters of this operator. `now` are the settings with the pipeline before, `then` those with the new one.
pub trait Fleet: Send + Sync {
    /// All clusters that are not being deleted; `None` while not all are known.
    fn clusters(&self) -> Option<Vec<(ClusterKey, Cluster)>>;

    /// What the new pipeline changes for a cluster; `None` if that cannot be found out.
    fn impact<'a>(
        &'a self,
        key: &'a ClusterKey,
        now: &'a Settings,
        then: &'a Settings,
    ) -> BoxFuture<'a, Option<Impact>>;

    /// How a cluster is, if it is not well.
    fn unwell(&self, key: &ClusterKey, now: &Settings) -> Option<Unwell>;

    /// How a cluster is that has the new pipeline; `None` if it is gone.
    fn seen<'a>(&'a self, key: &'a ClusterKey, now: &'a Settings, then: &'a Settings) -> BoxFuture<'a, Option<Seen>>;
}

/// What a new pipeline would change, and the clusters that were not well.
#[derive(Debug, Default)]
pub struct Judged {
    /// What it would change.
    pub impact: ImpactStatus,
    /// The clusters that were not well, by `namespace/name`.
    pub unwell: BTreeMap<String, Unwell>,
}

/// Finds out what a new pipeline would change for all of these clusters.
pub async fn judge(
    fleet: Arc<dyn Fleet>,
    clusters: Vec<(ClusterKey, Cluster)>,
    now: Settings,
    then: Settings,
) -> Judged {
    let unwell = clusters.iter().filter_map(|(key, cluster)| Some((cluster.to_string(), fleet.unwell(key, &now)?)));
    let mut judged = Judged { unwell: unwell.collect(), ..Judged::default() };
    let asked: Vec<_> = clusters.iter().map(|(key, _)| fleet.impact(key, &now, &then)).collect();
    // In their order, so that the same fleet gives the same status.
    let mut impacts = stream::iter(asked).buffered(CONCURRENCY);
    while let Some(impact) = impacts.next().await {
        add(&mut judged.impact, impact.as_ref());
    }
    judged
}

fn add(sum: &mut ImpactStatus, impact: Option<&Impact>) {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    sum.clusters += 1;
    let Some(impact) = impact else {
        sum.unknown += 1;
        return;
    };
    match impact.verdict {
        // What neither pipeline accepts stays as it is.
        Verdict::Same | Verdict::Unknown => {}
        Verdict::Changes | Verdict::Restarts => sum.changed += 1,
        Verdict::Held => sum.held += 1,
    }
    sum.restarts = sum.restarts.saturating_add(number(impact.pods()));
    let restart = impact.restarts.first();
    let held = impact.refused_then.as_deref().filter(|_| impact.verdict == Verdict::Held);
    if sum.examples.len() < EXAMPLES && (restart.is_some() || held.is_some()) {
        sum.examples.push(ImpactExample {
            cluster: impact.cluster.clone(),
            object: restart.map(|restart| format!("{} {}", restart.object.kind, restart.object.name)),
            pods: number(impact.pods()),
            field: restart.map(|restart| cut(&restart.field, MAX_TEXT)),
            steps: restart.map(|restart| restart.steps.clone()).unwrap_or_default(),
            held: held.map(|held| cut(held, MAX_TEXT)),
        });
    }
}
