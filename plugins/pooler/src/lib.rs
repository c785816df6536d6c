//! Pooler: [PgBouncer](https://www.pgbouncer.org) in front of the leader, and in front of the replicas, of a cluster.

use pgloom_kit::{
    Action, ActionKind, Credential, Description, NoSettings, Plugin, PoolerAccess, Request, Response, Result, UserList,
    Warnings, kind,
};

mod config;
mod deployment;
mod section;
mod service;
mod size;
mod spec;
mod target;

use config::Config;
use section::Pooler;
use spec::Spec;
use target::Target;

/// The plugin: it creates a Deployment and a Service for each pooler, and requests the role that PgBouncer logs in as.
/// See
/// [connection poolers](https://postgres-operator.readthedocs.io/en/latest/user/#connection-pooler).
pub struct ConnectionPooler;

/// The names of the poolers' Deployments and Services.
const NAMES: [&str; 2] = ["{cluster}-pooler", "{cluster}-pooler-repl"];

impl Plugin for ConnectionPooler {
    type Spec = Spec;
    type Config = Config;
    type Settings = NoSettings;

    fn describe() -> Description {
        Description::of::<Self>(
            "pooler",
            env!("CARGO_PKG_VERSION"),
            "Puts a PgBouncer in front of every cluster that asks for one.",
        )
        .when_manifest("/spec/enableConnectionPooler")
        .when_manifest("/spec/enableConnectionPool")
        .when_manifest("/spec/enableReplicaConnectionPooler")
        .when_manifest("/spec/connectionPooler")
        .when_manifest("/spec/connectionPool")
        .creates(kind("apps/v1", "Deployment"), &NAMES)
        .creates(kind("v1", "Service"), &NAMES)
        .privilege("external-service")
        // The Secret of the certificate.
        .privilege("foreign-secret")
        .privilege("service-account")
        // If `cluster_labels` has no `application`.
        .privilege("member-labels")
        .optional()
        // The manifest names the role and the schema.
        .acts(ActionKind::Credential, &["*"])
        .acts(ActionKind::UserList, &["{cluster}-pooler-u", "{cluster}-pooler-repl-u"])
        .acts(ActionKind::PoolerAccess, &["*"])
        .requires("spilo", "^0.1")
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let Request { cluster, config, .. } = request;
        let roles = cluster.spec.roles();
        if roles.is_empty() {
            return Ok(Response::new());
        }
        let mut warnings = Warnings::default();
        let pooler = Pooler::resolve(cluster, &config.pooler, &mut warnings)?;
        let mut response = Response::new().act(
            format!("credential/{}", pooler.user),
            Action::Credential(Credential {
                username: pooler.user.clone(),
                labels: target::credential_labels(cluster, &config.metadata, &pooler.user),
            }),
        );
        for role in roles {
            let target = Target::of(cluster, &config.metadata, role)?;
            response = response
                .act(
                    format!("user-list/{}", target.user_list),
                    Action::UserList(UserList {
                        secret_name: target.user_list.clone(),
                        username: pooler.user.clone(),
                        labels: target.labels.clone().into_iter().collect(),
                    }),
                )
                .apply(deployment::build(cluster, config, &pooler, &target)?)
                .apply(service::build(cluster, config, &target, &mut warnings));
        }
        // Of a standby cluster, too: the host does nothing in the databases of one that follows its source.
        Ok(response.with(warnings).act(
            format!("access/{}/{}", pooler.user, pooler.schema),
            Action::PoolerAccess(PoolerAccess { username: pooler.user, schema: pooler.schema }),
        ))
    }
}

pgloom_kit::register!(ConnectionPooler);

#[cfg(test)]
mod tests;
