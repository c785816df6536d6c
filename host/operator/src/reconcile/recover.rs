//! Passwords of roles whose Secrets were deleted and whose password is set once: of the system users, and of all roles while
//! the operator has no access to the database.
//!
//! A Secret that was deleted is created again with the password that it had: the one that the operator remembers, or the
//! one in the environment of a running member, if the operator has the right to run `printenv` in its pod. Where it is not
//! known, the reconcile fails and changes nothing that runs.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use pgloom_common::error::error_chain;
use pgloom_decide::credential::{self, Answer, Password, Recovery, recover, recover_without_access};
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::members::Members;
use pgloom_decide::{BuiltIn, Plan};
use tracing::{info, warn};

use super::Reconciliation;
use crate::execute::command::{self, Commands, Container, Output};

/// How long a member may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The container that holds the database.
const CONTAINER: &str = "postgres";
/// The claim template of the data.
const DATA: &str = "pgdata";
/// The most claims that are looked for by their names.
const MAX_CLAIMS: u64 = 20;

/// Why a member's environment could not be read.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// `printenv` did not run to its end.
    #[error(transparent)]
    Run(#[from] command::Error),
    /// It took too long, or did not look.
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
        let commands = &*self.context.commands;
        let leader = members.leader().map(|(member, _)| &member.pod);
        let others = members.all.iter().map(|member| &member.pod).filter(|pod| Some(*pod) != leader);
        let mut answers = Vec::new();
        for pod in leader.into_iter().chain(others) {
            let answer = match tokio::time::timeout(TIMEOUT, variable_of(commands, self.container(pod), variable)).await
            {
                Ok(Ok(Some(password))) => return vec![Answer::Password(password)],
                Ok(Ok(None)) => Answer::None,
                Ok(Err(error)) => Answer::Failed(error_chain(&error)),
                Err(_) => Answer::Failed(Error::Answer(pod.clone()).to_string()),
            };
            answers.push(answer);
        }
        answers
    }

    /// The container of a member that holds the database.
    fn container(&self, pod: &str) -> Container {
        Container { namespace: self.key.namespace.to_string(), pod: pod.to_owned(), name: CONTAINER.to_owned() }
    }
}

/// A variable of the database container; `None` if the container has no such variable.
async fn variable_of(commands: &dyn Commands, container: Container, variable: &str) -> Result<Option<Password>, Error> {
    let output = commands.run(&container, &["printenv", variable]).await?;
    found(&output).ok_or(Error::Answer(container.pod))
}

/// What `printenv` found; `None` if it did not look. It ends with 1 where the variable is not set.
fn found(output: &Output) -> Option<Option<Password>> {
    let password = output.text.trim_end_matches('\n');
    match output.code {
        0 if !password.is_empty() => Some(Some(Password::new(password))),
        0 | 1 => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_printenv_that_looked_says_that_there_is_no_password() {
        let found = |text: &str, code: i32| {
            let output = Output { text: text.into(), errors: String::new(), code };
            found(&output).map(|found| found.map(|password| password.reveal().to_owned()))
        };
        assert_eq!(found("secret\n", 0), Some(Some("secret".to_owned())));
        assert_eq!((found("", 0), found("\n", 0), found("", 1)), (Some(None), Some(None), Some(None)));
        assert_eq!((found("", 126), found("", 137)), (None, None));
    }
}
