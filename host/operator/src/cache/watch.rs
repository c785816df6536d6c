//! Updates the store from the API server: one watch per kind and namespace, started and stopped as needed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use pgloom_common::duration::doubled;
use pgloom_common::error::error_chain;
use pgloom_decide::kind::{BuiltIn, Kind, of_every_cluster};
use pgloom_decide::ownership::MARK;
use pgloom_decide::transform::{Transformed, transform};
use serde_json::Value;
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

use super::received::Received;
use super::{ClusterKey, Store};
use crate::serve::metrics::{KindLabel, Metrics, WatchLabels};

/// The number of objects per page of the first listing.
const PAGE: u32 = 250;
/// The longest time between two attempts of a watch that fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A watch that has failed and then neither fails nor brings anything for this time works: nothing changes. Longer than
/// a request may take.
pub(super) const SILENCE: Duration = Duration::from_secs(90);

/// One watch: a kind, a scope, and the label that assigns its objects to clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The kind of the watched objects.
    pub kind: Kind,
    /// The namespace; `None` means all.
    pub namespace: Option<String>,
    /// The label with the cluster's name; `None` for the `postgresql` objects themselves.
    pub label: Option<String>,
    /// Whether the `spec` of pods is kept.
    pub whole: bool,
    /// The names of the labels that all objects of a cluster have besides; none where every object is kept whole.
    pub own: Vec<String>,
}

impl Watch {
    /// Whether decisions have to wait for the first listing of this watch. A kind that a plugin adds is not essential:
    /// the operator may lack the right to list it, and this must not stop every cluster.
    pub(super) fn is_essential(&self) -> bool {
        self.label.is_none() || of_every_cluster().contains(&self.kind)
    }

    /// Whether decisions have to wait even where the operator has no right to list the kind: what they rest upon, and what
    /// the members need. The others are made by steps alone; what exists of them is read before it is written.
    pub(super) fn is_vital(&self) -> bool {
        let made_by_steps =
            matches!(self.kind.built_in(), Some(BuiltIn::Deployment | BuiltIn::CronJob | BuiltIn::PodDisruptionBudget));
        self.label.is_none() || !made_by_steps
    }

    /// Whether an object is none of a cluster's, as an application's own that names its cluster in a label. The operator
    /// has to know that it exists, and nothing more.
    fn is_foreign(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let large = matches!(
            self.kind.built_in(),
            Some(
                BuiltIn::Service
                    | BuiltIn::StatefulSet
                    | BuiltIn::Deployment
                    | BuiltIn::CronJob
                    | BuiltIn::PodDisruptionBudget
            )
        );
        let lacks = |name: &String| metadata["labels"].get(name).is_none();
        large && metadata["annotations"].get(MARK).is_none() && self.own.iter().any(lacks)
    }

    /// What is kept of an object.
    pub(super) fn transform(&self, object: Value) -> Transformed {
        let mut transformed = transform(&self.kind, object, self.whole);
        if self.is_foreign(&transformed.object)
            && let Some(fields) = transformed.object.as_object_mut()
        {
            fields.retain(|name, _| ["apiVersion", "kind", "metadata"].contains(&name.as_str()));
        }
        transformed
    }
}

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
    pub fn run_exactly(&mut self, wanted: Vec<Watch>) {
        let (store, metrics) = (self.store.clone(), self.metrics.clone());
        self.running.retain(|running| {
            let stays = wanted.contains(&running.watch);
            if !stays {
                running.task.abort();
                store.close(running.number);
                metrics.watches_failing.remove(&labels(&running.watch));
            }
            stays
        });
        for watch in wanted {
            if !self.running.iter().any(|running| running.watch == watch) {
                self.start(watch);
            }
        }
    }

    fn start(&mut self, watch: Watch) {
        let number = self.store.open(watch.clone());
        let follower = Follower {
            client: self.client.clone(),
            watch: watch.clone(),
            number,
            store: self.store.clone(),
            changed: self.changed.clone(),
            metrics: self.metrics.clone(),
        };
        let task = tokio::spawn(follower.follow()).abort_handle();
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

/// Follows one watch.
struct Follower {
    client: Client,
    watch: Watch,
    number: usize,
    store: Arc<Store>,
    changed: UnboundedSender<ClusterKey>,
    metrics: Metrics,
}

impl Follower {
    async fn follow(self) {
        match self.watch.kind.is(BuiltIn::Pod) && !self.watch.whole {
            true => self.follow_as::<true>().await,
            false => self.follow_as::<false>().await,
        }
    }

    async fn follow_as<const POD: bool>(self) {
        let mut config = watcher::Config::default().page_size(PAGE);
        if let Some(label) = &self.watch.label {
            config = config.labels(label);
        }
        let mut failures = 0;
        let mut events = pin!(watcher::watcher(self.api::<POD>().await, config));
        loop {
            match tokio::time::timeout(SILENCE, events.next()).await {
                Ok(Some(Ok(event))) => {
                    // The begin of a list is no success yet.
                    if !matches!(event, Event::Init) {
                        self.works(&mut failures);
                    }
                    if !self.take(event) {
                        return;
                    }
                }
                Ok(Some(Err(error))) => {
                    self.failed(&error, failures);
                    tokio::time::sleep(pause(failures)).await;
                    failures += 1;
                }
                Ok(None) => return,
                Err(_) if self.store.is_listed(self.number) => self.works(&mut failures),
                Err(_) => {}
            }
        }
    }

    async fn api<const POD: bool>(&self) -> Api<Received<POD>> {
        let resource = self.store.resources.discover(&self.client, &self.watch.kind).await;
        match &self.watch.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Stores an event and sends the clusters that it changes; whether anything still receives them.
    fn take<const POD: bool>(&self, event: Event<Received<POD>>) -> bool {
        let listed = matches!(event, Event::InitDone);
        for key in self.store.apply_watcher_event(self.number, objects(event)) {
            if self.changed.unbounded_send(key).is_err() {
                return false;
            }
        }
        if listed {
            let WatchLabels { kind, namespace } = labels(&self.watch);
            info!(kind, namespace, "watch listed");
        }
        true
    }

    fn works(&self, failures: &mut u32) {
        if std::mem::take(failures) > 0 {
            let labels = labels(&self.watch);
            info!(kind = labels.kind, namespace = labels.namespace, "watch works again");
            self.metrics.watches_failing.get_or_create(&labels).set(0);
        }
    }

    /// Records a failure. The log has the first one of several in a row.
    fn failed(&self, error: &watcher::Error, failures: u32) {
        let labels = labels(&self.watch);
        let WatchLabels { kind, namespace } = &labels;
        match failures {
            0 => warn!(kind, namespace, error = %error_chain(error), "watch failed, retrying"),
            _ => debug!(kind, namespace, error = %error_chain(error), failures, "watch failed again, retrying"),
        }
        self.metrics.watch_failures.get_or_create(&KindLabel { kind: kind.clone() }).inc();
        self.metrics.watches_failing.get_or_create(&labels).set(1);
        self.store.record_failure(self.number, is_forbidden(error));
    }
}

/// Whether the operator has no right to list the kind.
fn is_forbidden(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 403)
}

fn labels(watch: &Watch) -> WatchLabels {
    let namespace = watch.namespace.clone().unwrap_or_else(|| "*".to_owned());
    WatchLabels { kind: watch.kind.kind.to_string(), namespace }
}

/// How long to wait after a failure, by the number of those in a row before it.
fn pause(failures: u32) -> Duration {
    doubled(Duration::from_secs(1), failures, LONGEST_PAUSE)
}

fn objects<const POD: bool>(event: Event<Received<POD>>) -> Event<Value> {
    match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(received) => Event::InitApply(received.into_object()),
        Event::Apply(received) => Event::Apply(received.into_object()),
        Event::Delete(received) => Event::Delete(received.into_object()),
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc::unbounded;
    use pgloom_decide::Kind;

    use super::*;
    use crate::testing::FakeApiServer;

    #[test]
    fn a_watch_that_fails_is_tried_ever_later_and_once_a_minute_at_least() {
        let seconds: Vec<u64> = (0..8).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[tokio::test]
    async fn a_kind_that_only_steps_make_is_not_waited_for_where_it_may_not_be_listed() {
        let api_server = FakeApiServer::new().unreadable("/apis/batch/v1/namespaces/ax/cronjobs");
        let store = Arc::new(Store::default());
        let mut watches = Watches::new(api_server.client(), store.clone(), unbounded().0, Metrics::new());
        let (kind, label) = (Kind::new("batch/v1", "CronJob"), Some("cluster-name".to_owned()));
        watches.run_exactly(vec![Watch { kind, namespace: Some("ax".into()), label, whole: false, own: vec![] }]);
        assert!(!store.synced("ax"), "before the first answer nothing is known");
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert!(store.synced("ax"));
    }

    #[tokio::test]
    async fn a_namespace_that_may_not_be_listed_is_asked_seldom_and_shows_in_the_metrics() {
        let api_server = FakeApiServer::new().unreadable("/api/v1/namespaces/ax/services");
        let (store, metrics) = (Arc::new(Store::default()), Metrics::new());
        let mut watches = Watches::new(api_server.client(), store.clone(), unbounded().0, metrics.clone());
        let label = Some("cluster-name".to_owned());
        let kind = Kind::new("v1", "Service");
        watches.run_exactly(vec![Watch { kind, namespace: Some("ax".into()), label, whole: false, own: vec![] }]);
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert_eq!(api_server.reads(), 1);
        assert!(!store.synced("ax"));
        let text = metrics.text().unwrap();
        assert!(text.contains("pgloom_watches_failing{kind=\"Service\",namespace=\"ax\"} 1"), "{text}");
        watches.run_exactly(vec![]);
        assert!(!metrics.text().unwrap().contains("namespace=\"ax\""));
    }
}
