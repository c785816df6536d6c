//! A server on loopback in the place of AWS, for what it answers only when something is wrong.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use parking_lot::Mutex;

/// A call as it arrived.
#[derive(Clone, Debug)]
pub struct Call {
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The form.
    pub body: String,
}

impl Call {
    /// A header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(header, _)| header == name).map_or("", |(_, value)| value)
    }
}

/// The server.
pub struct Cloud {
    /// Its address.
    pub url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Cloud {
    /// Starts a server that answers a path and a form with a status and a body.
    pub async fn start(answer: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self::start_with(move |path, call| answer(path, &call.body)).await
    }

    /// Starts a server that answers a path and a call with a status and a body.
    pub async fn start_with(answer: impl Fn(&str, &Call) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (calls, answer) = (Arc::<Mutex<Vec<Call>>>::default(), Arc::new(answer));
        let seen = calls.clone();
        let respond = move |uri: Uri, headers: HeaderMap, request: Request<Body>| {
            let (seen, answer) = (seen.clone(), answer.clone());
            async move {
                let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
                let body = String::from_utf8(body.to_vec()).unwrap();
                let text =
                    |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
                let call = Call { headers: headers.iter().map(text).collect(), body };
                let (status, text) = answer(uri.path(), &call);
                seen.lock().push(call);
                Response::builder().status(status).body(Body::from(text)).unwrap()
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(respond)).await.unwrap() });
        Self { url, calls }
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// The names of the actions that were called.
    pub fn actions(&self) -> Vec<String> {
        let action = |call: Call| call.body.trim_start_matches("Action=").split('&').next().unwrap().to_owned();
        self.calls().into_iter().map(action).collect()
    }
}
