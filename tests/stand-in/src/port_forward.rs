//! Port-forwards to a member's database, over a WebSocket as the API server has them.

use std::io;

use axum::http::HeaderMap;
use axum::response::Response;
use futures::{SinkExt as _, StreamExt as _};
use hyper::upgrade::OnUpgrade;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::database::Session;
use crate::web_socket::{self, Socket};

/// PostgreSQL's port.
const PORT: u16 = 5432;
const BUFFER: usize = 1 << 16;

/// Accepts a port-forward, which serves `session`.
pub fn accept(session: Session, headers: &HeaderMap, upgrade: OnUpgrade) -> Response {
    // An operator that is killed closes the connection.
    web_socket::accept(headers, upgrade, |socket| async move { _ = carry(socket, session).await })
}

/// Carries bytes between the WebSocket and the session. Channel 0 is for data, and channel 1 for an error; each begins
/// with the port.
async fn carry(mut socket: Socket, session: Session) -> io::Result<()> {
    let [low, high] = PORT.to_le_bytes();
    for channel in [0, 1] {
        socket.send(Message::binary(vec![channel, low, high])).await.map_err(io::Error::other)?;
    }
    let (mut near, far) = tokio::io::duplex(BUFFER);
    tokio::spawn(session.serve(far));
    let mut buffer = vec![0; BUFFER];
    loop {
        tokio::select! {
            received = socket.next() => match received {
                Some(Ok(Message::Binary(bytes))) => near.write_all(bytes.get(1..).unwrap_or_default()).await?,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => {}
            },
            read = near.read(&mut buffer) => {
                let Some(bytes) = buffer.get(..read?).filter(|bytes| !bytes.is_empty()) else { break };
                let message = [&[0], bytes].concat();
                socket.send(Message::binary(message)).await.map_err(io::Error::other)?;
            }
        }
    }
    socket.close(None).await.map_err(io::Error::other)
}
