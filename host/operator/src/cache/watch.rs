//! Updates the store from the API server: one watch per kind and namespace, started and stopped as needed.

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use serde_json::Value;
use tokio::task::AbortHandle;
use tracing::{info, warn};

use super::{ClusterKey, Store, Watch, discover};
use crate::serve::metrics::{KindLabel, Metrics};

/// The number of objects per page of the first listing.
const PAGE: u32 = 250;

/// The running watches.
pub struct Watches {
    client: Client,
    store: Arc<Store>,
    changed: UnboundedSender<ClusterKey>,
    metrics: Metrics,
    running: Vec<Running>,
}

struct Running {
    watch: Watch,
    number: usize,
    task: AbortHandle,
}

impl Watches {
    /// No watch runs yet. Clusters whose objects change are sent to `changed`.
    pub fn new(client: Client, store: Arc<Store>, changed: UnboundedSender<ClusterKey>, metrics: Metrics) -> Self {
        Self { client, store, changed, metrics, running: Vec::new() }
    }

    /// Starts and stops watches so that exactly the wanted ones run.
    pub async fn run_exactly(&mut self, wanted: Vec<Watch>) {
        let store = self.store.clone();
        self.running.retain(|running| {
            let stays = wanted.contains(&running.watch);
            if !stays {
                running.task.abort();
                store.close(running.number);
            }
            stays
        });
        for watch in wanted {
            if !self.running.iter().any(|running| running.watch == watch) {
                self.start(watch).await;
            }
        }
    }

    async fn start(&mut self, watch: Watch) {
        let number = self.store.open(watch.clone());
        let resource = discover(&self.client, &watch.kind).await;
        let api: Api<DynamicObject> = match &watch.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let follow = follow(api, watch.clone(), number, self.store.clone(), self.changed.clone(), self.metrics.clone());
        let task = tokio::spawn(follow).abort_handle();
        self.running.push(Running { watch, number, task });
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for running in &self.running {
            running.task.abort();
        }
    }
}

async fn follow(
    api: Api<DynamicObject>,
    watch: Watch,
    number: usize,
    store: Arc<Store>,
    changed: UnboundedSender<ClusterKey>,
    metrics: Metrics,
) {
    let mut config = watcher::Config::default().page_size(PAGE);
    if let Some(label) = &watch.label {
        config = config.labels(label);
    }
    let mut events = pin!(watcher::watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                warn!(kind = %watch.kind, %error, "watch failed, retrying");
                metrics.watch_failures.get_or_create(&KindLabel { kind: watch.kind.kind.to_string() }).inc();
                continue;
            }
        };
        let listed = matches!(event, Event::InitDone);
        let Some(event) = as_value(event) else { continue };
        for key in store.apply_watcher_event(number, event) {
            if changed.unbounded_send(key).is_err() {
                return;
            }
        }
        if listed {
            info!(kind = %watch.kind, namespace = watch.namespace.as_deref().unwrap_or("*"), "watch listed");
        }
    }
}

fn as_value(event: Event<DynamicObject>) -> Option<Event<Value>> {
    let value = |object: DynamicObject| serde_json::to_value(object).ok();
    Some(match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(object) => Event::InitApply(value(object)?),
        Event::Apply(object) => Event::Apply(value(object)?),
        Event::Delete(object) => Event::Delete(value(object)?),
    })
}
