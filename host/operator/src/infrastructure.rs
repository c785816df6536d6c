//! Roles that come from beyond the manifest: the infrastructure roles, read from operator-wide Secrets and ConfigMaps for all
//! clusters together and not for each, and the members of teams.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use pgloom_api::config::Config;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::credential::Data;
use crate::observed::Observed;
use crate::role::{Definition, Finding, InfrastructureRole, Source, read_infrastructure};
use crate::store::ClusterKey;
use crate::team::{self, Known, Teams};

/// How long what was read is used, so that a new password finds its way and a thousand clusters ask once.
const AGE: Duration = Duration::from_secs(30);

/// What was read.
#[derive(Default)]
pub struct Roles {
    /// The roles.
    pub roles: Vec<InfrastructureRole>,
    /// What of it could not be used.
    pub findings: Vec<Finding>,
}

/// When the roles were read, from what, and which they are.
type Last = (Instant, Vec<Definition>, Arc<Roles>);

/// The infrastructure roles as they were read last.
pub struct Infrastructure {
    client: Client,
    /// The operator's own namespace.
    namespace: String,
    last: Mutex<Option<Last>>,
    teams: Teams,
}

impl Infrastructure {
    /// Nothing is read yet.
    pub fn new(client: Client, namespace: &str, changed: UnboundedSender<ClusterKey>) -> Self {
        let teams = Teams::new(client.clone(), changed);
        Self { client, namespace: namespace.to_owned(), last: Mutex::default(), teams }
    }

    /// The roles that the configuration names.
    ///
    /// # Errors
    /// If the API server cannot be asked. A Secret that does not exist is a finding.
    pub async fn roles(&self, config: &Config) -> Result<Arc<Roles>, kube::Error> {
        let definitions = definitions(config);
        if definitions.is_empty() {
            return Ok(Arc::default());
        }
        let mut last = self.last.lock().await;
        if let Some((read, for_these, roles)) = &*last
            && read.elapsed() < AGE
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
        *last = Some((Instant::now(), definitions, roles.clone()));
        Ok(roles)
    }

    /// What is known of the teams whose members get roles on a cluster that belongs to `owner`.
    pub fn teams(&self, key: &ClusterKey, config: &Config, owner: &str) -> Known {
        if !config.flag("enable_teams_api") {
            return Known::default();
        }
        let settings = team::Settings {
            url: config.text("teams_api_url").to_owned(),
            token: config.reference("oauth_token_secret_name", &self.namespace).unwrap_or_default(),
            superuser_teams: config.list("postgres_superuser_teams").into_iter().map(str::to_owned).collect(),
            owner: owner.to_owned(),
        };
        self.teams.of(key, &settings)
    }

    async fn source(&self, definition: &Definition) -> Result<Source, kube::Error> {
        let (namespace, name) = definition.secret.split_once('/').unwrap_or((&self.namespace, &definition.secret));
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        Ok(Source {
            definition: definition.clone(),
            secret: secrets.get_opt(name).await?.map(|secret| Data::from(&secret).0),
            details: maps.get_opt(name).await?.and_then(|map| map.data),
        })
    }
}

impl Observed {
    /// Takes the infrastructure roles from existing objects, as `pgloom render` and tests have them; `own` is the operator's
    /// namespace.
    pub fn read_infrastructure(&mut self, config: &Config, own: &str, existing: &[Value]) {
        let source = |definition: Definition| {
            let (namespace, name) = definition.secret.split_once('/').unwrap_or((own, &definition.secret));
            let find = |kind: &str| {
                existing.iter().find(|object| {
                    object["kind"] == kind
                        && object["metadata"]["name"] == name
                        && object["metadata"]["namespace"] == namespace
                })
            };
            let secret = find("Secret").and_then(|object| Secret::deserialize(object).ok());
            let map = find("ConfigMap").and_then(|object| ConfigMap::deserialize(object).ok());
            let (secret, details) = (secret.map(|secret| Data::from(&secret).0), map.and_then(|map| map.data));
            Source { definition, secret, details }
        };
        let sources: Vec<Source> = definitions(config).into_iter().map(source).collect();
        (self.infrastructure, self.infrastructure_findings) = read_infrastructure(&sources);
    }
}

fn definitions(config: &Config) -> Vec<Definition> {
    let numbered =
        Some(config.text("infrastructure_roles_secret_name")).filter(|name| !name.is_empty()).map(Definition::numbered);
    let listed = config.values()["infrastructure_roles_secrets"].as_array().into_iter().flatten();
    let listed = listed.filter_map(|entry| serde_json::from_value(entry.clone()).ok());
    numbered.into_iter().chain(listed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Wire;
    use futures::channel::mpsc::unbounded;
    use serde_json::json;

    #[tokio::test]
    async fn roles_are_read_from_the_named_secret_and_kept_for_a_while() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "roles"}, "data": {"user1": "YWRh", "password1": "cHc="}});
        let wire = Wire::new().with("/api/v1/namespaces/ns/secrets/roles", secret);
        let infrastructure = Infrastructure::new(wire.client(), "ns", unbounded().0);
        let document =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"infrastructure_roles_secret_name": "roles"}});
        let config = Config::read(&document).unwrap().config;
        for _ in 0..2 {
            let roles = infrastructure.roles(&config).await.unwrap();
            assert_eq!(roles.roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), ["ada"]);
        }
        assert_eq!(wire.reads(), 2, "the Secret and the ConfigMap, once");
    }

    #[tokio::test]
    async fn a_secret_that_does_not_exist_is_told_and_holds_nobody() {
        let infrastructure = Infrastructure::new(Wire::new().client(), "ns", unbounded().0);
        let document =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"infrastructure_roles_secret_name": "gone"}});
        let roles = infrastructure.roles(&Config::read(&document).unwrap().config).await.unwrap();
        assert!(roles.roles.is_empty());
        assert_eq!(roles.findings.len(), 1);
    }
}
