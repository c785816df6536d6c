//! Connections on loopback whose packets are acknowledged at once.
//!
//! The client may hold back a small packet until the one before is acknowledged, and the kernel delays acknowledgements by
//! 40 ms. A test whose clock advances when nothing happens would take that time for minutes.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A listener whose connections are [`Prompt`].
pub struct PromptListener(pub TcpListener);

/// A connection that neither delays its own packets nor its acknowledgements.
pub struct Prompt(TcpStream);

impl Listener for PromptListener {
    type Io = Prompt;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Prompt, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        _ = stream.set_nodelay(true);
        (Prompt(stream), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl AsyncRead for Prompt {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(cx, buffer);
        // The kernel switches it off again by itself.
        _ = self.0.set_quickack(true);
        read
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
