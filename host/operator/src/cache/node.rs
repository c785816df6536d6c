//! The nodes of the Kubernetes cluster, kept in step by a watch of their own: they belong to no namespace, and a change
//! of one reconciles every cluster that has members on it.
//!
//! A kubelet reports its node's state every few minutes. What is kept has no part of that, so it wakes no reconcile.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::channel::mpsc::UnboundedSender;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use parking_lot::RwLock;
use pgloom_common::error::error_chain;
use pgloom_decide::rollout::Node;
use tracing::{info, warn};

use super::{ClusterKey, Store};
use crate::serve::metrics::{KindLabel, Metrics};

/// The nodes by their names. Without the right to list them there are none, and no leader leaves its node.
#[derive(Default)]
pub struct Nodes {
    known: RwLock<Arc<BTreeMap<String, Node>>>,
    /// What a listing has brought so far; `None` between listings.
    listing: RwLock<Option<BTreeMap<String, Node>>>,
}

impl Nodes {
    /// All nodes as they are now.
    pub fn all(&self) -> Arc<BTreeMap<String, Node>> {
        self.known.read().clone()
    }

    /// Applies an event and returns the names of the nodes that changed.
    pub fn apply_watcher_event(&self, event: Event<Node>) -> Vec<String> {
        match event {
            Event::Init => {
                *self.listing.write() = Some(BTreeMap::new());
                Vec::new()
            }
            Event::InitApply(node) => {
                self.listing.write().get_or_insert_default().insert(node.name.clone(), node);
                Vec::new()
            }
            Event::InitDone => {
                let listed = self.listing.write().take().unwrap_or_default();
                let before = std::mem::replace(&mut *self.known.write(), Arc::new(listed));
                let now = self.all();
                let names = before.keys().chain(now.keys().filter(|name| !before.contains_key(*name)));
                names.filter(|name| before.get(*name) != now.get(*name)).cloned().collect()
            }
            Event::Apply(node) => {
                let mut known = self.known.write();
                let changed = known.get(&node.name) != Some(&node);
                let name = node.name.clone();
                if changed {
                    Arc::make_mut(&mut *known).insert(name.clone(), node);
                }
                changed.then_some(name).into_iter().collect()
            }
            Event::Delete(node) => {
                let gone = Arc::make_mut(&mut *self.known.write()).remove(&node.name);
                gone.map(|node| node.name).into_iter().collect()
            }
        }
    }
}

/// Keeps the nodes of `store` in step with the API server; clusters with members on a node that changed are sent to
/// `changed`. Returns when the receiver is gone.
pub async fn follow(client: Client, store: Arc<Store>, changed: UnboundedSender<ClusterKey>, metrics: Metrics) {
    let api: Api<k8s_openapi::api::core::v1::Node> = Api::all(client);
    let mut events = pin!(watcher::watcher(api, watcher::Config::default()).default_backoff());
    let mut listed = false;
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let error = error_chain(&error);
                warn!(error, "the watch of nodes broke off and is tried again; until then no leader leaves its node");
                metrics.watch_failures.get_or_create(&KindLabel { kind: "Node".to_owned() }).inc();
                continue;
            }
        };
        let is_list = matches!(event, Event::InitDone);
        let names = store.nodes().apply_watcher_event(trimmed(event));
        if is_list && !std::mem::replace(&mut listed, true) {
            info!(nodes = names.len(), "listed nodes");
        }
        for key in names.iter().flat_map(|name| store.clusters_on(name)) {
            if changed.unbounded_send(key).is_err() {
                return;
            }
        }
    }
}

fn trimmed(event: Event<k8s_openapi::api::core::v1::Node>) -> Event<Node> {
    match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(node) => Event::InitApply(node.into()),
        Event::Apply(node) => Event::Apply(node.into()),
        Event::Delete(node) => Event::Delete(node.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(name: &str, unschedulable: bool, heartbeat: &str) -> Event<Node> {
        let condition: Value = json!({"type": "Ready", "status": "True", "lastHeartbeatTime": heartbeat});
        let node = json!({
            "metadata": {"name": name, "resourceVersion": heartbeat.len().to_string()},
            "spec": {"unschedulable": unschedulable}, "status": {"conditions": [condition]}
        });
        trimmed(Event::Apply(serde_json::from_value(node).unwrap()))
    }

    fn listed(event: Event<Node>) -> Event<Node> {
        match event {
            Event::Apply(node) => Event::InitApply(node),
            other => other,
        }
    }

    #[test]
    fn a_node_changes_when_it_is_cordoned_and_not_when_its_kubelet_reports() {
        let nodes = Nodes::default();
        let at = |minute: u32| format!("2031-05-14T12:{minute:02}:00Z");
        assert_eq!(nodes.apply_watcher_event(node("a", false, &at(0))), ["a"]);
        assert_eq!(nodes.apply_watcher_event(node("a", false, &at(5))), [] as [&str; 0]);
        assert_eq!(nodes.apply_watcher_event(node("a", true, &at(6))), ["a"]);
        assert!(nodes.all()["a"].unschedulable);
    }

    #[test]
    fn a_listing_tells_what_changed_since_the_last_one_and_forgets_what_is_gone() {
        let nodes = Nodes::default();
        let list = |events: Vec<Event<Node>>| {
            nodes.apply_watcher_event(Event::Init);
            events.into_iter().for_each(|event| _ = nodes.apply_watcher_event(listed(event)));
            nodes.apply_watcher_event(Event::InitDone)
        };
        let at = "2031-05-14T12:00:00Z";
        assert_eq!(list(vec![node("a", false, at), node("b", false, at), node("c", false, at)]), ["a", "b", "c"]);
        assert_eq!(list(vec![node("a", false, at), node("b", true, at)]), ["b", "c"]);
        assert_eq!(nodes.all().len(), 2);
        let Event::Apply(gone) = node("a", false, at) else { panic!() };
        assert_eq!(nodes.apply_watcher_event(Event::Delete(gone)), ["a"]);
        assert_eq!(nodes.all().len(), 1);
    }
}
