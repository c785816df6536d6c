//! Whether the operator has the rights that the steps in use need. Only the leader asks: it alone writes.
//!
//! What is missing stops nothing but the objects of its kind. It is asked for again after a change of the pipeline or of the
//! watched namespaces, soon after a write was refused, and as time passes, so that a right that is granted is noticed.

use std::time::Duration;

use pgloom_common::error::error_chain;
use tokio::time::Instant;
use tracing::{info, warn};

use super::progress::Progress;
use super::{Loader, Settings};
use crate::args::PipelineSource;
use crate::cache::Resources;
use crate::report::{Event, reference};
use crate::rights::{Lack, Need, lacking, of_steps};

/// The time between two questions while nothing is missing, while something is or there was no answer, and after a write
/// was refused.
const COMPLETE: Duration = Duration::from_secs(600);
const MISSING: Duration = Duration::from_secs(55);
const REFUSED: Duration = Duration::from_secs(10);

/// What is known of the rights.
#[derive(Debug, Default)]
pub struct Rights {
    asked: Option<Asked>,
    /// Whether a write was refused since the last question.
    refused: bool,
    /// The rights that are missing; `None` if that is not known.
    pub lacks: Option<Vec<Lack>>,
}

/// The last question.
#[derive(Debug)]
struct Asked {
    needs: Vec<Need>,
    scopes: Vec<Option<String>>,
    at: Instant,
}

impl Rights {
    /// A write was refused.
    pub fn refused(&mut self) {
        self.refused = true;
    }

    fn is_due(&self, needs: &[Need], scopes: &[Option<String>], now: Instant) -> bool {
        let Some(asked) = &self.asked else { return true };
        let period = match &self.lacks {
            _ if self.refused => REFUSED,
            Some(lacks) if lacks.is_empty() => COMPLETE,
            _ => MISSING,
        };
        asked.needs != needs || asked.scopes != scopes || now >= asked.at + period
    }
}

impl Loader {
    /// Asks which rights the steps in use lack, if it is time. Whether fewer are missing than before.
    pub(super) async fn ask_rights(&self, progress: &mut Progress, settings: &Settings, resources: &Resources) -> bool {
        if !self.is_leading() {
            return false;
        }
        let mut needs: Vec<Need> = Vec::new();
        for need in settings.in_use().flat_map(|pipeline| of_steps(pipeline)) {
            if !needs.contains(&need) {
                needs.push(need);
            }
        }
        let scopes = settings.scopes(self.options.namespaces.as_ref(), &self.namespace);
        let now = Instant::now();
        if !progress.rights.is_due(&needs, &scopes, now) {
            return false;
        }
        let found = lacking(&self.client, resources, &needs, &scopes).await;
        let found = found.inspect_err(|error| warn!(error = %error_chain(error), "rights are not known")).ok();
        let before = std::mem::take(&mut progress.rights).lacks;
        let former = before.clone().unwrap_or_default();
        if let Some(found) = found.as_ref().filter(|found| **found != former) {
            self.report_lacks(progress, found).await;
        }
        let granted = found.as_ref().is_some_and(|found| former.iter().any(|lack| !found.contains(lack)));
        progress.rights =
            Rights { asked: Some(Asked { needs, scopes, at: now }), refused: false, lacks: found.or(before) };
        granted
    }

    /// One line of the log, and one event on the Pipeline object.
    async fn report_lacks(&self, progress: &Progress, lacks: &[Lack]) {
        if lacks.is_empty() {
            info!("the operator has all rights that the steps need");
            return;
        }
        let message = text(lacks);
        warn!("{message}");
        if let (PipelineSource::Object(_), Some(found)) = (&self.options.pipeline, &progress.wanted) {
            self.recorder.publish(&reference(&found.document), &Event::warning("Rights", message)).await;
        }
    }
}

/// What is missing, each with its step.
pub fn text(lacks: &[Lack]) -> String {
    let lacks = lacks.iter().map(|lack| format!("step {}: {lack}", lack.step));
    lacks.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pgloom_api::config::Config;
    use pgloom_engine::{Description, ObjectKind, ObjectPermission, Pipeline, Plugin, Response};
    use serde_json::{Value, json};

    use super::super::source::Found;
    use super::super::tests::{PIPELINES, loader_of_object, pipeline_object};
    use super::*;
    use crate::testing::FakeApiServer;

    /// Settings with a step that creates ConfigMaps.
    fn settings() -> Settings {
        let kind = ObjectKind::new("v1".to_owned(), "ConfigMap".to_owned());
        let objects = vec![ObjectPermission::creates(kind, &["*"])];
        let description = Description { name: "motto".into(), objects, ..Description::default() };
        let plugin = Arc::new(Plugin::native(description, |_| Ok(Response::default())));
        let pipeline = Arc::new(Pipeline::of(vec![plugin]).unwrap());
        Settings::of(Arc::new(Config::defaults()), pipeline)
    }

    fn progress() -> Progress {
        let document = pipeline_object("default", json!({}));
        Progress { wanted: Some(Found { name: "Pipeline ns/default".into(), document }), ..Progress::default() }
    }

    /// The last status, and the phase and error of its step.
    fn reported(api_server: &FakeApiServer) -> (Value, String) {
        let writes = api_server.writes();
        let status = writes.iter().rev().find(|write| write.path.ends_with("/status")).unwrap().body["status"].clone();
        let step = &status["steps"][0];
        let text = format!("{} {}", step["phase"].as_str().unwrap(), step["error"].as_str().unwrap_or_default());
        (status["conditions"][1].clone(), text)
    }

    const MISSING_RULE: &str = "the operator may not create, patch configmaps in ns; \
        add to its ClusterRole: {apiGroups: [\"\"], resources: [configmaps], verbs: [create, patch]}";

    #[tokio::test]
    async fn a_right_that_a_step_lacks_is_in_the_status_and_an_event_until_it_is_granted() {
        let object = pipeline_object("default", json!({}));
        let api_server = FakeApiServer::new()
            .with(&format!("{PIPELINES}/default"), object)
            .denying("create", "configmaps")
            .denying("patch", "configmaps");
        let (loader, settings, mut progress) = (loader_of_object(&api_server), settings(), progress());
        let resources = Resources::default();
        assert!(!loader.ask_rights(&mut progress, &settings, &resources).await);
        loader.report_pipeline(&mut progress, &settings.pipeline).await;
        let (condition, step) = reported(&api_server);
        assert_eq!((&condition["type"], &condition["status"]), (&json!("Authorized"), &json!("False")));
        assert_eq!(condition["message"], format!("step motto: {MISSING_RULE}"));
        assert_eq!(step, format!("RightsMissing {MISSING_RULE}"));
        let notes: Vec<Value> = api_server.writes().iter().map(|write| write.body["note"].clone()).collect();
        assert!(notes.contains(&json!(format!("step motto: {MISSING_RULE}"))), "{notes:?}");

        api_server.allowing();
        progress.rights.asked = None;
        assert!(loader.ask_rights(&mut progress, &settings, &resources).await, "the clusters are reconciled");
        loader.report_pipeline(&mut progress, &settings.pipeline).await;
        let (condition, step) = reported(&api_server);
        assert_eq!((&condition["status"], &*step), (&json!("True"), "Running "));
    }

    #[test]
    fn rights_are_asked_for_again_soon_after_a_refusal_and_after_a_change() {
        let (now, needs, scopes) = (Instant::now(), of_steps(&settings().pipeline), vec![None]);
        let known = |lacks: Option<Vec<Lack>>, refused: bool| Rights {
            asked: Some(Asked { needs: needs.clone(), scopes: scopes.clone(), at: now }),
            refused,
            lacks,
        };
        let lack = Lack {
            step: "motto".into(),
            rule: crate::rights::made(crate::rights::Resource { group: String::new(), plural: "configmaps".into() }),
            namespaces: vec![],
        };
        let due = |rights: &Rights, seconds: u64| rights.is_due(&needs, &scopes, now + Duration::from_secs(seconds));
        assert!(due(&Rights::default(), 0));
        for (rights, after) in [
            (known(Some(vec![]), false), 600),
            (known(Some(vec![lack]), false), 55),
            (known(None, false), 55),
            (known(Some(vec![]), true), 10),
        ] {
            assert!(!due(&rights, after - 1) && due(&rights, after), "{rights:?}");
        }
        let complete = known(Some(vec![]), false);
        assert!(complete.is_due(&[], &scopes, now) && complete.is_due(&needs, &[Some("ns".into())], now));
    }
}
