//! Decides what the cluster is to be, away from the threads that answer the network.

use std::sync::Arc;
use std::time::Instant;

use pgloom_api::{Finding, Severity};
use pgloom_decide::plan_cache::{Entry, Key};
use pgloom_decide::{Observed, Plan, decide};
use serde_json::Value;
use tracing::Span;

use super::{Error, Reconciliation};
use crate::context::Context;
use crate::report::Event;
use crate::serve::metrics::PluginLabels;
use crate::settings::Settings;

/// What the cluster is to be.
pub struct Decided {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What it was decided from.
    pub observed: Arc<Observed>,
    /// What people should know of the manifest: an event for each finding.
    pub warnings: Vec<Event>,
}

impl Decided {
    fn new(plan: Arc<Plan>, observed: Arc<Observed>) -> Self {
        Self { warnings: plan.findings.iter().map(event).collect(), plan, observed }
    }
}

impl Reconciliation<'_> {
    /// Decides what the cluster is to be. The same decision is reused while nothing changed that it depends on.
    pub async fn decide(&self, observed: Observed) -> Result<Decided, Error> {
        self.forget_others_trial();
        let observed = Arc::new(observed);
        let plan = self.plan(observed.clone()).await?;
        self.remember_answers(&plan.last).await;
        Ok(Decided::new(plan, observed))
    }

    async fn plan(&self, observed: Arc<Observed>) -> Result<Arc<Plan>, Error> {
        let context = self.context;
        let (config, pipeline) = (self.settings.config.clone(), self.settings.pipeline.clone());
        let key = Key::of(&self.manifest, &observed);
        if let Some(plan) = context.states.plans.get(self.key, &key, &config, &pipeline) {
            context.metrics.decisions_reused.inc();
            context.hold(&self.state, None);
            return Ok(plan);
        }
        match decided(context, &self.settings, self.manifest.clone(), observed).await {
            Ok(plan) => {
                context.hold(&self.state, None);
                context.metrics.took_fuel(&plan.fuel);
                let plan = Arc::new(plan);
                context.states.plans.insert(self.key, Entry { key, config, pipeline, plan: plan.clone() });
                Ok(plan)
            }
            Err(error) => {
                if let Error::Decide(error) = &error {
                    self.count_failure(error);
                }
                Err(error)
            }
        }
    }

    fn count_failure(&self, error: &pgloom_decide::Error) {
        let held_by = match error {
            pgloom_decide::Error::Pipeline(run) => Some(run.step.clone()),
            _ => None,
        };
        self.context.hold(&self.state, held_by);
        if let pgloom_decide::Error::Pipeline(run) = error {
            let labels = PluginLabels { step: run.step.clone(), reason: error.category().to_owned() };
            self.context.metrics.plugin_failures.get_or_create(&labels).inc();
            self.context.metrics.took_fuel(&run.fuel);
        }
    }
}

/// Decides on a thread for computation, when it is its turn.
pub(super) async fn decided(
    context: &Context,
    settings: &Settings,
    manifest: Value,
    observed: Arc<Observed>,
) -> Result<Plan, Error> {
    let (config, pipeline) = (settings.config.clone(), settings.pipeline.clone());
    let _turn = context.turns.acquire(pipeline.memory()).await;
    let begun = Instant::now();
    // Lines that plugins log are written under the span of their cluster.
    let span = Span::current();
    let decided =
        tokio::task::spawn_blocking(move || span.in_scope(|| decide(&manifest, &config, &observed, &pipeline)));
    let decided = decided.await;
    context.metrics.decide_seconds.observe(begun.elapsed().as_secs_f64());
    decided.map_err(Error::Interrupted)?.map_err(Error::Decide)
}

/// The event of a finding. What is only to be known, as that a default is used, is no warning.
fn event(finding: &Finding) -> Event {
    let of_type = if finding.severity == Severity::Info { Event::normal } else { Event::warning };
    let event = of_type(reason(finding.path.as_deref().unwrap_or_default()), finding.to_string());
    event.of_step(finding.step.as_deref())
}

/// The reason that people know for a warning about a field.
fn reason(path: &str) -> &'static str {
    match path {
        path if path.starts_with("spec.postgresql.version") => "PostgreSQL",
        path if path.starts_with("spec.resources") => "ResourceLimits",
        _ => "Manifest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_that_is_only_to_be_known_is_a_normal_event_and_each_other_one_a_warning() {
        let finding = Finding::warning("`x` is not known").at("spec.resources.x");
        let text = finding.to_string();
        assert_eq!(event(&finding), Event::warning("ResourceLimits", text.clone()));
        let info = Finding { severity: Severity::Info, ..finding };
        assert_eq!(event(&info), Event::normal("ResourceLimits", info.to_string()));
    }

    #[test]
    fn warnings_carry_the_reasons_that_people_know() {
        assert_eq!(reason("spec.postgresql.version"), "PostgreSQL");
        assert_eq!(reason("spec.resources.limits.cpu"), "ResourceLimits");
        assert_eq!(reason("spec.clone"), "Manifest");
    }
}
