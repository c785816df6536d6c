//! Reports the operator configuration: an event with its warnings, and the status of an OperatorConfiguration.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use pgloom_api::config::Config;
use pgloom_api::finding::errors;
use pgloom_api::{Finding, postgresql};
use pgloom_common::error::error_chain;
use pgloom_decide::status::{Condition, with_times};
use serde_json::json;
use tracing::warn;

use super::Loader;
use super::source::Found;
use super::status::LOADED;
use crate::report::{Event, reference};

/// The condition that says whether every key of the configuration in use means something to this operator.
const HONOURED: &str = "KeysHonoured";
/// The reason of the event and of the condition about warnings.
const WARNINGS: &str = "ConfigurationWarnings";

/// The newest configuration, until it is reported.
#[derive(Default)]
pub struct Told {
    due: Option<Found>,
}

impl Told {
    /// A new configuration was read.
    pub fn is_due(&mut self, found: Found) {
        self.due = Some(found);
    }
}

impl Loader {
    /// Reports the newest configuration, once. Only the leader does.
    pub(super) async fn report_configuration(&self, told: &mut Told) {
        let Some(found) = told.due.take_if(|_| self.is_leading()) else { return };
        let read = Config::read(&found.document).map(|loaded| loaded.warnings);
        if let Ok(warnings) = &read
            && !warnings.is_empty()
            && found.document["metadata"]["uid"].is_string()
        {
            self.recorder.publish(&reference(&found.document), &Event::warning(WARNINGS, sentences(warnings))).await;
        }
        let Some(object) =
            self.configuration_source().filter(|_| found.document["apiVersion"] == postgresql::API_VERSION)
        else {
            return;
        };
        let conditions = conditions(&read, &found.conditions(), found.generation(), Timestamp::now());
        if let Err(error) = object.write_status(&self.client, &json!({ "conditions": conditions })).await {
            warn!(error = %error_chain(&error), "the status of the operator configuration is not written");
        }
    }
}

fn sentences(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("; ")
}

/// Whether the configuration is in use, and whether each of its keys means something.
fn conditions(
    read: &Result<Vec<Finding>, Vec<Finding>>,
    before: &[meta::Condition],
    generation: i64,
    now: Timestamp,
) -> Vec<meta::Condition> {
    let conditions = match read {
        Ok(warnings) => vec![
            Condition::holds(LOADED, "Loaded", "the configuration is in use"),
            match warnings.is_empty() {
                true => Condition::holds(HONOURED, "Honoured", "every key means something to this operator"),
                false => Condition::fails(HONOURED, WARNINGS, sentences(warnings)),
            },
        ],
        Err(findings) => {
            let message = format!("{}; the configuration before stays in use", errors(findings, "; "));
            vec![Condition::fails(LOADED, "Rejected", message)]
        }
    };
    let now = meta::Time(now.round(jiff::Unit::Second).unwrap_or(now));
    conditions.iter().map(|condition| with_times(before, condition, generation, &now)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::tests::loader;
    use super::*;
    use crate::args::{Named, Source};
    use crate::testing::FakeApiServer;

    fn found(mut document: Value) -> Found {
        document["metadata"] = json!({"name": "pgloom", "namespace": "ns", "uid": "u", "generation": 3});
        Found { name: "pgloom".into(), document }
    }

    async fn written(configuration: Source, document: Value) -> Vec<Value> {
        let path = "/apis/acid.zalan.do/v1/namespaces/ns/operatorconfigurations/pgloom";
        let api_server = FakeApiServer::new().with(path, document.clone());
        let mut loader = loader(&api_server);
        loader.options.configuration = configuration;
        let mut told = Told::default();
        told.is_due(found(document));
        loader.report_configuration(&mut told).await;
        loader.report_configuration(&mut told).await;
        api_server.writes().iter().map(|write| write.body.clone()).collect()
    }

    fn named() -> Named {
        Named { namespace: None, name: "pgloom".into() }
    }

    #[tokio::test]
    async fn the_warnings_about_a_config_map_are_one_event_on_it() {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"no_such_key": "1", "ring_log_lines": "7"}});
        let writes = written(Source::ConfigMap(named()), map).await;
        assert_eq!(writes.len(), 1, "{writes:?}");
        let note = writes[0]["note"].as_str().unwrap();
        assert!(note.contains("data.no_such_key") && note.contains("ring_log_lines"), "{note}");
        assert_eq!(writes[0]["regarding"]["kind"], "ConfigMap");
        let fine = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {}});
        assert_eq!(written(Source::ConfigMap(named()), fine).await, Vec::<Value>::new());
    }

    #[tokio::test]
    async fn an_operator_configuration_has_them_in_its_status_too() {
        let object = |keys: Value| json!({"apiVersion": "acid.zalan.do/v1", "kind": "OperatorConfiguration", "configuration": keys});
        let writes = written(Source::Object(named()), object(json!({"no_such_key": 1}))).await;
        let conditions = writes[1]["status"]["conditions"].as_array().unwrap();
        let short = |condition: &Value| {
            format!("{}={}", condition["type"].as_str().unwrap(), condition["status"].as_str().unwrap())
        };
        assert_eq!(conditions.iter().map(short).collect::<Vec<_>>(), ["Loaded=True", "KeysHonoured=False"]);
        assert!(conditions[1]["message"].as_str().unwrap().contains("configuration.no_such_key"));
        let rejected = written(Source::Object(named()), object(json!({"max_instances": "many"}))).await;
        assert_eq!(rejected[0]["status"]["conditions"][0]["status"], "False");
    }
}
