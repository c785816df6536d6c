//! The roles of a cluster, from the manifest, the configuration, the observed objects and the requests of plugins.

use std::collections::BTreeMap;

use pgloom_api::Finding;
use pgloom_api::config::Config;
use pgloom_api::validate::Cluster;
use pgloom_engine::{Action, RequestedAction};

use crate::credential::{self, Naming, UserListRequest, WantedSecret};
use crate::role::{self, CredentialRequest, Roles, Settings, Sources};
use crate::{Observed, action};

/// The roles of a cluster, and their Secrets.
pub struct Wanted {
    pub roles: Roles,
    pub secrets: Vec<WantedSecret>,
    /// The findings about Secrets that two roles would share.
    pub clashes: Vec<Finding>,
}

impl Wanted {
    /// With the requests of plugins; those about a role that their step does not get are refused.
    pub fn of(
        cluster: &Cluster,
        config: &Config,
        observed: &Observed,
        actions: &mut [RequestedAction],
        naming: &Naming,
    ) -> Self {
        let roles = gather(cluster, config, observed, actions);
        action::bind(actions, &roles);
        let (secrets, clashes) = credential::wanted(&roles, &user_lists(actions), naming);
        Self { roles, secrets, clashes }
    }
}

/// Whether an action is about a role, so that roles and Secrets depend on the actions.
pub fn are_requested(actions: &[RequestedAction]) -> bool {
    granted(actions)
        .any(|action| matches!(action, Action::Credential(_) | Action::UserList(_) | Action::PoolerAccess(_)))
}

fn gather(cluster: &Cluster, config: &Config, observed: &Observed, actions: &[RequestedAction]) -> Roles {
    role::gather(&Sources {
        namespace: cluster.namespace.clone(),
        settings: Settings::of(config),
        users: cluster.users.clone(),
        databases: cluster.databases.clone(),
        prepared: cluster.prepared_databases.clone(),
        infrastructure: observed.infrastructure.clone(),
        teams: observed.teams.clone(),
        knows_teams: observed.knows_teams,
        credentials: granted(actions).filter_map(credential).collect(),
        rotation: cluster.rotation.clone(),
        is_standby: cluster.standby,
    })
}

/// The user lists that plugins request.
fn user_lists(actions: &[RequestedAction]) -> Vec<UserListRequest> {
    let list = |action: &Action| match action {
        Action::UserList(list) => Some(UserListRequest {
            secret_name: list.secret_name.clone(),
            username: list.username.clone(),
            labels: list.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
        }),
        _ => None,
    };
    granted(actions).filter_map(list).collect()
}

fn credential(action: &Action) -> Option<CredentialRequest> {
    match action {
        Action::Credential(credential) => Some(CredentialRequest {
            username: credential.username.clone(),
            labels: credential.labels.iter().cloned().collect(),
        }),
        _ => None,
    }
}

fn granted(actions: &[RequestedAction]) -> impl Iterator<Item = &Action> {
    actions.iter().filter(|requested| requested.is_granted()).map(|requested| &requested.action)
}
