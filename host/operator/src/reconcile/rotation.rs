//! Rotation of passwords, in the job that synchronises the database: a new password is set in the database first, and
//! written to the Secret right after.
//!
//! A new login role is in no Secret before it exists. If the operator ends between both writes, the role gets another
//! password at the next attempt. A password that was changed in place, and whose Secret was not written, becomes that of the
//! Secret again at once or, if the operator ended, by the next synchronisation. Then the rotation is repeated.

use std::time::Instant;

use pgloom_api::Finding;
use pgloom_common::error::error_chain;
use pgloom_decide::credential::{self, Content, Password, SecretChanges, WantedSecret};

use super::credentials::{Existing, read, write_secret};
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
        let findings = set(server, wanted, turn, &password, deadline).await?;
        let write = credential::replace(secret, version, &turn.login, &password);
        if let Err(error) = write_secret(&self.writer, &write).await {
            let kept = self.keep(server, wanted, turn, deadline).await;
            let reasons = [Some(error_chain(&error)), kept.err().map(|failure| failure.reason)];
            return Err(Failure::passing(reasons.into_iter().flatten().collect::<Vec<_>>().join("; ")));
        }
        let note = format!(
            "the password of role {} changed: Secret {} has that of role {}",
            turn.of, secret.name, turn.login.username
        );
        self.recorder.publish(&self.about, &Event::normal("PasswordRotation", note)).await;
        Ok(findings)
    }

    /// Sets the password that the role's Secret holds after a write that failed, whatever that write did.
    async fn keep(&self, server: &Server, wanted: &Wanted, turn: &Turn, deadline: Instant) -> Result<(), Failure> {
        let read = read(&self.writer.client, &self.home, &self.plan.secrets, &self.calendar).await;
        let (credentials, _) = read.map_err(|error| Failure::passing(error_chain(&error)))?;
        let Some(password) = credentials.passwords.get(&turn.role.name) else { return Ok(()) };
        set(server, wanted, turn, password, deadline).await.map(drop)
    }
}

/// Sets the password of the role in the database.
async fn set(
    server: &Server,
    wanted: &Wanted,
    turn: &Turn,
    password: &Password,
    deadline: Instant,
) -> Result<Vec<Finding>, Failure> {
    warnings(database::set_password(server.clone(), wanted, turn.role.clone(), password.clone(), deadline).await)
}
