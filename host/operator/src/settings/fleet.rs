//! The clusters, as far as a rollout of a pipeline depends on them: what the pipeline would change, and how they are.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use pgloom_api::pipeline::{ImpactExample, ImpactStatus};
use pgloom_common::error::cut;
use pgloom_decide::fleet::{Before, Cluster, Seen, Stage};
use pgloom_decide::impact::{Impact, Verdict};
use tokio::time::{Instant, timeout};

use super::Settings;
use crate::cache::ClusterKey;

/// How many clusters are compared or looked at at the same time. Each decision waits for its turn besides.
const CONCURRENCY: usize = 4;
/// The longest time for one cluster. What takes longer is not known.
const LONGEST: Duration = Duration::from_secs(300);
/// How many clusters the status names.
const EXAMPLES: usize = 20;
/// The longest text about a cluster in the status, in bytes.
const MAX_TEXT: usize = 512;

/// The clusters that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The clusters, by `namespace/name`.
    pub clusters: Vec<(ClusterKey, Cluster)>,
    /// Why there may be others; `None` if these are all.
    pub unlisted: Option<String>,
}

/// The clusters of this operator. `now` are the settings with the pipeline before, `then` those with the new one.
pub trait Fleet: Send + Sync {
    /// The clusters that are not being deleted.
    fn clusters(&self) -> Known;

    /// What the new pipeline changes for a cluster; `None` if that cannot be found out.
    fn impact<'a>(
        &'a self,
        key: &'a ClusterKey,
        now: &'a Settings,
        then: &'a Settings,
    ) -> BoxFuture<'a, Option<Impact>>;

    /// How a cluster is that does not have the new pipeline yet; `None` if it is gone.
    fn before(&self, key: &ClusterKey, now: &Settings) -> Option<Before>;

    /// How a cluster is that has the new pipeline; `None` if it is gone.
    fn seen<'a>(&'a self, key: &'a ClusterKey, now: &'a Settings, then: &'a Settings) -> BoxFuture<'a, Option<Seen>>;
}

/// Finds out what a new pipeline would change for all of these clusters.
pub async fn judge(
    fleet: Arc<dyn Fleet>,
    clusters: Vec<(ClusterKey, Cluster)>,
    now: Settings,
    then: Settings,
) -> ImpactStatus {
    let asked = clusters.iter().map(|(key, _)| {
        let impact = fleet.impact(key, &now, &then);
        async move { timeout(LONGEST, impact).await.ok().flatten() }
    });
    let asked: Vec<_> = asked.collect();
    // In their order, so that the same fleet gives the same status.
    let mut impacts = stream::iter(asked).buffered(CONCURRENCY);
    let mut sum = ImpactStatus::default();
    while let Some(impact) = impacts.next().await {
        add(&mut sum, impact.as_ref());
    }
    sum
}

/// How the clusters of a stage are.
#[derive(Debug)]
pub struct Look {
    /// The stage.
    pub stage: Stage,
    /// By `namespace/name`.
    pub seen: Vec<(String, Seen)>,
    /// How long it took to find out.
    pub took: Duration,
}

/// Finds out how the clusters of a stage are.
pub async fn look(
    fleet: Arc<dyn Fleet>,
    stage: Stage,
    clusters: Vec<(ClusterKey, Cluster)>,
    now: Settings,
    then: Settings,
) -> Look {
    let begun = Instant::now();
    let asked = clusters.iter().map(|(key, cluster)| {
        let (name, seen) = (cluster.to_string(), fleet.seen(key, &now, &then));
        async move {
            let seen = timeout(LONGEST, seen).await.unwrap_or_else(|_| Some(too_long()));
            Some((name, seen?))
        }
    });
    let asked: Vec<_> = asked.collect();
    let seen = stream::iter(asked).buffered(CONCURRENCY).filter_map(futures::future::ready).collect().await;
    Look { stage, seen, took: begun.elapsed() }
}

/// A cluster of which is not known how it is.
fn too_long() -> Seen {
    Seen { obstacle: Some("how it is could not be found out in time".to_owned()), ..Seen::default() }
}

fn add(sum: &mut ImpactStatus, impact: Option<&Impact>) {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    sum.clusters += 1;
    let Some(impact) = impact else {
        sum.unknown += 1;
        return;
    };
    // The pipeline before does not decide it: which of its pods restart is not known.
    sum.unknown += i64::from(impact.refused_now.is_some() && impact.verdict == Verdict::Changes);
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

#[cfg(test)]
mod tests {
    use pgloom_decide::impact::Restart;
    use pgloom_engine::ObjectRef;

    use super::*;

    fn impact(verdict: Verdict, pods: Option<u64>) -> Impact {
        let object = ObjectRef { api_version: "apps/v1".into(), kind: "StatefulSet".into(), name: "c".into() };
        let restart = |pods| Restart {
            object: object.clone(),
            pods: Some(pods),
            database: true,
            field: "spec.containers".into(),
            steps: vec!["spilo".into()],
            outdated: false,
        };
        Impact {
            cluster: "ns/c".into(),
            verdict,
            objects: Vec::new(),
            restarts: pods.map(restart).into_iter().collect(),
            outdated: None,
            foreign: Vec::new(),
            refused_now: None,
            refused_then: (verdict == Verdict::Held).then(|| "step spilo failed".into()),
        }
    }

    #[test]
    fn a_verdict_counts_clusters_and_pods_and_names_the_first_that_restart_or_would_be_held() {
        let mut sum = ImpactStatus::default();
        for verdict in [Verdict::Same, Verdict::Unknown, Verdict::Changes] {
            add(&mut sum, Some(&impact(verdict, None)));
        }
        add(&mut sum, None);
        assert_eq!((sum.clusters, sum.changed, sum.unknown, sum.held), (4, 1, 1, 0));
        assert!(sum.examples.is_empty());
        let refused_now = Some("step spilo failed".to_owned());
        add(&mut sum, Some(&Impact { refused_now: refused_now.clone(), ..impact(Verdict::Changes, None) }));
        assert_eq!((sum.changed, sum.unknown), (2, 2), "of what was held before, the restarts are not known");
        add(&mut sum, Some(&Impact { refused_now, ..impact(Verdict::Unknown, None) }));
        assert_eq!((sum.changed, sum.unknown), (2, 2), "what neither accepts stays as it is");
        add(&mut sum, Some(&impact(Verdict::Held, None)));
        for _ in 0..30 {
            add(&mut sum, Some(&impact(Verdict::Restarts, Some(3))));
        }
        assert_eq!((sum.clusters, sum.changed, sum.restarts, sum.held), (37, 32, 90, 1));
        assert_eq!(sum.examples.len(), 20);
        assert_eq!(sum.examples[0].held.as_deref(), Some("step spilo failed"));
        let restart = &sum.examples[1];
        assert_eq!((restart.object.as_deref(), restart.pods), (Some("StatefulSet c"), 3));
        assert_eq!(
            (restart.field.as_deref(), &restart.steps[..]),
            (Some("spec.containers"), &["spilo".to_owned()][..])
        );
    }
}
