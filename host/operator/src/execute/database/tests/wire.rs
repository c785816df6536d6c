//! Tests with malicious and faulty servers: a fake server that speaks the wire protocol and records what it receives.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex as Lock;
use ring::{digest, hmac, pbkdf2};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

const SECRET: &str = "canary-password";

/// How the fake server asks for the log-in.
#[derive(Clone, Copy, Debug)]
enum LogIn {
    Cleartext,
    Md5,
    Nothing,
    PlainScram,
    /// As a server that knows this password.
    Scram(&'static str),
}

/// A fake server. It answers every statement of a connection with the next of its answers, and then hangs up.
struct Fake {
    server: Server,
    received: Arc<Lock<Vec<u8>>>,
}

impl Fake {
    fn start(log_in: LogIn, answers: Vec<Vec<u8>>) -> Self {
        Self::start_with(log_in, answers.clone(), answers)
    }

    /// The answers over the first connection, and over each later one.
    fn start_with(log_in: LogIn, mut answers: Vec<Vec<u8>>, later: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Lock::new(Vec::new()));
        let record = received.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // In some tests the client closes the connection early, so an error is expected.
                _ = serve(stream.unwrap(), log_in, &answers, &record);
                answers.clone_from(&later);
            }
        });
        let way = Tcp { host: "127.0.0.1".into(), port };
        Self { server: Server::new("fake", Arc::new(way), Tls::new(None).unwrap()), received }
    }

    fn verified(self, pem: &str) -> Self {
        Self { server: self.server.with_tls(Tls::new(Some(pem.as_bytes())).unwrap()), ..self }
    }

    async fn open(&self) -> Result<Session, Error> {
        Session::open(&self.server, MAINTENANCE, "postgres", &Password::new(SECRET)).await
    }

    /// Whether the password, or anything that answers a request for one, was received.
    fn received_an_answer(&self) -> bool {
        let received = self.received.lock();
        // The start-up message has no tag. After it, a client answers an authentication request with the tag `p`.
        let length = received.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        let after = received.get(length..).unwrap_or_default();
        after.first() == Some(&b'p') || contains(&received, SECRET)
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag], &length[..], body].concat()
}

fn request(kind: u32, details: &[u8]) -> Vec<u8> {
    message(b'R', &[&kind.to_be_bytes(), details].concat())
}

type Encrypted = StreamOwned<ServerConnection, TcpStream>;

fn serve(mut stream: TcpStream, log_in: LogIn, answers: &[Vec<u8>], record: &Lock<Vec<u8>>) -> std::io::Result<()> {
    let mut ssl_request = [0; 8];
    stream.read_exact(&mut ssl_request)?;
    stream.write_all(b"S")?;
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
    receive_body(&mut stream, record)?;
    match log_in {
        LogIn::Cleartext => stream.write_all(&request(3, b""))?,
        LogIn::Md5 => stream.write_all(&request(5, b"salt"))?,
        LogIn::Nothing => stream.write_all(&request(0, b""))?,
        LogIn::PlainScram => stream.write_all(&request(10, b"SCRAM-SHA-256\0\0"))?,
        LogIn::Scram(password) => scram(&mut stream, password, certificate.as_ref(), record)?,
    }
    if matches!(log_in, LogIn::Md5) {
        receive(&mut stream, record)?;
        stream.write_all(&request(0, b""))?;
    }
    stream.write_all(&message(b'Z', b"I"))?;
    let mut answers = answers.iter();
    let mut closes = false;
    loop {
        let (tag, _) = receive(&mut stream, record)?;
        if tag == b'C' {
            closes = true;
        } else if tag == b'S' && std::mem::take(&mut closes) {
            // A statement that the client no longer needs: CloseComplete.
            stream.write_all(&[message(b'3', b""), message(b'Z', b"I")].concat())?;
        } else if matches!(tag, b'S' | b'Q') {
            let Some(answer) = answers.next() else { return Ok(()) };
            stream.write_all(answer)?;
        }
    }
}

/// Receives a message without its tag.
fn receive_body(stream: &mut Encrypted, record: &Lock<Vec<u8>>) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    record.lock().extend_from_slice(&length);
    stream.read_exact(&mut body)?;
    record.lock().extend_from_slice(&body);
    Ok(body)
}

fn receive(stream: &mut Encrypted, record: &Lock<Vec<u8>>) -> std::io::Result<(u8, Vec<u8>)> {
    let mut tag = [0];
    stream.read_exact(&mut tag)?;
    record.lock().push(tag[0]);
    Ok((tag[0], receive_body(stream, record)?))
}

/// A SCRAM log-in with channel binding, see [RFC 5802](https://www.rfc-editor.org/rfc/rfc5802).
fn scram(stream: &mut Encrypted, password: &str, certificate: &[u8], record: &Lock<Vec<u8>>) -> std::io::Result<()> {
    stream.write_all(&request(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"))?;
    let (_, body) = receive(stream, record)?;
    let (mechanism, rest) = body.split_at(body.iter().position(|byte| *byte == 0).unwrap());
    assert_eq!(mechanism, b"SCRAM-SHA-256-PLUS");
    let first = String::from_utf8(rest[5..].to_vec()).unwrap();
    let binding = "p=tls-server-end-point,,";
    let bare = first.strip_prefix(binding).unwrap();
    let nonce = bare.split_once("r=").unwrap().1;
    let challenge = format!("r={nonce}server,s={},i=4096", STANDARD.encode("salt"));
    stream.write_all(&request(11, challenge.as_bytes()))?;
    let (_, body) = receive(stream, record)?;
    let last = String::from_utf8(body).unwrap();
    let (without_proof, proof) = last.rsplit_once(",p=").unwrap();
    let bound = [binding.as_bytes(), digest::digest(&digest::SHA256, certificate).as_ref()].concat();
    assert!(without_proof.starts_with(&format!("c={},", STANDARD.encode(bound))));
    let all = format!("{bare},{challenge},{without_proof}");
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    let rounds = std::num::NonZeroU32::new(4096).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, b"salt", password.as_bytes(), &mut salted);
    let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let client_key = sign(&salted, b"Client Key");
    let signature = sign(digest::digest(&digest::SHA256, client_key.as_ref()).as_ref(), all.as_bytes());
    let expected: Vec<u8> =
        client_key.as_ref().iter().zip(signature.as_ref()).map(|(one, other)| one ^ other).collect();
    let knows = STANDARD.decode(proof).unwrap() == expected;
    let signature = sign(sign(&salted, b"Server Key").as_ref(), all.as_bytes());
    // A server without the password cannot compute the signature; it continues as if it could.
    assert!(knows || password != SECRET);
    stream.write_all(&request(12, format!("v={}", STANDARD.encode(signature)).as_bytes()))?;
    stream.write_all(&request(0, b""))
}

/// The answer to the preparation of a statement with as many parameters, and columns of these types.
fn prepared(parameters: &[u32], columns: &[u32]) -> Vec<u8> {
    let count = |list: &[u32]| u16::try_from(list.len()).unwrap().to_be_bytes();
    let parameters = [&count(parameters)[..], &parameters.iter().flat_map(|one| one.to_be_bytes()).collect::<Vec<_>>()];
    let column = |kind: &u32| [b"c\0\0\0\0\0\0\0", &kind.to_be_bytes()[..], &[0xff; 6], &[0; 2]].concat();
    let columns = [&count(columns)[..], &columns.iter().flat_map(column).collect::<Vec<_>>()];
    [message(b'1', b""), message(b't', &parameters.concat()), message(b'T', &columns.concat()), message(b'Z', b"I")]
        .concat()
}

fn row(columns: &[&[u8]]) -> Vec<u8> {
    let count = u16::try_from(columns.len()).unwrap().to_be_bytes();
    let column = |value: &&[u8]| [&u32::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat();
    message(b'D', &[&count[..], &columns.iter().flat_map(column).collect::<Vec<_>>()].concat())
}

/// The answer to the execution of a statement.
fn rows(rows: &[Vec<u8>]) -> Vec<u8> {
    [message(b'2', b""), rows.concat(), message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

const TEXT: u32 = 25;
const BOOL: u32 = 16;

/// The answers to the first statements of every session.
fn begun() -> Vec<Vec<u8>> {
    vec![prepared(&[], &[TEXT]), rows(&[])]
}

fn wanted() -> Arc<Wanted> {
    let sources = Sources { users: [("other".into(), attributes(&["superuser"]))].into(), ..Sources::default() };
    let passwords = [("postgres", SECRET), ("other", "canary-of-another")];
    Arc::new(Wanted::new(&gather(&sources), &credentials(&passwords), "postgres", vec![], today()).unwrap())
}

async fn synchronized(fake: &Fake) -> Result<Report, Error> {
    synchronize(fake.server.clone(), wanted(), in_a_minute(), &Resume::default()).await
}

#[tokio::test]
async fn a_server_that_asks_for_anything_but_a_bound_log_in_gets_no_answer_of_any_superuser() {
    for (log_in, word) in [
        (LogIn::Cleartext, "in plain"),
        (LogIn::Md5, "as md5"),
        (LogIn::Nothing, "no password"),
        (LogIn::PlainScram, "SCRAM-SHA-256-PLUS"),
    ] {
        let fake = Fake::start(log_in, vec![]);
        let error = synchronized(&fake).await.unwrap_err();
        assert_eq!((error.category(), error.is_passing()), ("unsafe", false));
        assert!(error.to_string().contains(word), "{error}");
        assert!(!fake.received_an_answer(), "{log_in:?}");
        assert!(!contains(&fake.received.lock(), "canary") && !contains(&fake.received.lock(), "other"));
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}

#[tokio::test]
async fn a_server_that_an_authority_verified_may_ask_for_md5_and_never_for_the_password_itself() {
    let fake = Fake::start(LogIn::Md5, begun()).verified(CERTIFICATE);
    assert!(fake.open().await.is_ok());
    assert!(!contains(&fake.received.lock(), SECRET));
    let fake = Fake::start(LogIn::Cleartext, begun()).verified(CERTIFICATE);
    assert_eq!(fake.open().await.err().unwrap().category(), "unsafe");
    assert!(!fake.received_an_answer());
    let fake = Fake::start(LogIn::Md5, begun()).verified(OTHER_AUTHORITY);
    assert_eq!(fake.open().await.err().unwrap().category(), "connect");
    assert!(fake.received.lock().is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_know_the_password_is_not_believed() {
    let fake = Fake::start(LogIn::Scram("guessed"), begun());
    assert_eq!(fake.open().await.err().unwrap().category(), "connect");
    assert!(!contains(&fake.received.lock(), SECRET));
    let fake = Fake::start(LogIn::Scram(SECRET), begun());
    assert!(fake.open().await.is_ok());
    assert!(!contains(&fake.received.lock(), SECRET));
}

#[tokio::test]
async fn a_message_that_claims_to_be_long_ends_the_connection_before_it_is_buffered() {
    let long = [&b"D"[..], &200_000_000_u32.to_be_bytes()].concat();
    let answer = [message(b'2', b""), long].concat();
    let answers = [begun(), vec![prepared(&[], &[BOOL]), answer]].concat();
    let error = synchronized(&Fake::start(LogIn::Scram(SECRET), answers)).await.unwrap_err();
    assert_eq!((error.category(), error.is_passing()), ("unsafe", false));
    assert!(error.to_string().contains("a message of more than"), "{error}");
}

/// The server's refusal of a statement.
fn refusal(text: &str) -> Vec<u8> {
    let error = message(b'E', format!("SERROR\0C42501\0M{text}\0\0").as_bytes());
    [error, message(b'Z', b"I")].concat()
}

#[tokio::test]
async fn a_server_that_refuses_every_database_with_a_long_message_costs_a_few_kilobytes() {
    const TEXTS: u32 = 1009;
    let database = |number: usize| row(&[format!("d{number}").as_bytes(), b"o", b"\0", b"\x01"]);
    let databases: Vec<Vec<u8>> = (0..100).map(database).collect();
    let first = [
        begun(),
        vec![prepared(&[], &[BOOL]), rows(&[row(&[b"\0"])])],
        vec![prepared(&[TEXTS, 23, 23, 20], &[]), rows(&[])],
        vec![prepared(&[], &[TEXT]), rows(&[])],
        vec![prepared(&[], &[23]), rows(&[])],
        vec![prepared(&[TEXTS, 20], &[TEXT, TEXT, BOOL, BOOL]), rows(&databases)],
    ];
    let fake = Fake::start_with(LogIn::Scram(SECRET), first.concat(), vec![refusal(&"x".repeat(100_000))]);
    let credentials = credentials(&[("postgres", SECRET)]);
    let pooler = PoolerAccess { username: "pooler".into(), schema: "pooler".into() };
    let wanted = Wanted::new(&gather(&Sources::default()), &credentials, "postgres", vec![pooler], today()).unwrap();
    let report = synchronize(fake.server.clone(), Arc::new(wanted), in_a_minute(), &Resume::default()).await.unwrap();
    assert_eq!((report.failures.len(), report.unlisted), (20, 80), "{:?}", report.failures.first());
    let size: usize = report.failures.iter().map(|failure| failure.message.len()).sum();
    assert!(size < 20_000, "{size}");
    assert!(!report.is_complete());
}

#[tokio::test]
async fn rows_without_end_end_the_connection() {
    let many = vec![row(&[b"t"]); 600_000];
    let answers = [begun(), vec![prepared(&[], &[BOOL]), rows(&many)]].concat();
    let error = synchronized(&Fake::start(LogIn::Scram(SECRET), answers)).await.unwrap_err();
    assert!(error.to_string().contains("the server sent more than"), "{error:?}");
    assert!(!error.is_passing());
}

#[tokio::test]
async fn other_columns_than_those_asked_for_are_an_error_and_no_panic() {
    for (columns, values) in [(vec![], row(&[])), (vec![TEXT], row(&[b"\xff\xfe"])), (vec![BOOL], row(&[b"long"]))] {
        let answers = [begun(), vec![prepared(&[], &columns), rows(&[values])]].concat();
        let error = synchronized(&Fake::start(LogIn::Scram(SECRET), answers)).await.unwrap_err();
        assert_eq!((error.category(), error.is_passing()), ("read", true), "{error}");
    }
}

#[test]
fn nothing_that_can_be_printed_holds_a_password() {
    let wanted = wanted();
    let statement = Statement::new("alter role x: password", "PASSWORD 'canary'").confidential();
    let refused = Error::Refused { username: "postgres".into(), host: "fake".into(), message: "28P01".into() };
    let printed = format!("{wanted:?} {statement:?} {refused:?} {refused} {:?}", Report::default());
    assert!(!printed.contains("canary"), "{printed}");
}

/// `tokio-postgres` logs statements with the crate `log`. Only the crate `tracing-log` would bring that into the
/// operator's own log.
#[test]
fn what_the_client_library_logs_is_not_captured() {
    let lock = include_str!("../../../../../../Cargo.lock");
    assert!(lock.contains("name = \"tokio-postgres\"") && !lock.contains("name = \"tracing-log\""));
}

/// The fake server's certificate, for which nothing else is used.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUR1gQHwAOeKVkEj7/SCR5ft5MYqcwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEZmFrZTAgFw0yNjExMjYxNjI5MDlaGA8yMTI2MTEwMjE2Mjkw
OVowDzENMAsGA1UEAwwEZmFrZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNNz
J5JnPLrA75P2rfDFZ/e0Ne4Ie3XiXU+Czt5NBLxR0BDc9elf7RUKdkA1+wvJAkJ6
Hp3Pm5FkeoAlQOaUwSSjUzBRMB0GA1UdDgQWBBTHCfodalr68XA/s99HU3ife1Xa
QTAfBgNVHSMEGDAWgBTHCfodalr68XA/s99HU3ife1XaQTAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIA1PW6GC+xQAj0e2PJpd/iSQg5k2d7j6gthD
UAa5hZ7VAiA7K0C7kfveVvfupoXoPA6ui/HDVVA7WFIzzUy23oBoyg==
-----END CERTIFICATE-----
";

const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjo4fvyr35Pf+WdQi
lR4YhS0aHiwYqFwfcB4aios5NDyhRANCAATTcyeSZzy6wO+T9q3wxWf3tDXuCHt1
4l1Pgs7eTQS8UdAQ3PXpX+0VCnZANfsLyQJCeh6dz5uRZHqAJUDmlMEk
-----END PRIVATE KEY-----
";
