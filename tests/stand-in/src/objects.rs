//! The objects of the API server, with the history of their changes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The key of an object: the collection's path without its namespace, as in `apps/v1/statefulsets`; the namespace; the
/// name.
pub type Key = (String, String, String);

/// A change, as a watch reports it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The resource version after the change.
    pub version: u64,
    /// The key of the object.
    pub key: Key,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub event_type: &'static str,
    /// The object after the change; before it, if it was deleted.
    pub object: Value,
}

/// All objects and all changes.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    version: u64,
    oldest: u64,
    live: BTreeMap<Key, Value>,
    changes: Vec<Change>,
}

impl Objects {
    /// The resource version of the last change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The oldest resource version that a watch may begin at.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Removes the history for watches: a watch from an older version gets 410, and its client has to list again.
    pub fn expire(&mut self) {
        self.version += 1;
        self.oldest = self.version;
    }

    /// An object.
    #[must_use]
    pub fn get(&self, collection: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.live.get(&key(collection, namespace, name))
    }

    /// All objects.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.live.iter()
    }

    /// The objects of a collection, of one namespace or, if it is empty, of all.
    pub fn of<'a>(&'a self, collection: &'a str, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Value)> {
        let from = key(collection, namespace, "");
        let of_collection = self.live.range(from..).take_while(move |((its, _, _), _)| its == collection);
        of_collection.filter(move |((_, its, _), _)| namespace.is_empty() || its == namespace)
    }

    /// The objects of a collection as they were at a resource version.
    #[must_use]
    pub fn as_of(&self, version: u64, collection: &str, namespace: &str) -> Vec<Value> {
        let mut then: BTreeMap<&Key, &Value> = BTreeMap::new();
        let of_collection = self.changes.iter().filter(|change| {
            change.version <= version
                && change.key.0 == collection
                && (namespace.is_empty() || change.key.1 == namespace)
        });
        for change in of_collection {
            match change.event_type {
                "DELETED" => _ = then.remove(&change.key),
                _ => _ = then.insert(&change.key, &change.object),
            }
        }
        then.into_values().cloned().collect()
    }

    /// The changes after a resource version.
    #[must_use]
    pub fn since(&self, version: u64) -> &[Change] {
        let from = self.changes.partition_point(|change| change.version <= version);
        self.changes.get(from..).unwrap_or_default()
    }

    /// Creates or replaces an object; nothing happens if it is equal to the existing one.
    pub fn put(&mut self, key: &Key, mut object: Value) -> Value {
        let before = self.live.get(key).cloned();
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.2);
        if !key.1.is_empty() {
            metadata["namespace"] = json!(key.1);
        }
        let kept = before.as_ref().map_or(&Value::Null, |before| &before["metadata"]);
        for (field, first) in [
            ("uid", json!(format!("00000000-0000-4000-8000-{:012}", self.version + 1))),
            ("creationTimestamp", json!("2031-05-14T00:00:00Z")),
            ("generation", json!(1)),
            ("resourceVersion", Value::Null),
        ] {
            metadata[field] = if kept[field].is_null() { first } else { kept[field].clone() };
        }
        if before.as_ref() == Some(&object) {
            return object;
        }
        if let Some(before) = &before
            && before["spec"] != object["spec"]
        {
            let generation = before["metadata"]["generation"].as_u64().unwrap_or_default();
            object["metadata"]["generation"] = json!(generation + 1);
        }
        object["metadata"]["resourceVersion"] = json!((self.version + 1).to_string());
        self.live.insert(key.clone(), object.clone());
        self.note(key, if before.is_some() { "MODIFIED" } else { "ADDED" }, object.clone());
        object
    }

    /// Changes an object that exists.
    pub fn change(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        if let Some(mut object) = self.live.get(key).cloned() {
            change(&mut object);
            self.put(key, object);
        }
    }

    /// Removes an object without regard to finalizers.
    pub fn remove(&mut self, key: &Key) {
        if let Some(mut object) = self.live.remove(key) {
            object["metadata"]["resourceVersion"] = json!((self.version + 1).to_string());
            self.note(key, "DELETED", object);
        }
    }

    fn note(&mut self, key: &Key, event_type: &'static str, object: Value) {
        self.version += 1;
        self.changes.push(Change { version: self.version, key: key.clone(), event_type, object });
    }
}

/// A key by its parts.
pub fn key(collection: &str, namespace: &str, name: &str) -> Key {
    (collection.to_owned(), namespace.to_owned(), name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_that_changes_nothing_leaves_the_version() {
        let mut objects = Objects::default();
        let place = key("v1/services", "ns", "a");
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": {"port": 1}});
        let first = objects.put(&place, service.clone());
        assert_eq!(objects.put(&place, first.clone()), first);
        assert_eq!(objects.version(), 1);
        let second = objects.put(&place, json!({"metadata": {}, "spec": {"port": 2}}));
        assert_eq!(
            (&second["metadata"]["generation"], &second["metadata"]["uid"]),
            (&json!(2), &first["metadata"]["uid"])
        );
    }

    #[test]
    fn a_list_of_an_older_version_shows_what_was_there_then() {
        let mut objects = Objects::default();
        for name in ["a", "b"] {
            objects.put(&key("v1/services", "ns", name), json!({"metadata": {}}));
        }
        objects.remove(&key("v1/services", "ns", "a"));
        let names = |version| -> Vec<Value> {
            objects.as_of(version, "v1/services", "").iter().map(|object| object["metadata"]["name"].clone()).collect()
        };
        assert_eq!(names(1), ["a"]);
        assert_eq!(names(2), ["a", "b"]);
        assert_eq!(names(3), ["b"]);
        assert_eq!(objects.of("v1/services", "ns").count(), 1);
    }
}
