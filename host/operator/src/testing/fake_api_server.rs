//! A fake API server: answers from memory and records the writes.
//!
//! Why not the crate `tower-test`: its mock answers one request after another, in an order that the test states.
//! Here a test states what exists, and every request is refused to which the shipped `rbac.yaml` gives no right.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

type Answer = axum::http::Response<Body>;

/// One request that writes.
#[derive(Clone, Debug)]
pub struct Write {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: Value,
}

/// Objects by path, and the writes so far. The answer to a write is the changed object.
#[derive(Clone, Default)]
pub struct FakeApiServer {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    objects: HashMap<String, Value>,
    refused: HashMap<String, (u16, String)>,
    refused_once: HashMap<String, (u16, String)>,
    refused_always: HashMap<String, u16>,
    /// What admission adds to the claim templates of new StatefulSets.
    storage_class: Option<Value>,
    hung: Vec<String>,
    unreadable: Vec<String>,
    delay: std::time::Duration,
    granted: Vec<String>,
    /// What an access review denies: the verb, the resource, and the namespace, empty for any.
    denied: Vec<(String, String, String)>,
    before_write: HashMap<String, Box<dyn FnOnce() + Send>>,
    writes: Vec<Write>,
    reads: usize,
}

impl FakeApiServer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an object at a path.
    pub fn with(self, path: &str, object: Value) -> Self {
        self.inner.lock().unwrap().objects.insert(path.to_owned(), object);
        self
    }

    /// Refuses writes to a path, deletions aside, with a status code and a message.
    pub fn refusing_because(self, path: &str, code: u16, message: &str) -> Self {
        self.inner.lock().unwrap().refused.insert(path.to_owned(), (code, message.to_owned()));
        self
    }

    /// The same for the next write alone.
    pub fn refusing_once(self, path: &str, code: u16, message: &str) -> Self {
        self.inner.lock().unwrap().refused_once.insert(path.to_owned(), (code, message.to_owned()));
        self
    }

    /// Refuses every write to a path, deletions too.
    pub fn refusing_every(self, path: &str, code: u16) -> Self {
        self.inner.lock().unwrap().refused_always.insert(path.to_owned(), code);
        self
    }

    /// Never answers a request whose path begins like this, as over a connection that is broken.
    pub fn hanging(self, path: &str) -> Self {
        self.inner.lock().unwrap().hung.push(path.to_owned());
        self
    }

    /// Replaces the storage class in the claim templates of each StatefulSet that is created, as an admission webhook would.
    pub fn replacing_storage_class(self, class: &str) -> Self {
        self.inner.lock().unwrap().storage_class = Some(json!(class));
        self
    }

    /// Answers every request after a while.
    pub fn slow(self, delay: std::time::Duration) -> Self {
        self.inner.lock().unwrap().delay = delay;
        self
    }

    /// Refuses to list or read a path.
    pub fn unreadable(self, path: &str) -> Self {
        self.inner.lock().unwrap().unreadable.push(path.to_owned());
        self
    }

    /// Answers again what hung.
    pub fn answering(&self) {
        self.inner.lock().unwrap().hung.clear();
    }

    fn hangs(&self, path: &str) -> bool {
        self.inner.lock().unwrap().hung.iter().any(|hung| path.starts_with(hung))
    }

    /// Grants every request for a resource, as an administrator does for what a plugin makes.
    pub fn granting(self, resource: &str) -> Self {
        self.inner.lock().unwrap().granted.push(resource.to_owned());
        self
    }

    /// Answers to access reviews that the client may not do this, in any namespace.
    pub fn denying(self, verb: &str, resource: &str) -> Self {
        self.denying_in("", verb, resource)
    }

    /// The same in one namespace.
    pub fn denying_in(self, namespace: &str, verb: &str, resource: &str) -> Self {
        self.inner.lock().unwrap().denied.push((verb.to_owned(), resource.to_owned(), namespace.to_owned()));
        self
    }

    /// Denies nothing any more.
    pub fn allowing(&self) {
        self.inner.lock().unwrap().denied.clear();
    }

    /// Adds or replaces an object at a path, as another client would.
    pub fn put(&self, path: &str, object: Value) {
        self.inner.lock().unwrap().objects.insert(path.to_owned(), object);
    }

    /// The object at a path.
    pub fn object(&self, path: &str) -> Option<Value> {
        self.inner.lock().unwrap().objects.get(path).cloned()
    }

    /// Calls a function before the next write to a path, to simulate a concurrent client.
    pub fn before_write(&self, path: &str, call: impl FnOnce() + Send + 'static) {
        self.inner.lock().unwrap().before_write.insert(path.to_owned(), Box::new(call));
    }

    /// Removes an object, as another client would.
    pub fn remove(&self, path: &str) {
        self.inner.lock().unwrap().objects.remove(path);
    }

    pub fn writes(&self) -> Vec<Write> {
        self.inner.lock().unwrap().writes.clone()
    }

    /// The number of reads.
    pub fn reads(&self) -> usize {
        self.inner.lock().unwrap().reads
    }

    /// The writes as `METHOD path`, in order.
    pub fn written(&self) -> Vec<String> {
        self.writes().iter().map(|write| format!("{} {}", write.method, write.path)).collect()
    }

    pub fn client(&self) -> Client {
        Client::new(self.clone(), "ns")
    }

    fn answer(&self, method: &str, path: &str, query: &str, merge: bool, body: Value) -> (u16, Value) {
        if method != "GET" {
            let call = self.inner.lock().unwrap().before_write.remove(path);
            call.into_iter().for_each(|call| call());
        }
        let mut inner = self.inner.lock().unwrap();
        if !inner.granted.iter().any(|resource| path.split('/').any(|part| part == resource)) {
            assert_eq!(super::rbac::refusal(method, path, query), None, "{method} {path}");
        }
        if method == "GET" {
            inner.reads += 1;
            if inner.unreadable.iter().any(|unreadable| unreadable == path) {
                return (403, failure(403, "may not"));
            }
            return match inner.objects.get(path) {
                Some(object) => (200, object.clone()),
                None => inner.list(path, query).map_or((404, failure(404, "NotFound")), |list| (200, list)),
            };
        }
        if path.ends_with("/selfsubjectaccessreviews") && !inner.refused_always.contains_key(path) {
            return (201, inner.review(body));
        }
        if query.contains("dryRun=All") {
            return inner.fixed(path, &body).unwrap_or((200, body));
        }
        inner.writes.push(Write {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            body: body.clone(),
        });
        if let Some(code) = inner.refused_always.get(path) {
            return (*code, failure(*code, "Refused"));
        }
        if let Some((code, message)) = inner.refused_once.remove(path) {
            return (code, failure(code, &message));
        }
        if let Some((code, message)) = inner.refused.get(path).filter(|_| method != "DELETE") {
            return (*code, failure(*code, message));
        }
        match method {
            "DELETE" => inner.delete(path, &body["preconditions"]["uid"]),
            "POST" => inner.create(path, query, body),
            _ => inner.patch(path, merge, body),
        }
    }
}

impl Inner {
    /// The list of a collection; `None` for a path that is not a collection.
    fn list(&self, path: &str, query: &str) -> Option<Value> {
        super::rbac::is_collection(path).then(|| {
            let selector = query.split('&').find_map(|part| part.strip_prefix("labelSelector=")).unwrap_or_default();
            let selector = selector.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
            let is_selected = |object: &Value| {
                let mut terms = selector.split(',').filter_map(|term| term.split_once('='));
                terms.all(|(key, value)| object["metadata"]["labels"][key] == value)
            };
            let is_in = |at: &str| {
                let (collection, _) = at.rsplit_once('/').unwrap_or_default();
                let everywhere = collection
                    .split_once("/namespaces/")
                    .and_then(|(start, rest)| rest.split_once('/').map(|(_, resource)| format!("{start}/{resource}")));
                collection == path || everywhere.as_deref() == Some(path)
            };
            let found = self.objects.iter().filter(|(at, object)| is_in(at) && is_selected(object));
            let items: Vec<&Value> = found.map(|(_, object)| object).collect();
            json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items})
        })
    }

    /// The answer to a client that asks whether it may do something.
    fn review(&self, mut review: Value) -> Value {
        let asked = &review["spec"]["resourceAttributes"];
        let is_denied = self.denied.iter().any(|(verb, resource, namespace)| {
            asked["verb"] == **verb
                && *resource == resource_of(asked)
                && (namespace.is_empty() || asked["namespace"] == **namespace)
        });
        review["status"] = json!({"allowed": !is_denied});
        review
    }

    fn delete(&mut self, path: &str, uid: &Value) -> (u16, Value) {
        let is_other = |object: &Value| uid.is_string() && object["metadata"]["uid"] != *uid;
        if self.objects.get(path).is_some_and(is_other) {
            return (409, failure(409, "the UID in the precondition differs"));
        }
        self.objects.remove(path).map_or((404, failure(404, "NotFound")), |object| (200, object))
    }

    fn create(&mut self, path: &str, query: &str, mut body: Value) -> (u16, Value) {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        let at = format!("{path}/{name}");
        if !name.is_empty() && self.objects.contains_key(&at) {
            let mut exists = failure(409, "it exists already");
            exists["reason"] = json!("AlreadyExists");
            return (409, exists);
        }
        if let Some(class) = self.storage_class.clone().filter(|_| path.ends_with("/statefulsets")) {
            for template in body["spec"]["volumeClaimTemplates"].as_array_mut().into_iter().flatten() {
                template["spec"]["storageClassName"] = class.clone();
            }
        }
        let manager = query.split('&').find_map(|part| part.strip_prefix("fieldManager="));
        body["metadata"]["uid"] = json!(format!("uid of {at}"));
        body["metadata"]["resourceVersion"] = json!("1");
        body["metadata"]["managedFields"] = json!([
            {"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {}}}
        ]);
        self.objects.insert(at, body.clone());
        (200, body)
    }

    /// What the API server answers to a change of a StatefulSet's claim templates.
    fn fixed(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let existing = self.objects.get(path).filter(|_| path.contains("/statefulsets/"))?;
        let templates = |object: &Value| object["spec"]["volumeClaimTemplates"].clone();
        let message = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden";
        let differs = body.is_object() && templates(existing) != templates(body);
        differs.then(|| (422, failure(422, message)))
    }

    /// A JSON patch changes the managed fields alone; an apply replaces the object.
    fn patch(&mut self, path: &str, merge: bool, body: Value) -> (u16, Value) {
        if let Some(refused) = self.fixed(path, &body).filter(|_| !merge) {
            return refused;
        }
        let existing = self.objects.get(path).cloned();
        let object = match (existing, body) {
            (Some(mut object), Value::Array(operations)) => {
                let fields = operations.iter().find(|operation| operation["path"] == "/metadata/managedFields");
                if let Some(fields) = fields {
                    object["metadata"]["managedFields"] = fields["value"].clone();
                }
                object
            }
            (Some(mut object), body) if merge => {
                merge_into(&mut object, &body);
                object
            }
            (None, Value::Array(_)) => return (404, failure(404, "NotFound")),
            (None, body) if merge => match path.strip_suffix("/status") {
                Some(parent) if self.objects.contains_key(parent) => body,
                _ => return (404, failure(404, "NotFound")),
            },
            (_, body) => body,
        };
        self.objects.insert(path.to_owned(), object.clone());
        (200, object)
    }
}

/// A merge patch, see [RFC 7396](https://www.rfc-editor.org/rfc/rfc7396).
fn merge_into(object: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            merge_into(&mut object[name], value);
        }
    }
}

fn failure(code: u16, message: &str) -> Value {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        _ => "Unknown",
    };
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code});
    // As the API server does: `Service "c" is invalid: spec.type: Unsupported value: "x"`.
    if let Some((field, problem)) = message.split_once(" is invalid: ").and_then(|(_, cause)| cause.split_once(": ")) {
        status["details"] = json!({"causes": [{"reason": "FieldValueInvalid", "message": problem, "field": field}]});
    }
    status
}

impl tower::Service<axum::http::Request<Body>> for FakeApiServer {
    type Response = Answer;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::http::Request<Body>) -> Self::Future {
        let api_server = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            let content_type = parts.headers.get("content-type").and_then(|value| value.to_str().ok());
            let merge = content_type.is_some_and(|content_type| content_type.contains("merge-patch"));
            let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
            if api_server.hangs(path) {
                return std::future::pending().await;
            }
            let delay = api_server.inner.lock().unwrap().delay;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let (code, object) = api_server.answer(parts.method.as_str(), path, query, merge, body);
            let response =
                axum::http::Response::builder().status(code).body(Body::from(object.to_string().into_bytes()));
            Ok(response.unwrap())
        })
    }
}

/// The resource that an access review is about, as in `pods/exec`.
fn resource_of(asked: &Value) -> String {
    let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
    [text("resource"), text("subresource")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}
