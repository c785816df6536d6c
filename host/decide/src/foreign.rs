//! The existing objects of files that are another owner's, and what the operator would not write because of them.

use std::collections::BTreeMap;

use pgloom_api::config::Config;
use pgloom_api::postgresql::KIND;
use pgloom_api::{Finding, ObjectRef};
use pgloom_common::name::is_patronis;
use serde_json::Value;

use crate::credential::{Content, WantedSecret};
use crate::decide::{Plan, is_object};
use crate::kind::{BuiltIn, Kind, ObjectKey};
use crate::ownership::{Identity, Origin};

/// An existing object that is not the cluster's own, in the cluster's namespace, or a Secret in any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Foreign {
    /// The object.
    object: ObjectRef,
    namespace: String,
    /// Why it is not the cluster's.
    reason: String,
    /// Whether its label has the cluster's name.
    is_named: bool,
    /// Whether it is a Secret of another cluster.
    is_secret_of_another: bool,
}

/// Those among existing objects, by the rule of the operator. Whose an object with the mark of another manifest is, depends on
/// whether that manifest is among them.
pub fn foreign(existing: &[Value], manifest: &Value, config: &Config) -> Vec<Foreign> {
    let (identity, cluster) = (Identity::of(manifest, config), ObjectKey::of(manifest));
    let manifests = existing.iter().filter(|object| object["kind"] == KIND);
    let uids: BTreeMap<&str, ObjectKey<'_>> =
        manifests.filter_map(|object| Some((object["metadata"]["uid"].as_str()?, ObjectKey::of(object)))).collect();
    let lives = |uid: &str| {
        uids.get(uid).is_some_and(|other| (other.namespace, other.name) != (cluster.namespace, cluster.name))
    };
    let of = |object: &Value| {
        let key = ObjectKey::of(object);
        let is_secret = key.built_in() == Some(BuiltIn::Secret);
        let is_near = key.namespace == cluster.namespace || is_secret;
        if !is_near || object["metadata"].get("deletionTimestamp").is_some() {
            return None;
        }
        let origin = identity.origin(object, lives);
        let is_secret_of_another = is_secret && identity.is_secret_of_another(object, &origin);
        let Origin::Foreign(reason) = origin else { return None };
        let is_named = identity.has_name_label(object);
        let namespace = key.namespace.to_owned();
        Some(Foreign { object: key.reference(), namespace, reason, is_named, is_secret_of_another })
    };
    existing.iter().filter_map(of).collect()
}

impl Plan {
    /// A warning for each existing object because of which the operator would not write what is desired.
    pub(crate) fn clashes(&self, others: &[Foreign]) -> Vec<Finding> {
        others.iter().filter(|other| self.is_refused(other)).map(Foreign::finding).collect()
    }

    fn is_refused(&self, other: &Foreign) -> bool {
        let ObjectRef { api_version, kind, name } = &other.object;
        let of_kind = Kind::new(api_version, kind);
        let is_in_namespace = other.namespace == self.cluster.namespace;
        let is_desired = || self.objects.iter().any(|desired| is_object(&desired.object, &of_kind, name));
        // Patroni asks for no owner.
        let is_patronis = || !other.is_named && is_patronis(api_version, kind, &self.cluster.name, name);
        let of_role = || {
            let is_it = |secret: &&WantedSecret| {
                of_kind.is(BuiltIn::Secret) && secret.name == *name && secret.namespace == other.namespace
            };
            // A Secret of the right name that nobody else has is used, a list of passwords is not written into it.
            let is_list = |content: &Content| matches!(content, Content::UserList { .. });
            self.secrets.iter().find(is_it).is_some_and(|secret| other.is_secret_of_another || is_list(&secret.content))
        };
        is_in_namespace && (is_desired() || is_patronis()) || of_role()
    }
}

impl Foreign {
    fn finding(&self) -> Finding {
        let message = format!("exists, and is not this cluster's, so it stays as it is: {}", self.reason);
        let remedy = match (self.is_secret_of_another, self.is_named) {
            (true, _) => "give secret_name_template {cluster}, or choose another name for the cluster",
            (false, true) => "give it the labels, or take from cluster_labels what it lacks",
            (false, false) => "choose another name for the cluster, or remove that object",
        };
        Finding::warning(message).of(self.object.clone()).remedy(remedy)
    }
}
