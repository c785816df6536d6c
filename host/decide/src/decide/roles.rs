//! The roles of a cluster, from the manifest, the configuration, the observed objects and the requests of plugins.

use std::collections::BTreeMap;

use pgloom_api::config::Config;
use pgloom_api::validate::Cluster;
use pgloom_engine::{Action, RequestedAction};

use crate::Observed;
use crate::credential::UserListRequest;
use crate::role::{self, CredentialRequest, Roles, Settings, Sources};

pub fn gather(cluster: &Cluster, config: &Config, observed: &Observed, actions: &[RequestedAction]) -> Roles {
    role::gather(&Sources {
        namespace: cluster.namespace.clone(),
        settings: settings(config),
        users: cluster.users.clone(),
        databases: cluster.databases.clone(),
        prepared: cluster.prepared_databases.clone(),
        infrastructure: observed.infrastructure.clone(),
        teams: observed.teams.clone(),
        credentials: granted(actions).filter_map(credential).collect(),
    })
}

/// The user lists that plugins request.
pub fn user_lists(actions: &[RequestedAction]) -> Vec<UserListRequest> {
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
    actions.iter().filter(|requested| requested.granted).map(|requested| &requested.action)
}

fn settings(config: &Config) -> Settings {
    Settings {
        superuser: config.text("super_username").to_owned(),
        replication: config.text("replication_username").to_owned(),
        protected: config.list("protected_role_names").into_iter().map(str::to_owned).collect(),
        team_admin: config.text("team_admin_role").to_owned(),
        admin_for_users: config.flag("enable_admin_role_for_users"),
        pam_role: config.text("pam_role_name").to_owned(),
        team_superuser: config.flag("enable_team_superuser"),
        team_parameters: super::owned(config.map("team_api_role_configuration")),
        additional_owner_roles: config.list("additional_owner_roles").into_iter().map(str::to_owned).collect(),
        cross_namespace_secrets: config.flag("enable_cross_namespace_secret"),
    }
}
