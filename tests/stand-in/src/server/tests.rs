//! Tests of the server over loopback.

use super::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const MANIFEST: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m","namespace":"ns"}}"#;

async fn send(address: SocketAddr, head: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
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
