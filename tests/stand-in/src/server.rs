//! Serves a world over HTTP, one listener for each operator.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt as _;
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::database::Session;
use crate::path::{Place, parameters};
use crate::write::{Refusal, Request};
use crate::{State, patroni, port_forward};

/// The time between two steps of the controllers.
const STEP: Duration = Duration::from_millis(250);
/// The time between two bookmarks of a watch.
const BOOKMARK: Duration = Duration::from_secs(60);
/// Writes of leases pass no gate and are not recorded, because an operator renews its lease all the time.
const LEASES: &str = "coordination.k8s.io/v1/leases";

/// Events have random names, so a write of an event is identified by its reason.
const EVENTS: &str = "events.k8s.io/v1/events";

/// A request that writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// As in `PATCH apps/v1/statefulsets/c`.
    pub what: String,
    /// The world's resource version before it.
    pub version: u64,
}

/// The verdict on a write request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the request is executed.
    pub execute: bool,
    /// The answer to the request.
    pub answer: Answer,
    /// Whether its operator is killed: none of its later requests is executed or answered.
    pub dead: bool,
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The answer of the API server.
    Given,
    /// An error with this HTTP status, and `Retry-After` in seconds.
    Refused(u16, Option<u64>),
    /// No answer; the connection stays open.
    Never,
}

impl Verdict {
    /// Executed and answered.
    pub const PASS: Self = Self { execute: true, answer: Answer::Given, dead: false };
}

/// Decides on write requests.
pub trait Gate: Send {
    /// The verdict on a request. The gate may change the world before the request is executed.
    fn verdict(&mut self, write: &Write, state: &mut State) -> Verdict;
}

/// Lets everything pass.
#[derive(Clone, Copy, Debug)]
pub struct Open;

impl Gate for Open {
    fn verdict(&mut self, _: &Write, _: &mut State) -> Verdict {
        Verdict::PASS
    }
}

/// A served world. A clone shares it.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<watch::Sender<u64>>,
}

struct Inner {
    state: State,
    gate: Box<dyn Gate>,
    writes: Vec<Write>,
    last_write: Option<Instant>,
    /// The number of the listener whose operator is not killed.
    alive: Option<u32>,
    listeners: u32,
    lag: Option<Lag>,
}

/// Lists and watches return an older state for a while, as an API server whose cache is behind.
#[derive(Clone, Copy)]
struct Lag {
    version: u64,
    until: Instant,
}

/// A listener of a server.
#[derive(Clone)]
pub(crate) struct Listener {
    server: Server,
    number: u32,
}

impl Server {
    /// Serves a world and runs its controllers, until the runtime ends.
    #[must_use]
    pub fn new(state: State) -> Self {
        let inner = Inner {
            state,
            gate: Box::new(Open),
            writes: Vec::new(),
            last_write: None,
            alive: None,
            listeners: 0,
            lag: None,
        };
        let server = Self { inner: Arc::new(Mutex::new(inner)), changed: Arc::new(watch::channel(0).0) };
        let lives = server.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(STEP).await;
                lives.with(State::step);
            }
        });
        server
    }

    /// Opens a listener for a new operator. Requests to earlier listeners are no longer answered.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn listen(&self) -> std::io::Result<SocketAddr> {
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        // Without it a line of a watch would wait for the acknowledgement of the line before, which the kernel delays
        // by 40 ms.
        let socket = socket.tap_io(|connection| _ = connection.set_nodelay(true));
        let number = {
            let mut inner = self.lock();
            inner.listeners += 1;
            inner.alive = Some(inner.listeners);
            inner.listeners
        };
        let router = Router::new().fallback(answer).with_state(Listener { server: self.clone(), number });
        tokio::spawn(async move { axum::serve(socket, router).await });
        Ok(address)
    }

    /// Replaces the gate.
    pub fn set_gate(&self, gate: impl Gate + 'static) {
        self.lock().gate = Box::new(gate);
    }

    /// Makes lists and watches return the world of an earlier resource version, for a time from now on.
    pub fn lag(&self, version: u64, time: Duration) {
        self.lock().lag = Some(Lag { version, until: Instant::now() + time });
    }

    /// Reads or changes the world.
    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut inner = self.lock();
        let result = act(&mut inner.state);
        let version = inner.state.objects.version();
        drop(inner);
        self.tell(version);
        result
    }

    /// The writes so far, without leases.
    #[must_use]
    pub fn writes(&self) -> Vec<Write> {
        self.lock().writes.clone()
    }

    /// The time of the last write, without leases.
    #[must_use]
    pub fn last_write(&self) -> Option<Instant> {
        self.lock().last_write
    }

    /// Whether there is an operator that is not killed.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.lock().alive.is_some()
    }

    fn tell(&self, version: u64) {
        self.changed.send_if_modified(|last| {
            let newer = *last != version;
            *last = version;
            newer
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Whether the operator of this listener was killed.
    pub(crate) fn is_dead(&self) -> bool {
        self.server.lock().alive != Some(self.number)
    }

    /// Records a write, asks the gate about it, and executes it if the gate lets it. Returns the answer to give, and the
    /// result of what was executed.
    pub(crate) fn judge<T>(&self, what: String, execute: impl FnOnce(&mut State) -> T) -> (Answer, Option<T>) {
        let mut inner = self.server.lock();
        let inner = &mut *inner;
        let write = Write { what, version: inner.state.objects.version() };
        inner.last_write = Some(Instant::now());
        inner.writes.push(write.clone());
        let verdict = inner.gate.verdict(&write, &mut inner.state);
        if verdict.dead {
            inner.alive = None;
        }
        let result = verdict.execute.then(|| execute(&mut inner.state));
        self.server.tell(inner.state.objects.version());
        (verdict.answer, result)
    }

    /// Opens a session with the database of a member that serves.
    fn session(&self, namespace: &str, pod: &str) -> Option<Session> {
        let cluster = self.server.with(|state| patroni::cluster_of(state, namespace, pod))?;
        Some(Session {
            listener: self.clone(),
            cluster: (namespace.to_owned(), cluster),
            pod: pod.to_owned(),
            database: String::new(),
            transaction: None,
        })
    }

    fn read(&self, place: &Place, query: &HashMap<String, String>) -> Response {
        let inner = self.server.lock();
        if let Some(name) = &place.name {
            let found = inner.state.objects.get(&place.collection, &place.namespace, name);
            return found.map_or_else(
                || refused(&Refusal::new(404, format!("{} \"{name}\" not found", place.collection)), None),
                |object| object.to_string().into_response(),
            );
        }
        if query.get("watch").is_some_and(|watch| watch == "true") {
            drop(inner);
            return self.watch(place.clone(), query);
        }
        let objects = &inner.state.objects;
        let version = inner.lag.filter(|lag| Instant::now() < lag.until).map(|lag| lag.version);
        let items = match version {
            Some(version) => objects.as_of(version, &place.collection, &place.namespace),
            None => objects.of(&place.collection, &place.namespace).map(|(_, object)| object.clone()).collect(),
        };
        let items: Vec<Value> = items.into_iter().filter(|item| is_selected(item, query)).collect();
        let version = version.unwrap_or(objects.version()).to_string();
        let list =
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": version}, "items": items});
        list.to_string().into_response()
    }

    fn watch(&self, place: Place, query: &HashMap<String, String>) -> Response {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
        let ends = Instant::now() + Duration::from_secs(number("timeoutSeconds").unwrap_or(300));
        let watcher = Watcher {
            listener: self.clone(),
            changed: self.server.changed.subscribe(),
            place,
            query: query.clone(),
            seen: number("resourceVersion").unwrap_or(0),
            ends,
            over: false,
        };
        Body::from_stream(futures::stream::unfold(watcher, Watcher::next)).into_response()
    }

    /// Answers as to a write, which is not done.
    fn dry_run(&self, request: &Request) -> Response {
        let result = self.server.lock().state.clone().write(request);
        result.map_or_else(|refusal| refused(&refusal, None), |object| object.to_string().into_response())
    }

    async fn write(&self, method: &Method, place: &Place, query: &str, headers: &HeaderMap, body: &Value) -> Response {
        let parameters = parameters(query);
        let content = headers.get(header::CONTENT_TYPE).and_then(|content| content.to_str().ok()).unwrap_or_default();
        let manager = parameters.get("fieldManager").map_or("unknown", String::as_str);
        let request = Request { method: method.as_str(), place, content, manager, body };
        if parameters.get("dryRun").is_some_and(|dry_run| dry_run == "All") {
            return self.dry_run(&request);
        }
        let name = place.name.as_deref().or_else(|| body["metadata"]["name"].as_str()).unwrap_or_default();
        let part = place.part.as_deref().map(|part| format!("/{part}")).unwrap_or_default();
        // The name of an event is random.
        let name = if place.collection == EVENTS { body["reason"].as_str().unwrap_or_default() } else { name };
        let what = format!("{method} {}/{name}{part}", place.collection);
        let execute = |state: &mut State| match place.part.as_deref().and_then(|part| part.strip_prefix("proxy/")) {
            Some(path) => {
                let name = place.name.as_deref().unwrap_or_default();
                Ok(patroni::answer(state, &place.namespace, name, method.as_str(), path, body))
            }
            None => state.write(&request).map(|object| (if *method == Method::POST { 201 } else { 200 }, object)),
        };
        let (answer, result) = match place.collection == LEASES {
            true => (Answer::Given, Some(self.server.with(execute))),
            false => self.judge(what, execute),
        };
        match (answer, result) {
            (Answer::Never, _) => std::future::pending().await,
            (Answer::Refused(code, after), _) => refused(&Refusal::new(code, "a fault of the test"), after),
            (Answer::Given, Some(Ok((code, object)))) => {
                let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (code, object.to_string()).into_response()
            }
            (Answer::Given, Some(Err(refusal))) => refused(&refusal, None),
            (Answer::Given, None) => refused(&Refusal::new(500, "a fault of the test"), None),
        }
    }
}

/// One watch.
struct Watcher {
    listener: Listener,
    changed: watch::Receiver<u64>,
    place: Place,
    query: HashMap<String, String>,
    seen: u64,
    ends: Instant,
    over: bool,
}

impl Watcher {
    /// The next lines; `None` when the watch ends.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            if self.over || self.listener.is_dead() || Instant::now() >= self.ends {
                return None;
            }
            self.changed.borrow_and_update();
            let lines = self.lines();
            if !lines.is_empty() {
                return Some((Ok(Bytes::from(lines)), self));
            }
            let pause = self.lag().map_or(BOOKMARK, |lag| lag.until.saturating_duration_since(Instant::now()));
            let until = (Instant::now() + pause).min(self.ends);
            let is_late = tokio::time::timeout_at(until, self.changed.changed()).await.is_err();
            if is_late && self.lag().is_none() && Instant::now() < self.ends {
                let version = self.seen.to_string();
                let bookmark =
                    json!({"apiVersion": "v1", "kind": "Bookmark", "metadata": {"resourceVersion": version}});
                let line = format!("{}\n", json!({"type": "BOOKMARK", "object": bookmark}));
                return Some((Ok(Bytes::from(line)), self));
            }
        }
    }

    fn lag(&self) -> Option<Lag> {
        self.listener.server.lock().lag.filter(|lag| Instant::now() < lag.until)
    }

    /// The lines of the changes since the last call.
    fn lines(&mut self) -> String {
        let inner = self.listener.server.lock();
        let objects = &inner.state.objects;
        if self.seen < objects.oldest() {
            self.over = true;
            let status = Refusal::new(410, "too old resource version").status();
            return format!("{}\n", json!({"type": "ERROR", "object": status}));
        }
        let lag = inner.lag.filter(|lag| Instant::now() < lag.until);
        let mut lines = String::new();
        for change in objects.since(self.seen) {
            if lag.is_some_and(|lag| change.version > lag.version) {
                break;
            }
            self.seen = change.version;
            let is_wanted = change.key.0 == self.place.collection
                && (self.place.namespace.is_empty() || change.key.1 == self.place.namespace)
                && is_selected(&change.object, &self.query);
            if is_wanted {
                lines.push_str(&json!({"type": change.event_type, "object": change.object}).to_string());
                lines.push('\n');
            }
        }
        lines
    }
}

async fn answer(
    extract::State(listener): extract::State<Listener>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Option<extract::Extension<OnUpgrade>>,
    body: Bytes,
) -> Response {
    if listener.is_dead() {
        return std::future::pending().await;
    }
    let Some(place) = Place::of(uri.path()) else {
        return refused(&Refusal::new(404, "no such path"), None);
    };
    if let (Some("portforward"), Some(extract::Extension(upgrade))) = (place.part.as_deref(), upgrade) {
        return match listener.session(&place.namespace, place.name.as_deref().unwrap_or_default()) {
            Some(session) => port_forward::accept(session, &headers, upgrade),
            None => refused(&Refusal::new(500, "the pod does not serve"), None),
        };
    }
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let answer = match (&method, place.part.as_deref().and_then(|part| part.strip_prefix("proxy/"))) {
        (&Method::GET, Some(path)) => {
            let name = place.name.as_deref().unwrap_or_default();
            let answer = |state: &mut State| patroni::answer(state, &place.namespace, name, "GET", path, &body);
            let (code, object) = listener.server.with(answer);
            let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (code, object.to_string()).into_response()
        }
        (&Method::GET, None) => listener.read(&place, &parameters(uri.query().unwrap_or_default())),
        _ => listener.write(&method, &place, uri.query().unwrap_or_default(), &headers, &body).await,
    };
    ([(header::CONTENT_TYPE, "application/json")], answer).into_response()
}

/// Whether an object matches a label selector and a field selector. Only selectors by name and by equality are
/// implemented.
fn is_selected(object: &Value, query: &HashMap<String, String>) -> bool {
    let labels = query.get("labelSelector").map_or("", String::as_str).split(',').filter(|label| !label.is_empty());
    let carries = |label: &str| match label.split_once('=') {
        Some((name, value)) => object["metadata"]["labels"][name] == value.trim_start_matches('='),
        None => object["metadata"]["labels"][label].is_string(),
    };
    let name = query.get("fieldSelector").and_then(|selector| selector.strip_prefix("metadata.name="));
    labels.into_iter().all(carries) && name.is_none_or(|name| object["metadata"]["name"] == name)
}

fn refused(refusal: &Refusal, retry_after: Option<u64>) -> Response {
    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (code, refusal.status().to_string()).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpStream;

    const MANIFEST: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m","namespace":"ns"}}"#;

    async fn send(address: SocketAddr, head: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let request =
            format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn ask(address: SocketAddr, head: &str, body: &str) -> String {
        let mut answer = String::new();
        send(address, head, body).await.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn line_with(lines: &mut tokio::io::Lines<BufReader<TcpStream>>, text: &str) -> String {
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if line.contains(text) {
                return line;
            }
        }
    }

    #[tokio::test]
    async fn a_watch_reports_each_change_and_ends_when_its_version_is_too_old() {
        let server = Server::new(State::default());
        let address = server.listen().await.unwrap();
        let watch = "GET /api/v1/namespaces/ns/configmaps?watch=true&resourceVersion=0";
        let mut lines = BufReader::new(send(address, watch, "").await).lines();
        assert!(ask(address, "POST /api/v1/namespaces/ns/configmaps", MANIFEST).await.starts_with("HTTP/1.1 201"));
        assert!(line_with(&mut lines, r#""type":"#).await.contains(r#""type":"ADDED""#));
        server.with(|state| state.objects.expire());
        assert!(line_with(&mut lines, r#""type":"#).await.contains(r#""code":410"#));
    }

    #[tokio::test]
    async fn a_list_may_be_behind_for_a_while_and_one_object_never_is() {
        let server = Server::new(State::default());
        let address = server.listen().await.unwrap();
        ask(address, "POST /api/v1/namespaces/ns/configmaps", MANIFEST).await;
        server.lag(0, Duration::from_secs(60));
        assert!(ask(address, "GET /api/v1/namespaces/ns/configmaps", "").await.contains(r#""items":[]"#));
        assert!(ask(address, "GET /api/v1/namespaces/ns/configmaps/m", "").await.starts_with("HTTP/1.1 200"));
    }

    /// Refuses the first write, and kills the operator at the second one.
    struct Faults(usize);

    impl Gate for Faults {
        fn verdict(&mut self, _: &Write, _: &mut State) -> Verdict {
            self.0 += 1;
            match self.0 {
                1 => Verdict { execute: false, answer: Answer::Refused(429, Some(2)), dead: false },
                _ => Verdict { execute: true, answer: Answer::Never, dead: true },
            }
        }
    }

    #[tokio::test]
    async fn a_gate_refuses_a_write_or_keeps_its_answer_back_and_a_dead_operator_writes_nothing() {
        let server = Server::new(State::default());
        server.set_gate(Faults(0));
        let (address, path) = (server.listen().await.unwrap(), "POST /api/v1/namespaces/ns/configmaps");
        let refused = ask(address, path, MANIFEST).await;
        assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("retry-after: 2"), "{refused}");
        let pause = Duration::from_millis(200);
        assert!(tokio::time::timeout(pause, ask(address, path, MANIFEST)).await.is_err());
        assert!(server.with(|state| state.objects.get("v1/configmaps", "ns", "m").is_some()));
        assert!(!server.is_alive());
        let path = "DELETE /api/v1/namespaces/ns/configmaps/m";
        assert!(tokio::time::timeout(pause, ask(address, path, "")).await.is_err());
        assert!(server.with(|state| state.objects.get("v1/configmaps", "ns", "m").is_some()));
        assert_eq!(server.writes().len(), 2);
    }
}
