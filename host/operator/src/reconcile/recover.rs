//! Passwords of the system users whose Secrets were deleted.
//!
//! The database has the superuser's password from its initialisation, and running members replicate with the one they
//! were started with. So a Secret that was deleted is created again with the password that it had: the one that the
//! operator remembers, or the one in the environment of a running member, if the operator has the right to run
//! `printenv` in its pod. Only a password that is in neither place is generated.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use pgloom_common::error::error_chain;
use pgloom_decide::credential::{self, Password};
use pgloom_decide::members::Members;
use tokio::io::AsyncReadExt as _;
use tracing::{info, warn};

use super::Reconciliation;
use crate::report::Event;

/// How long a member may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The container that holds the database.
const CONTAINER: &str = "postgres";
/// The longest password that is read, in bytes.
const MAX_PASSWORD: u64 = 4096;

/// Why a member's environment could not be read.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The operator has no right to run a command in the pod, or the pod does not run.
    #[error("failed to run a command in pod {pod}")]
    Exec {
        pod: String,
        #[source]
        source: kube::Error,
    },
    /// The command's output ended early or took too long.
    #[error("pod {0} did not answer")]
    Answer(String),
    /// The environment holds no password.
    #[error("pod {0} holds no password")]
    Empty(String),
}

impl Reconciliation<'_> {
    /// The superuser and the replication user.
    pub fn system_users(&self) -> [String; 2] {
        let config = &self.settings.config;
        ["super_username", "replication_username"].map(|key| config.text(key).to_owned())
    }

    /// The passwords of system users whose Secrets are gone, as far as they can be recovered. Each that cannot is a
    /// warning.
    pub async fn recovered(
        &self,
        lacking: &[String],
        members: &Members,
        warnings: &mut Vec<Event>,
    ) -> BTreeMap<String, Password> {
        let mut recovered = self.remembered();
        recovered.retain(|username, _| lacking.contains(username));
        for username in lacking {
            if recovered.contains_key(username) || members.all.is_empty() {
                continue;
            }
            match self.read_from_members(username, members).await {
                Ok(password) => drop(recovered.insert(username.clone(), password)),
                Err(error) => {
                    let note = format!(
                        "the Secret of \"{username}\" was gone and gets a new password, which the database may not \
                        know: {}; set the former password in the Secret, or that of the Secret in the database",
                        error_chain(&error)
                    );
                    warn!(username, error = %error_chain(&error), "former password not recovered");
                    warnings.push(Event::warning("Secrets", note));
                }
            }
        }
        for username in recovered.keys() {
            info!(username, "deleted Secret gets its former password");
        }
        recovered
    }

    /// Remembers the passwords of the system users.
    pub fn keep_passwords(&self, planned: &credential::Plan) {
        let users = self.system_users();
        let known = planned.passwords.iter().filter(|(username, _)| users.contains(username));
        let known = known.map(|(username, password)| (username.clone(), password.clone())).collect();
        self.state.memory.lock().passwords = known;
    }

    fn remembered(&self) -> BTreeMap<String, Password> {
        self.state.memory.lock().passwords.clone()
    }

    /// Reads the leader's environment first, then the others'.
    async fn read_from_members(&self, username: &str, members: &Members) -> Result<Password, Error> {
        let [superuser, _] = self.system_users();
        let variable = if *username == superuser { "PGPASSWORD_SUPERUSER" } else { "PGPASSWORD_STANDBY" };
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &self.key.namespace);
        let leader = members.leader().map(|(member, _)| &member.pod);
        let others = members.all.iter().map(|member| &member.pod).filter(|pod| Some(*pod) != leader);
        let mut result = Err(Error::Empty(self.key.name.to_string()));
        for pod in leader.into_iter().chain(others) {
            result = match tokio::time::timeout(TIMEOUT, variable_of(&pods, pod, variable)).await {
                Ok(answer) => answer,
                Err(_) => Err(Error::Answer(pod.clone())),
            };
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

/// A variable of the database container.
async fn variable_of(pods: &Api<Pod>, pod: &str, variable: &str) -> Result<Password, Error> {
    let how = AttachParams::default().container(CONTAINER).stdin(false).stderr(false);
    let attached = pods.exec(pod, ["printenv", variable], &how).await;
    let mut attached = attached.map_err(|source| Error::Exec { pod: pod.to_owned(), source })?;
    let mut text = String::new();
    let output = attached.stdout().ok_or_else(|| Error::Answer(pod.to_owned()))?;
    let read = output.take(MAX_PASSWORD).read_to_string(&mut text).await;
    read.map_err(|_| Error::Answer(pod.to_owned()))?;
    let password = text.trim_end_matches('\n');
    if password.is_empty() { Err(Error::Empty(pod.to_owned())) } else { Ok(Password::new(password)) }
}
