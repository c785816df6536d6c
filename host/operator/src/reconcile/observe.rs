//! Observes what exists for the cluster, as far as the decision depends on it.

use pgloom_decide::Observed;

use super::{Error, Reconciliation};
use crate::observe::observe;
use crate::observe::teams_api::Teams;

impl Reconciliation<'_> {
    /// What is known of the cluster's teams.
    pub fn teams(&self) -> Teams {
        // Before the manifest is validated: roles of the team are part of what it is validated with.
        self.context.infrastructure_roles.teams(self.key, &self.settings.config, self.identity().team())
    }

    /// What exists for the cluster.
    pub async fn observe(&self, teams: Teams) -> Result<Observed, Error> {
        let context = self.context;
        let (config, pipeline) = (&self.settings.config, &self.settings.pipeline);
        let mut observed = observe(&context.client, &context.store, self.key, &self.manifest, config, pipeline)
            .await
            .map_err(Error::Observe)?;
        let infrastructure = context.infrastructure_roles.roles(config).await.map_err(Error::Infrastructure)?;
        observed.infrastructure.clone_from(&infrastructure.roles);
        observed.infrastructure_findings.clone_from(&infrastructure.findings);
        observed.teams = teams.teams;
        observed.infrastructure_findings.extend(teams.findings);
        observed.actions = Observed::actions(self.status().actions);
        observed.last = self.last_answers().await;
        Ok(observed)
    }
}
