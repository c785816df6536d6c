//! Serves a world over HTTP, one listener for each operator.

mod watch;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch::{Sender, channel};
use tokio::time::Instant;

use crate::database::Session;
use crate::exec::{self, Command};
use crate::path::{Place, parameters};
use crate::rights::{REVIEWS, Right, review};
use crate::socket::PromptListener;
use crate::write::{Refusal, Request};
use crate::{State, patroni, port_forward};
use watch::Watcher;

/// The time between two steps of the controllers.
const STEP: Duration = Duration::from_millis(250);
/// Writes of leases pass no gate and are not recorded, because an operator renews its lease all the time.
const LEASES: &str = "coordination.k8s.io/v1/leases";

/// The start of the path of the schemas of custom resources; group and version follow.
const SCHEMAS: &str = "/openapi/v3/apis/";

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
    changed: Arc<Sender<u64>>,
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
        let server = Self { inner: Arc::new(Mutex::new(inner)), changed: Arc::new(channel(0).0) };
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
        let number = {
            let mut inner = self.lock();
            inner.listeners += 1;
            inner.alive = Some(inner.listeners);
            inner.listeners
        };
        let router = Router::new().fallback(answer).with_state(Listener { server: self.clone(), number });
        tokio::spawn(async move { axum::serve(PromptListener(socket), router).await });
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

    /// Answers a request for a connection with a pod.
    fn connect(&self, place: &Place, query: &str, headers: &HeaderMap, upgrade: OnUpgrade) -> Response {
        if place.part.as_deref() == Some("exec") {
            let command = Command::of(place, query);
            let end = self.server.with(|state| state.run(command, &Right::of("GET", place, false)));
            return end.map_or_else(|refusal| refused(&refusal, None), |end| exec::accept(end, headers, upgrade));
        }
        match self.session(&place.namespace, place.name.as_deref().unwrap_or_default()) {
            Some(session) => port_forward::accept(session, headers, upgrade),
            None => refused(&Refusal::new(500, "the pod does not serve"), None),
        }
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
    if let Some(api_version) = uri.path().strip_prefix(SCHEMAS)
        && let Some(document) = listener.server.with(|state| state.schemas.get(api_version).cloned())
    {
        return ([(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response();
    }
    let Some(place) = Place::of(uri.path()) else {
        return refused(&Refusal::new(404, "no such path"), None);
    };
    if let Some(extract::Extension(upgrade)) = upgrade {
        return listener.connect(&place, uri.query().unwrap_or_default(), &headers, upgrade);
    }
    let body = serde_json::from_slice(&body).unwrap_or_default();
    if place.collection == REVIEWS {
        let answer = listener.server.with(|state| review(&state.denied, &body));
        return (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response();
    }
    let is_watch = uri.query().is_some_and(|query| query.contains("watch=true"));
    let right = Right::of(method.as_str(), &place, is_watch);
    if listener.server.with(|state| state.denied.contains(&right)) {
        return refused(&right.refusal(), None);
    }
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
mod tests;
