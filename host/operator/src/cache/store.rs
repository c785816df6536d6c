//! The objects that exist, of all clusters, as compact text and found by cluster.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use kube::runtime::watcher::Event;
use parking_lot::RwLock;
use serde_json::Value;

use pgloom_decide::kind::{Kind, ObjectKey, of_every_cluster};
use pgloom_decide::transform::{Transformed, transform};

use super::node::Nodes;

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
    nodes: Nodes,
}

/// A cluster's objects, by kind and name.
type Objects = BTreeMap<(Kind, Arc<str>), Arc<CachedObject>>;

#[derive(Default)]
struct Inner {
    clusters: HashMap<ClusterKey, Objects>,
    /// Where each object is kept: an object whose label changes moves to another cluster.
    places: HashMap<Place, ClusterKey>,
    watches: Vec<Option<(Watch, u32)>>,
    /// The newest version that each watch reported.
    newest: HashMap<usize, u64>,
    synced: HashSet<usize>,
}

/// A watch, and the namespace and name of one of its objects.
type Place = (usize, Arc<str>, Arc<str>);

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
        inner.places.retain(|(number, _, _), _| *number != watch);
        inner.newest.remove(&watch);
    }

    /// Whether every watch that decisions rest on has been listed once.
    pub fn synced(&self) -> bool {
        let inner = self.inner.read();
        let unlisted = inner.watches.iter().enumerate().filter(|(number, _)| !inner.synced.contains(number));
        unlisted.into_iter().all(|(_, slot)| slot.as_ref().is_none_or(|(watch, _)| !watch.is_essential()))
    }

    /// Applies an event of a watch and returns the clusters to reconcile.
    pub fn apply_watcher_event(&self, watch: usize, event: Event<Value>) -> Vec<ClusterKey> {
        let mut inner = self.inner.write();
        match event {
            Event::Init => {
                inner.next_generation(watch);
                Vec::new()
            }
            Event::InitApply(object) => inner.put(watch, object, false),
            Event::Apply(object) => {
                inner.reported(watch, &object);
                inner.put(watch, object, false)
            }
            Event::InitDone => {
                inner.synced.insert(watch);
                inner.drop_unseen(watch)
            }
            Event::Delete(object) => {
                inner.reported(watch, &object);
                inner.remove(watch, &object).into_iter().collect()
            }
        }
    }

    /// Keeps the answer of a write, so that the next decision need not wait for the watch.
    pub fn record_write(&self, object: Value) {
        let mut inner = self.inner.write();
        let Some(kind) = Kind::of(&object) else { return };
        if let Some(number) = inner.watch_of(&kind, ObjectKey::of(&object).namespace) {
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

    /// Whether there is a manifest with that uid.
    pub fn has_manifest(&self, uid: &str) -> bool {
        let inner = self.inner.read();
        let mut manifests =
            inner.clusters.iter().filter_map(|(key, objects)| objects.get(&(Kind::cluster(), key.name.clone())));
        manifests.any(|manifest| manifest.object()["metadata"]["uid"] == uid)
    }

    /// The objects in other namespaces that carry the name of this cluster, with their namespaces.
    pub fn namesakes(&self, key: &ClusterKey) -> Vec<(ClusterKey, Arc<CachedObject>)> {
        let inner = self.inner.read();
        let elsewhere =
            inner.clusters.iter().filter(|(other, _)| other.name == key.name && other.namespace != key.namespace);
        let all = elsewhere.flat_map(|(other, objects)| objects.values().map(|kept| (other.clone(), kept.clone())));
        all.filter(|(_, kept)| kept.kind != Kind::cluster()).collect()
    }

    /// Whether a kind is watched in a namespace.
    pub fn watches(&self, kind: &Kind, namespace: &str) -> bool {
        self.inner.read().watch_of(kind, namespace).is_some()
    }

    /// The nodes, which belong to no cluster.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The clusters that have a pod on a node.
    pub fn clusters_on(&self, node: &str) -> Vec<ClusterKey> {
        let inner = self.inner.read();
        let is_there = |kept: &Arc<CachedObject>| {
            // Most pods are elsewhere, and need not be parsed for that.
            kept.kind.is("Pod") && kept.text.contains(node) && kept.object()["spec"]["nodeName"] == node
        };
        let there = inner.clusters.iter().filter(|(_, objects)| objects.values().any(is_there));
        there.map(|(key, _)| key.clone()).collect()
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

    fn watch_of(&self, kind: &Kind, namespace: &str) -> Option<usize> {
        self.watches.iter().position(|slot| {
            slot.as_ref().is_some_and(|(watch, _)| {
                watch.kind == *kind && watch.namespace.as_deref().is_none_or(|watched| watched == namespace)
            })
        })
    }

    fn reported(&mut self, number: usize, object: &Value) {
        let newest = self.newest.entry(number).or_default();
        *newest = version(object).max(*newest);
    }

    /// Keeps an object and returns the clusters that it changed: its own, and the one that it belonged to before.
    fn put(&mut self, number: usize, object: Value, answer: bool) -> Vec<ClusterKey> {
        let Some(Some((watch, _))) = self.watches.get(number) else { return Vec::new() };
        let Some((key, name)) = place(watch, &object) else { return Vec::new() };
        let place: Place = (number, key.namespace.clone(), name.as_str().into());
        let former = self.places.get(&place).cloned();
        // A watch reports the changes of a kind in their order. A write that is older than what it reported, of an object
        // that is not kept, was reported already and so was the deletion after it.
        let newest = self.newest.get(&number).copied().unwrap_or_default();
        if answer && former.is_none() && newest > 0 && version(&object) <= newest {
            return Vec::new();
        }
        let slot = (watch.kind.clone(), place.2.clone());
        let left = former.filter(|former| *former != key);
        if let Some(former) = &left {
            let is_older = |kept: &Arc<CachedObject>| kept.version > version(&object);
            let kept = self.clusters.get(former).and_then(|objects| objects.get(&slot));
            if answer && kept.is_some_and(is_older) {
                return Vec::new();
            }
            self.take(former, &slot);
        }
        self.places.insert(place, key.clone());
        left.into_iter().chain(self.keep(number, object, key, answer)).collect()
    }

    /// Keeps an object in its cluster, and returns the cluster if that changed it. An older one than what is kept is
    /// passed over where it answers a write.
    fn keep(&mut self, number: usize, object: Value, key: ClusterKey, answer: bool) -> Option<ClusterKey> {
        let (watch, generation) = self.watches.get(number)?.clone()?;
        let (_, name) = place(&watch, &object)?;
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
        let key = ObjectKey::of(object);
        let place: Place = (number, key.namespace.into(), key.name.into());
        let cluster = self.places.get(&place)?.clone();
        let slot = (watch.kind, place.2.clone());
        let kept = self.clusters.get(&cluster).and_then(|objects| objects.get(&slot));
        // One that was created again since then.
        if kept.is_some_and(|kept| kept.version > version(object)) && version(object) > 0 {
            return None;
        }
        self.places.remove(&place);
        self.take(&cluster, &slot).map(|_| cluster)
    }

    fn take(&mut self, cluster: &ClusterKey, slot: &(Kind, Arc<str>)) -> Option<Arc<CachedObject>> {
        let objects = self.clusters.get_mut(cluster)?;
        let gone = objects.remove(slot);
        if objects.is_empty() {
            self.clusters.remove(cluster);
        }
        gone
    }

    /// Forgets what a new listing of the watch no longer brought.
    fn drop_unseen(&mut self, number: usize) -> Vec<ClusterKey> {
        let Some(Some((_, generation))) = self.watches.get(number) else { return Vec::new() };
        let generation = *generation;
        let mut changed = Vec::new();
        let places = &mut self.places;
        for (key, objects) in &mut self.clusters {
            let before = objects.len();
            objects.retain(|(_, name), kept| {
                let stays = kept.watch != number || kept.generation == generation;
                if !stays {
                    places.remove(&(number, key.namespace.clone(), name.clone()));
                }
                stays
            });
            if objects.len() != before {
                changed.push(key.clone());
            }
        }
        self.clusters.retain(|_, objects| !objects.is_empty());
        changed
    }
}

/// The resource version of an object; 0 if it has none.
///
/// Those of one kind are in the order of its changes: [resource versions](https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
fn version(object: &Value) -> u64 {
    let text = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
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
        store.record_write(service("a", 5, 2));
        assert!(store.apply_watcher_event(watch, Event::Apply(service("a", 4, 1))).is_empty());
        assert_eq!(store.objects(&ClusterKey::new("ns", "c"))[0].object()["spec"]["port"], 2);
        store.apply_watcher_event(watch, Event::Delete(service("a", 6, 2)));
        assert!(names(&store).is_empty());
    }

    fn relabelled(name: &str, version: u32, cluster: &str) -> Value {
        let mut object = service(name, version, 1);
        object["metadata"]["labels"]["cluster-name"] = json!(cluster);
        object
    }

    #[test]
    fn a_relabelled_object_leaves_its_former_cluster_at_once_and_both_are_reconciled() {
        let store = Store::default();
        let watch = store.open(services());
        let (c, d) = (ClusterKey::new("ns", "c"), ClusterKey::new("ns", "d"));
        store.apply_watcher_event(watch, Event::Apply(service("a", 1, 1)));
        assert_eq!(store.apply_watcher_event(watch, Event::Apply(relabelled("a", 2, "d"))), [c.clone(), d.clone()]);
        assert_eq!((store.objects(&c).len(), store.objects(&d).len()), (0, 1));
        // The answer to a write from before does not bring it back.
        store.record_write(service("a", 1, 1));
        assert_eq!((store.objects(&c).len(), store.objects(&d).len()), (0, 1));
        assert_eq!(store.apply_watcher_event(watch, Event::Delete(relabelled("a", 3, "d"))), std::slice::from_ref(&d));
        assert!(store.objects(&d).is_empty());
    }

    #[test]
    fn an_object_whose_label_is_removed_leaves_its_cluster_whatever_the_event_shows_of_it() {
        let store = Store::default();
        let watch = store.open(services());
        store.apply_watcher_event(watch, Event::Apply(service("a", 1, 1)));
        assert_eq!(store.apply_watcher_event(watch, Event::Delete(relabelled("a", 2, "d"))).len(), 1);
        assert!(names(&store).is_empty());
    }

    #[test]
    fn the_answer_of_a_write_does_not_bring_back_what_was_deleted_since() {
        let store = Store::default();
        let watch = store.open(services());
        store.apply_watcher_event(watch, Event::Apply(service("a", 2, 1)));
        store.apply_watcher_event(watch, Event::Delete(service("a", 3, 1)));
        store.record_write(service("a", 2, 1));
        assert!(names(&store).is_empty());
        // One that is newer than all that was reported is kept, also when the report of a former one's deletion is late.
        store.record_write(service("a", 5, 1));
        assert_eq!(store.apply_watcher_event(watch, Event::Delete(service("a", 4, 1))), []);
        assert_eq!(names(&store), ["a"]);
    }

    #[test]
    fn objects_in_other_namespaces_with_the_clusters_name_are_found() {
        let store = Store::default();
        let watch = store.open(services());
        let mut elsewhere = service("a", 1, 1);
        elsewhere["metadata"]["namespace"] = json!("elsewhere");
        store.apply_watcher_event(watch, Event::Apply(elsewhere));
        let found = store.namesakes(&ClusterKey::new("ns", "c"));
        assert_eq!(found.iter().map(|(key, _)| &*key.namespace).collect::<Vec<_>>(), ["elsewhere"]);
        assert!(store.namesakes(&ClusterKey::new("elsewhere", "c")).is_empty());
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
    fn the_clusters_on_a_node_are_those_with_a_pod_there() {
        let store = Store::default();
        let pods = store.open(Watch { kind: Kind::new("v1", "Pod"), ..services() });
        for (name, cluster, node) in [("c-0", "c", "n-1"), ("d-0", "d", "n"), ("d-1", "d", "n-1")] {
            let mut pod = relabelled(name, 1, cluster);
            pod["spec"] = json!({"nodeName": node});
            store.apply_watcher_event(pods, Event::Apply(pod));
        }
        assert_eq!(store.clusters_on("n"), [ClusterKey::new("ns", "d")]);
        assert_eq!(store.clusters_on("n-1").len(), 2);
        assert_eq!(store.clusters_on("elsewhere"), []);
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
