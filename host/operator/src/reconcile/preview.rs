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

/// Decides what a reconcile of this manifest would, as if the cluster had it; `None` if it is not known which pipeline the
/// cluster has, as in a replica that has not loaded it, and the host's own rules refuse nothing. Its namespace has to be listed.
///
/// The manifest may be of anyone. So nothing is kept of it, what is kept of clusters does not give way to it, and the only
/// requests are those for the objects that it names.
///
/// # Errors
/// As those of a reconcile up to the decision. A step whose last answer would be used fails.
pub async fn preview(context: &Context, key: &ClusterKey, manifest: Value) -> Result<Option<Plan>, Error> {
    let all = context.settings.borrow().clone();
    if let Some(settings) = all.for_question(&cluster(key, &manifest)) {
        return preview_with(context, key, manifest, settings).await.map(Some);
    }
    let Ok(none) = Pipeline::unavailable("which pipeline the cluster has is not known") else { return Ok(None) };
    match preview_with(context, key, manifest, Settings::of(all.config, Arc::new(none))).await {
        // The host's own rules come before the pipeline.
        Err(Error::Decide(pgloom_decide::Error::Pipeline(_))) => Ok(None),
        result => result.map(Some),
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
