//! Reconciles the clusters that are sent to it, each by itself, a limited number at a time.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{FutureExt, StreamExt};
use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::controller::{self, Action, ReconcileRequest, applier};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use pgloom_common::error::error_chain;
use pgloom_decide::Kind;
use tracing::debug;

use crate::cache::{ClusterKey, api_resource};
use crate::context::Context;
use crate::reconcile::{self, reconcile};
use crate::serve::health::Health;

/// How many reconciles run at the same time, those that wait for a slot or for Patroni included. All that run are polled
/// whenever one of them goes on, so that many more would slow each other down.
const CONCURRENCY: u16 = 128;

/// Reconciles every cluster that is sent to `triggers`, each by itself, until the signal to stop and the end of what
/// runs.
pub async fn reconcile_all(
    context: Arc<Context>,
    mut health: Health,
    triggers: UnboundedReceiver<ClusterKey>,
    stop: impl Future<Output = ()>,
) {
    if health.ready.wait_for(|ready| *ready).await.is_err() {
        return;
    }
    for key in context.store.clusters() {
        // The receiver is ours.
        _ = context.changed.unbounded_send(key);
    }
    let known = Arc::new(Known::default());
    let reader = known.reader();
    let queue = triggers.take_until(stop).map({
        let (known, context) = (known.clone(), context.clone());
        move |key| {
            // Every event passes here; what is only due again does not.
            context.states.wake(&key);
            Ok::<_, std::convert::Infallible>(known.request(&key))
        }
    });
    let reconcile_object = move |object: Arc<DynamicObject>, context: Arc<Context>| {
        let known = known.clone();
        async move {
            let key = key_of(&object);
            let result = reconcile(&context, &key).await;
            // A reconcile that waits for new watches is requeued: a manifest that they have not listed yet is not gone.
            let ended = result.as_ref().is_ok_and(|action| *action == Action::await_change());
            if ended && context.store.manifest(&key).is_none() {
                known.forget(&object);
            }
            result
        }
        .boxed()
    };
    let error_policy = |object: Arc<DynamicObject>, error: &reconcile::Error, context: Arc<Context>| {
        let failures = context.states.failures(&key_of(&object)).saturating_sub(1);
        error.requeue(failures, context.settings.borrow().repair())
    };
    let config = controller::Config::default().concurrency(CONCURRENCY);
    let mut done = pin!(applier(reconcile_object, error_policy, context, reader, queue, config));
    while let Some(result) = done.next().await {
        if let Err(error) = result {
            debug!(error = %error_chain(&error), "reconcile failed");
        }
    }
}

fn key_of(object: &DynamicObject) -> ClusterKey {
    ClusterKey::new(&object.namespace().unwrap_or_default(), &object.name_any())
}

/// The clusters that kube's `applier` knows.
///
/// `applier` never runs two reconciles of one object at the same time, merges triggers and requeues, and counts none of
/// them twice. But it takes each object from a kube reflector store and reconciles none that is missing there. The
/// objects themselves are in our own [`Store`], which several kinds share and which holds them as compact text. So this
/// reflector store holds names only: of a cluster from its first trigger until its manifest is gone.
struct Known {
    writer: Mutex<reflector::store::Writer<DynamicObject>>,
    resource: ApiResource,
}

impl Known {
    fn reader(&self) -> reflector::Store<DynamicObject> {
        self.writer.lock().as_reader()
    }

    /// Adds a cluster, and returns the request for its reconcile.
    fn request(&self, key: &ClusterKey) -> ReconcileRequest<DynamicObject> {
        let object = DynamicObject::new(&key.name, &self.resource).within(&key.namespace);
        let request = ReconcileRequest::from(ObjectRef::from_obj_with(&object, self.resource.clone()));
        self.writer.lock().apply_watcher_event(&Event::Apply(object));
        request
    }

    /// Removes a cluster that is gone. A manifest of the same name that comes later is a trigger, which adds it again.
    fn forget(&self, object: &DynamicObject) {
        self.writer.lock().apply_watcher_event(&Event::Delete(object.clone()));
    }
}

impl Default for Known {
    fn default() -> Self {
        let resource = api_resource(&Kind::cluster());
        let mut writer = reflector::store::Writer::new(resource.clone());
        // Without the end of a list the reader would wait for it.
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        Self { writer: Mutex::new(writer), resource }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_known_from_its_first_trigger_until_its_manifest_is_gone() {
        let known = Known::default();
        let (reader, key) = (known.reader(), ClusterKey::new("ns", "c"));
        known.request(&key);
        known.request(&key);
        let state = reader.state();
        assert_eq!(state.iter().map(|object| key_of(object)).collect::<Vec<_>>(), std::slice::from_ref(&key));
        known.forget(&state[0]);
        assert!(reader.is_empty());
        known.request(&key);
        assert_eq!(reader.len(), 1);
    }
}
