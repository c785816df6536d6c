//! A fake API server: answers from memory and records what is written.

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

/// Objects by path, and the writes so far. A write is answered with the object as it would be then.
#[derive(Clone, Default)]
pub struct FakeApiServer {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    objects: HashMap<String, Value>,
    refused: HashMap<String, (u16, String)>,
    refused_once: HashMap<String, (u16, String)>,
    before_write: HashMap<String, Box<dyn FnOnce() + Send>>,
    writes: Vec<Write>,
    reads: usize,
}

impl FakeApiServer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets an object exist at a path.
    pub fn with(self, path: &str, object: Value) -> Self {
        self.inner.lock().unwrap().objects.insert(path.to_owned(), object);
        self
    }

    /// Refuses writes to a path, deletions aside, with a status code.
    pub fn refusing(self, path: &str, code: u16) -> Self {
        self.refusing_because(path, code, "Refused")
    }

    /// The same with a message.
    pub fn refusing_because(self, path: &str, code: u16, message: &str) -> Self {
        self.inner.lock().unwrap().refused.insert(path.to_owned(), (code, message.to_owned()));
        self
    }

    /// The same for the next write alone.
    pub fn refusing_once(self, path: &str, code: u16, message: &str) -> Self {
        self.inner.lock().unwrap().refused_once.insert(path.to_owned(), (code, message.to_owned()));
        self
    }

    /// Calls a function before the next write to a path, as where another one acts meanwhile.
    pub fn before_write(&self, path: &str, call: impl FnOnce() + Send + 'static) {
        self.inner.lock().unwrap().before_write.insert(path.to_owned(), Box::new(call));
    }

    /// Takes an object away, as somebody else would.
    pub fn remove(&self, path: &str) {
        self.inner.lock().unwrap().objects.remove(path);
    }

    pub fn writes(&self) -> Vec<Write> {
        self.inner.lock().unwrap().writes.clone()
    }

    /// How often something was read.
    pub fn reads(&self) -> usize {
        self.inner.lock().unwrap().reads
    }

    /// The writes as `METHOD path`, for a look at their order.
    pub fn written(&self) -> Vec<String> {
        self.writes().iter().map(|write| format!("{} {}", write.method, write.path)).collect()
    }

    pub fn client(&self) -> Client {
        Client::new(self.clone(), "ns")
    }

    fn answer(&self, method: &str, path: &str, query: &str, body: Value) -> (u16, Value) {
        assert_eq!(super::rbac::refusal(method, path, query), None, "{method} {path}");
        if method != "GET" {
            let call = self.inner.lock().unwrap().before_write.remove(path);
            call.into_iter().for_each(|call| call());
        }
        let mut inner = self.inner.lock().unwrap();
        if method == "GET" {
            inner.reads += 1;
            return match inner.objects.get(path) {
                Some(object) => (200, object.clone()),
                None => (404, failure(404, "NotFound")),
            };
        }
        inner.writes.push(Write {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            body: body.clone(),
        });
        if let Some((code, message)) = inner.refused_once.remove(path) {
            return (code, failure(code, &message));
        }
        if let Some((code, message)) = inner.refused.get(path).filter(|_| method != "DELETE") {
            return (*code, failure(*code, message));
        }
        match method {
            "DELETE" => match inner.objects.remove(path) {
                Some(object) => (200, object),
                None => (404, failure(404, "NotFound")),
            },
            _ => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                let at = if method == "POST" { format!("{path}/{name}") } else { path.to_owned() };
                let object =
                    if body.is_object() { body } else { inner.objects.get(path).cloned().unwrap_or(json!({})) };
                inner.objects.insert(at, object.clone());
                (200, object)
            }
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
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code})
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
            let (code, object) =
                api_server.answer(parts.method.as_str(), parts.uri.path(), parts.uri.query().unwrap_or_default(), body);
            let response =
                axum::http::Response::builder().status(code).body(Body::from(object.to_string().into_bytes()));
            Ok(response.unwrap())
        })
    }
}
