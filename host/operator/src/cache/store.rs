//! The cached objects of all clusters, as compact JSON text, by cluster.
//!
//! Why not the `Store` of kube's reflector: it holds one kind each, as parsed objects, and is written by its watch
//! alone. Here the objects of all kinds are found by cluster, cost a fraction of the memory as text, and what the
//! API server answers to a write is in the store at once, so that the next decision does not depend on how far a
//! watch is behind.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use kube::runtime::watcher::Event;
use parking_lot::RwLock;
use pgloom_common::fingerprint::fingerprint;
use serde_json::Value;

use pgloom_decide::kind::{Kind, ObjectKey, of_every_cluster};
use pgloom_decide::ownership::MARK;
use pgloom_decide::transform::{Transformed, transform};

use super::Resources;
use super::node::Nodes;

/// Identifies a cluster: namespace and name of its `postgresql` object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterKey {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl ClusterKey {
    /// The key of a cluster.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An existing object.
#[derive(Clone)]
pub struct CachedObject {
    /// The kind.
    pub kind: Kind,
    /// `metadata.name`.
    pub name: Arc<str>,
    text: Arc<str>,
    fields: Option<Arc<str>>,
    /// `metadata.resourceVersion` as a number.
    pub version: u64,
    /// A hash of the object without status and resource version.
    pub content: u64,
    /// Whether the managed fields have an entry of the Zalando operator, see [`Transformed::inherited`].
    pub inherited: bool,
    watch: usize,
    generation: u32,
}

impl CachedObject {
    /// The object, parsed from its text.
    pub fn object(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The fields that the operator applied, as `fieldsV1`; `None` if it never applied the object.
    pub fn fields(&self) -> Option<Value> {
        self.fields.as_deref().and_then(|text| serde_json::from_str(text).ok())
    }

    /// Whether the operator applied the object.
    pub fn applied(&self) -> bool {
        self.fields.is_some()
    }

    /// `before` is the object so far. Most events change nothing that is kept, so what is the same is shared with it.
    fn new((kind, name): &Slot, transformed: Transformed, before: Option<&Self>, seen: (usize, u32)) -> Self {
        let Transformed { object, version, fields, inherited } = transformed;
        let text = object.to_string();
        let (text, content) = match before.filter(|before| *before.text == text) {
            Some(before) => (before.text.clone(), before.content),
            None => (text.into(), content(&object)),
        };
        let fields = fields.map(|fields| fields.to_string());
        let shared =
            before.and_then(|before| before.fields.as_ref()).filter(|before| fields.as_deref() == Some(before));
        let fields = shared.cloned().or_else(|| fields.map(Arc::from));
        let ((kind, name), (watch, generation)) = ((kind.clone(), name.clone()), seen);
        Self { kind, name, text, fields, version, content, inherited, watch, generation }
    }

    /// Whether no part differs that a decision depends on.
    fn same_as(&self, other: &Self) -> bool {
        self.text == other.text && self.fields == other.fields && self.inherited == other.inherited
    }
}

/// A hash of an object without its status.
fn content(object: &Value) -> u64 {
    let fields = object.as_object().into_iter().flatten().filter(|(key, _)| *key != "status");
    fingerprint(&fields.map(|(key, value)| (key, value.to_string())).collect::<Vec<_>>())
}

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
    fn is_essential(&self) -> bool {
        self.label.is_none() || of_every_cluster().contains(&self.kind)
    }

    /// Whether an object is none of a cluster's, as an application's own that names its cluster in a label. The operator
    /// has to know that it exists, and nothing more.
    fn is_foreign(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let large =
            matches!(&*self.kind.kind, "Service" | "StatefulSet" | "Deployment" | "CronJob" | "PodDisruptionBudget");
        let lacks = |name: &String| metadata["labels"].get(name).is_none();
        large && metadata["annotations"].get(MARK).is_none() && self.own.iter().any(lacks)
    }

    /// What is kept of an object.
    fn transform(&self, object: Value) -> Transformed {
        let mut transformed = transform(&self.kind, object, self.whole);
        if self.is_foreign(&transformed.object)
            && let Some(fields) = transformed.object.as_object_mut()
        {
            fields.retain(|name, _| ["apiVersion", "kind", "metadata"].contains(&name.as_str()));
        }
        transformed
    }
}

/// The objects of all clusters.
#[derive(Default)]
pub struct Store {
    /// The API resources of the kinds.
    pub resources: Resources,
    inner: RwLock<Inner>,
    nodes: Nodes,
}

/// The kind and the name of one of a cluster's objects.
type Slot = (Kind, Arc<str>);

/// A cluster's objects, by kind and name.
type Objects = BTreeMap<Slot, Arc<CachedObject>>;

#[derive(Default)]
struct Inner {
    clusters: HashMap<ClusterKey, Objects>,
    /// The cluster of each object. An object whose label changes moves to another cluster.
    places: HashMap<Place, ClusterKey>,
    watches: Vec<Option<(Watch, u32)>>,
    /// The newest resource version that each watch reported.
    newest: HashMap<usize, u64>,
    synced: HashSet<usize>,
    /// The watches whose last attempt failed.
    failed: HashSet<usize>,
}

/// A watch, and the namespace and name of one of its objects.
type Place = (usize, Arc<str>, Arc<str>);

impl Store {
    /// Adds a watch and returns its number, which identifies it in the other calls.
    pub fn open(&self, watch: Watch) -> usize {
        let mut inner = self.inner.write();
        inner.watches.push(Some((watch, 0)));
        inner.watches.len() - 1
    }

    /// Removes a watch and all objects that it reported.
    pub fn close(&self, watch: usize) {
        let mut inner = self.inner.write();
        inner.synced.remove(&watch);
        inner.failed.remove(&watch);
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

    /// Whether every essential watch of a namespace has completed its first listing.
    pub fn synced(&self, namespace: &str) -> bool {
        let inner = self.inner.read();
        inner.essential().all(|(number, watch)| {
            watch.namespace.as_deref().is_some_and(|watched| watched != namespace) || inner.synced.contains(&number)
        })
    }

    /// Whether the first listings are over: each was listed or failed, and those of one namespace at least were all listed.
    pub fn settled(&self) -> bool {
        let inner = self.inner.read();
        let listed = |namespace: &Option<String>| {
            let mut of_namespace = inner.essential().filter(|(_, watch)| watch.namespace == *namespace);
            of_namespace.all(|(number, _)| inner.synced.contains(&number))
        };
        inner.essential().all(|(number, _)| inner.synced.contains(&number) || inner.failed.contains(&number))
            && inner.essential().any(|(_, watch)| listed(&watch.namespace))
    }

    /// Whether a watch has been listed once.
    pub fn is_listed(&self, watch: usize) -> bool {
        self.inner.read().synced.contains(&watch)
    }

    /// Records that a watch could not be listed.
    pub fn record_failure(&self, watch: usize) {
        self.inner.write().failed.insert(watch);
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
                inner.failed.remove(&watch);
                inner.drop_unseen(watch)
            }
            Event::Delete(object) => {
                inner.reported(watch, &object);
                inner.remove(watch, &object).into_iter().collect()
            }
        }
    }

    /// Stores the answer to a write, so that the next decision need not wait for the watch.
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

    /// The objects of a cluster without its manifest, sorted by kind and name.
    pub fn objects(&self, key: &ClusterKey) -> Vec<Arc<CachedObject>> {
        let inner = self.inner.read();
        let all = inner.clusters.get(key).into_iter().flat_map(BTreeMap::values);
        all.filter(|kept| kept.kind != Kind::cluster()).cloned().collect()
    }

    /// An object of any cluster of the namespace.
    pub fn find(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<CachedObject>> {
        let inner = self.inner.read();
        let place = (inner.watch_of(kind, namespace)?, namespace.into(), name.into());
        let cluster = inner.places.get(&place)?;
        inner.clusters.get(cluster)?.get(&(kind.clone(), place.2)).cloned()
    }

    /// Whether a manifest with that uid exists.
    pub fn has_manifest(&self, uid: &str) -> bool {
        let inner = self.inner.read();
        let mut manifests =
            inner.clusters.iter().filter_map(|(key, objects)| objects.get(&(Kind::cluster(), key.name.clone())));
        manifests.any(|manifest| manifest.object()["metadata"]["uid"] == uid)
    }

    /// The objects in other namespaces with the name of this cluster in their label, each with its key.
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
    /// The open watches that decisions rest on.
    fn essential(&self) -> impl Iterator<Item = (usize, &Watch)> {
        let open = self.watches.iter().enumerate();
        let open = open.filter_map(|(number, slot)| Some((number, &slot.as_ref()?.0)));
        open.filter(|(_, watch)| watch.is_essential())
    }

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

    /// Stores an object and returns the clusters that changed: its own, and the one that it belonged to before.
    /// `answer` is whether the object is the answer to a write, not an event of a watch.
    fn put(&mut self, number: usize, object: Value, answer: bool) -> Vec<ClusterKey> {
        let Some(Some((watch, _))) = self.watches.get(number) else { return Vec::new() };
        let Some((key, name)) = place(watch, &object) else { return Vec::new() };
        // All objects of a cluster share its names, and an object that comes again shares its own.
        let key = self.clusters.get_key_value(&key).map_or(key, |(known, _)| known.clone());
        let place: Place = (number, key.namespace.clone(), name.into());
        let (place, former) = match self.places.get_key_value(&place) {
            Some((place, former)) => (place.clone(), Some(former.clone())),
            None => (place, None),
        };
        // A watch reports the changes of a kind in the order of their versions. If the answer to a write is older than
        // the newest reported version and the object is not in the store, then the watch has reported both the write
        // and the deletion after it.
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
        left.into_iter().chain(self.keep(number, slot, object, key, answer)).collect()
    }

    /// Stores an object in its cluster, and returns the cluster if the object changed. The answer to a write is ignored
    /// if it is older than the stored object.
    fn keep(&mut self, number: usize, slot: Slot, object: Value, key: ClusterKey, answer: bool) -> Option<ClusterKey> {
        let Self { watches, clusters, .. } = self;
        let (watch, generation) = watches.get(number)?.as_ref()?;
        let generation = *generation;
        let objects = clusters.entry(key.clone()).or_default();
        let before = objects.get(&slot);
        let seen = (number, generation);
        let kept = CachedObject::new(&slot, watch.transform(object), before.map(Arc::as_ref), seen);
        if before.is_some_and(|before| before.version > kept.version && (answer || before.watch == number)) {
            if let Some(newer) = objects.get(&slot) {
                let seen = CachedObject { generation, ..CachedObject::clone(newer) };
                objects.insert(slot, Arc::new(seen));
            }
            return None;
        }
        // The operator itself writes the status of a manifest, so a change of it alone needs no reconcile.
        let same = |before: &Arc<CachedObject>| {
            if watch.label.is_some() { before.same_as(&kept) } else { before.content == kept.content }
        };
        let changed = before.is_none_or(|before| !same(before));
        match objects.get_mut(&slot) {
            Some(before) => *Arc::make_mut(before) = kept,
            None => drop(objects.insert(slot, Arc::new(kept))),
        }
        changed.then_some(key)
    }

    fn remove(&mut self, number: usize, object: &Value) -> Option<ClusterKey> {
        let (watch, _) = self.watches.get(number)?.as_ref()?;
        let key = ObjectKey::of(object);
        let place: Place = (number, key.namespace.into(), key.name.into());
        let cluster = self.places.get(&place)?.clone();
        let slot = (watch.kind.clone(), place.2.clone());
        let kept = self.clusters.get(&cluster).and_then(|objects| objects.get(&slot));
        // The object was deleted and created again.
        if kept.is_some_and(|kept| kept.version > version(object)) && version(object) > 0 {
            return None;
        }
        self.places.remove(&place);
        self.take(&cluster, &slot).map(|_| cluster)
    }

    fn take(&mut self, cluster: &ClusterKey, slot: &Slot) -> Option<Arc<CachedObject>> {
        let objects = self.clusters.get_mut(cluster)?;
        let gone = objects.remove(slot);
        if objects.is_empty() {
            self.clusters.remove(cluster);
        }
        gone
    }

    /// Removes the objects that a new listing of the watch did not report.
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
/// Those of one kind are in the order of its changes: [resource
/// versions](https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
fn version(object: &Value) -> u64 {
    let text = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The cluster that an object belongs to, and the object's name. `None` if it belongs to no cluster.
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
        Watch {
            kind: Kind::new("v1", "Service"),
            namespace: None,
            label: Some("cluster-name".into()),
            whole: false,
            own: vec![],
        }
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
    fn what_patroni_writes_in_each_of_its_loops_wakes_no_reconcile() {
        for (kind, whole) in [("Pod", false), ("Pod", true), ("Endpoints", false)] {
            let store = Store::default();
            let watch = store.open(Watch { kind: Kind::new("v1", kind), whole, ..services() });
            let at = |version: u32, leader: &str| {
                let mut object = service("c", version, 1);
                let lock = json!({"leader": leader, "renewTime": version.to_string(), "optime": version.to_string()});
                let member = json!({"status": format!("{{\"xlog_location\":{version}}}"), "leader": leader});
                object["metadata"]["annotations"] = if kind == "Pod" { member } else { lock };
                object["metadata"]["managedFields"] = json!([{"manager": "Patroni", "time": version.to_string()}]);
                Event::Apply(object)
            };
            store.apply_watcher_event(watch, at(1, "c-0"));
            assert!(store.apply_watcher_event(watch, at(2, "c-0")).is_empty(), "{kind} {whole}");
            assert_eq!(store.apply_watcher_event(watch, at(3, "c-1")).len(), 1, "{kind} {whole}");
        }
    }

    #[test]
    fn what_a_new_listing_does_not_bring_is_gone() {
        let store = Store::default();
        let watch = store.open(services());
        for name in ["a", "b"] {
            store.apply_watcher_event(watch, Event::Apply(service(name, 1, 1)));
        }
        assert!(!store.synced("ns"));
        store.apply_watcher_event(watch, Event::Init);
        store.apply_watcher_event(watch, Event::InitApply(service("b", 1, 1)));
        assert_eq!(store.apply_watcher_event(watch, Event::InitDone), [ClusterKey::new("ns", "c")]);
        assert_eq!(names(&store), ["b"]);
        assert!(store.synced("ns"));
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
        // The late answer to an earlier write does not add the object again.
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
        // An answer that is newer than all reported versions is stored, also if the event of an earlier deletion is
        // late.
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
    fn a_kind_that_a_plugin_adds_and_that_cannot_be_listed_stops_no_cluster() {
        let store = Store::default();
        store.open(Watch { kind: Kind::new("networking.k8s.io/v1", "NetworkPolicy"), ..services() });
        assert!(store.synced("ns"));
        store.open(services());
        assert!(!store.synced("ns"));
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
        assert!(store.synced("ns"));
    }

    #[test]
    fn of_an_application_s_object_that_names_a_cluster_only_the_metadata_is_kept() {
        let store = Store::default();
        let watch = store.open(Watch { own: vec!["application".into()], ..services() });
        let kept = |labels: Value, annotations: Value| {
            let mut object = service("a", 1, 1);
            object["metadata"]["labels"] = labels;
            object["metadata"]["annotations"] = annotations;
            store.apply_watcher_event(watch, Event::Delete(object.clone()));
            store.apply_watcher_event(watch, Event::Apply(object));
            store.objects(&ClusterKey::new("ns", "c"))[0].object()["spec"].is_object()
        };
        assert!(!kept(json!({"cluster-name": "c", "app": "shop"}), json!({})));
        assert!(kept(json!({"cluster-name": "c", "application": "any"}), json!({})), "made by the Zalando operator");
        assert!(kept(json!({"cluster-name": "c"}), json!({MARK: "u"})));
    }

    #[test]
    fn a_namespace_that_cannot_be_listed_keeps_no_other_namespace_waiting() {
        let store = Store::default();
        let in_namespace = |namespace: &str| Watch { namespace: Some(namespace.into()), ..services() };
        let (listed, refused) = (store.open(in_namespace("a")), store.open(in_namespace("ax")));
        assert!(!store.settled());
        store.apply_watcher_event(listed, Event::InitDone);
        assert!(store.synced("a") && !store.synced("ax") && !store.settled());
        store.record_failure(refused);
        assert!(store.settled());
        assert!(!store.synced("ax"));
        store.apply_watcher_event(refused, Event::InitDone);
        assert!(store.synced("ax"));
    }

    #[test]
    fn an_operator_that_can_list_nothing_is_not_settled() {
        let store = Store::default();
        let watch = store.open(services());
        store.record_failure(watch);
        assert!(!store.settled());
    }
}
