//! Promises about how everything is connected.

use std::future::pending;

use kube::runtime::watcher::Event;
use pgloom_api::config::Config;
use pgloom_decide::Kind;
use pgloom_decide::kind::of_every_cluster;
use pgloom_engine::Pipeline;
use serde_json::{Value, json};

use super::*;
use crate::args::{Kubernetes, PipelineSource, Source};
use crate::cache::Watch;
use crate::serve::metrics::ResultLabel;
use crate::testing::FakeApiServer;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/pgloom";
/// The number of clusters, more than may be reconciled at a time.
const CLUSTERS: u64 = 300;

fn manifest(number: u64) -> Value {
    json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": format!("acid-{number}"), "namespace": "ns", "uid": number.to_string(),
            "resourceVersion": "1", "generation": 1},
        "spec": {"teamId": "acid", "numberOfInstances": 1, "volume": {"size": "1Gi"}, "postgresql": {"version": "17"}}
    })
}

fn options() -> Options {
    Options {
        kubernetes: Kubernetes::default(),
        namespaces: None,
        operator_namespace: None,
        configuration: Source::Defaults,
        pipeline: PipelineSource::File("pipeline.yaml".into()),
        plugins: "plugins".into(),
        engine: crate::args::EngineConfig::default(),
        registry: pgloom_registry::Settings::new(1 << 20),
        registry_poll: None,
        controller_id: String::new(),
        listen: ([127, 0, 0, 1], 0).into(),
        rest: None,
        webhook: None,
        lease: Some("pgloom".to_owned()),
    }
}

/// The most reconciles that run at the same time until every cluster was reconciled once. With `takes_over` another
/// operator led before, and every cluster was reported by the watches while it did.
async fn most_at_a_time(takes_over: bool) -> i64 {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "pgloom", "namespace": "ns", "resourceVersion": "1"},
        "spec": {"leaseDurationSeconds": 1, "leaseTransitions": 4}
    });
    let api_server = FakeApiServer::new().with(LEASE, lease).slow(Duration::from_millis(2));
    let (changed, triggers) = unbounded();
    let shared = Shared {
        client: api_server.client(),
        store: Arc::new(Store::default()),
        recorder: Recorder::new(api_server.client(), ""),
        metrics: Metrics::new(),
        changed,
        refused: Arc::default(),
    };
    for kind in std::iter::once(Kind::cluster()).chain(of_every_cluster()) {
        let label = (kind != Kind::cluster()).then(|| "cluster-name".into());
        let number = shared.store.open(Watch { kind, namespace: None, label, whole: false, own: vec![] });
        shared.store.apply_watcher_event(number, Event::Init);
        for cluster in (0..CLUSTERS).filter(|_| number == 0) {
            let path = format!("/apis/acid.zalan.do/v1/namespaces/ns/postgresqls/acid-{cluster}");
            api_server.put(&path, manifest(cluster));
            shared.store.apply_watcher_event(number, Event::InitApply(manifest(cluster)));
        }
        shared.store.apply_watcher_event(number, Event::InitDone);
    }
    for key in shared.store.clusters() {
        shared.changed.unbounded_send(key).unwrap();
    }
    let (free, fenced) = (api_server.client(), api_server.client());
    let connection = Connection { fenced, free, namespace: "ns".to_owned(), network: Network::InCluster };
    let pipeline = Arc::new(Pipeline::of(Vec::new()).unwrap());
    let (_sender, settings) = watch::channel(Settings::of(Arc::new(Config::defaults()), pipeline));
    let (health, fence) = (HealthSender::new(), if takes_over { Fence::closed() } else { Fence::open() });
    health.set_ready();
    let context = Arc::new(context(&options(), &connection, &shared, settings, (&fence, health.subscribe())));
    let election = takes_over.then(|| Election::new(connection.free, "ns", "pgloom", "me", fence));
    let all_were_reconciled = async {
        let mut most = 0;
        loop {
            most = most.max(shared.metrics.reconciles_running.get());
            let ok = ResultLabel { result: "ok".to_owned() };
            if shared.metrics.reconciles.get_or_create(&ok).get() >= CLUSTERS {
                return most;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        result = lead(election, context, &health, triggers, pending::<()>().boxed().shared()) => panic!("{result:?}"),
        most = all_were_reconciled => most,
    }
}

#[tokio::test]
async fn at_most_128_reconciles_run_at_a_time_whether_the_operator_starts_or_takes_over() {
    assert_eq!(most_at_a_time(false).await, 128);
    assert_eq!(most_at_a_time(true).await, 128);
}
