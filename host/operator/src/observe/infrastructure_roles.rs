//! The roles that are not in the manifest: infrastructure roles, read once for all clusters from operator-wide Secrets
//! and ConfigMaps, and the members of teams.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use parking_lot::Mutex;
use pgloom_api::Finding;
use pgloom_api::config::Config;
use pgloom_decide::credential::Data;
use pgloom_decide::role::{Definition, InfrastructureRole, Source, infrastructure_definitions, read_infrastructure};

use super::teams_api::{Teams, TeamsApi, TeamsSettings};
use crate::cache::ClusterKey;
use crate::cache::postgres_team::{Known, PostgresTeams};

/// The time for which the roles are used before they are read again: short enough for a new password, long enough that
/// a thousand clusters cause one read.
const CACHE_TTL: Duration = Duration::from_secs(30);

/// Infrastructure roles with the findings about them.
#[derive(Default)]
pub struct Roles {
    /// The roles.
    pub roles: Vec<InfrastructureRole>,
    /// A finding for each invalid entry.
    pub findings: Vec<Finding>,
}

/// The time of the last read, its definitions, and its result.
type Last = (Instant, Vec<Definition>, Arc<Roles>);

/// A cached reader of infrastructure roles and teams.
pub struct InfrastructureRoles {
    client: Client,
    /// The operator's own namespace.
    namespace: String,
    last: Mutex<Option<Last>>,
    teams: TeamsApi,
}

impl InfrastructureRoles {
    /// Nothing is read yet.
    pub fn new(client: Client, namespace: &str, changed: UnboundedSender<ClusterKey>) -> Self {
        let teams = TeamsApi::new(client.clone(), changed);
        Self { client, namespace: namespace.to_owned(), last: Mutex::default(), teams }
    }

    /// The roles that the configuration names.
    ///
    /// # Errors
    /// If a request to the API server fails. A Secret that does not exist is a finding.
    pub async fn roles(&self, config: &Config) -> Result<Arc<Roles>, kube::Error> {
        let definitions = infrastructure_definitions(config);
        if definitions.is_empty() {
            return Ok(Arc::default());
        }
        // Not locked while the API server is asked: a request that hangs must hold its own reconcile alone.
        if let Some((read, for_these, roles)) = &*self.last.lock()
            && read.elapsed() < CACHE_TTL
            && *for_these == definitions
        {
            return Ok(roles.clone());
        }
        let mut sources = Vec::new();
        for definition in &definitions {
            sources.push(self.source(definition).await?);
        }
        let (roles, findings) = read_infrastructure(&sources);
        let roles = Arc::new(Roles { roles, findings });
        *self.last.lock() = Some((Instant::now(), definitions, roles.clone()));
        Ok(roles)
    }

    /// The teams whose members get roles in a cluster of team `owner`.
    pub fn teams(&self, key: &ClusterKey, config: &Config, owner: &str, objects: &PostgresTeams) -> Teams {
        self.teams_settings(config, owner, objects).map(|settings| self.teams.of(key, &settings)).unwrap_or_default()
    }

    /// The same from what is known of them by now. Nothing is asked.
    pub fn known_teams(&self, config: &Config, owner: &str, objects: &PostgresTeams) -> Teams {
        self.teams_settings(config, owner, objects).map(|settings| self.teams.known(&settings)).unwrap_or_default()
    }

    /// How teams are asked for; `None` if they are not.
    fn teams_settings(&self, config: &Config, owner: &str, objects: &PostgresTeams) -> Option<TeamsSettings> {
        let [is_asked, has_objects] = ["enable_teams_api", "enable_postgres_team_crd"].map(|key| config.flag(key));
        let objects = match has_objects {
            true => objects.known(),
            false => Known { teams: Some(Arc::default()), unlisted: None },
        };
        (is_asked || has_objects).then(|| TeamsSettings {
            url: config.text("teams_api_url").to_owned(),
            token: config.reference("oauth_token_secret_name", &self.namespace).unwrap_or_default(),
            superuser_teams: config.list("postgres_superuser_teams").into_iter().map(str::to_owned).collect(),
            owner: owner.to_owned(),
            is_asked,
            additional: objects.teams,
            additional_superusers: config.flag("enable_postgres_team_crd_superusers"),
            unlisted: objects.unlisted,
        })
    }

    async fn source(&self, definition: &Definition) -> Result<Source, kube::Error> {
        let (namespace, name) = definition.place(&self.namespace);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        Ok(Source {
            definition: definition.clone(),
            secret: secrets.get_opt(name).await?.map(|secret| Data::from(&secret).0),
            details: maps.get_opt(name).await?.and_then(|map| map.data),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeApiServer;
    use futures::channel::mpsc::unbounded;
    use kube::runtime::watcher::Event;
    use pgloom_api::postgres_team::PostgresTeam;
    use serde_json::json;

    #[tokio::test]
    async fn roles_are_read_from_the_named_secret_and_kept_for_a_while() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "roles"}, "data": {"user1": "YWRh", "password1": "cHc="}});
        let api_server = FakeApiServer::new().with("/api/v1/namespaces/ns/secrets/roles", secret);
        let infrastructure = InfrastructureRoles::new(api_server.client(), "ns", unbounded().0);
        let document =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"infrastructure_roles_secret_name": "roles"}});
        let config = Config::read(&document).unwrap().config;
        for _ in 0..2 {
            let roles = infrastructure.roles(&config).await.unwrap();
            assert_eq!(roles.roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), ["ada"]);
        }
        assert_eq!(api_server.reads(), 2, "the Secret and the ConfigMap, once");
    }

    #[tokio::test]
    async fn objects_of_kind_postgres_team_are_used_once_they_were_listed_and_only_if_the_configuration_asks_for_them()
    {
        let infrastructure = InfrastructureRoles::new(FakeApiServer::new().client(), "ns", unbounded().0);
        let objects = PostgresTeams::default();
        let of = |data: serde_json::Value| {
            let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data});
            let config = Config::read(&document).unwrap().config;
            infrastructure.teams(&ClusterKey::new("ns", "acid-a"), &config, "acid", &objects)
        };
        let on = || of(json!({"enable_postgres_team_crd": "true"}));
        assert!(on().asking, "not listed yet");
        let spec = json!({"additionalMembers": {"acid": ["ada"]}, "additionalSuperuserTeams": {"acid": ["dba"]}});
        objects.begin(&[None]);
        objects.apply(&None, Ok(Event::InitApply(PostgresTeam::new("teams", serde_json::from_value(spec).unwrap()))));
        objects.apply(&None, Ok(Event::InitDone));
        let known = on();
        let lines: Vec<_> = known.teams.iter().map(|team| (&*team.name, &*team.members, team.superusers)).collect();
        assert_eq!(lines, [("acid", &["ada".to_owned()][..], false)]);
        assert!(!known.asking && known.findings.is_empty() && known.complete);
        let superusers = json!({"enable_postgres_team_crd": "true", "enable_postgres_team_crd_superusers": "true"});
        assert_eq!(of(superusers).teams[0].name, "dba");
        let off = of(json!({}));
        assert!(off.teams.is_empty() && !off.asking && !off.complete);
    }

    #[tokio::test]
    async fn a_request_that_hangs_holds_no_other_cluster() {
        let path = "/api/v1/namespaces/ns/secrets/roles";
        let api_server = FakeApiServer::new().hanging(path);
        let infrastructure = InfrastructureRoles::new(api_server.client(), "ns", unbounded().0);
        let document =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"infrastructure_roles_secret_name": "roles"}});
        let config = Config::read(&document).unwrap().config;
        let mut hung = std::pin::pin!(infrastructure.roles(&config));
        assert!(futures::poll!(&mut hung).is_pending());
        tokio::task::yield_now().await;
        api_server.answering();
        let other = tokio::time::timeout(Duration::from_secs(10), infrastructure.roles(&config)).await;
        assert!(other.unwrap().is_ok());
        assert!(futures::poll!(&mut hung).is_pending());
    }

    #[tokio::test]
    async fn a_secret_that_does_not_exist_is_reported_and_stops_no_cluster() {
        let infrastructure = InfrastructureRoles::new(FakeApiServer::new().client(), "ns", unbounded().0);
        let document =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"infrastructure_roles_secret_name": "gone"}});
        let roles = infrastructure.roles(&Config::read(&document).unwrap().config).await.unwrap();
        assert!(roles.roles.is_empty());
        assert_eq!(roles.findings.len(), 1);
    }
}
