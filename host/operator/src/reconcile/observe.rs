//! Observes what exists for the cluster, as far as the decision depends on it.

use pgloom_decide::Observed;
use pgloom_engine::{ActionPhase, ActionRecord};
use serde_json::Value;

use super::{Error, Reconciliation};
use crate::observe::observe;
use crate::observe::teams_api::Teams;

impl Reconciliation<'_> {
    /// What is known of the cluster's teams.
    pub fn teams(&self) -> Teams {
        let owner = self.manifest["spec"]["teamId"].as_str().unwrap_or_default();
        self.context.infrastructure_roles.teams(self.key, &self.settings.config, owner)
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
        observed.actions = actions(&self.manifest["status"]["actions"]);
        observed.last.clone_from(&self.state.memory.lock().last_answers);
        Ok(observed)
    }
}

/// What became of earlier actions, as the status tells it.
fn actions(recorded: &Value) -> Vec<ActionRecord> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = recorded.as_array().into_iter().flatten();
    let record = |entry: &Value| ActionRecord {
        step: text(&entry["step"]),
        key: text(&entry["key"]),
        phase: phase(entry["phase"].as_str().unwrap_or_default()),
        message: text(&entry["message"]),
    };
    entries.map(record).collect()
}

fn phase(word: &str) -> ActionPhase {
    match word {
        "running" => ActionPhase::Running,
        "done" => ActionPhase::Done,
        "failed" => ActionPhase::Failed,
        "refused" => ActionPhase::Refused,
        _ => ActionPhase::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_became_of_actions_is_read_from_the_status() {
        let records = actions(&json!([{"step": "pooler", "key": "access", "phase": "failed", "message": "no"}]));
        let wanted = ActionRecord {
            step: "pooler".into(),
            key: "access".into(),
            phase: ActionPhase::Failed,
            message: "no".into(),
        };
        assert_eq!(records, [wanted]);
    }
}
