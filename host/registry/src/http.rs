//! Requests to a registry: TLS, redirections, credentials, and a limit for each answer.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::uri::{Authority, Scheme};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pgloom_common::error::root_cause;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use crate::credentials::Credentials;
use crate::error::Error;
use crate::reference::{Reference, is_loopback};

/// The most redirections of one request.
const REDIRECTIONS: usize = 5;
/// The most bytes of the answer of a server of tokens, and of an error that is read.
const MAX_ANSWER: u64 = 64 << 10;

type Agent = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The connections to registries.
pub struct Transport {
    authorities: Option<PathBuf>,
    plain_http: Vec<String>,
    plain: Client<HttpConnector, Full<Bytes>>,
    by_tls: OnceLock<Result<Agent, String>>,
}

/// The requests of one pull or push: one repository, the same credentials.
pub struct Session<'a> {
    transport: &'a Transport,
    reference: &'a Reference,
    /// The value of `Authorization` that the caller has for this repository.
    basic: Option<&'a str>,
    /// What is asked of a server of tokens, as in `pull,push`.
    access: &'static str,
    /// The value of `Authorization` that the registry accepts.
    accepted: Option<HeaderValue>,
}

/// A request.
#[derive(Clone)]
pub struct Ask {
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// What is asked for, in messages.
    pub what: String,
    pub accept: &'static str,
    pub content: Option<(&'static str, Bytes)>,
    /// The most bytes of the answer.
    pub most: u64,
    /// What can be done if the answer has more.
    pub remedy: &'static str,
}

impl Ask {
    pub fn get(path: String, what: String) -> Self {
        let remedy = "check the reference";
        Self { method: Method::GET, path, what, accept: "*/*", content: None, most: MAX_ANSWER, remedy }
    }
}

/// An answer with a status of success.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Transport {
    pub fn new(authorities: Option<PathBuf>, plain_http: Vec<String>) -> Self {
        let plain = Client::builder(TokioExecutor::new()).build_http();
        Self { authorities, plain_http, plain, by_tls: OnceLock::new() }
    }

    /// Whether a server may be asked by plain HTTP.
    fn may_be_plain(&self, host: &str) -> bool {
        self.plain_http.iter().any(|plain| plain == host) || (is_loopback(host) && self.authorities.is_none())
    }

    fn scheme(&self, host: &str) -> Scheme {
        if self.may_be_plain(host) { Scheme::HTTP } else { Scheme::HTTPS }
    }

    /// Sends one request, without redirections and credentials of its own.
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<http::Response<Incoming>, Error> {
        let host = request.uri().authority().map(Authority::to_string).unwrap_or_default();
        let answer = match request.uri().scheme() == Some(&Scheme::HTTPS) {
            false => self.plain.request(request).await,
            true => {
                let agent = self.by_tls.get_or_init(|| self.agent().map_err(|error| error.to_string()));
                let agent = agent.as_ref();
                let agent =
                    agent.map_err(|reason| Error::Authorities { host: host.clone(), reason: reason.clone() })?;
                agent.request(request).await
            }
        };
        answer.map_err(|error| failed(host, error.is_connect(), &error))
    }

    fn agent(&self) -> Result<Agent, Box<dyn std::error::Error>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = match &self.authorities {
            None => builder.with_native_roots()?.with_no_client_auth(),
            Some(file) => {
                let mut roots = rustls::RootCertStore::empty();
                let certificates = CertificateDer::pem_file_iter(file);
                for certificate in certificates.map_err(|error| format!("{}: {error}", file.display()))? {
                    roots.add(certificate?)?;
                }
                if roots.is_empty() {
                    return Err(format!("{} has no certificate in the PEM format", file.display()).into());
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
        };
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
        Ok(Client::builder(TokioExecutor::new()).build(connector))
    }
}

impl<'a> Session<'a> {
    pub fn new(
        transport: &'a Transport,
        reference: &'a Reference,
        credentials: &'a Credentials,
        access: &'static str,
    ) -> Result<Self, Error> {
        Ok(Self { transport, reference, basic: credentials.basic(reference)?, access, accepted: None })
    }

    /// The path of a manifest or a blob of the repository.
    pub fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.reference.repository())
    }

    pub fn host(&self) -> String {
        self.reference.host().to_owned()
    }

    pub fn repository(&self) -> &str {
        self.reference.repository()
    }

    /// Whether this is the registry, whatever its port is: behind a proxy it may not know that.
    pub fn is_registry(&self, other: &Authority) -> bool {
        self.reference.authority().parse().is_ok_and(|own: Authority| own.host() == other.host())
    }

    /// Sends a request, with credentials if the registry asks for them.
    pub async fn ask(&mut self, ask: &Ask) -> Result<Answer, Error> {
        let response = self.follow(ask).await?;
        let response = match response.status() == StatusCode::UNAUTHORIZED {
            true => {
                self.accepted = Some(self.answer_challenge(response.headers()).await?);
                self.follow(ask).await?
            }
            false => response,
        };
        self.check(ask, response).await
    }

    /// Sends a request and follows redirections. Credentials are sent to the registry alone.
    async fn follow(&self, ask: &Ask) -> Result<http::Response<Incoming>, Error> {
        let authority = self.reference.authority();
        let text = format!("{}://{authority}{}", self.transport.scheme(self.reference.host()), ask.path);
        let mut uri: Uri = text.parse().map_err(|_| self.redirected("to no address"))?;
        for _ in 0..=REDIRECTIONS {
            let mut request = Request::builder().method(ask.method.clone()).uri(uri.clone()).header(ACCEPT, ask.accept);
            request = request.header("user-agent", concat!("pgloom/", env!("CARGO_PKG_VERSION")));
            let is_registry = uri.authority().is_some_and(|target| target.as_str() == authority);
            if let Some(accepted) = self.accepted.as_ref().filter(|_| is_registry) {
                request = request.header(AUTHORIZATION, accepted.clone());
            }
            let mut body = Bytes::new();
            if let Some((media_type, content)) = &ask.content {
                request = request.header(CONTENT_TYPE, *media_type);
                body = content.clone();
            }
            let request = request.body(Full::new(body)).map_err(|_| self.redirected("to no address"))?;
            let response = self.transport.send(request).await?;
            let is_read = ask.method == Method::GET || ask.method == Method::HEAD;
            if !(is_read && response.status().is_redirection()) {
                return Ok(response);
            }
            uri = self.target(&uri, response.headers())?;
        }
        Err(self.redirected("again and again"))
    }

    /// Where a redirection leads to: never from TLS to plain HTTP.
    fn target(&self, from: &Uri, headers: &HeaderMap) -> Result<Uri, Error> {
        let text = headers.get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or_default();
        let target: Uri = text.parse().map_err(|_| self.redirected("to no address"))?;
        let mut parts = target.into_parts();
        if parts.authority.is_none() {
            (parts.scheme, parts.authority) = (from.scheme().cloned(), from.authority().cloned());
        }
        // Without a user and a password before it.
        let host = parts.authority.as_ref().map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default());
        let host = host.unwrap_or_default().to_owned();
        let has_user = parts.authority.as_ref().is_some_and(|authority| authority.as_str().contains('@'));
        let is_allowed = match &parts.scheme {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => {
                from.scheme() == Some(&Scheme::HTTP) && self.transport.may_be_plain(&host)
            }
            _ => false,
        };
        if !is_allowed || has_user {
            return Err(self.redirected(&format!("to {host:?} without TLS, or to no address")));
        }
        Uri::from_parts(parts).map_err(|_| self.redirected("to no address"))
    }

    fn redirected(&self, how: &str) -> Error {
        Error::Redirect { host: self.host(), how: how.to_owned() }
    }

    /// The header by which the registry, or its server of tokens, knows the caller.
    async fn answer_challenge(&self, headers: &HeaderMap) -> Result<HeaderValue, Error> {
        let challenges = || headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let named = |name: &str| challenges().find_map(|text| strip_name(text, name));
        if let Some(parameters) = named("bearer") {
            return self.token(parameters).await;
        }
        if named("basic").is_none() {
            let how = "in a way that is not known here, where Basic and Bearer are";
            return Err(Error::Challenge { host: self.host(), how });
        }
        let basic = self.basic.ok_or_else(|| self.denied(StatusCode::UNAUTHORIZED))?;
        secret_header(basic).ok_or_else(|| self.denied(StatusCode::UNAUTHORIZED))
    }

    /// A token for this repository, see <https://distribution.github.io/distribution/spec/auth/token/>. The scope is not
    /// that of the challenge, so that no registry gets a token for another repository.
    async fn token(&self, parameters: &str) -> Result<HeaderValue, Error> {
        let refuse = |how| Error::Challenge { host: self.host(), how };
        let realm = parameter(parameters, "realm").ok_or_else(|| refuse("by a server of tokens without naming it"))?;
        let scope = format!("repository:{}:{}", self.reference.repository(), self.access);
        let mut address = realm.to_owned();
        address.push(if realm.contains('?') { '&' } else { '?' });
        address.push_str("scope=");
        address.extend(utf8_percent_encode(&scope, NON_ALPHANUMERIC));
        if let Some(service) = parameter(parameters, "service") {
            address.push_str("&service=");
            address.extend(utf8_percent_encode(service, NON_ALPHANUMERIC));
        }
        let uri: Uri = address.parse().map_err(|_| refuse("by a server of tokens whose address is none"))?;
        let host = uri.authority().map(Authority::to_string).unwrap_or_default();
        let is_safe = uri.scheme() == Some(&Scheme::HTTPS)
            || (uri.scheme() == Some(&Scheme::HTTP)
                && self.transport.may_be_plain(&host)
                && self.transport.may_be_plain(self.reference.host()));
        if !is_safe || host.contains('@') {
            return Err(refuse("by a server of tokens without TLS"));
        }
        let mut request = Request::get(uri).header(ACCEPT, "application/json");
        if let Some(basic) = self.basic.and_then(secret_header) {
            request = request.header(AUTHORIZATION, basic);
        }
        let request =
            request.body(Full::default()).map_err(|_| refuse("by a server of tokens whose address is none"))?;
        let response = self.transport.send(request).await?;
        let status = response.status();
        if status != StatusCode::OK {
            return match status {
                StatusCode::TOO_MANY_REQUESTS => Err(Error::Busy { host, after: seconds(response.headers()) }),
                _ if status.is_client_error() => Err(self.denied(status)),
                _ => Err(Error::Status { host, what: "a token".into(), status: status.as_u16(), code: String::new() }),
            };
        }
        let body = read(response.into_body(), &host, "a token", MAX_ANSWER, "check the registry").await?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let token = ["token", "access_token"].iter().find_map(|key| answer[*key].as_str());
        let header = token.and_then(|token| secret_header(&format!("Bearer {token}")));
        header.ok_or_else(|| refuse("by a server of tokens that answered without one"))
    }

    /// The whole answer, or the error that it is.
    async fn check(&self, ask: &Ask, response: http::Response<Incoming>) -> Result<Answer, Error> {
        let (parts, body) = response.into_parts();
        let host = self.host();
        if parts.status.is_success() {
            let body = read(body, &host, &ask.what, ask.most, ask.remedy).await?;
            return Ok(Answer { status: parts.status, headers: parts.headers, body });
        }
        Err(match parts.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.denied(parts.status),
            StatusCode::NOT_FOUND => Error::Missing { host, what: ask.what.clone() },
            StatusCode::TOO_MANY_REQUESTS => Error::Busy { host, after: seconds(&parts.headers) },
            status => {
                let body = read(body, &host, "", MAX_ANSWER, "").await.unwrap_or_default();
                Error::Status { host, what: ask.what.clone(), status: status.as_u16(), code: code(&body) }
            }
        })
    }

    fn denied(&self, status: StatusCode) -> Error {
        let repository = self.reference.repository().to_owned();
        Error::Denied { host: self.host(), repository, status: status.as_u16(), with_credentials: self.basic.is_some() }
    }
}

/// The error of a request without an answer: the connection, TLS, or what is spoken.
fn failed(host: String, in_connecting: bool, error: &(dyn std::error::Error + 'static)) -> Error {
    let reason = root_cause(error);
    let mut sources = std::iter::successors(Some(error), |error| error.source());
    match (sources.any(is_of_tls), in_connecting) {
        (true, _) => Error::Tls { host, reason },
        (false, true) => Error::Reach { host, reason },
        (false, false) => Error::Speak { host, reason },
    }
}

fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    // What an `io::Error` holds is not its source.
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || held.is_some_and(|held| is_of_tls(held))
}

/// Reads a body up to its limit.
async fn read(mut body: Incoming, host: &str, what: &str, most: u64, remedy: &'static str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failed(host.to_owned(), false, &error))?;
        let Some(data) = frame.data_ref() else { continue };
        if (bytes.len() + data.len()) as u64 > most {
            return Err(Error::Large { host: host.to_owned(), what: what.to_owned(), most, remedy });
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

/// A header that no debug output shows.
fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn seconds(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

/// The code of an error of a registry, as in ` (NAME_UNKNOWN)`. Its message is not used: it could repeat a credential.
fn code(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = answer.pointer("/errors/0/code").and_then(Value::as_str).unwrap_or_default();
    let is_code = (1..=40).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    if is_code { format!(" ({code})") } else { String::new() }
}

/// What follows the name of a way to authenticate.
fn strip_name<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let (first, rest) = challenge.trim().split_once(' ').unwrap_or((challenge.trim(), ""));
    first.eq_ignore_ascii_case(name).then_some(rest)
}

/// The value of a parameter in `name="value",…`.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = parameters;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim_matches([' ', ',']).eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_with_commas_in_its_values() {
        let text = r#"Bearer realm="https://auth.example/token",scope="repository:a:pull,push", service=registry"#;
        let parameters = strip_name(text, "bearer").unwrap();
        assert_eq!(parameter(parameters, "realm"), Some("https://auth.example/token"));
        assert_eq!(parameter(parameters, "scope"), Some("repository:a:pull,push"));
        assert_eq!(parameter(parameters, "service"), Some("registry"));
        assert_eq!(parameter(parameters, "error"), None);
        assert_eq!(strip_name("Basic", "bearer"), None);
    }

    #[test]
    fn of_an_error_only_a_code_is_used() {
        assert_eq!(
            code(br#"{"errors": [{"code": "NAME_UNKNOWN", "message": "Basic aHVudGVyMg=="}]}"#),
            " (NAME_UNKNOWN)"
        );
        assert_eq!(code(br#"{"errors": [{"code": "Basic aHVudGVyMg=="}]}"#), "");
        assert_eq!(code(b"<html>"), "");
    }
}
