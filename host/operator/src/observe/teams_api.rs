//! The members of teams, from the
//! [Teams API](https://postgres-operator.readthedocs.io/en/latest/user/#teams-api-roles).
//!
//! The API answers `GET {teams_api_url}/teams/{team}` with a list of login names, or with an object that has the list
//! in `member`. Requests run in the background, so that no reconcile waits for them; a cluster is reconciled when an
//! answer differs from the one before. A failed request is a warning: existing roles stay.
//!
//! `PostgresTeam` objects add teams and members, with or without the API.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode, Uri, header};
use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use pgloom_api::Finding;
use pgloom_common::error::root_cause;
use pgloom_decide::credential::{Data, Password};
use pgloom_decide::role::{AdditionalTeams, Team};
use serde_json::Value;
use tokio::time::timeout;

use super::web_client::{self, WebClient};
use crate::cache::ClusterKey;

/// The time for an answer, including that of the API server for the token.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The time for which an answer or a failure is used, so that a thousand clusters of a team cause one request.
const CACHE_TTL: Duration = Duration::from_secs(60);
/// The time after which an unused answer is removed.
const IDLE_TTL: Duration = Duration::from_secs(7200);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// The keys of the token's Secret.
const TOKEN_TYPE: &str = "read-only-token-type";
const TOKEN: &str = "read-only-token-secret";

/// The settings of the operator configuration and the manifest about teams.
#[derive(Clone, Debug, Default)]
pub struct TeamsSettings {
    /// `teams_api_url`.
    pub url: String,
    /// `oauth_token_secret_name`: the namespace and the name.
    pub token: (String, String),
    /// `postgres_superuser_teams`.
    pub superuser_teams: Vec<String>,
    /// `spec.teamId`.
    pub owner: String,
    /// `enable_teams_api`: whether the API is asked.
    pub is_asked: bool,
    /// What the `PostgresTeam` objects add; `None` before they were listed.
    pub additional: Option<Arc<AdditionalTeams>>,
    /// `enable_postgres_team_crd_superusers`: whether they add superusers, too.
    pub additional_superusers: bool,
    /// Why the `PostgresTeam` objects are not all known.
    pub unlisted: Option<String>,
}

/// The teams of a cluster.
#[derive(Debug, Default)]
pub struct Teams {
    /// Superuser teams first, then the owner unless it is one of them.
    pub teams: Vec<Team>,
    /// A warning for each team whose members are not known.
    pub findings: Vec<Finding>,
    /// Whether the first answer for a team is still to come.
    pub asking: bool,
    /// Whether all members of all teams are known, so that anyone else has left. Without any team nobody has.
    pub complete: bool,
}

/// The reason why the members of a team are not known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// `teams_api_url` is not a valid URL.
    #[error("\"{0}\" is no address: set teams_api_url to an http or https URL")]
    Url(String),
    /// There is no certificate authority to verify the API's certificate.
    #[error(
        "there are no certificate authorities to verify the team API by: mount a bundle of them into the operator's pod, and name the file in its variable SSL_CERT_FILE"
    )]
    Authorities(#[source] Arc<std::io::Error>),
    /// The request failed.
    #[error("the team API does not answer: {0}")]
    Reach(String),
    /// The API answered with an error status.
    #[error("team API query failed with status code {status}{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The API's message, as the end of the sentence; may be empty.
        message: String,
    },
    /// The Secret with the token cannot be used.
    #[error(
        "the Secret of oauth_token_secret_name holds no bearer token: set its key {TOKEN_TYPE} to Bearer and its key {TOKEN} to the token"
    )]
    Token,
    /// The answer cannot be parsed.
    #[error("could not parse team API response: it is neither a list of names nor an object with the key \"member\"")]
    Answer,
}

impl From<web_client::Error> for Error {
    fn from(error: web_client::Error) -> Self {
        match error {
            web_client::Error::Authorities(source) => Self::Authorities(source),
            web_client::Error::Reach(reason) => Self::Reach(reason),
        }
    }
}

type Answer = Result<Vec<String>, Error>;

/// A client of the Teams API with a cache of the latest answers.
#[derive(Clone)]
pub struct TeamsApi {
    client: kube::Client,
    changed: UnboundedSender<ClusterKey>,
    web: WebClient,
    questions: Arc<Mutex<HashMap<Question, Cached>>>,
}

/// A request: its URL, and the namespace and name of the token's Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    address: Uri,
    token: (String, String),
}

/// The cached state of a request.
struct Cached {
    answer: Option<Answer>,
    /// The time of the last request.
    asked: Instant,
    running: bool,
    /// The clusters to reconcile when a new answer arrives.
    clusters: HashSet<ClusterKey>,
}

impl TeamsApi {
    /// A client without answers. The clusters that a new answer affects are sent to `changed`.
    pub fn new(client: kube::Client, changed: UnboundedSender<ClusterKey>) -> Self {
        Self { client, changed, web: WebClient::default(), questions: Arc::default() }
    }

    /// The teams whose members get roles in a cluster. Starts requests where needed, and does not wait for them.
    pub fn of(&self, key: &ClusterKey, settings: &TeamsSettings) -> Teams {
        teams(settings, |name| match settings.is_asked {
            true => self.members(key, settings, name),
            false => Some(Ok(Vec::new())),
        })
    }

    /// The same from the answers so far, without a request.
    pub fn known(&self, settings: &TeamsSettings) -> Teams {
        let questions = self.questions.lock();
        let answer = |question: &Question| questions.get(question).and_then(|cached| cached.answer.clone());
        teams(settings, |name| match Question::of(settings, name) {
            _ if !settings.is_asked => Some(Ok(Vec::new())),
            Ok(question) => answer(&question),
            Err(error) => Some(Err(error)),
        })
    }

    /// The latest answer, of any age. If it is too old, a request is started.
    fn members(&self, key: &ClusterKey, settings: &TeamsSettings, team: &str) -> Option<Answer> {
        let question = match Question::of(settings, team) {
            Ok(question) => question,
            Err(error) => return Some(Err(error)),
        };
        let mut questions = self.questions.lock();
        questions.retain(|_, cached| cached.running || cached.asked.elapsed() < IDLE_TTL);
        let cached = questions.entry(question.clone()).or_insert_with(|| Cached {
            answer: None,
            asked: Instant::now(),
            running: false,
            clusters: HashSet::new(),
        });
        cached.clusters.insert(key.clone());
        if !cached.running && (cached.answer.is_none() || cached.asked.elapsed() >= CACHE_TTL) {
            (cached.running, cached.asked) = (true, Instant::now());
            tokio::spawn(self.clone().find_out(question));
        }
        cached.answer.clone()
    }

    async fn find_out(self, question: Question) {
        let answer = match timeout(REQUEST_TIMEOUT, self.ask(&question)).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(Error::Reach(elapsed.to_string())),
        };
        let mut questions = self.questions.lock();
        let Some(cached) = questions.get_mut(&question) else { return };
        let text = |answer: &Answer| answer.clone().map_err(|error| error.to_string());
        let is_news = cached.answer.as_ref().map(text) != Some(text(&answer));
        (cached.running, cached.answer) = (false, Some(answer));
        let clusters = std::mem::take(&mut cached.clusters);
        if is_news {
            // The receiver is gone only when the operator stops.
            clusters.into_iter().for_each(|key| _ = self.changed.unbounded_send(key));
        }
    }

    async fn ask(&self, question: &Question) -> Answer {
        let (namespace, name) = &question.token;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = secrets.get_opt(name).await.map_err(|error| Error::Reach(root_cause(&error)))?;
        let token = token(secret.as_ref().map(Data::from).as_ref())?;
        let mut request = Request::get(question.address.clone());
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()));
        }
        // The messages do not contain the token.
        let request = request.body(Body::empty()).map_err(|_| Error::Reach("the token is no header's value".into()))?;
        let response = self.web.send(request, MAX_ANSWER).await?;
        read(response.status(), response.body())
    }
}

impl Question {
    fn of(settings: &TeamsSettings, team: &str) -> Result<Self, Error> {
        let address = format!("{}/teams/{}", settings.url.trim_end_matches('/'), in_path(team));
        let address: Option<Uri> = address.parse().ok();
        let address = address.filter(|address| matches!(address.scheme_str(), Some("http" | "https")));
        let address = address.ok_or_else(|| Error::Url(settings.url.clone()))?;
        Ok(Self { address, token: settings.token.clone() })
    }
}

/// What is known of the teams of a cluster, by what the API says of the members of each.
fn teams(settings: &TeamsSettings, members: impl Fn(&str) -> Option<Answer>) -> Teams {
    let Some(additional) = &settings.additional else { return Teams { asking: true, ..Teams::default() } };
    let mut known = Teams::default();
    for (name, superusers) in names(settings, additional) {
        let more = additional.members(&name);
        let all = |members: Vec<String>| {
            let more = more.iter().filter(|name| !members.contains(name)).cloned().collect::<Vec<_>>();
            members.into_iter().chain(more).collect::<Vec<_>>()
        };
        let members = match members(&name) {
            Some(Ok(members)) => all(members),
            // A team that an object makes, or refers to, need not exist in the API.
            Some(Err(Error::Refused { status: 404, .. })) if additional.names(&name) => all(Vec::new()),
            Some(Err(error)) => {
                let message = format!("the members of team \"{name}\" are not known: {error}");
                known.findings.push(Finding::warning(message));
                if more.is_empty() {
                    continue;
                }
                all(Vec::new())
            }
            None => {
                known.asking = true;
                continue;
            }
        };
        known.teams.push(Team { name, members, superusers });
    }
    if let Some(reason) = &settings.unlisted {
        known.findings.push(Finding::warning(format!("the objects of kind PostgresTeam are not all known: {reason}")));
    }
    // An answer without a member is rather a fault of the API than a team that everyone has left.
    let is_empty = |team: &Team| team.members.is_empty() && !additional.names(&team.name);
    known.complete =
        known.findings.is_empty() && !known.asking && !known.teams.is_empty() && !known.teams.iter().any(is_empty);
    known
}

/// The teams of a cluster, and whether their members are superusers: superuser teams first.
fn names(settings: &TeamsSettings, additional: &AdditionalTeams) -> Vec<(String, bool)> {
    let TeamsSettings { superuser_teams, owner, additional_superusers, .. } = settings;
    let mut superusers = superuser_teams.clone();
    if *additional_superusers {
        let more = additional.superuser_teams(owner).into_iter();
        superusers.extend(more.filter(|name| !superuser_teams.contains(name)));
    }
    let owner = Some(owner.clone()).filter(|owner| !owner.is_empty());
    let others: Vec<String> = owner.iter().flat_map(|owner| additional.teams(owner)).chain(owner.clone()).collect();
    let others =
        others.into_iter().filter(|name| !superusers.contains(name)).map(|name| (name, false)).collect::<Vec<_>>();
    superusers.into_iter().map(|name| (name, true)).chain(others).collect()
}

/// The token of the Secret that `oauth_token_secret_name` names. Without a Secret the request has no token.
fn token(secret: Option<&Data>) -> Result<Option<Password>, Error> {
    let Some(Data(data)) = secret else { return Ok(None) };
    let text = |key: &str| data.get(key).and_then(|value| std::str::from_utf8(value).ok());
    match (text(TOKEN_TYPE), text(TOKEN)) {
        (Some("Bearer"), Some(token)) if !token.is_empty() => Ok(Some(Password::new(token))),
        _ => Err(Error::Token),
    }
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

/// A team's name as a part of a path. A dot is encoded as well: `..` would lead to another path.
fn in_path(team: &str) -> PercentEncode<'_> {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
    utf8_percent_encode(team, ENCODED)
}

#[cfg(test)]
mod tests;
