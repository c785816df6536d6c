//! Synchronises the roles and databases, over a connection to the leader, in a job of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use pgloom_api::Finding;
use pgloom_api::postgresql::Authority;
use pgloom_common::error::error_chain;
use pgloom_decide::Plan;
use pgloom_decide::members::Members;
use pgloom_decide::status::Condition;
use pgloom_engine::{Action, RequestedAction};

use super::Reconciliation;
use super::credentials::{Home, read};
use super::decide::Decided;
use super::hold::UPGRADING;
use super::progress::Underway;
use super::requeue::Requeue;
use crate::apply::Writer;
use crate::context::Network;
use crate::execute::database::{self, Connect, PoolerAccess, PortForward, Report, Resume, Server, Tcp, Tls};
use crate::execute::patroni::configure::Configured;
use crate::execute::rotation::Calendar;
use crate::execute::task::{Backoff, Failure, JobStatus, fingerprint};
use crate::report::{Event, Recorder};
use crate::serve::metrics::ResultLabel;
use crate::state::Synchronization;

/// How long a synchronisation of roles and databases may take.
const DEADLINE: Duration = Duration::from_secs(120);
/// When a synchronisation that failed is tried again first.
const RETRY: Duration = Duration::from_secs(1);

/// How the synchronisation of roles and databases goes.
pub struct Synchronized {
    /// The status of the job; `None` if there is nothing to synchronise.
    pub job: Option<JobStatus<Synchronization>>,
    /// The condition `DatabaseSynced`.
    pub condition: Condition,
    /// What people should know.
    pub warnings: Vec<Event>,
    /// The job, if it has not ended well yet.
    pub underway: Option<Underway>,
    /// When a failed job is due again.
    pub requeue: Requeue,
    /// Whether the cluster follows another one, whose roles and databases it has.
    pub follows: bool,
}

impl Synchronized {
    /// Whether the synchronisation failed and is not expected to succeed by itself soon.
    pub fn failed(&self) -> bool {
        matches!(&self.job, Some(JobStatus::Failed(failure)) if !failure.is_early())
    }

    /// Nothing is to be synchronised.
    fn off(reason: &str, message: &str) -> Self {
        Self {
            job: None,
            condition: Condition::unknown("DatabaseSynced", reason, message),
            warnings: Vec::new(),
            underway: None,
            requeue: Requeue::default(),
            follows: false,
        }
    }

    /// What a job's status means for the cluster.
    fn new(job: JobStatus<Synchronization>, backoff: Backoff) -> Self {
        let mut warnings = Vec::new();
        let (underway, condition) = match &job {
            JobStatus::Done(outcome) => {
                warnings.extend(outcome.warnings.iter().map(|warning| Event::warning("Database", warning)));
                (None, Condition::holds("DatabaseSynced", "Synced", "roles and databases are as desired"))
            }
            JobStatus::Running => {
                let message = "roles and databases are being synchronised";
                (Some(message.to_owned()), Condition::unknown("DatabaseSynced", "Running", message))
            }
            JobStatus::Failed(failure) if failure.is_early() => {
                (Some(failure.reason.clone()), Condition::unknown("DatabaseSynced", "Waiting", &failure.reason))
            }
            JobStatus::Failed(failure) => {
                warnings.push(Event::warning("Sync", &failure.reason));
                let message = "the synchronisation of roles and databases is tried again";
                (Some(message.to_owned()), Condition::fails("DatabaseSynced", "Failed", &failure.reason))
            }
        };
        let underway = underway.map(|reason| Underway::waiting(reason).watched());
        let requeue = match &job {
            JobStatus::Failed(failure) => Requeue::within(backoff.delay(failure.times)),
            _ => Requeue::default(),
        };
        Self { job: Some(job), condition, warnings, underway, requeue, follows: false }
    }
}

impl Reconciliation<'_> {
    /// Starts the synchronisation of roles and databases if it is due, and returns how it goes.
    pub fn database(&self, decided: &Decided, members: &Members) -> Synchronized {
        if !self.settings.config.flag("enable_database_access") {
            return Synchronized::off("Disabled", "enable_database_access of the operator configuration is false");
        }
        if decided.plan.cluster.standby && self.follows() {
            let off = Synchronized::off("Standby", "a standby cluster has the roles and databases of its source");
            return Synchronized { follows: true, ..off };
        }
        if self.is_upgrading() {
            return Synchronized::off("Upgrading", UPGRADING);
        }
        if self.wanted() == 0 {
            return Synchronized::off("NoInstances", "the manifest asks for no instance");
        }
        let Some((leader, _)) = members.leader().filter(|(member, _)| member.ready) else {
            return Synchronized::off("NoLeader", "no pod leads");
        };
        let backoff = self.backoff_after(RETRY);
        Synchronized::new(self.start(&decided.plan, &leader.pod, backoff), backoff)
    }

    /// Whether Patroni's configuration follows another cluster, as far as it was read: the manifest alone does not make a
    /// running cluster a standby, and one that was promoted by hand is none any more.
    fn follows(&self) -> bool {
        !matches!(self.state.patroni.last(), Some(JobStatus::Done(Configured { follows: false, .. })))
    }

    /// When a job is repeated: after the resync period if it ended well, after `failure` and ever later if it failed.
    pub fn backoff_after(&self, failure: Duration) -> Backoff {
        Backoff { after_success: self.settings.resync(), after_failure: failure, at_most: self.settings.repair() }
    }

    fn start(&self, plan: &Arc<Plan>, leader: &str, backoff: Backoff) -> JobStatus<Synchronization> {
        let poolers = poolers(&plan.actions);
        let roles = (format!("{:?}", plan.roles), format!("{poolers:?}"));
        let secrets = self.fingerprint_of(&plan.secrets);
        let retention = self.settings.config.integer("password_rotation_user_retention");
        let wanted = fingerprint(&(roles, secrets, &plan.cluster.authority, leader, retention));
        let work = Work {
            writer: self.writer(),
            home: self.home(),
            plan: plan.clone(),
            way: self.way(self.context.network, leader),
            superuser: self.settings.config.text("super_username").to_owned(),
            poolers,
            resume: self.state.resume.clone(),
            calendar: self.calendar(),
            recorder: self.context.recorder.clone(),
            about: self.about.clone(),
        };
        let (metrics, fence) = (self.context.metrics.clone(), self.context.fence.clone());
        self.state.database.ensure(wanted, DEADLINE, backoff, || async move {
            let result = fence.guard(work.run()).await;
            let result = result.unwrap_or_else(|closed| Err(Failure::passing(closed.to_string())));
            let label = if result.is_ok() { "ok" } else { "failed" };
            metrics.database_syncs.get_or_create(&ResultLabel { result: label.to_owned() }).inc();
            result
        })
    }

    /// The way to the leader and its name: its Service from within the cluster, its pod through the API server from
    /// outside.
    fn way(&self, network: Network, leader: &str) -> Way {
        let domain = self.settings.config.text("cluster_domain");
        let service = Tcp::to_leader(&self.key.name, &self.key.namespace, domain);
        let host = service.host.clone();
        match network {
            Network::InCluster => (host, Arc::new(service)),
            Network::OutOfCluster => {
                let pods = kube::Api::namespaced(self.context.client.clone(), &self.key.namespace);
                (host, Arc::new(PortForward { pods, pod: leader.to_owned() }))
            }
        }
    }
}

/// What a server is called, and the way to it.
type Way = (String, Arc<dyn Connect>);

/// One run of the job.
pub(super) struct Work {
    pub writer: Writer,
    pub home: Home,
    pub plan: Arc<Plan>,
    way: Way,
    superuser: String,
    poolers: Vec<PoolerAccess>,
    resume: Resume,
    pub calendar: Calendar,
    pub recorder: Recorder,
    pub about: ObjectReference,
}

impl Work {
    async fn run(self) -> Result<Synchronization, Failure> {
        let Self { plan, home, calendar, superuser, .. } = &self;
        let client = &self.writer.client;
        let read = read(client, home, &plan.secrets, calendar).await;
        let (credentials, existing) = read.map_err(|error| Failure::passing(error_chain(&error)))?;
        let poolers = self.poolers.clone();
        let Some(wanted) = database::Wanted::new(&plan.roles, &credentials, superuser, poolers, *calendar) else {
            return Err(Failure::new(format!("the Secret of the superuser {superuser} holds no password")));
        };
        let authority = match &plan.cluster.authority {
            Some(authority) => Some(certificate(client, &home.namespace, authority).await?),
            None => None,
        };
        let tls = Tls::new(authority.as_deref()).map_err(|error| Failure::new(error_chain(&error)))?;
        let (host, way) = self.way.clone();
        let (server, wanted, deadline) = (Server::new(host, way, tls), Arc::new(wanted), Instant::now() + DEADLINE);
        let report = database::synchronize(server.clone(), wanted.clone(), deadline, &self.resume).await;
        // What fails in one database does not keep a password.
        let rotated = match report {
            Ok(_) => self.rotate(&server, &wanted, &credentials, &existing, deadline).await,
            Err(_) => Ok(Vec::new()),
        };
        let mut warnings = warnings(report)?;
        warnings.extend(rotated?);
        Ok(Synchronization { warnings: warnings.iter().map(ToString::to_string).collect() })
    }
}

/// What people should know of a report.
pub(super) fn warnings(report: Result<Report, database::Error>) -> Result<Vec<Finding>, Failure> {
    let report =
        report.map_err(|error| Failure { passing: error.is_passing(), ..Failure::new(error_chain(&error)) })?;
    if !report.is_complete() {
        let failures = report.failures.iter().map(|failure| format!("could not {}: {}", failure.what, failure.message));
        let unlisted = (report.unlisted > 0).then(|| format!("and {} more failures", report.unlisted));
        // Right after its start, or in a failover, a database refuses what it does a moment later.
        return Err(Failure::passing(failures.chain(unlisted).collect::<Vec<_>>().join("; ")));
    }
    Ok(report.findings)
}

/// The certificate of the authority that the manifest names.
async fn certificate(client: &kube::Client, namespace: &str, authority: &Authority) -> Result<Vec<u8>, Failure> {
    let Authority { secret, key } = authority;
    let secrets: kube::Api<Secret> = kube::Api::namespaced(client.clone(), namespace);
    let found = secrets.get_opt(secret).await.map_err(|error| {
        Failure::passing(format!(
            "could not read the Secret {secret} of the certificate authority: {}",
            error_chain(&error)
        ))
    })?;
    let value = found.and_then(|found| found.data?.remove(key)).map(|value| value.0);
    value.ok_or_else(|| {
        Failure::passing(format!("the Secret {secret} of the certificate authority is missing, or its key {key}"))
    })
}

fn poolers(actions: &[RequestedAction]) -> Vec<PoolerAccess> {
    let granted = actions.iter().filter(|requested| requested.is_granted());
    let access = granted.filter_map(|requested| match &requested.action {
        Action::PoolerAccess(access) => {
            Some(PoolerAccess { username: access.username.clone(), schema: access.schema.clone() })
        }
        _ => None,
    });
    access.collect()
}
