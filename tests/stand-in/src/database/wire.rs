//! The wire protocol of PostgreSQL, over TLS and with a log-in that is bound to the certificate. See
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Cell, Session, SqlError, TEXT, query};

const CERTIFICATE: &[u8] = include_bytes!("certificate.pem");
const KEY: &[u8] = include_bytes!("key.pem");
/// The longest message that is received.
const MAX_LENGTH: u32 = 1 << 20;
/// What channel binding with the hash of the server's certificate begins with.
const BINDING: &str = "p=tls-server-end-point,,";

impl Session {
    /// Serves a connection until the client ends it.
    pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut self, mut stream: S) -> io::Result<()> {
        stream.read_exact(&mut [0; 8]).await?;
        stream.write_all(b"S").await?;
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE).map_err(io::Error::other)?;
        let stream = acceptor(&certificate)?.accept(stream).await?;
        let mut wire = Wire { stream, certificate };
        let start = wire.receive_body().await?;
        let mut settings = start.get(4..).unwrap_or_default().split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let mut user = String::new();
        while let (Some(name), Some(value)) = (settings.next(), settings.next()) {
            match &*name {
                "user" => user = value.into_owned(),
                "database" => self.database = value.into_owned(),
                _ => {}
            }
        }
        let verifier = self.verifier(&user);
        if !wire.log_in(verifier.as_deref().unwrap_or_default()).await? {
            let message = format!("password authentication failed for user \"{user}\"");
            return wire.send(&failed(&SqlError { code: "28P01", message })).await;
        }
        wire.send(&message(b'Z', b"I")).await?;
        wire.serve(&mut self).await
    }
}

/// Whether a SCRAM verifier is that of a password; `None` if it is none.
pub(super) fn is_of(verifier: &str, password: &str) -> Option<bool> {
    let parts: Vec<&str> = verifier.split(['$', ':']).collect();
    let [_, iterations, salt, stored_key, _] = parts.as_slice() else { return None };
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    let salt = STANDARD.decode(salt).ok()?;
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations.parse().ok()?, &salt, password.as_bytes(), &mut salted);
    let client_key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salted), b"Client Key");
    Some(digest::digest(&digest::SHA256, client_key.as_ref()).as_ref() == STANDARD.decode(stored_key).ok()?)
}

struct Wire<S> {
    stream: TlsStream<S>,
    certificate: CertificateDer<'static>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    async fn serve(&mut self, session: &mut Session) -> io::Result<()> {
        let mut prepared: HashMap<String, String> = HashMap::new();
        let mut bound = String::new();
        loop {
            let (tag, body) = self.receive().await?;
            let mut texts = body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            let mut text = || texts.next().unwrap_or_default().into_owned();
            let answer = match tag {
                b'P' => {
                    prepared.insert(text(), text());
                    message(b'1', b"")
                }
                b'D' => described(prepared.get(text().get(1..).unwrap_or_default()).map_or("", String::as_str)),
                b'B' => {
                    _ = text();
                    bound = prepared.get(&text()).cloned().unwrap_or_default();
                    message(b'2', b"")
                }
                b'E' => match query(&bound) {
                    Ok(query) => {
                        let rows = session.query(query).await;
                        let rows: Vec<u8> = rows.iter().flat_map(|row| encoded(row)).collect();
                        [rows, message(b'C', b"SELECT\0")].concat()
                    }
                    Err(error) => failed(&error),
                },
                b'C' => message(b'3', b""),
                b'S' => message(b'Z', b"I"),
                b'Q' => {
                    let result = session.execute(&text()).await;
                    let answer = result.map_or_else(|error| failed(&error), |()| message(b'C', b"OK\0"));
                    [answer, message(b'Z', b"I")].concat()
                }
                _ => return Ok(()),
            };
            self.send(&answer).await?;
        }
    }

    /// A SCRAM log-in, see [RFC 5802](https://www.rfc-editor.org/rfc/rfc5802). Whether the client has the password.
    async fn log_in(&mut self, verifier: &str) -> io::Result<bool> {
        let parts: Vec<&str> = verifier.split(['$', ':']).collect();
        let [_, iterations, salt, stored_key, server_key] = parts.as_slice() else { return Ok(false) };
        self.send(&request(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")).await?;
        let (_, body) = self.receive().await?;
        let first = String::from_utf8_lossy(&body).into_owned();
        let bare = first.split_once(BINDING).ok_or_else(|| refused("the log-in is not bound"))?.1;
        let nonce = bare.split_once("r=").ok_or_else(|| refused("there is no nonce"))?.1;
        let challenge = format!("r={nonce}server,s={salt},i={iterations}");
        self.send(&request(11, challenge.as_bytes())).await?;
        let (_, body) = self.receive().await?;
        let last = String::from_utf8_lossy(&body).into_owned();
        let (without_proof, proof) = last.rsplit_once(",p=").ok_or_else(|| refused("there is no proof"))?;
        let hash = digest::digest(&digest::SHA256, &self.certificate);
        let bound = STANDARD.encode([BINDING.as_bytes(), hash.as_ref()].concat());
        if !without_proof.starts_with(&format!("c={bound},")) {
            return Err(refused("the log-in is bound to another certificate"));
        }
        let all = format!("{bare},{challenge},{without_proof}");
        let sign = |key: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), all.as_bytes());
        let decoded = |text: &str| STANDARD.decode(text).map_err(io::Error::other);
        let (stored_key, proof) = (decoded(stored_key)?, decoded(proof)?);
        let client_key: Vec<u8> =
            proof.iter().zip(sign(&stored_key).as_ref()).map(|(one, other)| one ^ other).collect();
        if digest::digest(&digest::SHA256, &client_key).as_ref() != stored_key {
            return Ok(false);
        }
        let signature = STANDARD.encode(sign(&decoded(server_key)?));
        self.send(&[request(12, format!("v={signature}").as_bytes()), request(0, b"")].concat()).await?;
        Ok(true)
    }

    async fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let tag = self.stream.read_u8().await?;
        Ok((tag, self.receive_body().await?))
    }

    async fn receive_body(&mut self) -> io::Result<Vec<u8>> {
        let length = self.stream.read_u32().await?;
        if !(4..MAX_LENGTH).contains(&length) {
            return Err(refused("a message is too long"));
        }
        let mut body = vec![0; length as usize - 4];
        self.stream.read_exact(&mut body).await?;
        Ok(body)
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }
}

fn refused(what: &str) -> io::Error {
    io::Error::other(what)
}

fn acceptor(certificate: &CertificateDer<'static>) -> io::Result<TlsAcceptor> {
    let key = PrivateKeyDer::from_pem_slice(KEY).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    [&[tag], &length[..], body].concat()
}

/// A message about the log-in.
fn request(kind: u32, details: &[u8]) -> Vec<u8> {
    message(b'R', &[&kind.to_be_bytes(), details].concat())
}

fn failed(error: &SqlError) -> Vec<u8> {
    let SqlError { code, message: text } = error;
    message(b'E', format!("SERROR\0VERROR\0C{code}\0M{text}\0\0").as_bytes())
}

fn count(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes()
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

/// The parameters and columns of a statement.
fn described(sql: &str) -> Vec<u8> {
    let found = match query(sql) {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    let mut parameters = count(found.parameters.len()).to_vec();
    parameters.extend(found.parameters.iter().flat_map(|kind| kind.to_be_bytes()));
    let mut columns = count(found.columns.len()).to_vec();
    for kind in found.columns {
        columns.extend([b"c\0\0\0\0\0\0\0", &kind.to_be_bytes()[..], &[0xff; 6], &[0; 2]].concat());
    }
    [message(b't', &parameters), message(b'T', &columns)].concat()
}

/// A row in binary form.
fn encoded(row: &[Cell]) -> Vec<u8> {
    let mut body = count(row.len()).to_vec();
    for cell in row {
        let value = match cell {
            Cell::Null => {
                body.extend([0xff; 4]);
                continue;
            }
            Cell::Bool(value) => vec![u8::from(*value)],
            Cell::Int4(value) => value.to_be_bytes().to_vec(),
            Cell::Text(text) => text.clone().into_bytes(),
            Cell::Texts(texts) => list(texts),
        };
        body.extend(length(value.len()));
        body.extend(value);
    }
    message(b'D', &body)
}

/// An array of one dimension.
fn list(texts: &[String]) -> Vec<u8> {
    let dimensions = u32::from(!texts.is_empty());
    let mut bytes = [dimensions.to_be_bytes(), [0; 4], TEXT.to_be_bytes()].concat();
    if dimensions == 1 {
        bytes.extend([length(texts.len()), 1_u32.to_be_bytes()].concat());
    }
    for text in texts {
        bytes.extend(length(text.len()));
        bytes.extend(text.as_bytes());
    }
    bytes
}
