//! Promises about what one fault of a cluster does not stop: an object that is refused, a step that does not answer, a
//! parameter with which PostgreSQL does not start.

use pgloom_engine::Action as Asked;

use super::owed::{FakePatroni, operator_of, secrets};
use super::*;

const SET: &str = "/apis/apps/v1/namespaces/ns/statefulsets/acid-orders";

fn configures() -> [(&'static str, Asked); 1] {
    [("parameters", Asked::ConfigurePatroni(r#"{"postgresql": {"parameters": {"max_connections": 50}}}"#.into()))]
}

fn was_configured(patroni: &FakePatroni) -> bool {
    let change = r#""postgresql":{"parameters":{"max_connections":50}}"#;
    patroni.changes.lock().iter().any(|found| found.starts_with("PATCH /config") && found.contains(change))
}

#[tokio::test]
async fn a_refused_object_delays_neither_patronis_configuration_nor_the_synchronisation_of_roles() {
    let services = "/api/v1/namespaces/ns/services";
    let api_server =
        FakeApiServer::new().with(MANIFEST, manifest()).refusing_because(services, 403, "exceeded quota: objects");
    let patroni = Arc::new(FakePatroni::standby());
    let mut operator = operator_of(&api_server, secrets(), patroni.clone(), &configures());
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "acid-orders-own"}});
    let mut set = stateful_set();
    set["spec"]["replicas"] = json!(1);
    let config = operator.settings.borrow().config.clone();
    let pipeline = Arc::new(Pipeline::of(vec![making(&[service, set]), asking(&configures())]).unwrap());
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
    let error = reconcile(&operator, &key()).await.unwrap_err();
    assert!(
        error.to_string().contains("acid-orders-own") || error_chain(&error).contains("acid-orders-own"),
        "{error:?}"
    );
    job_ended(&operator).await;
    assert!(was_configured(&patroni), "{:?}", patroni.changes.lock());
    let conditions = last_status(&api_server)["conditions"].as_array().unwrap().clone();
    assert!(conditions.iter().any(|condition| condition["type"] == "DatabaseSynced"), "{conditions:?}");
}

#[tokio::test]
async fn a_corrected_parameter_is_sent_to_any_member_of_a_cluster_that_has_run_while_none_is_ready() {
    for (phase, sent) in [("Running", true), ("SyncFailed", true), ("Creating", false)] {
        let api_server = FakeApiServer::new().with(MANIFEST, manifest());
        let patroni = Arc::new(FakePatroni::standby());
        let operator = operator_of(&api_server, secrets(), patroni.clone(), &configures());
        let mut seen = manifest();
        seen["metadata"]["finalizers"] = json!([FINALIZER]);
        seen["metadata"]["resourceVersion"] = json!("10");
        seen["status"] = json!({"PostgresClusterStatus": phase});
        let mut down = leader();
        down["metadata"]["resourceVersion"] = json!("11");
        down["metadata"]["labels"].as_object_mut().unwrap().remove("spilo-role");
        down["status"]["conditions"][0]["status"] = json!("False");
        operator.store.record_write(seen);
        operator.store.record_write(down);
        _ = reconcile(&operator, &key()).await;
        job_ended(&operator).await;
        assert_eq!(was_configured(&patroni), sent, "{phase}: {:?}", patroni.changes.lock());
    }
}

#[tokio::test]
async fn a_step_that_does_not_answer_changes_no_stateful_set_that_exists() {
    for (degraded, changed) in [(true, false), (false, true)] {
        let api_server = FakeApiServer::new().with(MANIFEST, manifest()).with(SET, stateful_set());
        for object in secrets() {
            api_server.put(&secret(object["metadata"]["name"].as_str().unwrap()), object.clone());
        }
        let operator = operator(&api_server, &[vec![manifest(), stateful_set()], secrets()].concat());
        let key = key();
        let (reconciliation, decided) = decided(&operator, &key, degraded);
        let step = reconciliation.apply(&decided, &reconciliation.members()).await;
        step.result.unwrap();
        let wrote = api_server.writes().iter().any(|write| write.path.starts_with(SET));
        assert_eq!(wrote, changed, "degraded: {degraded}, {:?}", written(&api_server));
        assert_eq!(step.found.condition.unwrap().reason, if degraded { "StepFailed" } else { "Applied" });
    }
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/ns/configmaps";

/// What the API server says where the operator lacks a right.
fn forbidden(verb: &str, resource: &str) -> String {
    format!(
        "{resource} is forbidden: User \"system:serviceaccount:pgloom-system:pgloom\" cannot {verb} resource \
         \"{resource}\" in API group \"\" in the namespace \"ns\""
    )
}

fn config_map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "acid-orders-motto"}})
}

/// A cluster with its Secrets, for which a step makes these objects. ConfigMaps may not be created.
fn without_config_maps(objects: &[Value], existing: &[Value]) -> (FakeApiServer, Context) {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest()).granting("configmaps").refusing_because(
        CONFIG_MAPS,
        403,
        &forbidden("create", "configmaps"),
    );
    for object in secrets() {
        api_server.put(&secret(object["metadata"]["name"].as_str().unwrap()), object.clone());
    }
    let mut operator = operator(&api_server, &[vec![manifest()], secrets(), existing.to_vec()].concat());
    let config = operator.settings.borrow().config.clone();
    operator.settings = watch::channel(Settings::of(config, makes_objects(objects))).1;
    (api_server, operator)
}

#[tokio::test]
async fn an_object_that_may_not_be_written_holds_no_other_one_and_the_status_names_step_and_rule() {
    let (api_server, operator) = without_config_maps(&[config_map(), stateful_set()], &[]);
    let error = reconcile(&operator, &key()).await.unwrap_err();
    assert_eq!(error.category(), "Forbidden");
    assert!(written(&api_server).contains(&"POST statefulsets".to_owned()), "{:?}", written(&api_server));
    let conditions = last_status(&api_server)["conditions"].as_array().unwrap().clone();
    let applied = conditions.iter().find(|condition| condition["type"] == "Applied").unwrap();
    assert_eq!((&applied["status"], &applied["reason"]), (&json!("False"), &json!("Forbidden")));
    let message = applied["message"].as_str().unwrap();
    for part in [
        "step making: the operator may not create ConfigMap acid-orders-motto",
        "{apiGroups: [\"\"], resources: [configmaps], verbs: [create, delete, get, list, patch, watch]}",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[tokio::test]
async fn a_stateful_set_that_runs_does_not_get_a_config_map_that_may_not_be_written() {
    let mut set = stateful_set();
    set["spec"]["template"]["spec"]["volumes"] = json!([{"name": "motto", "configMap": {"name": "acid-orders-motto"}}]);
    for (existing, changed) in [(vec![stateful_set()], false), (vec![], true)] {
        let (api_server, operator) = without_config_maps(&[config_map(), set.clone()], &existing);
        reconcile(&operator, &key()).await.unwrap_err();
        let wrote = api_server.written().iter().any(|write| write.contains("/statefulsets"));
        assert_eq!(wrote, changed, "{:?}", api_server.written());
    }
}
