//! Tests of settings that change while the operator runs.

use futures::channel::mpsc::unbounded;
use jiff::Timestamp;
use pgloom_decide::Kind;
use serde_json::json;

use super::*;
use crate::args::{Kubernetes, Named};
use crate::cache::Watch;
use crate::testing::FakeApiServer;

pub(super) fn loader(api_server: &FakeApiServer) -> Loader {
    let named = Named { namespace: None, name: "pgloom".into() };
    let options = args::Options {
        kubernetes: Kubernetes { kubeconfig: None, context: None },
        namespaces: None,
        operator_namespace: None,
        configuration: Source::ConfigMap(named),
        pipeline: PipelineSource::File("pipeline.yaml".into()),
        plugins: ".".into(),
        engine: pgloom_engine::EngineConfig::default(),
        registry: pgloom_registry::Settings::new(1 << 20),
        registry_poll: None,
        controller_id: String::new(),
        listen: ([127, 0, 0, 1], 0).into(),
        rest: None,
        webhook: None,
        lease: None,
    };
    let leading = watch::channel(true).1;
    Loader {
        registry: Arc::new(Registry::new(&options)),
        leading,
        client: api_server.client(),
        engine: Arc::new(Engine::new(&pgloom_engine::EngineConfig::default()).unwrap()),
        options,
        namespace: "ns".into(),
        recorder: Recorder::new(api_server.client(), ""),
        metrics: Metrics::new(),
        refused: Arc::default(),
    }
}

fn found(data: Value) -> Found {
    let metadata = json!({"name": "pgloom", "namespace": "ns", "uid": "u"});
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    Found { name: "ConfigMap ns/pgloom".into(), document }
}

fn in_use() -> watch::Sender<Settings> {
    let pipeline = Arc::new(Pipeline::of(vec![]).unwrap());
    watch::channel(Settings::of(Arc::new(Config::defaults()), pipeline)).0
}

#[tokio::test]
async fn a_new_configuration_is_used_while_running_and_one_that_cannot_be_used_is_reported_and_left() {
    let api_server = FakeApiServer::new();
    let (loader, settings) = (loader(&api_server), in_use());
    let image = || settings.borrow().config.text("docker_image").to_owned();
    assert!(loader.take_configuration(&found(json!({"docker_image": "spilo:1"})), &settings).await);
    assert_eq!(image(), "spilo:1");
    assert!(!loader.take_configuration(&found(json!({"docker_image": "spilo:1"})), &settings).await, "nothing changed");
    assert!(
        !loader
            .take_configuration(&found(json!({"docker_image": "spilo:2", "max_instances": "four"})), &settings)
            .await
    );
    assert_eq!((image().as_str(), loader.metrics.configuration_rejected.get()), ("spilo:1", 1));
    let notes: Vec<String> = api_server.writes().iter().map(|write| write.body["note"].to_string()).collect();
    assert!(notes[0].contains("the settings in use stay") && notes[0].contains("data.max_instances"), "{notes:?}");
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

pub(super) const PIPELINES: &str = "/apis/pgloom.dev/v1alpha1/namespaces/ns/pipelines";

/// A Pipeline object whose component does not exist.
pub(super) fn pipeline_object(name: &str, status: Value) -> Value {
    json!({
        "apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline",
        "metadata": {"name": name, "namespace": "ns", "uid": "u", "generation": 4},
        "spec": {"steps": [{"name": "hello", "source": {"file": "absent.wasm"}}]},
        "status": status,
    })
}

pub(super) fn loader_of_object(api_server: &FakeApiServer) -> Loader {
    let mut loader = loader(api_server);
    loader.options.configuration = Source::Defaults;
    loader.options.pipeline = PipelineSource::Object(Named { namespace: None, name: "default".into() });
    loader
}

fn loaded() -> Value {
    json!([{
        "type": "Loaded", "status": "True", "reason": "Loaded", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"
    }])
}

#[tokio::test]
async fn an_operator_without_a_pipeline_that_can_be_used_starts_says_why_and_keeps_what_was_loaded_last() {
    let spec =
        json!({"steps": [{"name": "hello", "source": {"file": "absent.wasm"}, "digest": format!("sha256:{:064}", 1)}]});
    let last = json!({"generation": 3, "since": "2026-01-01T00:00:00Z", "spec": spec});
    let object = pipeline_object("default", json!({"conditions": loaded(), "lastLoaded": last}));
    let api_server = FakeApiServer::new().with(&format!("{PIPELINES}/default"), object);
    let loader = loader_of_object(&api_server);
    let (settings, mut progress) = loader.first().await.unwrap();
    assert!(!settings.pipeline.is_available());
    assert_eq!(progress.problem.clone().unwrap().step, Some(("hello".to_owned(), "fetch")));
    for _ in 0..2 {
        loader.report_pipeline(&mut progress, &settings.pipeline).await;
    }
    let writes = api_server.writes();
    assert_eq!(
        api_server.written(),
        [format!("PATCH {PIPELINES}/default/status")],
        "an unchanged status is not written"
    );
    let status = &writes[0].body["status"];
    assert_eq!(status["conditions"][0]["status"], "False");
    let message = status["conditions"][0]["message"].to_string();
    assert!(message.contains("absent.wasm") && message.contains("all clusters stay as they are"), "{message}");
    assert_eq!((&status["steps"][0]["phase"], &status["observedGeneration"]), (&json!("FetchFailed"), &json!(4)));
    assert_eq!(status.get("lastLoaded"), None, "what was loaded last is not removed from the status");
}

#[tokio::test]
async fn an_operator_starts_without_the_pipeline_object_and_takes_it_when_it_is_created() {
    let api_server = FakeApiServer::new();
    let loader = loader_of_object(&api_server);
    let (settings, mut progress) = loader.first().await.unwrap();
    assert!(!settings.pipeline.is_available() && progress.wanted.is_none());
    api_server.put(&format!("{PIPELINES}/default"), pipeline_object("default", json!({})));
    let (settings, mut loading) = (watch::channel(settings).0, Loading::default());
    loader.load_again(&mut progress, &mut loading, &settings);
    let loaded = loading.loaded().await;
    let in_use = loader.take_loaded(loaded, &mut progress, &mut loading, &settings).await;
    assert!(!in_use, "its component does not exist");
    assert!(progress.wanted.is_some());
}

#[tokio::test]
async fn a_pipeline_object_that_is_no_longer_used_says_so() {
    let status = json!({"conditions": loaded()});
    let api_server = FakeApiServer::new()
        .with(&format!("{PIPELINES}/default"), pipeline_object("default", status.clone()))
        .with(&format!("{PIPELINES}/former"), pipeline_object("former", status))
        .with(&format!("{PIPELINES}/other"), pipeline_object("other", json!({})));
    loader_of_object(&api_server).release_others().await;
    assert_eq!(api_server.written(), [format!("PATCH {PIPELINES}/former/status")]);
    assert_eq!(api_server.writes()[0].body["status"]["conditions"][0]["reason"], "NotInUse");
}

mod loading;
mod registry;
mod rollout;
