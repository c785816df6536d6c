//! Being let in: as the superuser, and where the database does not know the password of its Secret, by way of another
//! superuser of the manifest, who then tells the database.

use pgloom_api::Finding;
use pgloom_decide::role::Attribute;
use postgres_protocol::escape::escape_literal;
use tracing::warn;

use super::statement::{Statement, name};
use super::{Error, MAINTENANCE, Session, Work, verifier};

impl Work<'_> {
    /// A session of the superuser.
    pub(super) async fn enter(&mut self) -> Result<Session, Error> {
        let refused = match self.open(MAINTENANCE).await {
            Err(refused @ Error::Refused { .. }) => refused,
            result => return result,
        };
        let others = self.wanted.roles.iter().filter(|role| role.attributes.grants(Attribute::Superuser));
        for other in others {
            let Some(password) = self.wanted.passwords.get(&other.name) else { continue };
            // One that is not let in either says nothing more than the first refusal.
            let Ok(session) = Session::open(self.server, MAINTENANCE, &other.name, password).await else { continue };
            if !session.is_replica().await? {
                self.admit_superuser(session, &other.name).await?;
                return self.open(MAINTENANCE).await;
            }
        }
        Err(refused)
    }

    async fn admit_superuser(&mut self, mut session: Session, by: &str) -> Result<(), Error> {
        let superuser = &self.wanted.superuser;
        let encryption = verifier::encryption(&session).await?;
        let statement = password(superuser, verifier::make(encryption, superuser, &self.wanted.password).reveal());
        warn!(superuser, by, "the database does not know the password of the superuser's Secret and is told");
        let message = format!(
            "the database did not know the password of \"{superuser}\"'s Secret, and was told by way of \"{by}\""
        );
        self.report.findings.push(Finding::warning(message));
        self.execute(&mut session, [statement]).await;
        Ok(())
    }
}

/// Gives a role another password.
fn password(role: &str, verifier: &str) -> Statement {
    let sql = format!("ALTER ROLE {} PASSWORD {}", name(role), escape_literal(verifier));
    Statement::new(format!("alter role {role}: password"), sql).confidential()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_told_as_a_verifier_and_never_shown() {
        let statement = password("postgres", "md5'x");
        assert_eq!(statement.sql(), "ALTER ROLE \"postgres\" PASSWORD 'md5''x'");
        assert_eq!(format!("{statement:?}"), "alter role postgres: password: (secret)");
    }
}
