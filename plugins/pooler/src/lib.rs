//! Pooler: puts a PgBouncer in front of the leader, and one in front of the replicas, of every cluster that asks for it.

use pgloom_kit::{
    Action, ActionKind, Credential, Description, NoSettings, Notes, Plugin, PoolerAccess, Request, Response, Result,
    UserList, kind,
};

mod config;
mod deployment;
mod section;
mod service;
mod size;
mod spec;
mod target;
mod tls;

use config::Config;
use section::Pooler;
use spec::Spec;
use target::Target;

/// The plugin.
pub struct ConnectionPooler;

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
        .creates(kind("apps/v1", "Deployment"))
        .creates(kind("v1", "Service"))
        .acts(ActionKind::Credential)
        .acts(ActionKind::UserList)
        .acts(ActionKind::PoolerAccess)
        .requires("spilo", "^0.1")
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let Request { cluster, config, .. } = request;
        let mut notes = Notes::default();
        let roles = cluster.spec.roles(&mut notes);
        if roles.is_empty() {
            return Ok(Response::new().with(notes));
        }
        let pooler = Pooler::resolve(cluster, &config.pooler, &mut notes)?;
        let mut response = Response::new().with(notes).act(
            ["credential/", &pooler.user].concat(),
            Action::Credential(Credential {
                username: pooler.user.clone(),
                labels: target::credential_labels(cluster, &config.metadata, &pooler.user),
            }),
        );
        for role in roles {
            let target = Target::of(cluster, &config.metadata, role)?;
            response = response
                .act(
                    ["user-list/", &target.user_list].concat(),
                    Action::UserList(UserList {
                        secret_name: target.user_list.clone(),
                        username: pooler.user.clone(),
                        labels: target.labels.clone().into_iter().collect(),
                    }),
                )
                .apply(deployment::build(cluster, config, &pooler, &target)?)
                .apply(service::build(cluster, config, &target));
        }
        Ok(match cluster.spec.is_standby() {
            // What a standby cluster has, it has from its source; it is read-only.
            true => response,
            false => response.act(
                ["access/", &pooler.user, "/", &pooler.schema].concat(),
                Action::PoolerAccess(PoolerAccess { username: pooler.user, schema: pooler.schema }),
            ),
        })
    }
}

pgloom_kit::register!(ConnectionPooler);

#[cfg(test)]
mod tests;
