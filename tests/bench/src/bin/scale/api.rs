//! A fake API server: the part of the protocol that the operator uses.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast::{Receiver, Sender, channel};

use crate::store::{Change, Key, Store, carries};

/// The number of changes that a watch may be behind.
const BACKLOG: usize = 1 << 17;

/// The fake API server, and its address.
#[derive(Clone)]
pub struct Api {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    changed: Sender<Change>,
}

#[derive(Default)]
struct Inner {
    store: Store,
    last_write: Option<Instant>,
    writes: usize,
}

/// The parts of a path.
struct Place {
    collection: String,
    namespace: String,
    name: Option<String>,
    part: Option<String>,
}

impl Api {
    /// Starts the server on a free port.
    pub async fn serve() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let api = Self { address: listener.local_addr()?, inner: Arc::default(), changed: channel(BACKLOG).0 };
        let router = Router::new().fallback(answer).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(api)
    }

    /// The address of the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Creates or replaces an object, as a user would.
    pub fn put(&self, object: Value) {
        let plural = format!("{}s", text(&object["kind"]).to_lowercase());
        let collection = format!("{}/{plural}", text(&object["apiVersion"]));
        let key = (collection, text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        let changes = self.lock().store.merge(&key, &object, false).1;
        self.tell(changes);
    }

    /// The time of the last write over HTTP.
    pub fn last_write(&self) -> Option<Instant> {
        self.lock().last_write
    }

    /// The number of writes over HTTP since the start.
    pub fn writes(&self) -> usize {
        self.lock().writes
    }

    /// Whether the pods of StatefulSets that are created from now on stay pending.
    pub fn keep_pending(&self, pending: bool) {
        self.lock().store.pending = pending;
    }

    /// One loop of every member's Patroni: the leader renews its lock in the Endpoints, each member its pod's annotation.
    pub fn heartbeat(&self, number: usize) {
        let mut inner = self.lock();
        let pods = inner.store.list("v1/pods", Some("spilo-role"));
        let mut changes = Vec::new();
        for pod in pods {
            let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
            let status = json!({"metadata": {"annotations": {"status": format!("{{\"xlog_location\":{number}}}")}}});
            changes
                .extend(inner.store.merge(&("v1/pods".to_owned(), namespace.clone(), name.clone()), &status, false).1);
            if pod["metadata"]["labels"]["spilo-role"] == "master" {
                let cluster = name.rsplit_once('-').map_or(name.clone(), |(cluster, _)| cluster.to_owned());
                let lock = json!({"metadata": {"annotations": {
                    "leader": name, "renewTime": number.to_string(), "ttl": "30", "optime": number.to_string(),
                }}});
                changes.extend(inner.store.merge(&("v1/endpoints".to_owned(), namespace, cluster), &lock, false).1);
            }
        }
        drop(inner);
        self.tell(changes);
    }

    /// The number of clusters whose status is `Running`.
    pub fn running(&self) -> usize {
        let clusters = self.lock().store.list("acid.zalan.do/v1/postgresqls", None);
        clusters.iter().filter(|cluster| cluster["status"]["PostgresClusterStatus"] == "Running").count()
    }

    fn tell(&self, changes: Vec<Change>) {
        // An error only means that there is no watch.
        changes.into_iter().for_each(|change| _ = self.changed.send(change));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, place: &Place, query: &HashMap<String, String>) -> Response {
        let inner = self.lock();
        if let Some(name) = &place.name {
            let key = (place.collection.clone(), place.namespace.clone(), name.clone());
            return inner
                .store
                .get(&key)
                .map_or_else(|| failure(StatusCode::NOT_FOUND), |object| object.to_string().into_response());
        }
        let label = query.get("labelSelector").map(String::as_str);
        if query.get("watch").is_none_or(|watch| watch != "true") {
            let items = inner.store.list(&place.collection, label);
            let items: Vec<Value> = items.into_iter().filter(|item| is_selected(item, query)).collect();
            let version = inner.store.version().to_string();
            let list =
                json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": version}, "items": items});
            return list.to_string().into_response();
        }
        let from = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        let changes = self.changed.subscribe();
        let missed = inner.store.since(&place.collection, from);
        let seen = inner.store.version();
        drop(inner);
        let (collection, query) = (place.collection.clone(), query.clone());
        let later = futures::stream::unfold(changes, next)
            .filter(move |change| futures::future::ready(change.version > seen && change.collection == collection));
        let all = futures::stream::iter(missed).chain(later);
        let lines = all.filter_map(move |change| {
            let label = query.get("labelSelector").map(String::as_str);
            let wanted = carries(&change.object, label) && is_selected(&change.object, &query);
            // The type comes first, as from the API server: then the object is parsed without a copy.
            let line = || format!("{{\"type\":\"{}\",\"object\":{}}}\n", change.event_type, change.object);
            futures::future::ready(wanted.then(|| Ok::<_, Infallible>(Bytes::from(line()))))
        });
        Body::from_stream(lines).into_response()
    }

    /// The answer of a pod's Patroni: its configuration, and the members, of which none waits for a restart.
    fn patroni(&self, method: &Method, path: &str, place: &Place, body: &Value) -> Response {
        if path.ends_with("/cluster") {
            return self.cluster(place).to_string().into_response();
        }
        if !path.ends_with("/config") {
            return json!({"state": "running"}).to_string().into_response();
        }
        let name = place.name.clone().unwrap_or_default();
        let key = ("patroni".to_owned(), place.namespace.clone(), name);
        let mut inner = self.lock();
        if *method == Method::PATCH {
            inner.store.merge(&key, &json!({"config": body}), false);
        }
        let configuration = inner.store.get(&key).map_or(json!({}), |object| object["config"].clone());
        configuration.to_string().into_response()
    }

    fn cluster(&self, place: &Place) -> Value {
        let name = place.name.clone().unwrap_or_default();
        let cluster = name.rsplit_once('-').map_or(name.as_str(), |(cluster, _)| cluster);
        let inner = self.lock();
        let member = |number: u64| {
            let pod = format!("{cluster}-{number}");
            let exists = inner.store.get(&("v1/pods".to_owned(), place.namespace.clone(), pod.clone())).is_some();
            let (role, state) = if number == 0 { ("leader", "running") } else { ("replica", "streaming") };
            exists.then(|| json!({"name": pod, "role": role, "state": state, "timeline": 1, "lag": 0}))
        };
        json!({"members": (0..9).map_while(member).collect::<Vec<_>>()})
    }

    fn write(&self, method: &Method, place: &Place, body: &Value, applied: bool) -> Response {
        let mut inner = self.lock();
        inner.last_write = Some(Instant::now());
        inner.writes += 1;
        let named = place.name.clone().or_else(|| body["metadata"]["name"].as_str().map(str::to_owned));
        let key: Key = (place.collection.clone(), place.namespace.clone(), named.unwrap_or_default());
        if place.collection == "events.k8s.io/v1/events" {
            return (StatusCode::CREATED, body.to_string()).into_response();
        }
        if *method == Method::DELETE {
            let Some(change) = inner.store.remove(&key) else { return failure(StatusCode::NOT_FOUND) };
            drop(inner);
            let object = change.object.to_string();
            self.tell(vec![change]);
            return object.into_response();
        }
        let (object, changes) = match &place.part {
            Some(part) => inner.store.merge(&key, &json!({part: body[part]}), false),
            None => inner.store.merge(&key, body, applied),
        };
        drop(inner);
        self.tell(changes);
        object.to_string().into_response()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The next event of a watch. A watch that is too far behind ends.
async fn next(mut changes: Receiver<Change>) -> Option<(Change, Receiver<Change>)> {
    let change = changes.recv().await.ok()?;
    Some((change, changes))
}

/// Whether an object has the name that a field selector asks for.
fn is_selected(object: &Value, query: &HashMap<String, String>) -> bool {
    let name = query.get("fieldSelector").and_then(|selector| selector.strip_prefix("metadata.name="));
    name.is_none_or(|name| object["metadata"]["name"] == name)
}

async fn answer(State(api): State<Api>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let Some(place) = place(uri.path()) else { return failure(StatusCode::NOT_FOUND) };
    if place.part.as_deref() == Some("proxy") {
        return api.patroni(&method, uri.path(), &place, &serde_json::from_slice(&body).unwrap_or_default());
    }
    let answer = match method {
        Method::GET => api.read(&place, &parameters(uri.query().unwrap_or_default())),
        _ => {
            let applied = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/apply-patch+yaml");
            api.write(&method, &place, &serde_json::from_slice(&body).unwrap_or_default(), applied)
        }
    };
    ([(header::CONTENT_TYPE, "application/json")], answer).into_response()
}

fn place(path: &str) -> Option<Place> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ((*version).to_owned(), rest),
        ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] => (*namespace, rest),
        rest => ("", rest),
    };
    let part = |index: usize| rest.get(index).map(|part| (*part).to_owned());
    let name = part(1).map(|name| name.split_once(':').map_or(name.clone(), |(name, _)| name.to_owned()));
    Some(Place { collection: format!("{group}/{}", part(0)?), namespace: namespace.to_owned(), name, part: part(2) })
}

fn parameters(query: &str) -> HashMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.replace("%3D", "=").replace("%2F", "/"))).collect()
}

fn failure(code: StatusCode) -> Response {
    let reason = code.canonical_reason().unwrap_or_default().replace(' ', "");
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": reason, "code": code.as_u16()});
    (code, status.to_string()).into_response()
}
