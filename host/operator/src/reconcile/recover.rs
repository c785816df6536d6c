//! Passwords of roles whose Secrets were deleted and whose password is set once: of the system users, and of all roles while
//! the operator has no access to the database.
//!
//! A Secret that was deleted is created again with the password that it had: the one that the operator remembers, or the
//! one in the environment of a running member, if the operator has the right to run `printenv` in its pod. Where it is not
//! known, the reconcile fails and changes nothing that runs.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::AttachParams;
use pgloom_common::error::error_chain;
use pgloom_decide::credential::{self, Answer, Password, Recovery, recover, recover_without_access};
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::members::Members;
use pgloom_decide::{BuiltIn, Plan};
use tokio::io::AsyncReadExt as _;
use tracing::{info, warn};

use super::Reconciliation;

/// How long a member may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The container that holds the database.
const CONTAINER: &str = "postgres";
/// The claim template of the data.
const DATA: &str = "pgdata";
/// The most claims that are looked for by their names.
const MAX_CLAIMS: u64 = 20;
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
}

impl Reconciliation<'_> {
    /// The superuser and the replication user.
    pub fn system_users(&self) -> [String; 2] {
        let config = &self.settings.config;
        ["super_username", "replication_username"].map(|key| config.text(key).to_owned())
    }

    /// Whether a role keeps the password that it has in the database, so that a new one in its Secret locks it out.
    pub fn is_set_once(&self, username: &str) -> bool {
        !self.settings.config.flag("enable_database_access") || self.system_users().iter().any(|user| user == username)
    }

    /// Where the passwords of roles come from that have none in a Secret.
    pub async fn recoveries(&self, plan: &Plan, lacking: &[String], members: &Members) -> BTreeMap<String, Recovery> {
        let remembered = self.state.memory.lock().passwords.clone();
        let mut recoveries = BTreeMap::new();
        for username in lacking {
            let recovery = match remembered.get(username) {
                Some(password) => Recovery::Known(password.clone()),
                None if self.system_users().contains(username) => {
                    let has_claims = self.has_claims(plan).await;
                    recover(self.ask_members(username, members).await, has_claims)
                }
                None => recover_without_access(!members.all.is_empty() || self.has_claims(plan).await),
            };
            match &recovery {
                Recovery::Known(_) => info!(username, "deleted Secret gets its former password"),
                Recovery::Generate => {}
                Recovery::Unknown(reason) => warn!(username, reason, "former password not recovered"),
                Recovery::NotSettable => warn!(username, "former password not known, and no other one can be set"),
            }
            recoveries.insert(username.clone(), recovery);
        }
        recoveries
    }

    /// Whether there is a claim that a member would use. One that was restored from a backup may lack the labels by which the
    /// watches find claims, so it is read by its name; one that cannot be read counts as one that exists.
    async fn has_claims(&self, plan: &Plan) -> bool {
        let objects = self.context.store.objects(self.key);
        if objects.iter().any(|cached| cached.kind.is(BuiltIn::PersistentVolumeClaim)) {
            return true;
        }
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.context.client.clone(), &self.key.namespace);
        let sets = plan
            .objects
            .iter()
            .filter(|desired| ObjectKey::of(&desired.object).built_in() == Some(BuiltIn::StatefulSet));
        let members = sets.filter_map(|set| set.object.pointer("/spec/replicas")?.as_u64()).max().unwrap_or_default();
        for ordinal in 0..members.clamp(1, MAX_CLAIMS) {
            let name = format!("{DATA}-{}-{ordinal}", self.key.name);
            if !matches!(claims.get_metadata_opt(&name).await, Ok(None)) {
                return true;
            }
        }
        false
    }

    /// Remembers the passwords that are set once.
    pub fn keep_passwords(&self, planned: &credential::SecretChanges) {
        let known = planned.passwords.iter().filter(|(username, _)| self.is_set_once(username));
        let known = known.map(|(username, password)| (username.clone(), password.clone())).collect();
        self.state.memory.lock().passwords = known;
    }

    /// Asks the leader first, then the others, until one knows the password.
    async fn ask_members(&self, username: &str, members: &Members) -> Vec<Answer> {
        let [superuser, _] = self.system_users();
        let variable = if *username == superuser { "PGPASSWORD_SUPERUSER" } else { "PGPASSWORD_STANDBY" };
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &self.key.namespace);
        let leader = members.leader().map(|(member, _)| &member.pod);
        let others = members.all.iter().map(|member| &member.pod).filter(|pod| Some(*pod) != leader);
        let mut answers = Vec::new();
        for pod in leader.into_iter().chain(others) {
            let answer = match tokio::time::timeout(TIMEOUT, variable_of(&pods, pod, variable)).await {
                Ok(Ok(Some(password))) => return vec![Answer::Password(password)],
                Ok(Ok(None)) => Answer::None,
                Ok(Err(error)) => Answer::Failed(error_chain(&error)),
                Err(_) => Answer::Failed(Error::Answer(pod.clone()).to_string()),
            };
            answers.push(answer);
        }
        answers
    }
}

/// A variable of the database container; `None` if the container has no such variable.
async fn variable_of(pods: &Api<Pod>, pod: &str, variable: &str) -> Result<Option<Password>, Error> {
    let how = AttachParams::default().container(CONTAINER).stdin(false).stderr(false);
    let attached = pods.exec(pod, ["printenv", variable], &how).await;
    let mut attached = attached.map_err(|source| Error::Exec { pod: pod.to_owned(), source })?;
    let no_answer = || Error::Answer(pod.to_owned());
    let ended = attached.take_status().ok_or_else(no_answer)?;
    let mut text = String::new();
    let output = attached.stdout().ok_or_else(no_answer)?;
    output.take(MAX_PASSWORD).read_to_string(&mut text).await.map_err(|_| no_answer())?;
    let password = text.trim_end_matches('\n');
    if !password.is_empty() {
        return Ok(Some(Password::new(password)));
    }
    // Without output only the end of the command says whether it looked.
    if ended.await.as_ref().is_some_and(found_nothing) { Ok(None) } else { Err(no_answer()) }
}

/// Whether `printenv` ended by itself: well, as where the variable is empty, or with 1, as where it is not set.
fn found_nothing(ended: &Status) -> bool {
    let causes = ended.details.iter().flat_map(|details| details.causes.iter().flatten());
    let mut codes = causes.filter(|cause| cause.reason.as_deref() == Some("ExitCode"));
    ended.status.as_deref() == Some("Success") || codes.any(|cause| cause.message.as_deref() == Some("1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_printenv_that_ended_by_itself_says_that_there_is_no_password() {
        let ended = |code: &str| {
            let causes = json!([{"reason": "ExitCode", "message": code}]);
            json!({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}})
        };
        let refused = json!({"status": "Failure", "reason": "InternalError", "message": "container not found"});
        for (status, expected) in [
            (json!({"status": "Success"}), true),
            (ended("1"), true),
            (ended("126"), false),
            (ended("137"), false),
            (refused, false),
        ] {
            let read: Status = serde_json::from_value(status.clone()).unwrap();
            assert_eq!(found_nothing(&read), expected, "{status}");
        }
    }
}
