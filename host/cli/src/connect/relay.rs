//! One client's connection: passed to a path to the database, and to another path while none has answered yet.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, anyhow};
use pgloom_common::error::error_chain;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, copy_bidirectional};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::info;

/// The timeouts of the relay.
pub struct Timing {
    /// The time between two paths.
    pub retry: Duration,
    /// The time to wait for a leader: longer than Patroni's default `ttl` of 30 s and a promotion.
    pub leader: Duration,
    /// The time for the API server to open a path, and for a database to answer a client's first message. A database
    /// that hangs accepts connections and does not answer.
    pub answer: Duration,
}

/// The timeouts of `pgloom connect`.
pub const TIMING: Timing =
    Timing { retry: Duration::from_secs(1), leader: Duration::from_secs(90), answer: Duration::from_secs(10) };

/// The bytes of a client's first message that are kept: the longest start-up message that PostgreSQL accepts
/// (`MAX_STARTUP_PACKET_LENGTH`).
const FIRST_MESSAGE: usize = 10_000;
/// The code of a CancelRequest, the only message that PostgreSQL does not answer:
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>.
const CANCEL_REQUEST: u32 = 80_877_102;

/// A stream to a database's port.
pub struct Path {
    /// The stream.
    pub stream: DuplexStream,
    /// The reason why the port cannot be used; `None` if the stream ended without an error.
    pub error: Pin<Box<dyn Future<Output = Option<String>> + Send>>,
}

/// Passes a client's connection to the first path on which a database answers. What the client sent until then is sent
/// again on each path: it is the start of a session, which has no effect before the answer.
///
/// # Errors
/// If no database answers in time, with the reason of the last path.
pub async fn relay<C, O>(mut client: C, open: impl Fn() -> O, timing: &Timing) -> Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    O: Future<Output = Result<Path>>,
{
    let deadline = Instant::now() + timing.leader;
    let mut first_message = Vec::new();
    let mut waiting = false;
    loop {
        let reason = match timeout(timing.answer, open()).await {
            Ok(Ok(mut path)) => match first_answer(&mut client, &mut path, &mut first_message, timing.answer).await? {
                First::Answer(answer) => {
                    client.write_all(&answer).await?;
                    // From here on the relay only copies bytes; client and database end the session.
                    let _ = copy_bidirectional(&mut client, &mut path.stream).await;
                    return Ok(());
                }
                First::End => return Ok(()),
                First::Failure(reason) => reason,
            },
            Ok(Err(reason)) => reason,
            Err(_) => anyhow!("the API server does not answer"),
        };
        if Instant::now() > deadline {
            return Err(reason.context(format!("no leader answered within {:?}", timing.leader)));
        }
        if !waiting {
            info!("waiting for a leader: {}", error_chain(&*reason));
        }
        waiting = true;
        sleep(timing.retry).await;
    }
}

/// The first event on a path.
enum First {
    /// The database sent these bytes.
    Answer(Vec<u8>),
    /// The client or the database closed the connection.
    End,
    /// The path cannot be used.
    Failure(anyhow::Error),
}

/// Passes on what the client sends, until the database answers.
async fn first_answer<C>(
    client: &mut C,
    path: &mut Path,
    first_message: &mut Vec<u8>,
    patience: Duration,
) -> Result<First>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let (mut message, mut answer) = (vec![0; FIRST_MESSAGE], vec![0; FIRST_MESSAGE]);
    let mut deadline = Instant::now() + patience;
    if let Err(error) = path.stream.write_all(first_message).await {
        return Ok(First::Failure(error.into()));
    }
    loop {
        tokio::select! {
            read = client.read(&mut message), if first_message.len() < FIRST_MESSAGE => {
                let message = &message[..read?];
                if message.is_empty() {
                    return Ok(First::End);
                }
                first_message.extend_from_slice(message);
                deadline = Instant::now() + patience;
                // An error of this write is reported by the read of the answer.
                let _ = path.stream.write_all(message).await;
            }
            read = path.stream.read(&mut answer) => {
                let length = read.unwrap_or_default();
                if length > 0 {
                    answer.truncate(length);
                    return Ok(First::Answer(answer));
                }
                return Ok(ended(path, first_message).await);
            }
            () = sleep_until(deadline), if !first_message.is_empty() => {
                return Ok(First::Failure(anyhow!("the database does not answer")));
            }
        }
    }
}

/// The meaning of a path that ended without an answer.
async fn ended(path: &mut Path, first_message: &[u8]) -> First {
    match path.error.as_mut().await {
        Some(error) => First::Failure(anyhow!(error)),
        None if is_cancel_request(first_message) => First::End,
        None => First::Failure(anyhow!("the database closed the connection")),
    }
}

fn is_cancel_request(message: &[u8]) -> bool {
    message.get(4..8) == Some(&CANCEL_REQUEST.to_be_bytes()[..])
}

#[cfg(test)]
mod tests;
