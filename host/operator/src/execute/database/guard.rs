//! Checks the messages of a server before the client library reads them: the requested log-in, and the amount of data.
//!
//! The tenant controls the processes in a database's pod. They could ask for a password in plain, and the client
//! library buffers as many bytes as the header of a message announces.
//!
//! `tokio-postgres` has no option for the log-ins to accept (libpq's
//! [`require_auth`](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH)), and none for
//! the amount of data that it buffers.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// The longest accepted message of a server, in bytes.
pub(super) const MAX_MESSAGE: usize = 1 << 20;
/// The most bytes that a server may send over one connection.
pub(super) const MAX_TOTAL: usize = 8 << 20;
/// The longest request for a log-in, in bytes.
const MAX_REQUEST: usize = 4096;
/// The tag of an authentication message, and its kinds.
///
/// See [message formats](https://www.postgresql.org/docs/current/protocol-message-formats.html).
const AUTHENTICATION: u8 = b'R';
const OK: u32 = 0;
const CLEARTEXT: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;
/// The length of a message's header: its tag, and its length without the tag.
const HEADER: usize = 5;
/// The SASL mechanism with channel binding to the server's certificate.
const BOUND: &[u8] = b"SCRAM-SHA-256-PLUS";

/// The reason why the operator closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The server asks for the password itself.
    #[error("the server asks for the password in plain; let pg_hba.conf ask for scram-sha-256")]
    Cleartext,
    /// The server asks for an md5 hash of the password, and proves nothing about itself.
    #[error(
        "the server asks for the password as md5, which does not prove that it is the cluster's; \
        set password_encryption to scram-sha-256 and the superuser's password again, \
        or name the certificate authority in spec.tls.caFile"
    )]
    Md5,
    /// The server asks for no password at all.
    #[error("the server asks for no password, so any server could answer; let pg_hba.conf ask for scram-sha-256")]
    NoPassword,
    /// The server does not bind the log-in to its certificate.
    #[error("the server does not offer SCRAM-SHA-256-PLUS, which binds the log-in to its certificate")]
    Unbound,
    /// The server asks for a log-in that is not supported.
    #[error("the server asks for a log-in that is not supported")]
    Unsupported,
    /// A message is too long.
    #[error("the server sent a message of more than {MAX_MESSAGE} bytes")]
    MessageTooLong,
    /// All messages together are too long.
    #[error("the server sent more than {MAX_TOTAL} bytes")]
    TooMuch,
}

/// TLS whose incoming messages are checked.
pub(super) struct Guarded<T> {
    pub tls: T,
    pub screen: Screen,
}

impl<S, T> TlsConnect<S> for Guarded<T>
where
    S: Send + 'static,
    T: TlsConnect<S>,
    T::Stream: Send,
    T::Future: Send + 'static,
    T::Error: 'static,
{
    type Stream = GuardedStream<T::Stream>;
    type Error = T::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, Self::Error>>;

    fn connect(self, stream: S) -> Self::Future {
        let Self { tls, screen } = self;
        let connecting = tls.connect(stream);
        async move { Ok(GuardedStream { stream: connecting.await?, screen }) }.boxed()
    }
}

/// A stream whose incoming messages are checked.
pub(super) struct GuardedStream<S> {
    stream: S,
    screen: Screen,
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let received = buffer.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.screen.pass(received).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for GuardedStream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// Parses the headers of a server's messages, and the first authentication message.
pub(super) struct Screen {
    /// Whether an authority has verified the server's certificate.
    verified: bool,
    /// The reason why the connection was closed; shared with the callers of queries, which only get a closed
    /// connection.
    refusal: Arc<OnceLock<Refusal>>,
    /// Whether the log-in that the server asks for was accepted.
    admitted: bool,
    total: usize,
    header: Vec<u8>,
    /// The bytes of the current message that have not been received yet.
    left: usize,
    /// The received part of the current authentication message.
    request: Option<Vec<u8>>,
}

impl Screen {
    pub(super) fn new(verified: bool) -> Self {
        Self {
            verified,
            refusal: Arc::default(),
            admitted: false,
            total: 0,
            header: Vec::with_capacity(HEADER),
            left: 0,
            request: None,
        }
    }

    /// The place of the reason why the connection was closed.
    pub(super) fn refusal(&self) -> Arc<OnceLock<Refusal>> {
        self.refusal.clone()
    }

    fn pass(&mut self, received: &[u8]) -> Result<(), Refusal> {
        if let Some(refusal) = self.refusal.get() {
            return Err(*refusal);
        }
        self.judge_all(received).map_err(|refusal| *self.refusal.get_or_init(|| refusal))
    }

    fn judge_all(&mut self, mut received: &[u8]) -> Result<(), Refusal> {
        self.total = self.total.saturating_add(received.len());
        if self.total > MAX_TOTAL {
            return Err(Refusal::TooMuch);
        }
        while !received.is_empty() {
            if self.left == 0 {
                let (head, rest) = received.split_at(received.len().min(HEADER.saturating_sub(self.header.len())));
                self.header.extend_from_slice(head);
                received = rest;
                self.read_header()?;
            }
            let (body, rest) = received.split_at(received.len().min(self.left));
            if let Some(request) = &mut self.request {
                request.extend_from_slice(body);
            }
            self.left -= body.len();
            received = rest;
            if self.left == 0
                && let Some(request) = self.request.take()
            {
                self.judge(&request)?;
            }
        }
        Ok(())
    }

    /// Begins a message when its header is complete.
    fn read_header(&mut self) -> Result<(), Refusal> {
        let [tag, length @ ..] = self.header.as_slice() else { return Ok(()) };
        let Ok(length) = <[u8; 4]>::try_from(length) else { return Ok(()) };
        let is_request = *tag == AUTHENTICATION && !self.admitted;
        let limit = if is_request { MAX_REQUEST } else { MAX_MESSAGE };
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > limit {
            return Err(Refusal::MessageTooLong);
        }
        // The client library refuses a length below 4, the size of the length itself.
        self.left = length.saturating_sub(4);
        self.request = is_request.then(Vec::new);
        self.header.clear();
        Ok(())
    }

    /// Checks an authentication message before the client library answers it.
    fn judge(&mut self, request: &[u8]) -> Result<(), Refusal> {
        let Some((kind, details)) = request.split_first_chunk::<4>() else { return Err(Refusal::Unsupported) };
        match u32::from_be_bytes(*kind) {
            SASL if details.split(|byte| *byte == 0).any(|mechanism| mechanism == BOUND) => {}
            SASL => return Err(Refusal::Unbound),
            MD5 | OK if self.verified => {}
            MD5 => return Err(Refusal::Md5),
            OK => return Err(Refusal::NoPassword),
            CLEARTEXT => return Err(Refusal::Cleartext),
            _ => return Err(Refusal::Unsupported),
        }
        self.admitted = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag], &length[..], body].concat()
    }

    fn request(kind: u32, details: &[u8]) -> Vec<u8> {
        message(AUTHENTICATION, &[&kind.to_be_bytes(), details].concat())
    }

    /// The verdict on the bytes, received at once and one by one.
    fn judged(verified: bool, bytes: &[u8]) -> Result<(), Refusal> {
        let at_once = Screen::new(verified).pass(bytes);
        let mut screen = Screen::new(verified);
        let one_by_one = bytes.iter().try_for_each(|byte| screen.pass(&[*byte]));
        assert_eq!(at_once, one_by_one);
        at_once
    }

    #[test]
    fn only_a_log_in_that_is_bound_to_the_certificate_is_accepted() {
        let bound = request(SASL, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
        assert_eq!(judged(false, &bound), Ok(()));
        for (bytes, refusal) in [
            (request(CLEARTEXT, b""), Refusal::Cleartext),
            (request(MD5, b"salt"), Refusal::Md5),
            (request(OK, b""), Refusal::NoPassword),
            (request(SASL, b"SCRAM-SHA-256\0\0"), Refusal::Unbound),
            (request(SASL, b"XSCRAM-SHA-256-PLUS\0\0"), Refusal::Unbound),
            (request(7, b""), Refusal::Unsupported),
            (message(AUTHENTICATION, b"R"), Refusal::Unsupported),
        ] {
            assert_eq!(judged(false, &bytes), Err(refusal));
        }
    }

    #[test]
    fn a_verified_server_may_ask_for_md5_and_never_for_the_password_itself() {
        assert_eq!(judged(true, &request(MD5, b"salt")), Ok(()));
        assert_eq!(judged(true, &request(CLEARTEXT, b"")), Err(Refusal::Cleartext));
        assert_eq!(judged(true, &request(SASL, b"SCRAM-SHA-256\0\0")), Err(Refusal::Unbound));
    }

    #[test]
    fn messages_before_the_request_and_after_it_pass() {
        let bound = request(SASL, b"SCRAM-SHA-256-PLUS\0\0");
        let log_in = [bound, request(11, b"r=server"), request(12, b"v=proof"), request(OK, b"")].concat();
        assert_eq!(judged(false, &[message(b'N', b"notice\0"), log_in, message(b'Z', b"I")].concat()), Ok(()));
    }

    #[test]
    fn a_message_is_refused_by_the_length_that_it_claims_before_it_comes() {
        let claims = |tag: u8, length: usize| [&[tag], &u32::try_from(length).unwrap().to_be_bytes()[..]].concat();
        assert_eq!(judged(false, &claims(b'D', MAX_MESSAGE)), Ok(()));
        assert_eq!(judged(false, &claims(b'D', MAX_MESSAGE + 1)), Err(Refusal::MessageTooLong));
        assert_eq!(judged(false, &claims(AUTHENTICATION, MAX_REQUEST + 1)), Err(Refusal::MessageTooLong));
    }

    #[test]
    fn all_messages_together_are_limited_and_a_refused_connection_stays_refused() {
        let mut screen = Screen::new(false);
        let mut passed = 0;
        let notice = message(b'N', &[b'x'; 1 << 16]);
        while screen.pass(&notice).is_ok() {
            passed += notice.len();
        }
        assert!(passed <= MAX_TOTAL && passed > MAX_TOTAL - notice.len());
        assert_eq!(screen.pass(b""), Err(Refusal::TooMuch));
        assert_eq!(screen.refusal().get(), Some(&Refusal::TooMuch));
    }
}
