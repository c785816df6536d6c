//! The existing objects and other input of a decision about one cluster.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use pgloom_api::Finding;
use pgloom_api::config::Config;
use pgloom_api::postgresql::ActionStatus;
use pgloom_engine::{ActionRecord, NAMED_ONLY, Pipeline, Response, Unreadable};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::credential::Data;
use crate::foreign::{Foreign, foreign};
use crate::kind::{BuiltIn, Kind, ObjectKey};
use crate::role::{Definition, InfrastructureRole, Source, Team, infrastructure_definitions, read_infrastructure};
use crate::transform::{hash_secret, transform};

/// The observed input of a decision. The only secret values in it are the passwords of infrastructure roles, which are
/// hidden in `Debug`.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The cluster's own objects and those that steps observe by name; the values of a Secret are hashes.
    pub objects: Vec<Value>,
    /// The objects that steps name and that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// The objects of files that are another owner's. The operator checks the origin of each object before it writes.
    pub others: Vec<Foreign>,
    /// The state of the actions that earlier decisions requested.
    pub actions: Vec<ActionRecord>,
    /// By step name, the last response of each step with `onFailure: keepLast`.
    pub last: BTreeMap<String, Response>,
    /// The infrastructure roles, which every cluster has.
    pub infrastructure: Vec<InfrastructureRole>,
    /// The findings about infrastructure roles.
    pub infrastructure_findings: Vec<Finding>,
    /// Teams whose members get roles.
    pub teams: Vec<Team>,
    /// Whether all members of these teams are known, so that anyone else has left.
    pub knows_teams: bool,
}

impl Observed {
    /// The input from existing objects alone.
    pub fn of(objects: Vec<Value>) -> Self {
        let transformed =
            objects.into_iter().filter_map(|object| Some(transform(&Kind::of(&object)?, object, true).object));
        Self { objects: transformed.collect(), ..Self::default() }
    }

    /// The input for one cluster from files of existing objects: those with the cluster's labels, those that steps name
    /// for its manifest, and the infrastructure roles. `own` is the operator's namespace.
    pub fn in_files(existing: &[Value], manifest: &Value, config: &Config, pipeline: &Pipeline, own: &str) -> Self {
        let cluster = ObjectKey::of(manifest);
        let is_own = |object: &&Value| {
            ObjectKey::of(object).namespace == cluster.namespace && is_labelled(object, config, cluster.name)
        };
        let mut observed = Self::of(existing.iter().filter(is_own).cloned().collect());
        observed.others = foreign(existing, manifest, config);
        let configured = pipeline.configured(config.values());
        for wanted in pipeline.named(manifest, config.values()) {
            let find = |namespace: &str| {
                let (api_version, kind, name) = (&*wanted.api_version, &*wanted.kind, &*wanted.name);
                let wanted = ObjectKey { api_version, kind, namespace, name };
                existing.iter().find(|object| ObjectKey::of(object) == wanted)
            };
            // As the operator looks for it.
            let first = wanted.namespace.is_none() && configured.contains(&wanted);
            let found = Some(own).filter(|_| first).and_then(find);
            let found = found.or_else(|| find(wanted.namespace.as_deref().unwrap_or(cluster.namespace)));
            found.into_iter().for_each(|object| observed.add_named(object.clone()));
        }
        observed.read_infrastructure(config, own, existing);
        observed
    }

    /// The states of earlier actions, as the status of a cluster has them.
    pub fn actions(recorded: Vec<ActionStatus>) -> Vec<ActionRecord> {
        let record = |state: ActionStatus| ActionRecord {
            step: state.step,
            key: state.key,
            phase: state.phase,
            message: state.message,
        };
        recorded.into_iter().map(record).collect()
    }

    /// Adds an object that a step observes by name and that is not the cluster's own.
    pub fn add_named(&mut self, mut object: Value) {
        hash_secret(&mut object);
        let key = ObjectKey::of(&object);
        let is_same = |other: &Value| ObjectKey { api_version: key.api_version, ..ObjectKey::of(other) } == key;
        let is_known = self.objects.iter().any(is_same);
        if object.get("metadata").is_some_and(Value::is_object) && !is_known {
            object["metadata"]["annotations"][NAMED_ONLY] = json!("true");
            self.objects.push(object);
        }
    }

    /// Reads the infrastructure roles from existing objects, for `pgloom render` and tests; `own` is the operator's
    /// namespace.
    pub fn read_infrastructure(&mut self, config: &Config, own: &str, existing: &[Value]) {
        let source = |definition: Definition| {
            let (namespace, name) = definition.place(own);
            let find = |kind: BuiltIn| {
                existing.iter().find(|object| {
                    let key = ObjectKey::of(object);
                    key.is(kind, name) && key.namespace == namespace
                })
            };
            let secret = find(BuiltIn::Secret).and_then(|object| Secret::deserialize(object).ok());
            let map = find(BuiltIn::ConfigMap).and_then(|object| ConfigMap::deserialize(object).ok());
            let (secret, details) = (secret.map(|secret| Data::from(&secret).0), map.and_then(|map| map.data));
            Source { definition, secret, details }
        };
        let sources: Vec<Source> = infrastructure_definitions(config).into_iter().map(source).collect();
        (self.infrastructure, self.infrastructure_findings) = read_infrastructure(&sources);
    }

    /// An object by kind and name.
    pub fn find(&self, kind: &Kind, name: &str) -> Option<&Value> {
        let is_it = |object: &&Value| {
            ObjectKey::of(object).name == name && Kind::of(object).is_some_and(|found| found.is_same(kind))
        };
        self.objects.iter().find(is_it)
    }
}

/// The namespaces in which existing objects have the name of a cluster in their label.
pub fn namespaces_of<'a>(existing: &'a [Value], config: &Config, cluster: &str) -> BTreeSet<&'a str> {
    let labelled = existing.iter().filter(|object| is_labelled(object, config, cluster));
    labelled.map(|object| ObjectKey::of(object).namespace).collect()
}

fn is_labelled(object: &Value, config: &Config, cluster: &str) -> bool {
    let labels = object.pointer("/metadata/labels");
    labels.and_then(|labels| labels.get(config.text("cluster_name_label"))).is_some_and(|name| name == cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_file_of_objects_come_as_hashes() {
        let observed = Observed::of(vec![
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "aGVsbG8="}}),
        ]);
        assert!(
            observed.find(&Kind::new("v1", "Secret"), "s").unwrap()["data"]["k"]
                .as_str()
                .unwrap()
                .starts_with("sha256:")
        );
    }

    #[test]
    fn what_a_step_names_comes_as_it_is_but_for_the_values_of_secrets() {
        let mut observed = Observed::default();
        let object = |kind: &str, data: Value, plain: Value| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "env"}, "data": data, "stringData": plain});
        observed.add_named(object("ConfigMap", json!({"K": "4"}), Value::Null));
        observed.add_named(object("Secret", json!({"K": "NA=="}), json!({"L": "4"})));
        assert_eq!(observed.find(&Kind::new("v1", "ConfigMap"), "env").unwrap()["data"], json!({"K": "4"}));
        let secret = observed.find(&Kind::new("v1", "Secret"), "env").unwrap();
        assert_eq!(secret["data"]["K"], secret["data"]["L"]);
        assert!(secret["data"]["K"].as_str().unwrap().starts_with("sha256:"));
        assert!(secret.get("stringData").is_none());
    }

    #[test]
    fn of_files_a_cluster_sees_its_own_objects_and_the_infrastructure_roles() {
        let config = Config::read(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {
                "infrastructure_roles_secret_name": "roles",
                "infrastructure_roles_secrets": "secretname: own/more, userkey: who, passwordkey: pw, defaultrolevalue: operators",
            }
        }));
        let service = |name: &str, cluster: &str, namespace: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace, "labels": {"cluster-name": cluster}}});
        let existing = [
            service("mine", "c", "ns"),
            service("of-another-cluster", "d", "ns"),
            service("of-another-namespace", "c", "elsewhere"),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "roles", "namespace": "own"},
                "stringData": {"user1": "ada", "password1": "a", "grace": "b"}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "roles", "namespace": "own"},
                "data": {"grace": "user_flags: [createdb]"}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "more", "namespace": "own"},
                "data": {"who": "bGluZGE=", "pw": "Yw=="}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "roles", "namespace": "ns"},
                "stringData": {"user1": "eve", "password1": "e"}}),
        ];
        let manifest = json!({"metadata": {"name": "c", "namespace": "ns"}});
        let pipeline = Pipeline::of(vec![]).unwrap();
        let observed = Observed::in_files(&existing, &manifest, &config.unwrap().config, &pipeline, "own");
        let names: Vec<_> =
            observed.objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["mine"]);
        let roles: Vec<_> = observed.infrastructure.iter().map(|role| role.name.as_str()).collect();
        assert_eq!(roles, ["linda", "ada", "grace"]);
        assert!(!format!("{observed:?}").contains("\"a\""), "no password shows");
    }

    #[test]
    fn an_object_that_a_step_names_is_not_taken_for_the_clusters_own() {
        let mut observed = Observed::default();
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "ns"}});
        observed.add_named(map.clone());
        observed.add_named(map);
        assert_eq!(observed.objects.len(), 1);
        assert_eq!(observed.objects[0]["metadata"]["annotations"][NAMED_ONLY], "true");
    }
}
