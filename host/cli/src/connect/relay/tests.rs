//! Tests of the relay, with paths in memory.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use tokio::io::duplex;

/// Timeouts for a busy machine; only a path that hangs takes that long.
const TIMING: Timing =
    Timing { retry: Duration::from_millis(1), leader: Duration::from_secs(60), answer: Duration::from_secs(2) };

/// The behaviour of a path.
enum Try {
    NoLeader,
    /// The API server reports that the pod refused.
    Refused,
    /// The database closes without an answer.
    Closed,
    /// The database reads a message of 16 bytes and closes without an answer.
    Taken,
    /// The database accepts the connection and sends nothing.
    Hung,
    /// The database answers.
    Good,
}

/// Connects a client that sends `hello`; returns what it reads until the end, and the number of unused paths.
async fn session(hello: &[u8], tries: impl IntoIterator<Item = Try>, timing: &Timing) -> (Result<()>, Vec<u8>, usize) {
    let tries = Mutex::new(tries.into_iter().collect::<VecDeque<_>>());
    let (mut client, inner) = duplex(100_000);
    let closes = hello.is_empty();
    client.write_all(hello).await.unwrap();
    let client = async move {
        let mut received = Vec::new();
        if closes {
            client.shutdown().await.unwrap();
        }
        client.read_to_end(&mut received).await.unwrap();
        received
    };
    let open = || {
        let next = tries.lock().unwrap().pop_front().unwrap_or(Try::NoLeader);
        async { path(next) }
    };
    let relay = async { relay(inner, open, timing).await };
    let (result, received) = tokio::join!(relay, client);
    let left = tries.lock().unwrap().len();
    (result, received, left)
}

fn path(kind: Try) -> Result<Path> {
    let (stream, mut database) = duplex(100_000);
    let mut reason = None;
    match kind {
        Try::NoLeader => return Err(anyhow!("no pod leads")),
        Try::Refused => reason = Some("connection refused".to_owned()),
        Try::Closed => {}
        Try::Taken => drop(tokio::spawn(async move { database.read_exact(&mut [0; 16]).await })),
        Try::Hung => drop(tokio::spawn(async move { database.read_to_end(&mut Vec::new()).await })),
        Try::Good => drop(tokio::spawn(async move {
            let mut hello = [0; 5];
            database.read_exact(&mut hello).await?;
            database.write_all(b"S").await?;
            database.write_all(&hello).await
        })),
    }
    Ok(Path { stream, error: Box::pin(async { reason }) })
}

#[tokio::test]
async fn a_client_gets_what_the_database_answers() {
    let (result, received, _) = session(b"hello", [Try::Good], &TIMING).await;
    assert_eq!((result.is_ok(), &received[..]), (true, &b"Shello"[..]));
}

#[tokio::test]
async fn a_client_waits_through_a_failover_and_is_answered_by_the_next_leader() {
    let failover = [Try::Refused, Try::NoLeader, Try::Closed, Try::Hung, Try::Good];
    let (result, received, _) = session(b"hello", failover, &TIMING).await;
    assert_eq!((result.is_ok(), &received[..]), (true, &b"Shello"[..]));
}

#[tokio::test]
async fn without_a_leader_the_connection_ends_with_the_last_reason() {
    let (result, received, _) = session(b"hello", [], &Timing { leader: Duration::from_millis(20), ..TIMING }).await;
    let error = format!("{:#}", result.unwrap_err());
    assert_eq!((error.as_str(), &received[..]), ("no leader answered within 20ms: no pod leads", &b""[..]));
}

#[tokio::test]
async fn a_cancel_request_is_sent_once_since_it_has_no_answer() {
    let cancel = [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2];
    let (result, received, left) = session(&cancel, [Try::Taken, Try::Good], &TIMING).await;
    assert_eq!((result.is_ok(), received.len(), left), (true, 0, 1));
}

#[tokio::test]
async fn a_client_that_closes_at_once_opens_no_second_path() {
    let (result, received, left) = session(b"", [Try::Hung, Try::Good], &TIMING).await;
    assert_eq!((result.is_ok(), received.len(), left), (true, 0, 1));
}
