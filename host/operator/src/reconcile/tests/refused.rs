//! What the status and the events say of an object that the API server refuses.

use pgloom_engine::{Contribution, Description, ObjectKind, ObjectPermission, Plugin, Response};

use super::*;

const SERVICES: &str = "/api/v1/namespaces/ns/services";

/// A plugin that sets the port of a Service which another step makes.
fn setting_port(port: &Value) -> Arc<Plugin> {
    let kind = ObjectKind::new("v1".to_owned(), "Service".to_owned());
    let objects = vec![ObjectPermission::sets(kind, &["*"], &["spec"])];
    let description = Description { name: "patches".into(), objects, ..Description::default() };
    let fragment = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "acid-orders"}, "spec": {
        "ports": [{"name": "postgresql", "port": 5432, "targetPort": port}]}});
    let response = Response { contributions: vec![Contribution::Apply(fragment.to_string())], ..Response::default() };
    Arc::new(Plugin::native(description, move |_| Ok(response.clone())))
}

/// An operator whose step `making` makes a Service, of which the step `patches` sets a port.
fn operator_of_two_steps(api_server: &FakeApiServer) -> Context {
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "acid-orders", "namespace": "ns"},
        "spec": {"type": "ClusterIP", "ports": [{"name": "patroni", "port": 8008}]}});
    let mut operator = operator(api_server, &[manifest()]);
    let config = operator.settings.borrow().config.clone();
    let pipeline = Arc::new(Pipeline::of(vec![making(&[service]), setting_port(&json!("a b"))]).unwrap());
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
    operator
}

/// What the condition `Applied` says when the API server refuses the Service with this answer.
async fn applied(code: u16, message: &str) -> String {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest()).refusing_because(SERVICES, code, message);
    reconcile(&operator_of_two_steps(&api_server), &key()).await.unwrap_err();
    let status = last_status(&api_server);
    let conditions = status["conditions"].as_array().unwrap();
    let applied = conditions.iter().find(|condition| condition["type"] == "Applied").unwrap();
    let writes = api_server.writes();
    assert!(writes.iter().any(|write| write.body["note"] == applied["message"]), "an event says the same");
    applied["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_field_that_the_api_server_refuses_is_reported_with_the_step_that_set_it_and_said_once() {
    let problem = "spec.ports[1].targetPort: Invalid value: \"a b\": must be the name of a port";
    let message = applied(422, &format!("Service \"acid-orders\" is invalid: {problem}")).await;
    assert_eq!(
        message,
        format!(
            "step patches, which set spec.ports[port=5432,protocol=TCP].targetPort: the API server refuses Service \
             acid-orders: Service \"acid-orders\" is invalid: {problem}"
        )
    );
    let of_the_creator = applied(422, "Service \"acid-orders\" is invalid: spec.type: Unsupported value: \"x\"").await;
    assert!(of_the_creator.starts_with("step making, which set spec.type: "), "{of_the_creator}");
    let of_both = applied(422, "Service \"acid-orders\" is invalid: spec.ports: Invalid value: no").await;
    assert!(of_both.starts_with("steps making and patches, which set spec.ports: "), "{of_both}");
}

#[tokio::test]
async fn an_object_is_reported_with_its_creator_where_the_api_server_names_no_field() {
    let message = applied(422, "it is not wanted").await;
    assert_eq!(message, "step making: the API server refuses Service acid-orders: it is not wanted");
}

#[tokio::test]
async fn an_object_that_the_api_server_cannot_read_is_refused_and_holds_no_other_one_and_is_told_once_without_debug_text()
 {
    let reason = "failed to create typed patch object (ns/acid-orders; /v1, Kind=Service): \
                  .spec.ports[port=5432,protocol=\"TCP\"].targetPort: expected scalar";
    let message = applied(500, reason).await;
    let expected = "step patches, which set spec.ports[port=5432,protocol=TCP].targetPort: ";
    assert_eq!(message, format!("{expected}the API server refuses Service acid-orders: {reason}"));
    let other = applied(503, "no leader of etcd").await;
    assert_eq!(other.matches("no leader of etcd").count(), 1, "{other}");
    assert!(!other.contains("ApiError") && !other.contains("Status {"), "{other}");
}
