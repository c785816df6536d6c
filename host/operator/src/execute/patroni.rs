//! The REST API of each member's Patroni, on port 8008.

pub mod configure;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use pgloom_common::error::cut;
use pgloom_decide::patroni::{Cluster, Identity, Status};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[cfg(test)]
pub use transport::Error as TransportError;
pub use transport::{ApiServer, Direct, Pod, Request, Response, Transport};

/// How long a question may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a change may take; Patroni answers a switchover when it is over.
const CHANGE: Duration = Duration::from_secs(30);
/// How long a restart of PostgreSQL may take.
pub const RESTART: Duration = Duration::from_secs(120);
/// How much is kept of the text of a refusal, in bytes.
const MAX_TEXT: usize = 200;

/// Why Patroni did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod has no address yet.
    #[error("pod {0} has no address yet")]
    Address(String),
    /// No answer. It is worth asking again soon.
    #[error("could not {what} at pod {pod}")]
    Reach {
        /// What was asked for.
        what: &'static str,
        /// The member's pod.
        pod: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer that says no.
    #[error("could not {what} at pod {pod}: {message} ({status})")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The member's pod.
        pod: String,
        /// The HTTP status.
        status: u16,
        /// What Patroni said.
        message: String,
    },
    /// Another Patroni answers at the pod's address, as when Kubernetes gave it to another pod.
    #[error("could not {what} at pod {pod}: member {found} answers at its address")]
    Foreign {
        /// What was asked for.
        what: &'static str,
        /// The member's pod.
        pod: String,
        /// The cluster and the member that answered.
        found: String,
    },
    /// The cluster is a standby after its promotion.
    #[error("could not promote the cluster at pod {0}: Patroni's configuration still has standby_cluster")]
    StillStandby(String),
    /// An answer that cannot be read.
    #[error("could not {what} at pod {pod}: the answer cannot be read")]
    Answer {
        /// What was asked for.
        what: &'static str,
        /// The member's pod.
        pod: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// A name by which tests tell errors apart.
    #[cfg(test)]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Reach { .. } => "reach",
            Self::Refused { .. } | Self::StillStandby(_) => "refused",
            Self::Foreign { .. } => "foreign",
            Self::Answer { .. } => "answer",
        }
    }

    /// Whether it may well pass by itself: Patroni could not be reached, another one answered, or the configuration was
    /// changed by another client at the same time.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        let is_conflict = matches!(self, Self::Refused { status: 409, .. });
        is_conflict || matches!(self, Self::Address(_) | Self::Reach { .. } | Self::Foreign { .. })
    }
}

/// One request.
struct Call {
    /// What is asked for, as in `restart PostgreSQL`.
    what: &'static str,
    method: Method,
    path: &'static str,
    body: Option<Value>,
    /// The longest time until its answer.
    deadline: Duration,
}

/// The Patroni of one member.
#[derive(Clone)]
pub struct Patroni {
    transport: Arc<dyn Transport>,
    pod: Pod,
    /// The cluster that it must be of before it is asked to change anything; `None` does not check.
    scope: Option<String>,
}

impl Patroni {
    /// The Patroni of a pod.
    pub fn new(transport: Arc<dyn Transport>, pod: Pod) -> Self {
        Self { transport, pod, scope: None }
    }

    /// The same, asked to change something only after it said that it is this pod's member of the cluster.
    #[must_use]
    pub fn of_cluster(self, name: &str) -> Self {
        Self { scope: Some(name.to_owned()), ..self }
    }

    /// What it says of its own member.
    ///
    /// # Errors
    /// If it does not answer, or not in a way that can be read.
    pub async fn status(&self) -> Result<Status, Error> {
        let what = "ask Patroni for its state";
        // 503 means that PostgreSQL does not run; the answer says what it does instead.
        let response = self
            .send(Call { what, method: Method::GET, path: "/patroni", body: None, deadline: REQUEST_TIMEOUT })
            .await?;
        self.read(what, &response)
    }

    /// What it knows of all members.
    ///
    /// # Errors
    /// If it does not answer, or not in a way that can be read.
    pub async fn cluster(&self) -> Result<Cluster, Error> {
        let what = "ask Patroni for the members";
        let response = self
            .ask(Call { what, method: Method::GET, path: "/cluster", body: None, deadline: REQUEST_TIMEOUT })
            .await?;
        self.read(what, &response)
    }

    /// Moves the leadership, and waits until it is moved.
    ///
    /// # Errors
    /// If it does not answer or refuses: the candidate lags, or is not there.
    pub async fn switchover(&self, leader: &str, candidate: &str) -> Result<(), Error> {
        let what = "move the leadership";
        self.check_identity(what).await?;
        let body = json!({"leader": leader, "candidate": candidate});
        match self
            .ask(Call { what, method: Method::POST, path: "/switchover", body: Some(body), deadline: CHANGE })
            .await
        {
            // A Patroni from before 1.2 knows switchovers as failovers.
            Err(Error::Refused { status: 404 | 501, .. }) => {
                let body = json!({"leader": leader, "member": candidate});
                self.ask(Call { what, method: Method::POST, path: "/failover", body: Some(body), deadline: CHANGE })
                    .await
                    .map(drop)
            }
            other => other.map(drop),
        }
    }

    /// The dynamic configuration that the members share.
    ///
    /// # Errors
    /// If it does not answer, or not in a way that can be read.
    pub async fn configuration(&self) -> Result<Value, Error> {
        let what = "ask Patroni for its configuration";
        let response = self
            .ask(Call { what, method: Method::GET, path: "/config", body: None, deadline: REQUEST_TIMEOUT })
            .await?;
        self.read(what, &response)
    }

    /// Merges a patch into the dynamic configuration; a null takes a key away. Gives the configuration as it is then.
    ///
    /// # Errors
    /// If it does not answer, refuses, or answers in a way that cannot be read.
    pub async fn configure(&self, patch: &Value) -> Result<Value, Error> {
        let what = "change Patroni's configuration";
        self.check_identity(what).await?;
        let response = self
            .ask(Call { what, method: Method::PATCH, path: "/config", body: Some(patch.clone()), deadline: CHANGE })
            .await?;
        self.read(what, &response)
    }

    /// Lets a standby cluster become one of its own. It is over when the configuration has no `standby_cluster`.
    ///
    /// # Errors
    /// As [`Patroni::configuration`] and [`Patroni::configure`], and if `standby_cluster` is still there.
    pub async fn promote(&self) -> Result<(), Error> {
        self.check_identity("promote the cluster").await?;
        if self.configuration().await?["standby_cluster"].is_null() {
            return Ok(());
        }
        let after = self.configure(&json!({"standby_cluster": null})).await?;
        if after["standby_cluster"].is_null() { Ok(()) } else { Err(Error::StillStandby(self.pod.name.clone())) }
    }

    /// Restarts the member's PostgreSQL if its configuration waits for that.
    ///
    /// # Errors
    /// If it does not answer or refuses.
    pub async fn restart(&self) -> Result<(), Error> {
        let what = "restart PostgreSQL";
        self.check_identity(what).await?;
        let body = json!({"restart_pending": true});
        match self.ask(Call { what, method: Method::POST, path: "/restart", body: Some(body), deadline: RESTART }).await
        {
            // The condition does not hold: there is nothing to restart for.
            Ok(_) | Err(Error::Refused { status: 412, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Checks that the member of the pod answers, if the cluster is known. What an older Patroni does not say is not
    /// checked.
    async fn check_identity(&self, what: &'static str) -> Result<(), Error> {
        let Some(scope) = &self.scope else { return Ok(()) };
        let Identity { scope: cluster, name } = self.status().await?.patroni;
        let is = |found: &Option<String>, expected: &String| found.as_ref().is_none_or(|found| found == expected);
        if is(&cluster, scope) && is(&name, &self.pod.name) {
            return Ok(());
        }
        let found = [cluster, name].into_iter().flatten().collect::<Vec<_>>().join("/");
        Err(Error::Foreign { what, pod: self.pod.name.clone(), found })
    }

    /// Sends a request and takes nothing but success for an answer.
    async fn ask(&self, call: Call) -> Result<Response, Error> {
        let what = call.what;
        let response = self.send(call).await?;
        if response.status.is_success() {
            return Ok(response);
        }
        Err(self.refused(what, &response))
    }

    async fn send(&self, Call { what, method, path, body, deadline }: Call) -> Result<Response, Error> {
        let reach = |source| Error::Reach { what, pod: self.pod.name.clone(), source };
        let request = Request { method, path, body };
        match tokio::time::timeout(deadline, self.transport.send(&self.pod, request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(transport::Error::Address)) => Err(Error::Address(self.pod.name.clone())),
            Ok(Err(transport::Error::Send(source))) => Err(reach(source)),
            Err(elapsed) => Err(reach(elapsed.into())),
        }
    }

    fn read<T: DeserializeOwned>(&self, what: &'static str, response: &Response) -> Result<T, Error> {
        serde_json::from_slice(&response.body).map_err(|source| match response.status {
            StatusCode::OK => Error::Answer { what, pod: self.pod.name.clone(), source },
            _ => self.refused(what, response),
        })
    }

    /// An answer that is not what was asked for, with its first line.
    fn refused(&self, what: &'static str, response: &Response) -> Error {
        let text = String::from_utf8_lossy(&response.body);
        let message = cut(text.trim().lines().next().unwrap_or_default(), MAX_TEXT);
        Error::Refused { what, pod: self.pod.name.clone(), status: response.status.as_u16(), message }
    }
}

#[cfg(test)]
mod tests;
