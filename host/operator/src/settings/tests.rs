//! Tests of settings that change while the operator runs.

use futures::channel::mpsc::unbounded;
use pgloom_decide::Kind;
use serde_json::json;

use super::*;
use crate::args::{Kubernetes, Named};
use crate::cache::Watch;
use crate::testing::FakeApiServer;

fn loader(api_server: &FakeApiServer) -> Loader {
    let named = Named { namespace: None, name: "pgloom".into() };
    let options = args::Options {
        kubernetes: Kubernetes { kubeconfig: None, context: None },
        namespaces: None,
        operator_namespace: None,
        configuration: Source::ConfigMap(named),
        pipeline: PipelineSource::File("pipeline.yaml".into()),
        plugins: ".".into(),
        engine: pgloom_engine::EngineConfig::default(),
        controller_id: String::new(),
        listen: ([127, 0, 0, 1], 0).into(),
        lease: None,
    };
    let leading = watch::channel(true).1;
    Loader {
        leading,
        client: api_server.client(),
        engine: Arc::new(Engine::new(&pgloom_engine::EngineConfig::default()).unwrap()),
        options,
        namespace: "ns".into(),
        recorder: Recorder::new(api_server.client(), ""),
        metrics: Metrics::new(),
    }
}

fn found(data: Value) -> Found {
    let metadata = json!({"name": "pgloom", "namespace": "ns", "uid": "u"});
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    Found { name: "ConfigMap ns/pgloom".into(), document }
}

fn in_use() -> watch::Sender<Settings> {
    let pipeline = Arc::new(Pipeline::of(vec![]).unwrap());
    watch::channel(Settings { config: Arc::new(Config::defaults()), pipeline }).0
}

#[tokio::test]
async fn a_new_configuration_is_used_while_running_and_one_that_cannot_be_used_is_reported_and_left() {
    let api_server = FakeApiServer::new();
    let (loader, settings) = (loader(&api_server), in_use());
    let image = || settings.borrow().config.text("docker_image").to_owned();
    assert!(loader.take_configuration(&found(json!({"docker_image": "spilo:1"})), &settings).await);
    assert_eq!(image(), "spilo:1");
    assert!(!loader.take_configuration(&found(json!({"docker_image": "spilo:1"})), &settings).await, "nothing changed");
    assert!(!loader.take_configuration(&found(json!({"docker_image": "spilo:2", "workers": "four"})), &settings).await);
    assert_eq!((image().as_str(), loader.metrics.configuration_rejected.get()), ("spilo:1", 1));
    let notes: Vec<String> = api_server.writes().iter().map(|write| write.body["note"].to_string()).collect();
    assert!(notes[0].contains("the settings in use stay") && notes[0].contains("data.workers"), "{notes:?}");
    assert!(loader.take_configuration(&found(json!({})), &settings).await);
    assert_eq!(loader.metrics.configuration_rejected.get(), 0);
}

#[tokio::test]
async fn when_settings_change_every_cluster_is_reconciled() {
    let (sent, received) = unbounded();
    let documents =
        futures::stream::iter([found(json!({"docker_image": "spilo:1"})), found(json!({"docker_image": "spilo:1"}))]);
    let changed: Vec<Found> = changes(documents).collect().await;
    assert_eq!(changed.len(), 1, "the same document is no change");
    let store = Store::default();
    store.open(Watch { kind: Kind::cluster(), namespace: None, label: None, whole: false, own: vec![] });
    store.record_write(json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql", "metadata": {"name": "acid-a", "namespace": "ns", "resourceVersion": "1"}
    }));
    reconcile_all(&store, &sent);
    drop(sent);
    assert_eq!(received.collect::<Vec<_>>().await, [ClusterKey::new("ns", "acid-a")]);
}
