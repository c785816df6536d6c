//! What a reconcile of a manifest would decide: the same observation and the same decision, without a write.

use std::sync::Arc;

use pgloom_decide::ownership::Identity;
use pgloom_decide::transform::transform;
use pgloom_decide::{Kind, Plan};
use pgloom_engine::Pipeline;
use serde_json::Value;

use super::Error;
use super::decide::decided;
use super::fleet::cluster;
use super::observe::observed;
use crate::cache::ClusterKey;
use crate::context::Context;
use crate::settings::Settings;

/// Decides what a reconcile of this manifest would, as if the cluster had it. Its namespace has to be listed.
///
/// The manifest may be of anyone. So nothing is kept of it, what is kept of clusters does not give way to it, and the only
/// requests are those for the objects that it names.
///
/// # Errors
/// As those of a reconcile up to the decision. A step whose last answer would be used fails.
pub async fn preview(context: &Context, key: &ClusterKey, manifest: Value) -> Result<Plan, Error> {
    let all = context.settings.borrow().clone();
    let of_cluster = all.for_cluster(&cluster(key, &manifest));
    // A replica that does not lead may not know how far a rollout has come. What one of the pipelines accepts is accepted.
    let (first, second) = match (of_cluster, all.candidate.as_ref().and_then(|candidate| candidate.pipeline.clone())) {
        (Some(settings), _) => (settings, None),
        (None, candidate) => {
            let second = candidate.map(|pipeline| Settings::of(all.config.clone(), pipeline));
            (all, second)
        }
    };
    match (preview_with(context, key, manifest.clone(), first).await, second) {
        (Err(_), Some(second)) => preview_with(context, key, manifest, second).await,
        (result, _) => result,
    }
}

async fn preview_with(
    context: &Context,
    key: &ClusterKey,
    manifest: Value,
    mut settings: Settings,
) -> Result<Plan, Error> {
    settings.pipeline = Arc::new(Pipeline::clone(&settings.pipeline).with_answer_cache());
    let manifest = transform(&Kind::cluster(), manifest, true).object;
    let identity = Identity::of(&manifest, &settings.config);
    let teams =
        context.infrastructure_roles.known_teams(&settings.config, identity.team(), context.store.postgres_teams());
    let mut observed = observed(context, &settings, key, &manifest, teams).await?;
    // They are about the operator's own configuration.
    observed.infrastructure_findings.clear();
    decided(context, &settings, manifest, Arc::new(observed)).await
}
