//! The cluster that an object belongs to: the mark on objects that this operator creates, and the rule for objects that
//! the Zalando operator and Patroni create.
//!
//! A label is no proof: any object may have `cluster-name`, for example to name the database that an application uses.
//! So no object is written, pruned or deleted because of that label alone.

use std::collections::{BTreeMap, BTreeSet};

use pgloom_api::config::Config;
use pgloom_common::name::{
    BACKUP_APPLICATION, POOLER_APPLICATION, POOLER_SUFFIX, REPLICA_SUFFIX, USER_LIST_SUFFIX,
    critical_operation_pdb_name, cron_job_name, is_patronis, pdb_name, secret_name,
};
use serde_json::{Value, json};

use crate::kind::{BuiltIn, Kind, ObjectKey, of_every_cluster};

/// The annotation of every object that the operator creates for a cluster: the `metadata.uid` of the manifest.
pub const MARK: &str = "pgloom.dev/cluster-uid";

/// The annotation of a marked object in another namespace than the manifest: the manifest's namespace.
pub const HOME: &str = "pgloom.dev/cluster-namespace";

/// The annotation of a manifest with the kinds, other than those of [`of_every_cluster`], of which objects were created
/// for it: separated by commas, each as in `networking.k8s.io/v1/NetworkPolicy`.
pub const KINDS: &str = "pgloom.dev/kinds";

/// The annotation of a manifest with the namespaces, other than its own, in which Secrets were created for it: separated
/// by commas.
pub const NAMESPACES: &str = "pgloom.dev/secret-namespaces";

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It has this cluster's mark.
    Marked,
    /// It has no mark, but the labels and the name of an object that the Zalando operator or Patroni creates for this
    /// cluster.
    Upstream,
    /// It has the mark of an earlier manifest of the same namespace and name, as after a restore from a backup.
    Former,
    /// It is not this cluster's. The text is the reason.
    Foreign(String),
}

impl Origin {
    /// Whether the object is this cluster's.
    pub fn is_own(&self) -> bool {
        !matches!(self, Self::Foreign(_))
    }
}

/// The labels and the uid that identify a cluster's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    namespace: String,
    name: String,
    uid: String,
    team: String,
    /// `cluster_name_label`.
    name_label: String,
    /// `cluster_labels`.
    labels: BTreeMap<String, String>,
    /// The manifest's labels that `inherited_labels` names. The Zalando operator prefers them to `cluster_labels`.
    inherited: BTreeMap<String, String>,
    secret_name_template: String,
    pdb_name_format: String,
    logical_backup_job_prefix: String,
    /// The namespaces and names of the Secrets of users whose names begin with another namespace.
    elsewhere: BTreeSet<(String, String)>,
}

impl Identity {
    /// The identity of the cluster of a manifest, which need not be valid.
    pub fn of(manifest: &Value, config: &Config) -> Self {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let labels = config.map("cluster_labels").into_iter();
        let inherited = config.list("inherited_labels").into_iter();
        let crosses = config.flag("enable_cross_namespace_secret");
        let users = manifest.pointer("/spec/users").and_then(Value::as_object).filter(|_| crosses);
        let elsewhere = users.into_iter().flatten().filter_map(|(user, _)| {
            let (namespace, _) = user.split_once('.')?;
            let template = config.text("secret_name_template");
            let name = secret_name(template, user, &text("/metadata/name"), &text("/spec/teamId"));
            Some((namespace.to_owned(), name))
        });
        Self {
            elsewhere: elsewhere.collect(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            team: text("/spec/teamId"),
            name_label: config.text("cluster_name_label").to_owned(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            inherited: inherited.filter_map(|key| Some((key.to_owned(), label(manifest, key)?.to_owned()))).collect(),
            secret_name_template: config.text("secret_name_template").to_owned(),
            pdb_name_format: config.text("pdb_name_format").to_owned(),
            logical_backup_job_prefix: config.text("logical_backup_job_prefix").to_owned(),
        }
    }

    /// Adds the mark to an object that will be written. Pod templates and claim templates get none: the mark must not
    /// restart a pod.
    pub fn mark(&self, object: &mut Value) {
        if self.uid.is_empty() || !object["metadata"].is_object() {
            return;
        }
        for (name, value) in self.marks(ObjectKey::of(object).namespace) {
            object["metadata"]["annotations"][name] = json!(value);
        }
    }

    /// The origin of an existing object. `lives` returns whether a manifest with that uid exists.
    pub fn origin(&self, object: &Value, lives: impl Fn(&str) -> bool) -> Origin {
        match annotation(object, MARK) {
            Some(uid) if uid == self.uid && !uid.is_empty() => Origin::Marked,
            Some(uid) if lives(uid) => Origin::Foreign(self.of_another(object)),
            Some(_) if self.is_home(object) && self.has_name_label(object) => Origin::Former,
            Some(_) => Origin::Foreign(self.of_another(object)),
            None if self.is_upstream(object) => Origin::Upstream,
            None => Origin::Foreign(format!("it has neither the annotation {MARK} nor the labels {}", self.selector())),
        }
    }

    /// The team: `spec.teamId`, of a manifest that need not be valid.
    pub fn team(&self) -> &str {
        &self.team
    }

    /// Why an object with a mark is not this cluster's, with the name of the cluster that has it, as far as it says.
    fn of_another(&self, object: &Value) -> String {
        let other = label(object, &self.name_label).filter(|name| *name != self.name);
        let name = other.map(|name| format!(", {name}")).unwrap_or_default();
        format!("it was made for another cluster{name}")
    }

    /// Whether a pod is a member: by its labels, and by the name that the StatefulSet gives. People copy the labels, for
    /// example onto a pod that a NetworkPolicy is to let through to the database.
    pub fn is_member(&self, pod: &Value) -> bool {
        self.is_upstream(pod)
    }

    /// The annotations that mark an object in a namespace.
    pub fn marks(&self, namespace: &str) -> BTreeMap<String, String> {
        let elsewhere = (namespace != self.namespace).then(|| (HOME.to_owned(), self.namespace.clone()));
        std::iter::once((MARK.to_owned(), self.uid.clone())).chain(elsewhere).collect()
    }

    /// Whether a Secret that exists is another cluster's: it has the mark of another manifest, or the name of another
    /// cluster in its label. Any other Secret of the right name is used, as people may make one in advance.
    pub fn is_secret_of_another(&self, secret: &Value, origin: &Origin) -> bool {
        let names_another = label(secret, &self.name_label).is_some_and(|name| name != self.name);
        !origin.is_own() && (annotation(secret, MARK).is_some() || names_another)
    }

    /// Whether an unmarked Secret in another namespace is one that the Zalando operator made there for a user of the manifest. A
    /// cluster of the same name in that namespace may have one of the same name.
    pub fn is_upstream_elsewhere(&self, secret: &Value) -> bool {
        let ObjectKey { namespace, name, .. } = ObjectKey::of(secret);
        self.may_mark_elsewhere(secret) && self.elsewhere.contains(&(namespace.to_owned(), name.to_owned()))
    }

    /// Whether a Secret of the manifest in another namespace may be marked as this cluster's: it has no mark, and the
    /// labels that the Zalando operator gives. By the mark it is found when the manifest no longer names its user.
    pub fn may_mark_elsewhere(&self, secret: &Value) -> bool {
        let key = ObjectKey::of(secret);
        let is_elsewhere = key.built_in() == Some(BuiltIn::Secret) && key.namespace != self.namespace;
        is_elsewhere && annotation(secret, MARK).is_none() && self.has_labels(secret)
    }

    /// Whether an object carries the cluster's name in the label by which the watches find it.
    pub fn has_name_label(&self, object: &Value) -> bool {
        label(object, &self.name_label) == Some(&self.name)
    }

    /// The labels of the cluster's objects as a selector, as in `application=spilo,cluster-name=c`.
    pub fn selector(&self) -> String {
        let name = format!("{}={}", self.name_label, self.name);
        let labels = self.labels.iter().map(|(key, value)| format!("{key}={value}"));
        labels.chain([name]).collect::<Vec<_>>().join(",")
    }

    /// The label with the cluster's name as a selector, as in `cluster-name=c`.
    pub fn name_selector(&self) -> String {
        format!("{}={}", self.name_label, self.name)
    }

    fn is_home(&self, object: &Value) -> bool {
        annotation(object, HOME).unwrap_or(ObjectKey::of(object).namespace) == self.namespace
    }

    /// Whether an object without a mark has the labels and the name of an object that the Zalando operator or Patroni
    /// creates.
    fn is_upstream(&self, object: &Value) -> bool {
        let key = ObjectKey::of(object);
        key.namespace == self.namespace && self.has_labels(object) && self.is_upstream_name(key)
    }

    /// Whether an object has the labels that the Zalando operator and Patroni give.
    fn has_labels(&self, object: &Value) -> bool {
        let of = ObjectKey::of(object);
        let is_labelled = |(key, value): (&String, &String)| {
            let found = label(object, key);
            let inherited = self.inherited.get(key).map(String::as_str);
            let others = [inherited, component(of.built_in(), of.name).filter(|_| key == "application")];
            found == Some(value) || found.is_some() && others.contains(&found)
        };
        self.has_name_label(object) && self.labels.iter().all(is_labelled)
    }

    fn is_upstream_name(&self, key: ObjectKey<'_>) -> bool {
        let (Some(kind), name) = (key.built_in(), key.name) else { return false };
        let rest = name.strip_prefix(self.name.as_str());
        let is_patronis = is_patronis(key.api_version, key.kind, &self.name, name);
        match kind {
            BuiltIn::StatefulSet => rest == Some(""),
            BuiltIn::Service => rest.is_some_and(|rest| is_role_suffix(rest) || is_pooler_suffix(rest)) || is_patronis,
            BuiltIn::Endpoints => rest.is_some_and(is_role_suffix) || is_patronis,
            BuiltIn::ConfigMap => is_patronis,
            BuiltIn::Deployment => rest.is_some_and(is_pooler_suffix),
            BuiltIn::Pod => rest.is_some_and(is_ordinal),
            BuiltIn::PersistentVolumeClaim => {
                let rest = name.strip_prefix("pgdata-").and_then(|name| name.strip_prefix(self.name.as_str()));
                rest.is_some_and(is_ordinal)
            }
            BuiltIn::PodDisruptionBudget => {
                name == pdb_name(&self.pdb_name_format, &self.name) || name == critical_operation_pdb_name(&self.name)
            }
            BuiltIn::CronJob => name == cron_job_name(&self.logical_backup_job_prefix, &self.name),
            BuiltIn::Secret => {
                let pooler = rest.and_then(|rest| rest.strip_suffix(USER_LIST_SUFFIX));
                pooler.is_some_and(is_pooler_suffix) || self.is_secret_name(name)
            }
            _ => false,
        }
    }

    /// Whether a Secret's name is that of a role of this cluster. A role whose name begins with a namespace may be that of
    /// a cluster of the same name in another namespace.
    fn is_secret_name(&self, name: &str) -> bool {
        const ANY: &str = "\u{1}";
        let shape = secret_name(&self.secret_name_template, ANY, &self.name, &self.team);
        let Some((start, end)) = shape.split_once(ANY) else { return name == shape };
        let user = name.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
        user.is_some_and(|user| !user.is_empty() && !user.starts_with(&format!("{}.", self.namespace)))
    }
}

/// The value of the label `application` that the Zalando operator sets on objects other than the database's.
fn component(kind: Option<BuiltIn>, name: &str) -> Option<&'static str> {
    match kind? {
        BuiltIn::CronJob => Some(BACKUP_APPLICATION),
        BuiltIn::Deployment | BuiltIn::Service => is_pooler(name).then_some(POOLER_APPLICATION),
        BuiltIn::Secret => (name.starts_with("pooler") || is_user_list(name)).then_some(POOLER_APPLICATION),
        _ => None,
    }
}

/// Whether a name ends as that of a pooler.
fn is_pooler(name: &str) -> bool {
    name.strip_suffix(REPLICA_SUFFIX).unwrap_or(name).ends_with(POOLER_SUFFIX)
}

/// Whether a Secret's name ends as that of the list of users of a pooler.
fn is_user_list(name: &str) -> bool {
    name.strip_suffix(USER_LIST_SUFFIX).is_some_and(is_pooler)
}

/// Whether this follows the cluster's name in the name of what leads to its leader or its replicas.
fn is_role_suffix(rest: &str) -> bool {
    rest.is_empty() || rest == REPLICA_SUFFIX
}

/// Whether this follows the cluster's name in the name of a pooler.
fn is_pooler_suffix(rest: &str) -> bool {
    rest.strip_prefix(POOLER_SUFFIX).is_some_and(is_role_suffix)
}

fn is_ordinal(rest: &str) -> bool {
    rest.strip_prefix('-')
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(name)?.as_str()
}

/// The kinds that the annotation [`KINDS`] of a manifest lists.
pub fn recorded_kinds(manifest: &Value) -> Vec<Kind> {
    let text = annotation(manifest, KINDS).unwrap_or_default();
    let kinds = text.split(',').filter_map(|kind| kind.rsplit_once('/'));
    kinds.map(|(api_version, kind)| Kind::new(api_version, kind)).collect()
}

/// The namespaces that the annotation [`NAMESPACES`] of a manifest lists.
pub fn recorded_namespaces(manifest: &Value) -> BTreeSet<String> {
    let text = annotation(manifest, NAMESPACES).unwrap_or_default();
    text.split(',').filter(|namespace| !namespace.is_empty()).map(str::to_owned).collect()
}

/// The kinds of objects beyond [`of_every_cluster`], each once and sorted.
pub fn kinds_to_record<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Vec<Kind> {
    let known = of_every_cluster();
    let mut kinds: Vec<Kind> = objects.into_iter().filter_map(Kind::of).filter(|kind| !known.contains(kind)).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// The value of the annotation [`KINDS`].
pub fn record_of(kinds: &[Kind]) -> String {
    let texts = kinds.iter().map(|kind| format!("{}/{}", kind.api_version, kind.kind));
    texts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let manifest =
            json!({"metadata": {"name": "shop", "namespace": "ns", "uid": "now"}, "spec": {"teamId": "acid"}});
        Identity::of(&manifest, &Config::defaults())
    }

    fn object(kind: &str, name: &str) -> Value {
        let version = match kind {
            "StatefulSet" | "Deployment" => "apps/v1",
            "CronJob" => "batch/v1",
            "PodDisruptionBudget" => "policy/v1",
            "NetworkPolicy" => "networking.k8s.io/v1",
            _ => "v1",
        };
        json!({"apiVersion": version, "kind": kind, "metadata": {
            "name": name, "namespace": "ns", "labels": {"application": "spilo", "cluster-name": "shop"},
        }})
    }

    fn marked(uid: &str) -> Value {
        let mut object = object("NetworkPolicy", "any");
        object["metadata"]["annotations"] = json!({MARK: uid});
        object
    }

    #[test]
    fn a_member_has_the_clusters_labels_and_the_name_of_its_stateful_sets_pods() {
        let identity = identity();
        assert!(identity.is_member(&object("Pod", "shop-0")));
        for name in ["psql", "shop", "shop-x", "shop-pooler-0", "shops-0"] {
            assert!(!identity.is_member(&object("Pod", name)), "{name}");
        }
        let mut unlabelled = object("Pod", "shop-0");
        unlabelled["metadata"]["labels"] = json!({"cluster-name": "shop"});
        assert!(!identity.is_member(&unlabelled));
    }

    fn is_own(object: &Value) -> bool {
        identity().origin(object, |_| false).is_own()
    }

    #[test]
    fn a_marked_object_is_its_clusters_whatever_its_labels_are() {
        let mut object = marked("now");
        object["metadata"]["labels"] = json!({});
        assert_eq!(identity().origin(&object, |_| true), Origin::Marked);
    }

    #[test]
    fn the_mark_of_another_manifest_is_anothers_while_that_exists_and_the_formers_after() {
        assert!(!identity().origin(&marked("then"), |uid| uid == "then").is_own());
        assert_eq!(identity().origin(&marked("then"), |_| false), Origin::Former);
        let mut of_another = marked("then");
        of_another["metadata"]["labels"]["cluster-name"] = json!("other");
        assert!(!is_own(&of_another));
    }

    #[test]
    fn a_secret_for_a_cluster_of_the_same_name_in_another_namespace_is_not_taken() {
        let mut object = marked("then");
        object["metadata"]["annotations"][HOME] = json!("elsewhere");
        assert!(!is_own(&object));
        let mut unmarked = object_without_mark("ns.app.shop.credentials.postgresql.acid.zalan.do");
        assert!(!is_own(&unmarked));
        unmarked = object_without_mark("app.shop.credentials.postgresql.acid.zalan.do");
        assert!(is_own(&unmarked));
    }

    fn object_without_mark(secret: &str) -> Value {
        object("Secret", secret)
    }

    #[test]
    fn the_label_with_the_clusters_name_alone_makes_nothing_the_clusters() {
        for (kind, name) in [
            ("Secret", "app.shop.credentials.postgresql.acid.zalan.do"),
            ("PersistentVolumeClaim", "pgdata-shop-0"),
            ("Deployment", "shop-pooler"),
            ("Service", "shop"),
            ("Endpoints", "shop"),
            ("ConfigMap", "shop-config"),
        ] {
            let mut unlabelled = object(kind, name);
            assert!(is_own(&unlabelled), "{kind} {name}");
            unlabelled["metadata"]["labels"] = json!({"cluster-name": "shop"});
            assert!(!is_own(&unlabelled), "{kind} {name}");
            let mut elsewhere = object(kind, name);
            elsewhere["metadata"]["namespace"] = json!("elsewhere");
            assert!(!is_own(&elsewhere), "{kind} {name}");
        }
    }

    #[test]
    fn all_labels_and_a_name_that_upstream_does_not_give_make_nothing_the_clusters() {
        for (kind, name) in [
            ("Secret", "my-app-secret"),
            ("Secret", ".shop.credentials.postgresql.acid.zalan.do"),
            ("PersistentVolumeClaim", "my-backup"),
            ("PersistentVolumeClaim", "pgdata-shop-copy"),
            ("PersistentVolumeClaim", "pgdata-shop-sync-0"),
            ("Pod", "shop-x"),
            ("Pod", "shop-"),
            ("Deployment", "my-app"),
            ("Service", "my-svc"),
            ("Service", "shop-syncs"),
            ("NetworkPolicy", "shop"),
        ] {
            assert!(!is_own(&object(kind, name)), "{kind} {name}");
        }
    }

    #[test]
    fn what_upstream_makes_for_the_cluster_is_the_clusters() {
        for (kind, name) in [
            ("StatefulSet", "shop"),
            ("Pod", "shop-12"),
            ("PersistentVolumeClaim", "pgdata-shop-0"),
            ("Service", "shop-repl"),
            ("Service", "shop-config"),
            ("Endpoints", "shop-sync"),
            ("ConfigMap", "shop-leader"),
            ("PodDisruptionBudget", "postgres-shop-pdb"),
            ("PodDisruptionBudget", "postgres-shop-critical-op-pdb"),
            ("CronJob", "logical-backup-shop"),
        ] {
            assert_eq!(identity().origin(&object(kind, name), |_| true), Origin::Upstream, "{kind} {name}");
        }
    }

    #[test]
    fn an_inherited_label_may_stand_in_for_one_of_every_cluster() {
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"inherited_labels": "application"}});
        let metadata = json!({"name": "shop", "namespace": "ns", "uid": "now", "labels": {"application": "web"}});
        let identity = Identity::of(&json!({"metadata": metadata}), &Config::read(&config).unwrap().config);
        let mut service = object("Service", "shop");
        service["metadata"]["labels"]["application"] = json!("web");
        assert!(identity.origin(&service, |_| false).is_own());
        assert!(!is_own(&service));
    }

    #[test]
    fn a_poolers_objects_have_another_application() {
        let pooler = |kind: &str, name: &str| {
            let mut object = object(kind, name);
            object["metadata"]["labels"]["application"] = json!("db-connection-pooler");
            is_own(&object)
        };
        assert!(pooler("Deployment", "shop-pooler"));
        assert!(pooler("Service", "shop-pooler-repl"));
        assert!(pooler("Secret", "pooler.shop.credentials.postgresql.acid.zalan.do"));
        assert!(pooler("Secret", "shop-pooler-u"));
        assert!(!pooler("Service", "shop"));
        assert!(!pooler("StatefulSet", "shop"));
    }

    #[test]
    fn the_mark_is_put_on_the_object_alone() {
        let mut set = json!({"kind": "StatefulSet", "metadata": {"name": "shop", "namespace": "ns"},
            "spec": {"template": {"metadata": {}}, "volumeClaimTemplates": [{"metadata": {}}]}});
        let spec = set["spec"].clone();
        identity().mark(&mut set);
        assert_eq!((&set["metadata"]["annotations"], &set["spec"]), (&json!({MARK: "now"}), &spec));
        let mut elsewhere = json!({"kind": "Secret", "metadata": {"name": "s", "namespace": "elsewhere"}});
        identity().mark(&mut elsewhere);
        assert_eq!(elsewhere["metadata"]["annotations"], json!({MARK: "now", HOME: "ns"}));
    }

    #[test]
    fn kinds_are_recorded_and_read_back() {
        let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap"});
        let kinds = kinds_to_record([&policy, &object("Service", "shop"), &map, &map]);
        let record = record_of(&kinds);
        assert_eq!(record, "networking.k8s.io/v1/NetworkPolicy,v1/ConfigMap");
        assert_eq!(recorded_kinds(&json!({"metadata": {"annotations": {KINDS: record}}})), kinds);
        assert_eq!(recorded_kinds(&json!({"metadata": {}})), []);
    }
}
