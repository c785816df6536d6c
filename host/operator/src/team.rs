//! Teams: who is in a team, by the Teams API.
//!
//! The API answers `GET {teams_api_url}/teams/{team}` with a list of login names, or with an object that has them under
//! `member`. What cannot be had is a warning: the roles that exist stay.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::body::{self, Body};
use axum::http::{Request, StatusCode, Uri, header};
use futures::future::join_all;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::credential::{Data, Password};
use crate::role::{Finding, Team};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long an answer is used, a failure too, so that a thousand clusters of a team ask once.
const AGE: Duration = Duration::from_secs(60);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// The keys of the token's Secret.
const TOKEN_TYPE: &str = "read-only-token-type";
const TOKEN: &str = "read-only-token-secret";

/// What the operator configuration and the manifest say about teams.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `teams_api_url`.
    pub url: String,
    /// `postgres_superuser_teams`.
    pub superuser_teams: Vec<String>,
    /// `spec.teamId`.
    pub owner: String,
}

/// Why the members of a team are not known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("\"{0}\" is no address: set teams_api_url to an http or https URL")]
    Url(String),
    /// There is no certificate authority to verify the API by.
    #[error("there are no certificate authorities to verify the team API by")]
    Authorities(#[source] Arc<std::io::Error>),
    /// No answer.
    #[error("the team API does not answer: {0}")]
    Reach(String),
    /// An answer that says no.
    #[error("team API query failed with status code {status}{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the API said, as the end of the sentence.
        message: String,
    },
    /// An answer that cannot be read.
    #[error("could not parse team API response: it is neither a list of names nor an object with the key \"member\"")]
    Answer,
}

type Agent = Client<HttpsConnector<HttpConnector>, Body>;
type Answer = Result<Vec<String>, Error>;

/// The Teams API, with its latest answers.
#[derive(Default)]
pub struct Teams {
    agent: OnceLock<Result<Agent, Error>>,
    answers: Mutex<HashMap<Uri, (Instant, Answer)>>,
}

impl Teams {
    /// The teams whose members get roles on a cluster: superuser teams first, then the owner unless it is one of them.
    pub async fn of(&self, settings: &Settings, token: Option<&Password>) -> (Vec<Team>, Vec<Finding>) {
        let owner =
            Some(&settings.owner).filter(|owner| !owner.is_empty() && !settings.superuser_teams.contains(owner));
        let names = settings.superuser_teams.iter().map(|name| (name, true)).chain(owner.map(|name| (name, false)));
        let answers = names.map(|(name, superusers)| async move {
            (name, superusers, self.members(&settings.url, name, token).await)
        });
        let (mut teams, mut findings) = (Vec::new(), Vec::new());
        for (name, superusers, answer) in join_all(answers).await {
            match answer {
                Ok(members) => teams.push(Team { name: name.clone(), members, superusers }),
                Err(error) => {
                    findings.push(Finding::warning(format!("the members of team \"{name}\" are not known: {error}")))
                }
            }
        }
        (teams, findings)
    }

    async fn members(&self, url: &str, team: &str, token: Option<&Password>) -> Answer {
        let address = format!("{}/teams/{}", url.trim_end_matches('/'), encoded(team));
        let address: Uri = address.parse().map_err(|_| Error::Url(url.into()))?;
        if !matches!(address.scheme_str(), Some("http" | "https")) {
            return Err(Error::Url(url.into()));
        }
        if let Some((asked, answer)) = self.answers.lock().await.get(&address)
            && asked.elapsed() < AGE
        {
            return answer.clone();
        }
        let answer = match timeout(ANSWER, self.ask(address.clone(), token)).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(Error::Reach(elapsed.to_string())),
        };
        let mut answers = self.answers.lock().await;
        answers.retain(|_, (asked, _)| asked.elapsed() < AGE);
        answers.insert(address, (Instant::now(), answer.clone()));
        answer
    }

    async fn ask(&self, address: Uri, token: Option<&Password>) -> Answer {
        let agent = self.agent.get_or_init(agent).as_ref().map_err(Clone::clone)?;
        let mut request = Request::get(address);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()));
        }
        // Neither message holds the token.
        let request = request.body(Body::empty()).map_err(|_| Error::Reach("the token is no header's value".into()))?;
        let response = agent.request(request).await.map_err(|error| Error::Reach(cause(&error)))?;
        let (parts, body) = response.into_parts();
        let body = body::to_bytes(Body::new(body), MAX_ANSWER).await.map_err(|error| Error::Reach(cause(&error)))?;
        read(parts.status, &body)
    }
}

/// The token of the Secret that `oauth_token_secret_name` names. Without a Secret the API is asked without a token.
///
/// # Errors
/// A warning, if the Secret does not hold a bearer token.
pub fn token(secret: Option<&Data>) -> Result<Option<Password>, Finding> {
    let Some(Data(data)) = secret else { return Ok(None) };
    let text = |key: &str| data.get(key).and_then(|value| std::str::from_utf8(value).ok());
    match (text(TOKEN_TYPE), text(TOKEN)) {
        (Some("Bearer"), Some(token)) if !token.is_empty() => Ok(Some(Password::new(token))),
        _ => Err(Finding::warning("the Secret of oauth_token_secret_name holds no bearer token")
            .remedy(format!("set its key {TOKEN_TYPE} to Bearer and its key {TOKEN} to the token"))),
    }
}

fn agent() -> Result<Agent, Error> {
    let builder = HttpsConnectorBuilder::new().with_provider_and_native_roots(ring::default_provider());
    let builder = builder.map_err(|error| Error::Authorities(Arc::new(error)))?;
    Ok(Client::builder(TokioExecutor::new()).build(builder.https_or_http().enable_http1().build()))
}

fn read(status: StatusCode, body: &[u8]) -> Answer {
    let answer: Result<Value, _> = serde_json::from_slice(body);
    if status != StatusCode::OK {
        let message = match answer {
            Ok(answer) => match answer["error"].as_str() {
                Some(error) => format!(" and message: '{error}'"),
                None => String::new(),
            },
            Err(error) => format!(" and malformed response: {error}"),
        };
        return Err(Error::Refused { status: status.as_u16(), message });
    }
    let answer = answer.map_err(|_| Error::Answer)?;
    let names = if answer.is_array() { &answer } else { &answer["member"] };
    let names = names.as_array().ok_or(Error::Answer)?;
    names.iter().map(|name| name.as_str().map(String::from).ok_or(Error::Answer)).collect()
}

/// The innermost cause, which says more than that a request failed.
fn cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A team's name as a part of a path.
fn encoded(team: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    team.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests;
