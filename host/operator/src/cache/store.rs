//! The objects that exist, of all clusters, as compact text and found by cluster.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use kube::runtime::watcher::Event;
use parking_lot::RwLock;
use serde_json::Value;

use pgloom_decide::kind::{Kind, of_every_cluster};
use pgloom_decide::transform::{Transformed, transform};

/// Which cluster: the namespace and name of a `postgresql` object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterKey {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl ClusterKey {
    /// A key by its two parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An object that exists.
#[derive(Clone)]
pub struct CachedObject {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
    text: Box<str>,
    fields: Option<Box<str>>,
    /// The resource version.
    pub version: u64,
    /// A hash of all but the status and the resource version.
    pub content: u64,
    /// Whether the operator that came before is still on record as a writer.
    pub inherited: bool,
    watch: usize,
    generation: u32,
}

impl CachedObject {
    /// The object; `null` if its text was not JSON, which cannot be.
    pub fn object(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// What the operator applied, in the API server's notation of fields; `None` if it never applied the object.
    pub fn fields(&self) -> Option<Value> {
        self.fields.as_deref().and_then(|text| serde_json::from_str(text).ok())
    }

    /// Whether the operator applied the object.
    pub fn applied(&self) -> bool {
        self.fields.is_some()
    }

    fn new(kind: &Kind, name: &str, transformed: Transformed, watch: usize, generation: u32) -> Self {
        let Transformed { object, version, fields, inherited } = transformed;
        Self {
            kind: kind.clone(),
            name: name.into(),
            content: content(&object),
            text: object.to_string().into(),
            fields: fields.map(|fields| fields.to_string().into()),
            version,
            inherited,
            watch,
            generation,
        }
    }

    /// Whether nothing that decisions rest on differs.
    fn same_as(&self, other: &Self) -> bool {
        self.text == other.text && self.fields == other.fields && self.inherited == other.inherited
    }
}

/// A hash of an object without its status.
fn content(object: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        if key != "status" {
            key.hash(&mut hasher);
            value.to_string().hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// One watch: a kind in a scope, and how its objects belong to clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// What is watched.
    pub kind: Kind,
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// The label that carries the cluster's name; `None` for the `postgresql` objects themselves.
    pub label: Option<String>,
    /// Whether pods keep their specification.
    pub whole: bool,
}

impl Watch {
    /// Whether no decision may be made before it was listed. What a plugin adds may be forbidden to the operator, and must
    /// not hold every cluster then.
    fn is_essential(&self) -> bool {
        self.label.is_none() || of_every_cluster().contains(&self.kind)
    }
}

/// The objects of all clusters.
#[derive(Default)]
pub struct Store {
    inner: RwLock<Inner>,
}

/// A cluster's objects, by kind and name.
type Objects = BTreeMap<(Kind, Arc<str>), Arc<CachedObject>>;

#[derive(Default)]
struct Inner {
    clusters: HashMap<ClusterKey, Objects>,
    watches: Vec<Option<(Watch, u32)>>,
    synced: HashSet<usize>,
}

impl Store {
    /// Adds a watch; events of that watch are given with the number that is returned.
    pub fn open(&self, watch: Watch) -> usize {
        let mut inner = self.inner.write();
        inner.watches.push(Some((watch, 0)));
        inner.watches.len() - 1
    }

    /// Forgets a watch and all that it brought.
    pub fn close(&self, watch: usize) {
        let mut inner = self.inner.write();
        inner.synced.remove(&watch);
        if let Some(slot) = inner.watches.get_mut(watch) {
            *slot = None;
        }
        for objects in inner.clusters.values_mut() {
            objects.retain(|_, kept| kept.watch != watch);
        }
        inner.clusters.retain(|_, objects| !objects.is_empty());
    }

    /// Whether every watch that decisions rest on has been listed once.
    pub fn synced(&self) -> bool {
        let inner = self.inner.read();
        let unlisted = inner.watches.iter().enumerate().filter(|(number, _)| !inner.synced.contains(number));
        unlisted.into_iter().all(|(_, slot)| slot.as_ref().is_none_or(|(watch, _)| !watch.is_essential()))
    }

    /// Takes an event of a watch and says which clusters have to be looked at.
    pub fn apply_watcher_event(&self, watch: usize, event: Event<Value>) -> Vec<ClusterKey> {
        let mut inner = self.inner.write();
        match event {
            Event::Init => {
                inner.next_generation(watch);
                Vec::new()
            }
            Event::InitApply(object) | Event::Apply(object) => inner.put(watch, object, false).into_iter().collect(),
            Event::InitDone => {
                inner.synced.insert(watch);
                inner.drop_unseen(watch)
            }
            Event::Delete(object) => inner.remove(watch, &object).into_iter().collect(),
        }
    }

    /// Keeps the answer of a write, so that the next decision need not wait for the watch.
    pub fn record_write(&self, key: &ClusterKey, object: Value) {
        let mut inner = self.inner.write();
        let Some(kind) = Kind::of(&object) else { return };
        let number = inner.watches.iter().position(|slot| {
            slot.as_ref().is_some_and(|(watch, _)| {
                watch.kind == kind && watch.namespace.as_deref().is_none_or(|namespace| namespace == &*key.namespace)
            })
        });
        if let Some(number) = number {
            inner.put(number, object, true);
        }
    }

    /// The manifest of a cluster.
    pub fn manifest(&self, key: &ClusterKey) -> Option<Arc<CachedObject>> {
        self.inner.read().clusters.get(key)?.get(&(Kind::cluster(), key.name.clone())).cloned()
    }

    /// The objects of a cluster, its manifest aside, sorted by kind and name.
    pub fn objects(&self, key: &ClusterKey) -> Vec<Arc<CachedObject>> {
        let inner = self.inner.read();
        let all = inner.clusters.get(key).into_iter().flat_map(BTreeMap::values);
        all.filter(|kept| kept.kind != Kind::cluster()).cloned().collect()
    }

    /// The clusters that have a manifest.
    pub fn clusters(&self) -> Vec<ClusterKey> {
        let inner = self.inner.read();
        let with_manifest =
            inner.clusters.iter().filter(|(key, objects)| objects.contains_key(&(Kind::cluster(), key.name.clone())));
        with_manifest.map(|(key, _)| key.clone()).collect()
    }
}

impl Inner {
    fn next_generation(&mut self, watch: usize) {
        if let Some(Some((_, generation))) = self.watches.get_mut(watch) {
            *generation += 1;
        }
    }

    /// Keeps an object and says which cluster it changed. An older one than what is kept is passed over where it answers a write.
    fn put(&mut self, number: usize, object: Value, answer: bool) -> Option<ClusterKey> {
        let (watch, generation) = self.watches.get(number)?.clone()?;
        let (key, name) = place(&watch, &object)?;
        let kept =
            CachedObject::new(&watch.kind, &name, transform(&watch.kind, object, watch.whole), number, generation);
        let slot = (watch.kind.clone(), kept.name.clone());
        let objects = self.clusters.entry(key.clone()).or_default();
        let before = objects.get(&slot);
        if before.is_some_and(|before| before.version > kept.version && (answer || before.watch == number)) {
            if let Some(newer) = objects.get(&slot) {
                let seen = CachedObject { generation, ..CachedObject::clone(newer) };
                objects.insert(slot, Arc::new(seen));
            }
            return None;
        }
        // A manifest's status is the operator's own word.
        let same = |before: &Arc<CachedObject>| {
            if watch.label.is_some() { before.same_as(&kept) } else { before.content == kept.content }
        };
        let changed = before.is_none_or(|before| !same(before));
        objects.insert(slot, Arc::new(kept));
        changed.then_some(key)
    }

    fn remove(&mut self, number: usize, object: &Value) -> Option<ClusterKey> {
        let (watch, _) = self.watches.get(number)?.clone()?;
        let (key, name) = place(&watch, object)?;
        let objects = self.clusters.get_mut(&key)?;
        let gone = objects.remove(&(watch.kind, name.into()));
        if objects.is_empty() {
            self.clusters.remove(&key);
        }
        gone.map(|_| key)
    }

    /// Forgets what a new listing of the watch no longer brought.
    fn drop_unseen(&mut self, number: usize) -> Vec<ClusterKey> {
        let Some(Some((_, generation))) = self.watches.get(number) else { return Vec::new() };
        let generation = *generation;
        let mut changed = Vec::new();
        for (key, objects) in &mut self.clusters {
            let before = objects.len();
            objects.retain(|_, kept| kept.watch != number || kept.generation == generation);
            if objects.len() != before {
                changed.push(key.clone());
            }
        }
        self.clusters.retain(|_, objects| !objects.is_empty());
        changed
    }
}

/// The cluster that an object belongs to, and the object's name.
fn place(watch: &Watch, object: &Value) -> Option<(ClusterKey, String)> {
    let metadata = object.get("metadata")?;
    let name = metadata.get("name")?.as_str()?;
    let namespace = metadata.get("namespace")?.as_str()?;
    let cluster = match &watch.label {
        Some(label) => metadata.get("labels")?.get(label)?.as_str()?,
        None => name,
    };
    Some((ClusterKey::new(namespace, cluster), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn services() -> Watch {
        Watch { kind: Kind::new("v1", "Service"), namespace: None, label: Some("cluster-name".into()), whole: false }
    }

    fn service(name: &str, version: u32, port: u32) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "ns", "labels": {"cluster-name": "c"}, "resourceVersion": version.to_string()},
            "spec": {"port": port}
        })
    }

    fn names(store: &Store) -> Vec<String> {
        store.objects(&ClusterKey::new("ns", "c")).iter().map(|kept| kept.name.to_string()).collect()
    }

    #[test]
    fn a_cluster_is_looked_at_when_an_object_of_it_changes_and_only_then() {
        let store = Store::default();
        let watch = store.open(services());
        assert_eq!(store.apply_watcher_event(watch, Event::Apply(service("a", 1, 1))), [ClusterKey::new("ns", "c")]);
        assert!(store.apply_watcher_event(watch, Event::Apply(service("a", 2, 1))).is_empty());
        assert_eq!(store.apply_watcher_event(watch, Event::Apply(service("a", 3, 2))).len(), 1);
    }

    #[test]
    fn what_a_new_listing_does_not_bring_is_gone() {
        let store = Store::default();
        let watch = store.open(services());
        for name in ["a", "b"] {
            store.apply_watcher_event(watch, Event::Apply(service(name, 1, 1)));
        }
        assert!(!store.synced());
        store.apply_watcher_event(watch, Event::Init);
        store.apply_watcher_event(watch, Event::InitApply(service("b", 1, 1)));
        assert_eq!(store.apply_watcher_event(watch, Event::InitDone), [ClusterKey::new("ns", "c")]);
        assert_eq!(names(&store), ["b"]);
        assert!(store.synced());
    }

    #[test]
    fn the_answer_of_a_write_is_not_undone_by_an_older_event() {
        let store = Store::default();
        let watch = store.open(services());
        store.apply_watcher_event(watch, Event::Apply(service("a", 1, 1)));
        store.record_write(&ClusterKey::new("ns", "c"), service("a", 5, 2));
        assert!(store.apply_watcher_event(watch, Event::Apply(service("a", 4, 1))).is_empty());
        assert_eq!(store.objects(&ClusterKey::new("ns", "c"))[0].object()["spec"]["port"], 2);
        store.apply_watcher_event(watch, Event::Delete(service("a", 6, 2)));
        assert!(names(&store).is_empty());
    }

    #[test]
    fn a_kind_that_a_plugin_adds_holds_nobody_up_while_it_cannot_be_listed() {
        let store = Store::default();
        store.open(Watch { kind: Kind::new("networking.k8s.io/v1", "NetworkPolicy"), ..services() });
        assert!(store.synced());
        store.open(services());
        assert!(!store.synced());
    }

    #[test]
    fn a_closed_feed_takes_its_objects_along() {
        let store = Store::default();
        let watch = store.open(services());
        store.apply_watcher_event(watch, Event::Apply(service("a", 1, 1)));
        store.close(watch);
        assert!(names(&store).is_empty());
        assert!(store.synced());
    }
}
