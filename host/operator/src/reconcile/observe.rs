//! Observes what exists for the cluster, as far as the decision depends on it.

use pgloom_decide::Observed;
use serde_json::Value;

use super::report::status_of;
use super::{Error, Reconciliation};
use crate::cache::ClusterKey;
use crate::context::Context;
use crate::observe::observe;
use crate::observe::teams_api::Teams;
use crate::settings::Settings;

impl Reconciliation<'_> {
    /// What is known of the cluster's teams.
    pub fn teams(&self) -> Teams {
        // Before the manifest is validated: roles of the team are part of what it is validated with.
        let objects = self.context.store.postgres_teams();
        let (identity, config) = (self.identity(), &self.settings.config);
        self.context.infrastructure_roles.teams(self.key, config, identity.team(), objects)
    }

    /// What exists for the cluster.
    pub async fn observe(&self, teams: Teams) -> Result<Observed, Error> {
        let mut observed = observed(self.context, &self.settings, self.key, &self.manifest, teams).await?;
        observed.last = self.last_answers().await;
        Ok(observed)
    }
}

/// What exists for a cluster, without the last answers of its steps.
pub(super) async fn observed(
    context: &Context,
    settings: &Settings,
    key: &ClusterKey,
    manifest: &Value,
    teams: Teams,
) -> Result<Observed, Error> {
    let (config, pipeline) = (&settings.config, &settings.pipeline);
    let observed =
        observe((&context.client, &context.namespace), &context.store, key, manifest, config, pipeline).await;
    let mut observed = observed.map_err(Error::Observe)?;
    let infrastructure = context.infrastructure_roles.roles(config).await.map_err(Error::Infrastructure)?;
    observed.infrastructure.clone_from(&infrastructure.roles);
    observed.infrastructure_findings.clone_from(&infrastructure.findings);
    observed.teams = teams.teams;
    observed.knows_teams = teams.complete;
    observed.infrastructure_findings.extend(teams.findings);
    observed.actions = Observed::actions(status_of(manifest).actions);
    Ok(observed)
}
