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
use pgloom_decide::kind::{BuiltIn, Kind, ObjectKey};
use serde_json::Value;

use super::node::Nodes;
use super::postgres_team::PostgresTeams;
use super::watch::Watch;
use super::{CachedObject, Resources};

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

/// The objects of all clusters.
#[derive(Default)]
pub struct Store {
    /// The API resources of the kinds.
    pub resources: Resources,
    inner: RwLock<Inner>,
    nodes: Nodes,
    postgres_teams: PostgresTeams,
}

/// The kind and the name of one of a cluster's objects.
pub(super) type Slot = (Kind, Arc<str>);

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
    /// Those of them that the operator has no right to list.
    forbidden: HashSet<usize>,
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
        inner.forbidden.remove(&watch);
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

    /// The scopes of which not every essential watch has completed its first listing: a namespace, or all of them.
    pub fn unlisted(&self) -> Vec<String> {
        let inner = self.inner.read();
        let scope = |namespace: Option<&str>| match namespace {
            Some(namespace) => format!("namespace {namespace}"),
            None => "all namespaces".to_owned(),
        };
        let unlisted = inner.essential().filter(|(number, _)| !inner.synced.contains(number));
        let mut scopes: Vec<String> = unlisted.map(|(_, watch)| scope(watch.namespace.as_deref())).collect();
        if inner.essential().next().is_none() {
            scopes.push(scope(None));
        }
        scopes.sort();
        scopes.dedup();
        scopes
    }

    /// Whether a watch has been listed once.
    pub fn is_listed(&self, watch: usize) -> bool {
        self.inner.read().synced.contains(&watch)
    }

    /// Records that a watch could not be listed, and whether that is for lack of the right.
    pub fn record_failure(&self, watch: usize, forbidden: bool) {
        let mut inner = self.inner.write();
        inner.failed.insert(watch);
        if forbidden {
            inner.forbidden.insert(watch);
        } else {
            inner.forbidden.remove(&watch);
        }
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
                inner.forbidden.remove(&watch);
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

    /// The `PostgresTeam` objects, which belong to no cluster.
    pub fn postgres_teams(&self) -> &PostgresTeams {
        &self.postgres_teams
    }

    /// The clusters that have a pod on a node.
    pub fn clusters_on(&self, node: &str) -> Vec<ClusterKey> {
        let inner = self.inner.read();
        let is_there = |kept: &Arc<CachedObject>| {
            // Most pods are elsewhere, and need not be parsed for that.
            kept.kind.is(BuiltIn::Pod) && kept.text.contains(node) && kept.object()["spec"]["nodeName"] == node
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
    /// The open watches whose first listing decisions wait for.
    fn essential(&self) -> impl Iterator<Item = (usize, &Watch)> {
        let open = self.watches.iter().enumerate();
        let open = open.filter_map(|(number, slot)| Some((number, &slot.as_ref()?.0)));
        open.filter(|(number, watch)| watch.is_essential() && (watch.is_vital() || !self.forbidden.contains(number)))
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
mod tests;
