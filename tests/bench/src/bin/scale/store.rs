//! The objects of the fake API server, and the work of the controllers that react to them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The key of an object: the collection's path without its namespace, as in `apps/v1/statefulsets`; the namespace; the
/// name.
pub type Key = (String, String, String);

/// A change, as an event of a watch.
#[derive(Clone, Debug)]
pub struct Change {
    /// The resource version of the change.
    pub version: u64,
    /// The collection.
    pub collection: String,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub event_type: &'static str,
    /// The object.
    pub object: Value,
}

/// All objects and all changes.
#[derive(Default)]
pub struct Store {
    version: u64,
    objects: BTreeMap<Key, Value>,
    changes: Vec<Change>,
    /// Whether the pods of new StatefulSets stay pending.
    pub pending: bool,
}

impl Store {
    /// The version of the last change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// An object.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// The objects of a collection that carry a label.
    pub fn list(&self, collection: &str, label: Option<&str>) -> Vec<Value> {
        let of_collection = self.objects.iter().filter(|((its, _, _), _)| its == collection);
        of_collection.map(|(_, object)| object).filter(|object| carries(object, label)).cloned().collect()
    }

    /// The changes of a collection after a version.
    pub fn since(&self, collection: &str, version: u64) -> Vec<Change> {
        let from = self.changes.partition_point(|change| change.version <= version);
        let later = self.changes.get(from..).unwrap_or_default();
        later.iter().filter(|change| change.collection == collection).cloned().collect()
    }

    /// Merges a body into an object, which is created if it does not exist; returns the object and the change.
    pub fn merge(&mut self, key: &Key, body: &Value, applied: bool) -> (Value, Vec<Change>) {
        let before = self.objects.get(key).cloned();
        let mut object = before.clone().unwrap_or_else(|| json!({}));
        merge(&mut object, body);
        if applied {
            object["metadata"]["managedFields"] = json!([{
                "manager": "pgloom", "operation": "Apply", "apiVersion": body["apiVersion"], "fieldsType": "FieldsV1",
                "fieldsV1": fields(body, true),
            }]);
        }
        let same = before.as_ref().is_some_and(|before| *before == object);
        if same {
            return (object, Vec::new());
        }
        let mut changes = vec![self.write(key, object, before.as_ref())];
        if key.0 == "apps/v1/statefulsets" {
            changes.extend(self.control(key));
        }
        let object = self.objects.get(key).cloned().unwrap_or_default();
        (object, changes)
    }

    /// Removes an object.
    pub fn remove(&mut self, key: &Key) -> Option<Change> {
        let object = self.objects.remove(key)?;
        Some(self.note(&key.0, "DELETED", object))
    }

    fn write(&mut self, key: &Key, mut object: Value, before: Option<&Value>) -> Change {
        let metadata = &mut object["metadata"];
        metadata["namespace"] = json!(key.1);
        metadata["name"] = json!(key.2);
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("00000000-0000-4000-8000-{:012}", self.version + 1));
            metadata["creationTimestamp"] = json!("2031-05-14T00:00:00Z");
        }
        let generation = before.and_then(|before| before["metadata"]["generation"].as_u64()).unwrap_or(0);
        let is_new = before.is_none_or(|before| before["spec"] != object["spec"]);
        object["metadata"]["generation"] = json!(generation + u64::from(is_new));
        object["metadata"]["resourceVersion"] = json!((self.version + 1).to_string());
        self.objects.insert(key.clone(), object.clone());
        self.note(&key.0, if before.is_some() { "MODIFIED" } else { "ADDED" }, object)
    }

    fn note(&mut self, collection: &str, event_type: &'static str, object: Value) -> Change {
        self.version += 1;
        let change = Change { version: self.version, collection: collection.to_owned(), event_type, object };
        self.changes.push(change.clone());
        change
    }

    /// Does the work of the StatefulSet's controller, the kubelet and Patroni: ready pods, of which the first is the
    /// leader.
    fn control(&mut self, key: &Key) -> Vec<Change> {
        let Some(mut set) = self.objects.get(key).cloned() else { return Vec::new() };
        let generation = set["metadata"]["generation"].clone();
        if set["status"]["observedGeneration"] == generation {
            return Vec::new();
        }
        let replicas = set["spec"]["replicas"].as_u64().unwrap_or(0);
        set["status"] = json!({"observedGeneration": generation, "replicas": replicas, "updateRevision": "first"});
        let mut changes = vec![self.write(key, set.clone(), Some(&set))];
        for number in 0..replicas {
            let pod = pod(&set, number, self.pending);
            let place = ("v1/pods".to_owned(), key.1.clone(), format!("{}-{number}", key.2));
            let before = self.objects.get(&place).cloned();
            changes.push(self.write(&place, pod, before.as_ref()));
        }
        changes
    }
}

/// Whether an object carries a label, whatever its value.
pub fn carries(object: &Value, label: Option<&str>) -> bool {
    label.is_none_or(|label| object["metadata"]["labels"][label].is_string())
}

fn pod(set: &Value, number: u64, pending: bool) -> Value {
    let template = &set["spec"]["template"];
    let mut labels = template["metadata"]["labels"].clone();
    labels["controller-revision-hash"] = json!("first");
    if pending {
        return json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"labels": labels}, "spec": template["spec"],
            "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False"}]},
        });
    }
    labels["spilo-role"] = json!(if number == 0 { "master" } else { "replica" });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"labels": labels}, "spec": template["spec"],
        "status": {"phase": "Running", "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// A merge patch, in which null removes a field.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// The fields that a body states, lists as a whole.
fn fields(body: &Value, top: bool) -> Value {
    let stated = body.as_object().into_iter().flatten().filter(|(key, _)| !(top && is_identity(key)));
    let fields: Map<String, Value> =
        stated.map(|(key, value)| (format!("f:{key}"), fields(value, key == "metadata"))).collect();
    Value::Object(fields)
}

fn is_identity(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "name" | "namespace")
}
