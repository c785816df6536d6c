//! Synchronises roles and databases over a connection to the leader.
//!
//! Roles and databases are created and altered, attributes are granted and memberships added. Nothing is dropped but the
//! login roles of earlier rotations of passwords, and nothing renamed but the roles of members who have left or come back.
//! The existing state is read first and pure functions plan the [`Statement`]s, so an unchanged database is only read. A
//! password is sent as its verifier, never in plain, and a statement with a verifier is logged neither here nor by the
//! server.

mod connect;
mod databases;
mod departure;
mod guard;
mod mark;
mod prepared;
mod roles;
mod rotation;
mod session;
mod statement;
mod user_lookup;
mod verifier;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use pgloom_common::error::{cut, error_chain};
use tracing::{info, warn};

use pgloom_api::Finding;
use pgloom_decide::credential::{Password, SecretChanges};
use pgloom_decide::role::{Departure, Prepared, Role, Roles};

pub use connect::{BoxStream, Connect, PortForward, Tcp, Tls};
pub use guard::Refusal;
pub use rotation::Retirement;
pub use session::Server;
pub use statement::Statement;

use crate::execute::rotation::Calendar;
use session::{MAX_TEXT, Session};

/// The most failures of one synchronisation that are kept: the server is the tenant's, and may have thousands of databases.
const MAX_FAILURES: usize = 20;

/// The database that always exists.
const MAINTENANCE: &str = "postgres";

/// The desired content of a cluster's databases.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The role to log in as.
    pub superuser: String,
    /// The password of that role.
    pub password: Password,
    /// The roles, and the replication user, whose password has to be that of its Secret.
    pub roles: Vec<Role>,
    /// The passwords by role. A role without an entry keeps its password.
    pub passwords: BTreeMap<String, Password>,
    /// The owners by database.
    pub databases: BTreeMap<String, String>,
    /// Those of them that get their owner only when they are created.
    pub created_with_owner: BTreeSet<String>,
    /// The prepared databases, with roles, schemas and extensions.
    pub prepared: Vec<Prepared>,
    /// The roles that owners become members of. They must not be members of an owner.
    pub additional_owners: BTreeSet<String>,
    /// The access of poolers to password verifiers.
    pub poolers: Vec<PoolerAccess>,
    /// The login roles of rotations that are dropped.
    pub retirement: Retirement,
    /// What becomes of the roles of members who have left.
    pub departure: Option<Departure>,
}

impl Wanted {
    /// The desired content for these roles, with the passwords of their Secrets. `None` while the superuser has no password.
    #[must_use]
    pub fn new(
        roles: &Roles,
        credentials: &SecretChanges,
        superuser: &str,
        poolers: Vec<PoolerAccess>,
        calendar: Calendar,
    ) -> Option<Self> {
        let passwords = &credentials.passwords;
        let own = roles.roles.values().filter(|role| role.name != superuser).cloned();
        let logins = || credentials.logins.iter();
        // The role of the manifest keeps the password that it has.
        let rotated = logins().filter_map(|(name, login)| {
            let is_other = login.username != *name && !roles.roles.contains_key(&login.username);
            roles.roles.get(name).filter(|_| is_other).map(|role| role.rotated(&login.username))
        });
        let rotated: Vec<Role> = rotated.collect();
        let retirement = Retirement {
            of: logins().filter(|(_, login)| login.next_rotation.is_some()).map(|(name, _)| name.clone()).collect(),
            named: rotated.iter().map(|role| role.name.clone()).collect(),
            kept: logins().map(|(_, login)| &login.username).chain(roles.roles.keys()).cloned().collect(),
            calendar,
        };
        Some(Self {
            superuser: superuser.into(),
            password: passwords.get(superuser)?.clone(),
            roles: own.chain(rotated).collect(),
            passwords: passwords.clone(),
            databases: roles.databases.clone(),
            created_with_owner: roles.created_with_owner.clone(),
            prepared: roles.prepared.clone(),
            additional_owners: roles.additional_owners.clone(),
            poolers,
            retirement,
            departure: roles.departure.clone(),
        })
    }

    /// The same connection for one role alone, with a new password.
    fn only(&self, role: Role, password: Password) -> Self {
        Self {
            superuser: self.superuser.clone(),
            password: self.password.clone(),
            passwords: [(role.name.clone(), password)].into(),
            roles: vec![role],
            databases: BTreeMap::new(),
            created_with_owner: BTreeSet::new(),
            prepared: Vec::new(),
            additional_owners: self.additional_owners.clone(),
            poolers: Vec::new(),
            retirement: Retirement {
                of: BTreeSet::new(),
                named: BTreeSet::new(),
                kept: BTreeSet::new(),
                ..self.retirement
            },
            departure: None,
        }
    }
}

/// The access of a pooler to password verifiers (the action `pooler-access`), by PgBouncer's
/// [`auth_query`](https://www.pgbouncer.org/config.html#auth_query).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolerAccess {
    /// The pooler's role.
    pub username: String,
    /// The schema that holds the look-up function.
    pub schema: String,
}

/// The result of a synchronisation. It contains no secret value.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The changes, as in `create role foo_user`.
    pub done: Vec<String>,
    /// The changes that failed: the first [`MAX_FAILURES`].
    pub failures: Vec<FailedChange>,
    /// The number of further changes that failed.
    pub unlisted: usize,
    /// The findings about roles and databases.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether no change failed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty()
    }

    /// Keeps a failure, or only counts it.
    fn fail(&mut self, what: String, message: String) {
        if self.failures.len() == MAX_FAILURES {
            self.unlisted += 1;
            return;
        }
        warn!(%what, %message, "database change failed");
        self.failures.push(FailedChange { what, message });
    }
}

/// A change that failed. The other changes were still made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedChange {
    /// The change, as in `create extension pg_partman in database foo`.
    pub what: String,
    /// The server's message, shortened.
    pub message: String,
}

/// The reason why a cluster's databases could not be synchronised at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate authority cannot be used.
    #[error("the certificate authority for the database cannot be used: {0}")]
    Authority(String),
    /// The connection failed. A retry may succeed.
    #[error("could not connect to database {database} at {host}")]
    Connect {
        /// The database.
        database: String,
        /// The server.
        host: String,
        /// The reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operator closed the connection: the server asked for an unsafe log-in, or sent too much.
    #[error("gave up the connection to the database at {host}: {refusal}")]
    Unsafe {
        /// The server.
        host: String,
        /// The reason.
        refusal: Refusal,
    },
    /// The server refused the log-in: the role's password is not that of its Secret.
    #[error(
        "the database at {host} refused role \"{username}\": {message}; \
        set the password that the database knows in the role's Secret"
    )]
    Refused {
        /// The role.
        username: String,
        /// The server.
        host: String,
        /// The server's message.
        message: String,
    },
    /// The server is a replica: a failover is in progress, or this is a standby cluster.
    #[error("the database at {0} is a replica")]
    Replica(String),
    /// A query of the existing state failed.
    #[error("could not {what}")]
    Read {
        /// The query, after "could not".
        what: &'static str,
        /// The server's error.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The answer has too many rows.
    #[error("could not {what}: the server sent more than {limit} rows")]
    TooMany {
        /// The query, after "could not".
        what: &'static str,
        /// The most rows that are read.
        limit: usize,
    },
    /// The verifiers were not computed.
    #[error("could not compute the passwords' verifiers")]
    Compute(#[source] tokio::task::JoinError),
    /// The synchronisation took too long. The changes made so far stay.
    #[error("the database at {0} took too long")]
    Deadline(String),
}

impl Error {
    /// Which kind of error it is, as tests compare it.
    #[cfg(test)]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Authority(_) => "authority",
            Self::Connect { .. } => "connect",
            Self::Unsafe { .. } => "unsafe",
            Self::Refused { .. } => "refused",
            Self::Replica(_) => "replica",
            Self::Read { .. } | Self::TooMany { .. } => "read",
            Self::Compute(_) => "compute",
            Self::Deadline(_) => "deadline",
        }
    }

    /// Whether a retry may succeed without a change of the manifest or the configuration.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        !matches!(self, Self::Authority(_) | Self::Refused { .. } | Self::Unsafe { .. } | Self::TooMany { .. })
    }
}

/// The database in which the last synchronisation of a cluster reached its deadline. The next one begins with the
/// database after it, so that a database that never answers does not stop the others.
#[derive(Clone, Debug, Default)]
pub struct Resume(Arc<Mutex<Option<String>>>);

impl Resume {
    fn begin(&self, database: &str) {
        *self.0.lock() = Some(database.to_owned());
    }

    fn end(&self) {
        *self.0.lock() = None;
    }

    /// The databases in the order of the next synchronisation: first those after the last one.
    fn order(&self, mut databases: Vec<String>) -> Vec<String> {
        let last = self.0.lock().clone();
        if let Some(last) = last {
            let done = databases.iter().take_while(|database| **database <= last).count();
            databases.rotate_left(done);
        }
        databases
    }
}

/// Synchronises roles and databases with the desired content. Idempotent: a second call changes nothing. Not for
/// standby clusters.
///
/// # Errors
/// If the connection to the leader fails, the leader refuses the superuser, is a replica, or takes longer than
/// `deadline`: the next call with the same `resume` continues there. A single change that fails is a [`FailedChange`] in the
/// report instead.
pub async fn synchronize(
    server: Server,
    wanted: Arc<Wanted>,
    deadline: Instant,
    resume: &Resume,
) -> Result<Report, Error> {
    let mut work = Work { server: &server, wanted, resume, report: Report::default() };
    match tokio::time::timeout_at(deadline.into(), work.run()).await {
        Ok(result) => result.map(|()| work.report),
        Err(_) => Err(Error::Deadline(server.host().into())),
    }
}

/// Gives one role a new password, and creates the role if it is missing. The log-in is that of `wanted`. A login role of a
/// rotation that somebody else made stays as it is.
///
/// # Errors
/// As of [`synchronize`].
pub async fn set_password(
    server: Server,
    wanted: &Wanted,
    role: Role,
    password: Password,
    deadline: Instant,
) -> Result<Report, Error> {
    let wanted = Arc::new(wanted.only(role.clone(), password));
    let mut work = Work { server: &server, wanted, resume: &Resume::default(), report: Report::default() };
    let run = async {
        let mut session = work.leader().await?;
        if role.settings_of.is_some() && mark::is_missing(&session, &role.name, mark::ROTATION).await? {
            let what = format!("give role {} a password", role.name);
            work.report.fail(what, "it exists, and no rotation has made it; rename it".to_owned());
            return Ok(());
        }
        work.roles(&mut session).await
    };
    match tokio::time::timeout_at(deadline.into(), run).await {
        Ok(result) => result.map(|()| work.report),
        Err(_) => Err(Error::Deadline(server.host().into())),
    }
}

struct Work<'a> {
    server: &'a Server,
    wanted: Arc<Wanted>,
    resume: &'a Resume,
    report: Report,
}

impl Work<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let mut session = self.leader().await?;
        self.returns(&mut session).await?;
        self.roles(&mut session).await?;
        self.departures(&mut session).await?;
        self.retire(&mut session).await?;
        let databases = self.databases(&mut session).await?;
        drop(session);
        for database in self.resume.order(databases) {
            self.resume.begin(&database);
            if let Err(error) = self.contents(&database).await {
                let message = cut(&error_chain(&error), MAX_TEXT);
                self.report.fail(format!("look into database {database}"), message);
            }
        }
        self.resume.end();
        Ok(())
    }

    /// A session that may write.
    async fn leader(&self) -> Result<Session, Error> {
        let session = self.open(MAINTENANCE).await?;
        match session.is_replica().await? {
            true => Err(Error::Replica(self.server.host().into())),
            false => Ok(session),
        }
    }

    async fn open(&self, database: &str) -> Result<Session, Error> {
        let Wanted { superuser, password, .. } = &*self.wanted;
        Session::open(self.server, database, superuser, password).await
    }

    async fn roles(&mut self, session: &mut Session) -> Result<(), Error> {
        let existing = roles::read(session, &roles::names_of(&self.wanted.roles)).await?;
        let encryption = verifier::encryption(session).await?;
        let wanted = self.wanted.clone();
        // A comparison of a password with a verifier takes as many iterations as the verifier has, so it runs on a
        // thread.
        let planning = tokio::task::spawn_blocking(move || {
            let hash = |name: &str, password: &Password| verifier::make(encryption, name, password);
            roles::plan(&wanted.roles, &wanted.passwords, &wanted.additional_owners, &existing, hash)
        });
        let (statements, findings) = planning.await.map_err(Error::Compute)?;
        self.report.findings.extend(findings);
        self.execute(session, statements).await;
        Ok(())
    }

    /// Gives members who come back their roles back.
    async fn returns(&mut self, session: &mut Session) -> Result<(), Error> {
        let wanted = self.wanted.clone();
        let Some(departure) = &wanted.departure else { return Ok(()) };
        let existing = departure::read(session, departure, &wanted.roles).await?;
        self.execute(session, departure::returns(departure, &wanted.roles, &existing)).await;
        Ok(())
    }

    /// Takes the log-in of members who have left.
    async fn departures(&mut self, session: &mut Session) -> Result<(), Error> {
        let wanted = self.wanted.clone();
        let Some(departure) = &wanted.departure else { return Ok(()) };
        let existing = departure::read(session, departure, &wanted.roles).await?;
        let (statements, findings) = departure::plan(departure, &wanted.roles, &wanted.superuser, &existing);
        self.report.findings.extend(findings);
        self.execute(session, statements).await;
        Ok(())
    }

    /// Drops the login roles of rotations that are no longer kept.
    async fn retire(&mut self, session: &mut Session) -> Result<(), Error> {
        let wanted = self.wanted.clone();
        let members = rotation::read(session, &wanted.retirement.of).await?;
        let (statements, findings) = rotation::plan(&wanted.retirement, &members);
        self.report.findings.extend(findings);
        self.execute(session, statements).await;
        Ok(())
    }

    /// Synchronises the list of databases; returns the names of those whose content has to be synchronised.
    async fn databases(&mut self, session: &mut Session) -> Result<Vec<String>, Error> {
        let wanted = self.wanted.clone();
        let names: Vec<&str> = wanted.databases.keys().map(String::as_str).collect();
        let mut existing = databases::read(session, &names).await?;
        let statements = databases::plan(&wanted.databases, &wanted.created_with_owner, &existing);
        if !statements.is_empty() {
            self.execute(session, statements).await;
            existing = databases::read(session, &names).await?;
        }
        if existing.len() == databases::MAX_DATABASES {
            let message = format!("only {} databases are looked into", databases::MAX_DATABASES);
            self.report.findings.push(Finding::warning(message).remedy("drop databases that are not used"));
        }
        let mut open: Vec<_> = existing.into_iter().filter(databases::Existing::is_open).collect();
        if wanted.poolers.is_empty() {
            let prepared = |name: &str| wanted.prepared.iter().any(|one| one.database == name);
            open.retain(|database| prepared(&database.name));
        }
        Ok(open.into_iter().map(|database| database.name).collect())
    }

    /// Synchronises the content of one database.
    async fn contents(&mut self, database: &str) -> Result<(), Error> {
        let mut session = self.open(database).await?;
        let wanted = self.wanted.clone();
        for prepared in wanted.prepared.iter().filter(|one| one.database == database) {
            let existing = prepared::read(&session, prepared).await?;
            let statements = prepared::plan(prepared, &existing);
            self.execute(&mut session, statements).await;
        }
        for pooler in &wanted.poolers {
            let existing = user_lookup::read(&session, pooler).await?;
            let statements = user_lookup::plan(database, pooler, &wanted.superuser, &existing);
            self.execute(&mut session, statements).await;
        }
        Ok(())
    }

    async fn execute(&mut self, session: &mut Session, statements: impl IntoIterator<Item = Statement>) {
        for statement in statements {
            match session.execute(&statement).await {
                Ok(()) => {
                    info!(what = %statement.what, "database changed");
                    self.report.done.push(statement.what);
                }
                Err(message) => self.report.fail(statement.what, message),
            }
        }
    }
}

#[cfg(test)]
mod resume_tests {
    use super::Resume;

    fn order(resume: &Resume) -> String {
        resume.order(["a", "b", "c"].map(String::from).to_vec()).concat()
    }

    #[test]
    fn a_synchronisation_whose_time_was_over_continues_after_the_database_that_it_was_in() {
        let resume = Resume::default();
        assert_eq!(order(&resume), "abc");
        resume.begin("a");
        assert_eq!(order(&resume), "bca");
        resume.begin("bb");
        assert_eq!(order(&resume), "cab", "the database may have been dropped");
        resume.begin("c");
        assert_eq!(order(&resume), "abc");
        resume.end();
        assert_eq!(order(&resume), "abc");
    }
}

#[cfg(test)]
mod tests;
