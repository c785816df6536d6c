//! Rotation of passwords, in the job that synchronises the database: a new password is set in the database first, and
//! written to the Secret right after.
//!
//! A new login role is in no Secret before it exists. If the operator ends between both writes, the role gets another
//! password at the next attempt. A password that was changed in place, and whose Secret was not written, becomes that of the
//! Secret again by the next synchronisation, and the rotation is repeated.

use std::time::Instant;

use pgloom_api::Finding;
use pgloom_common::error::error_chain;
use pgloom_decide::credential::{self, Content, SecretChanges, WantedSecret};

use super::credentials::{Existing, write_secret};
use super::database::{Work, warnings};
use crate::execute::database::{self, Server, Wanted};
use crate::execute::password::generate;
use crate::execute::rotation::{Turn, turns};
use crate::execute::task::Failure;
use crate::report::Event;

impl Work {
    /// Changes the passwords whose time has come. One that fails holds no other one.
    pub async fn rotate(
        &self,
        server: &Server,
        wanted: &Wanted,
        credentials: &SecretChanges,
        existing: &Existing,
        deadline: Instant,
    ) -> Result<Vec<Finding>, Failure> {
        let (turns, mut findings) = turns(&self.plan.roles.roles, &credentials.logins, &self.calendar);
        let mut failures = Vec::new();
        for turn in turns {
            let Some(secret) = self.secret_of(&turn) else { continue };
            let version = existing.version(secret);
            match self.turn(server, wanted, &turn, (secret, version), deadline).await {
                Ok(found) => findings.extend(found),
                Err(failure) => {
                    let Failure { reason, .. } = failure;
                    failures.push(format!("could not change the password of role {}: {reason}", turn.of));
                }
            }
        }
        // The next attempt begins with the passwords of the Secrets.
        if failures.is_empty() { Ok(findings) } else { Err(Failure::passing(failures.join("; "))) }
    }

    fn secret_of(&self, turn: &Turn) -> Option<&WantedSecret> {
        let is_it = |secret: &&WantedSecret| matches!(&secret.content, Content::Credential { username, .. } if *username == turn.of);
        self.plan.secrets.iter().find(is_it)
    }

    async fn turn(
        &self,
        server: &Server,
        wanted: &Wanted,
        turn: &Turn,
        (secret, version): (&WantedSecret, Option<&str>),
        deadline: Instant,
    ) -> Result<Vec<Finding>, Failure> {
        let password = generate().map_err(|error| Failure::passing(error_chain(&error)))?;
        let (server, role) = (server.clone(), turn.role.clone());
        let report = database::set_password(server, wanted, role, password.clone(), deadline).await;
        let findings = warnings(report)?;
        let write = credential::replace(secret, version, &turn.login, &password);
        write_secret(&self.writer, &write).await.map_err(|error| Failure::passing(error_chain(&error)))?;
        let note = format!(
            "the password of role {} changed: Secret {} has that of role {}",
            turn.of, secret.name, turn.login.username
        );
        self.recorder.publish(&self.about, &Event::normal("PasswordRotation", note)).await;
        Ok(findings)
    }
}
