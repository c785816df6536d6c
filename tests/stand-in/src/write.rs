//! Executes write requests, as the API server does.

use serde_json::{Value, json};

use crate::State;
use crate::apply::{apply, created, merge};
use crate::objects::{Key, key};
use crate::path::Place;

/// The immutable fields of a `StatefulSet`.
const IMMUTABLE: [&str; 4] = ["volumeClaimTemplates", "selector", "serviceName", "podManagementPolicy"];
/// The value of `metadata.deletionTimestamp`.
const DELETED: &str = "2031-05-14T01:00:00Z";

/// The refusal of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// The reason of the `Status`, as in `NotFound`.
    pub reason: &'static str,
    /// The message of the `Status`.
    pub message: String,
}

impl Refusal {
    /// A refusal with the usual reason for its code.
    #[must_use]
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        let reason = match code {
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            410 => "Expired",
            415 => "UnsupportedMediaType",
            422 => "Invalid",
            429 => "TooManyRequests",
            500 => "InternalError",
            _ => "Unknown",
        };
        Self { code, reason, message: message.into() }
    }

    fn exists(name: &str) -> Self {
        Self { reason: "AlreadyExists", ..Self::new(409, format!("{name} already exists")) }
    }

    /// The refusal as a `Status` object.
    #[must_use]
    pub fn status(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "reason": self.reason, "message": self.message, "code": self.code,
        })
    }
}

/// A write request.
pub struct Request<'a> {
    /// The HTTP method, as in `PATCH`.
    pub method: &'a str,
    /// The object or collection.
    pub place: &'a Place,
    /// The content type of its body.
    pub content: &'a str,
    /// The field manager.
    pub manager: &'a str,
    /// Its body.
    pub body: &'a Value,
}

impl State {
    /// Executes a request; returns the changed object.
    ///
    /// # Errors
    /// If the API server would refuse it.
    pub fn write(&mut self, request: &Request) -> Result<Value, Refusal> {
        let Request { method, place, body, .. } = request;
        match (*method, &place.name) {
            ("POST", None) => self.create(place, request.manager, body),
            ("PUT", Some(name)) => self.replace(&at(place, name), body),
            ("PATCH", Some(name)) => self.patch(&at(place, name), request),
            ("DELETE", Some(name)) => self.delete(&at(place, name), body),
            _ => Err(Refusal::new(405, format!("{method} is not known here"))),
        }
    }

    /// Creates or replaces an object, as a user would: its `spec` replaces the existing one.
    pub fn put(&mut self, object: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let plural = format!("{}s", text(&object["kind"]).to_lowercase());
        let key = key(
            &format!("{}/{plural}", text(&object["apiVersion"])),
            &text(&object["metadata"]["namespace"]),
            &text(&object["metadata"]["name"]),
        );
        let mut whole = self.objects.get(&key.0, &key.1, &key.2).cloned().unwrap_or_else(|| json!({"metadata": {}}));
        merge(&mut whole["metadata"], &object["metadata"]);
        for (field, value) in object.as_object().into_iter().flatten().filter(|(field, _)| *field != "metadata") {
            whole[field] = value.clone();
        }
        self.objects.put(&key, whole);
    }

    /// Deletes an object, as a user would; nothing happens if it does not exist.
    pub fn delete_by_name(&mut self, collection: &str, namespace: &str, name: &str) {
        // It may not exist.
        _ = self.delete(&key(collection, namespace, name), &Value::Null);
    }

    fn create(&mut self, place: &Place, manager: &str, body: &Value) -> Result<Value, Refusal> {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        if self.find(&at(place, name)).is_some() {
            return Err(Refusal::exists(name));
        }
        Ok(self.objects.put(&at(place, name), created(body, manager)))
    }

    fn replace(&mut self, key: &Key, body: &Value) -> Result<Value, Refusal> {
        let before = self.found(key)?;
        precondition("resourceVersion", &body["metadata"], &before)?;
        Ok(self.objects.put(key, body.clone()))
    }

    fn patch(&mut self, key: &Key, request: &Request) -> Result<Value, Refusal> {
        let body = request.body;
        if request.content == "application/apply-patch+yaml" {
            let after = apply(self.find(key), body, request.manager);
            return self.keep(key, after);
        }
        let before = self.found(key)?;
        let mut after = before.clone();
        match request.content {
            "application/merge-patch+json" => {
                precondition("resourceVersion", &body["metadata"], &before)?;
                precondition("uid", &body["metadata"], &before)?;
                merge(&mut after, body);
            }
            "application/json-patch+json" => json_patch(&mut after, body)?,
            other => return Err(Refusal::new(415, format!("a body of {other} is not known here"))),
        }
        // The status is a subresource, so it is not written together with the rest.
        let (part, whole) = match request.place.part.as_deref() {
            Some("status") => (after["status"].take(), before),
            _ => (before["status"].clone(), after),
        };
        let mut after = whole;
        if part.is_null() {
            after.as_object_mut().map(|after| after.remove("status"));
        } else {
            after["status"] = part;
        }
        self.keep(key, after)
    }

    fn keep(&mut self, key: &Key, after: Value) -> Result<Value, Refusal> {
        if let Some(before) = self.find(key)
            && key.0 == "apps/v1/statefulsets"
            && let Some(field) = IMMUTABLE.iter().find(|field| before["spec"][**field] != after["spec"][**field])
        {
            let message = format!("spec: Forbidden: updates to statefulset spec for {field} are forbidden");
            return Err(Refusal::new(422, message));
        }
        let is_last = after["metadata"]["deletionTimestamp"].is_string() && has_no_finalizer(&after);
        let object = self.objects.put(key, after);
        if is_last {
            self.objects.remove(key);
        }
        Ok(object)
    }

    fn delete(&mut self, key: &Key, options: &Value) -> Result<Value, Refusal> {
        let object = self.found(key)?;
        for field in ["uid", "resourceVersion"] {
            precondition(field, &options["preconditions"], &object)?;
        }
        if options["propagationPolicy"] == "Orphan" {
            self.orphan(&object);
        }
        let is_slow = key.0 == "v1/pods" || !has_no_finalizer(&object);
        match is_slow {
            true if object["metadata"]["deletionTimestamp"].is_string() => {}
            true => self.objects.change(key, |object| object["metadata"]["deletionTimestamp"] = json!(DELETED)),
            false => self.objects.remove(key),
        }
        Ok(self.find(key).cloned().unwrap_or(object))
    }

    /// Removes an object from the owner references of its dependents.
    fn orphan(&mut self, owner: &Value) {
        let uid = &owner["metadata"]["uid"];
        let is_owned = |object: &Value| owners(object).any(|reference| reference["uid"] == *uid);
        let owned: Vec<Key> =
            self.objects.all().filter(|(_, object)| is_owned(object)).map(|(key, _)| key.clone()).collect();
        for key in owned {
            self.objects.change(&key, |object| {
                if let Some(references) = object["metadata"]["ownerReferences"].as_array_mut() {
                    references.retain(|reference| reference["uid"] != *uid);
                }
            });
        }
    }

    fn find(&self, key: &Key) -> Option<&Value> {
        self.objects.get(&key.0, &key.1, &key.2)
    }

    fn found(&self, key: &Key) -> Result<Value, Refusal> {
        self.find(key).cloned().ok_or_else(|| Refusal::new(404, format!("{} \"{}\" not found", key.0, key.2)))
    }
}

/// The owners of an object.
pub fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten()
}

fn has_no_finalizer(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
}

fn at(place: &Place, name: &str) -> Key {
    key(&place.collection, &place.namespace, name)
}

fn precondition(field: &str, asked: &Value, object: &Value) -> Result<(), Refusal> {
    let (asked, has) = (&asked[field], &object["metadata"][field]);
    if asked.is_null() || asked == has {
        return Ok(());
    }
    Err(Refusal::new(409, format!("the object has been modified: {field} is {has}, not {asked}")))
}

/// Executes the operations `test`, `add`, `replace` and `remove` of a JSON patch.
fn json_patch(object: &mut Value, operations: &Value) -> Result<(), Refusal> {
    for operation in operations.as_array().into_iter().flatten() {
        let path = operation["path"].as_str().unwrap_or_default();
        let (above, last) = path.rsplit_once('/').unwrap_or_default();
        let last = last.replace("~1", "/").replace("~0", "~");
        let missing = || Refusal::new(422, format!("{path} does not exist"));
        let within = object.pointer_mut(above).ok_or_else(missing)?;
        match (operation["op"].as_str().unwrap_or_default(), within) {
            ("test", within) if within.get(&last).or_else(|| entry(within, &last)) == Some(&operation["value"]) => {}
            ("test", _) => return Err(Refusal::new(422, format!("the test of {path} failed"))),
            ("remove", Value::Object(map)) => drop(map.remove(&last).ok_or_else(missing)?),
            ("add" | "replace", Value::Object(map)) => _ = map.insert(last, operation["value"].clone()),
            (verb, Value::Array(list)) => {
                let index = if last == "-" { list.len() } else { last.parse().map_err(|_| missing())? };
                match verb {
                    "add" if index <= list.len() => list.insert(index, operation["value"].clone()),
                    "remove" if index < list.len() => drop(list.remove(index)),
                    "replace" => *list.get_mut(index).ok_or_else(missing)? = operation["value"].clone(),
                    _ => return Err(missing()),
                }
            }
            _ => return Err(missing()),
        }
    }
    Ok(())
}

fn entry<'a>(list: &'a Value, index: &str) -> Option<&'a Value> {
    list.get(index.parse::<usize>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(state: &mut State, method: &str, path: &str, content: &str, body: Value) -> Result<Value, u16> {
        let place = Place::of(path).unwrap();
        let request = Request { method, place: &place, content, manager: "pgloom", body: &body };
        state.write(&request).map_err(|refusal| refusal.code)
    }

    const SERVICES: &str = "/api/v1/namespaces/ns/services";
    const MERGE: &str = "application/merge-patch+json";

    #[test]
    fn what_exists_is_not_created_again_and_what_is_missing_not_patched() {
        let mut state = State::default();
        let service = json!({"metadata": {"name": "a"}});
        assert!(send(&mut state, "POST", SERVICES, "application/json", service.clone()).is_ok());
        assert_eq!(send(&mut state, "POST", SERVICES, "application/json", service), Err(409));
        assert_eq!(send(&mut state, "PATCH", &format!("{SERVICES}/b"), MERGE, json!({})), Err(404));
    }

    #[test]
    fn what_was_created_belongs_to_its_manager_as_an_update() {
        let mut state = State::default();
        let service = json!({"metadata": {"name": "a"}, "spec": {"x": 1}});
        let service = send(&mut state, "POST", SERVICES, "application/json", service).unwrap();
        let entry = &service["metadata"]["managedFields"][0];
        assert_eq!((&entry["manager"], &entry["operation"]), (&json!("pgloom"), &json!("Update")));
        assert_eq!(entry["fieldsV1"]["f:spec"], json!({"f:x": {}}));
    }

    #[test]
    fn a_patch_of_an_old_version_and_a_deletion_of_another_object_are_conflicts() {
        let mut state = State::default();
        send(&mut state, "POST", SERVICES, "application/json", json!({"metadata": {"name": "a"}})).unwrap();
        let path = format!("{SERVICES}/a");
        assert_eq!(send(&mut state, "PATCH", &path, MERGE, json!({"metadata": {"resourceVersion": "9"}})), Err(409));
        assert_eq!(
            send(&mut state, "DELETE", &path, "application/json", json!({"preconditions": {"uid": "x"}})),
            Err(409)
        );
        assert!(send(&mut state, "DELETE", &path, "application/json", Value::Null).is_ok());
        assert!(state.objects.all().next().is_none());
    }

    #[test]
    fn an_object_with_a_finalizer_goes_when_the_last_one_is_removed() {
        let mut state = State::default();
        let path = format!("{SERVICES}/a");
        let held = json!({"metadata": {"name": "a", "finalizers": ["x"]}});
        send(&mut state, "POST", SERVICES, "application/json", held).unwrap();
        send(&mut state, "DELETE", &path, "application/json", Value::Null).unwrap();
        assert!(state.objects.get("v1/services", "ns", "a").unwrap()["metadata"]["deletionTimestamp"].is_string());
        send(&mut state, "PATCH", &path, MERGE, json!({"metadata": {"finalizers": []}})).unwrap();
        assert!(state.objects.get("v1/services", "ns", "a").is_none());
    }

    #[test]
    fn the_status_is_written_apart() {
        let mut state = State::default();
        let path = format!("{SERVICES}/a");
        send(&mut state, "POST", SERVICES, "application/json", json!({"metadata": {"name": "a"}, "spec": {"x": 1}}))
            .unwrap();
        let both = json!({"spec": {"x": 2}, "status": {"y": 1}});
        send(&mut state, "PATCH", &format!("{path}/status"), MERGE, both.clone()).unwrap();
        let object = state.objects.get("v1/services", "ns", "a").unwrap();
        assert_eq!((&object["spec"]["x"], &object["status"]["y"]), (&json!(1), &json!(1)));
        send(&mut state, "PATCH", &path, MERGE, json!({"spec": {"x": 3}, "status": {"y": 9}})).unwrap();
        let object = state.objects.get("v1/services", "ns", "a").unwrap();
        assert_eq!((&object["spec"]["x"], &object["status"]["y"]), (&json!(3), &json!(1)));
    }

    #[test]
    fn a_claim_template_cannot_be_changed() {
        let mut state = State::default();
        let path = "/apis/apps/v1/namespaces/ns/statefulsets/c";
        let set = |size: &str| {
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "c"},
            "spec": {"volumeClaimTemplates": [{"size": size}]}})
        };
        send(&mut state, "PATCH", path, "application/apply-patch+yaml", set("1Gi")).unwrap();
        assert_eq!(send(&mut state, "PATCH", path, "application/apply-patch+yaml", set("2Gi")), Err(422));
    }

    #[test]
    fn the_operations_of_a_json_patch_are_carried_out_in_order() {
        let mut object = json!({"a": {"b": [1, 2]}});
        let patch = json!([{"op": "test", "path": "/a/b/0", "value": 1}, {"op": "remove", "path": "/a/b/0"}, {"op": "add", "path": "/a/c", "value": 3}]);
        json_patch(&mut object, &patch).unwrap();
        assert_eq!(object, json!({"a": {"b": [2], "c": 3}}));
        assert!(json_patch(&mut object, &json!([{"op": "test", "path": "/a/c", "value": 4}])).is_err());
    }
}
