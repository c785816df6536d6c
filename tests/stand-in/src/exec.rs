//! Commands in containers, over a WebSocket as the API server has them.

use axum::http::HeaderMap;
use axum::response::Response;
use futures::SinkExt as _;
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::path::{Place, pairs};
use crate::web_socket::{self, Socket};

const OUTPUT: u8 = 1;
const ERRORS: u8 = 2;
const STATUS: u8 = 3;

/// A command as it arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The namespace of the pod.
    pub namespace: String,
    /// The name of the pod.
    pub pod: String,
    /// The name of the container.
    pub container: String,
    /// The program and its arguments.
    pub words: Vec<String>,
    /// What is attached, as in `stdout` and `stderr`.
    pub attached: Vec<String>,
}

/// How a command ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with what it wrote to standard output, and to standard error, and its exit code.
    Exit(&'static str, &'static str, i32),
    /// The container has no such program.
    Absent,
    /// The connection ends before the command does.
    Cut,
    /// Not at all.
    Never,
}

impl Command {
    /// The command of a request.
    pub(crate) fn of(place: &Place, query: &str) -> Self {
        let pod = place.name.clone().unwrap_or_default();
        let mut command = Self { namespace: place.namespace.clone(), pod, ..Self::default() };
        for (name, value) in pairs(query) {
            match name.as_str() {
                "command" => command.words.push(value),
                "container" => command.container = value,
                _ if value == "true" => command.attached.push(name),
                _ => {}
            }
        }
        command
    }
}

/// Accepts the request for a command that ends so.
pub fn accept(end: End, headers: &HeaderMap, upgrade: OnUpgrade) -> Response {
    web_socket::accept(headers, upgrade, |socket| answer(socket, end))
}

async fn answer(mut socket: Socket, end: End) {
    let (output, errors, status) = match end {
        End::Exit(output, errors, 0) => (output, errors, json!({"status": "Success"})),
        End::Exit(output, errors, code) => (output, errors, exited(code)),
        End::Absent => ("", "", json!({"status": "Failure", "reason": "InternalError", "message": "no such program"})),
        End::Cut => return,
        End::Never => return std::future::pending().await,
    };
    let status = status.to_string();
    for (channel, text) in [(OUTPUT, output), (ERRORS, errors), (STATUS, status.as_str())] {
        // A client that goes away early needs no answer.
        _ = socket.send(Message::binary([&[channel], text.as_bytes()].concat())).await;
    }
    _ = socket.close(None).await;
}

fn exited(code: i32) -> Value {
    let causes = json!([{"reason": "ExitCode", "message": code.to_string()}]);
    json!({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}})
}
