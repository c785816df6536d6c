//! Observing and deciding, away from the threads that answer the network.

use std::sync::Arc;
use std::time::Instant;

use pgloom_engine::{ActionPhase, ActionRecord};
use serde_json::Value;

use super::{Error, Progress, Turn};
use crate::decide::{self, Plan, decide, sentence};
use crate::event::Announcement;
use crate::memo::{Basis, Memo};
use crate::metrics::PluginLabels;
use crate::observe::observe;
use crate::report::Condition;
use crate::team::Known;

impl Turn<'_> {
    /// What is known of the cluster's teams.
    pub fn teams(&self) -> Known {
        let owner = self.manifest["spec"]["teamId"].as_str().unwrap_or_default();
        self.context.infrastructure.teams(self.key, &self.settings.config, owner)
    }

    /// What the cluster is to be.
    pub async fn decide(&self, teams: Known, progress: &mut Progress) -> Result<Arc<Plan>, Error> {
        let context = self.context;
        let (config, pipeline) = (self.settings.config.clone(), self.settings.pipeline.clone());
        let mut observed = observe(&context.client, &context.store, self.key, &self.manifest, &config, &pipeline)
            .await
            .map_err(Error::Observe)?;
        let infrastructure = context.infrastructure.roles(&config).await.map_err(Error::Infrastructure)?;
        observed.infrastructure.clone_from(&infrastructure.roles);
        observed.infrastructure_findings.clone_from(&infrastructure.findings);
        observed.teams = teams.teams;
        observed.infrastructure_findings.extend(teams.findings);
        observed.actions = actions(&self.manifest["status"]["actions"]);
        observed.last = context.recall(self.key).last;
        let basis = Basis::of(&self.manifest, &observed);
        if let Some(plan) = context.memos.find(self.key, &basis, &config, &pipeline) {
            context.metrics.decisions_reused.inc();
            return Ok(self.planned(plan, progress));
        }
        let manifest = self.manifest.clone();
        let (with_config, with_pipeline) = (config.clone(), pipeline.clone());
        let _permit = context.deciding.acquire().await;
        let begun = Instant::now();
        let decided =
            tokio::task::spawn_blocking(move || decide(&manifest, &with_config, &observed, &with_pipeline)).await;
        context.metrics.decide_seconds.observe(begun.elapsed().as_secs_f64());
        match decided.map_err(Error::Interrupted)? {
            Ok(plan) => {
                let plan = Arc::new(plan);
                context.memos.keep(self.key, Memo { basis, config, pipeline, plan: plan.clone() });
                Ok(self.planned(plan, progress))
            }
            Err(error) => {
                self.count_failure(&error);
                Err(Error::Decide(error))
            }
        }
    }

    fn planned(&self, plan: Arc<Plan>, progress: &mut Progress) -> Arc<Plan> {
        progress.conditions.push(Condition::holds("Valid", "Valid", "the manifest can be used"));
        progress.warnings.extend(plan.findings.iter().map(|finding| {
            let reason = reason(finding.path.as_deref().unwrap_or_default());
            Announcement::warning(reason, sentence(finding))
        }));
        self.context.remember(self.key, |recollection| recollection.last.clone_from(&plan.last));
        progress.plan = Some(plan.clone());
        plan
    }

    fn count_failure(&self, error: &decide::Error) {
        if let decide::Error::Pipeline(run) = error {
            let labels = PluginLabels { step: run.step.clone(), reason: error.category().to_owned() };
            self.context.metrics.plugin_failures.get_or_create(&labels).inc();
        }
    }
}

/// The reason that people know for a warning about a field.
fn reason(path: &str) -> &'static str {
    match path {
        path if path.starts_with("spec.postgresql.version") => "PostgreSQL",
        path if path.starts_with("spec.resources") => "ResourceLimits",
        _ => "Manifest",
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

    #[test]
    fn warnings_carry_the_reasons_that_people_know() {
        assert_eq!(reason("spec.postgresql.version"), "PostgreSQL");
        assert_eq!(reason("spec.resources.limits.cpu"), "ResourceLimits");
        assert_eq!(reason("spec.clone"), "Manifest");
    }
}
