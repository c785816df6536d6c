//! Synchronises the roles and databases, over a connection to the leader, in a job of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgloom_decide::Plan;
use pgloom_decide::finding::role_sentence;
use pgloom_decide::status::Condition;
use pgloom_engine::{Action, RequestedAction};

use super::credentials::read;
use super::{Progress, Reconciliation};
use crate::context::{Network, Outcome};
use crate::execute::database::{self, PoolerAccess, PortForward, Server, Tcp, Tls};
use crate::execute::task::{Backoff, Failure, JobStatus, fingerprint};
use crate::report::{Event, error_chain};
use crate::serve::metrics::ResultLabel;

/// How long a synchronisation of roles and databases may take.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// When a synchronisation that failed is tried again first.
const RETRY: Duration = Duration::from_secs(1);

impl Reconciliation<'_> {
    /// Sees to it that roles and databases are kept; `None` where they are not the operator's to keep.
    pub fn database(&self, plan: &Arc<Plan>, progress: &mut Progress) -> Option<JobStatus<Outcome>> {
        let off = |reason: &str, message: &str| Condition::unknown("DatabaseSynced", reason, message);
        if !self.settings.config.flag("enable_database_access") {
            progress.conditions.push(off("Disabled", "enable_database_access of the operator configuration is false"));
            return None;
        }
        if plan.cluster.standby {
            progress.conditions.push(off("Standby", "a standby cluster has the roles and databases of its source"));
            return None;
        }
        if self.wanted() == 0 {
            progress.conditions.push(off("NoInstances", "the manifest asks for no instance"));
            return None;
        }
        let Some(leader) =
            progress.members.leader().filter(|(member, _)| member.ready).map(|(member, _)| member.pod.clone())
        else {
            progress.conditions.push(off("NoLeader", "no pod leads"));
            return None;
        };
        let backoff = self.backoff_after(RETRY);
        let status = self.start(plan, &leader, backoff);
        if let JobStatus::Failed(failure) = &status {
            progress.requeue_within(backoff.delay(failure.times));
        }
        tell(&status, progress);
        Some(status)
    }

    /// When background work is done backoff.
    pub fn backoff_after(&self, failure: Duration) -> Backoff {
        Backoff { after_success: self.settings.resync(), after_failure: failure, at_most: self.settings.repair() }
    }

    fn start(&self, plan: &Arc<Plan>, leader: &str, backoff: Backoff) -> JobStatus<Outcome> {
        let poolers = poolers(&plan.actions);
        let roles = (format!("{:?}", plan.roles), format!("{poolers:?}"));
        let wanted = fingerprint(&(roles, self.fingerprint_of(&plan.secrets), leader));
        let (client, plan, network) = (self.context.client.clone(), plan.clone(), self.context.network);
        let (metrics, superuser) =
            (self.context.metrics.clone(), self.settings.config.text("super_username").to_owned());
        let server = self.server(network, leader);
        self.context.databases.ensure(self.key, wanted, backoff, || async move {
            let result = synchronize(client, plan, server, superuser, poolers).await;
            let label = if result.is_ok() { "ok" } else { "failed" };
            metrics.database_syncs.get_or_create(&ResultLabel { result: label.to_owned() }).inc();
            result
        })
    }

    /// The way to the leader: its Service from within the cluster, its pod through the API server from without.
    fn server(&self, network: Network, leader: &str) -> Result<Server, String> {
        let domain = self.settings.config.text("cluster_domain");
        let way = Tcp::to_leader(&self.key.name, &self.key.namespace, domain);
        let host = way.host.clone();
        let tls = Tls::new(None).map_err(|error| error.to_string())?;
        Ok(match network {
            Network::InCluster => Server::new(host, Arc::new(way), tls),
            Network::OutOfCluster => {
                let pods = kube::Api::namespaced(self.context.client.clone(), &self.key.namespace);
                Server::new(host, Arc::new(PortForward { pods, pod: leader.to_owned() }), tls)
            }
        })
    }
}

async fn synchronize(
    client: kube::Client,
    plan: Arc<Plan>,
    server: Result<Server, String>,
    superuser: String,
    poolers: Vec<PoolerAccess>,
) -> Result<Outcome, Failure> {
    let credentials = read(&client, &plan.secrets).await.map_err(|error| Failure::passing(error_chain(&error)))?;
    let Some(wanted) = database::Wanted::new(&plan.roles, &credentials.passwords, &superuser, poolers) else {
        return Err(Failure::new(format!("the Secret of the superuser {superuser} holds no password")));
    };
    let server = server.map_err(Failure::new)?;
    let report = database::synchronize(server, Arc::new(wanted), Instant::now() + DEADLINE).await;
    let report =
        report.map_err(|error| Failure { passing: error.is_passing(), ..Failure::new(error_chain(&error)) })?;
    if !report.is_complete() {
        let failures = report.failures.iter().map(|failure| format!("could not {}: {}", failure.what, failure.message));
        // Right after its start, or in a failover, a database refuses what it does a moment later.
        return Err(Failure::passing(failures.collect::<Vec<_>>().join("; ")));
    }
    Ok(Outcome { warnings: report.findings.iter().map(role_sentence).collect() })
}

fn tell(status: &JobStatus<Outcome>, progress: &mut Progress) {
    let condition = match status {
        JobStatus::Done(outcome) => {
            progress.warnings.extend(outcome.warnings.iter().map(|warning| Event::warning("Database", warning)));
            Condition::holds("DatabaseSynced", "Synced", "roles and databases are as desired")
        }
        JobStatus::Running => {
            progress.wait("roles and databases are being looked at", false);
            Condition::unknown("DatabaseSynced", "Running", "roles and databases are being looked at")
        }
        JobStatus::Failed(failure) if failure.is_early() => {
            progress.wait(&failure.reason, false);
            Condition::unknown("DatabaseSynced", "Waiting", &failure.reason)
        }
        JobStatus::Failed(Failure { reason, .. }) => {
            progress.failed = true;
            progress.wait("roles and databases are tried again", false);
            progress.warnings.push(Event::warning("Sync", reason));
            Condition::fails("DatabaseSynced", "Failed", reason)
        }
    };
    progress.conditions.push(condition);
}

fn poolers(actions: &[RequestedAction]) -> Vec<PoolerAccess> {
    let granted = actions.iter().filter(|requested| requested.granted);
    let access = granted.filter_map(|requested| match &requested.action {
        Action::PoolerAccess(access) => {
            Some(PoolerAccess { username: access.username.clone(), schema: access.schema.clone() })
        }
        _ => None,
    });
    access.collect()
}
