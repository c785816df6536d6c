//! Guests that write objects which are not theirs.

use serde_json::{Value, json};

use super::{By, Case, guest, object};
use crate::script::Script;

const OWN: [&str; 2] = ["{cluster}", "{cluster}-*"];
const NOT_ASKED: &str = "the plugin's description does not ask for objects of this kind and name";
const NOT_A_NAME: &str = "metadata.name of an object that it makes cannot be used";

/// A guest that may create ConfigMaps of every name, and writes this text.
fn writes(text: &str) -> Script {
    guest().creates("v1 ConfigMap", &["*"]).contributes(text)
}

fn named(name: &str) -> Script {
    writes(&object("v1 ConfigMap", name, json!({})).to_string())
}

/// A guest that may set all fields of the database's objects, and sets these.
fn sets(kind: &str, fields: Value) -> Script {
    guest().sets(kind, &OWN, &["metadata", "spec", "status"]).applies(&object(kind, "{cluster}", fields))
}

pub(super) fn cases() -> Vec<Case> {
    [others(), identities(), names(), fields()].into_iter().flatten().collect()
}

fn others() -> Vec<Case> {
    let service = |name, fields| object("v1 Service", name, fields);
    let selects = json!({"spec": {"selector": {"cluster-name": "acid-other"}}});
    let stranger = object("apps/v1 Deployment", "webapp", json!({"metadata": {"labels": {"a": "b"}}}));
    let asked = "v1 Service acid-other";
    vec![
        Case::new(
            "writes the Service of another cluster",
            guest().creates("v1 Service", &OWN).applies(&service("acid-other", json!({}))),
            By::Merge,
            &[asked, NOT_ASKED],
        ),
        Case::new(
            "writes the Service of another cluster by a grant for another kind",
            guest().creates("v1 ConfigMap", &["*"]).applies(&service("acid-other", json!({}))),
            By::Merge,
            &[asked, NOT_ASKED],
        ),
        Case::new(
            "writes a Service that the pipeline does not grant",
            guest().creates("v1 Service", &["*"]).applies(&service("acid-other", json!({}))).optional("objects"),
            By::Merge,
            &[asked, "the pipeline does not grant the step objects of this kind and name"],
        )
        .step("grants", guest().creates("v1 Service", &OWN).grants()),
        Case::new(
            "leads clients to pods of others by a label with the name of its Service",
            guest()
                .creates("v1 Service", &["*"])
                .applies(&service("webapp", json!({"spec": {"selector": {"app": "webapp"}}}))),
            By::Merge,
            &["`spec.selector` of v1 Service webapp", "it selects pods that are not the cluster's"],
        ),
        Case::new(
            "takes the traffic of the database by another selector of its Service",
            sets("v1 Service", json!({"spec": {"selector": {"app": "thief", "cluster-name": "{cluster}"}}})),
            By::Merge,
            &["`spec.selector` of v1 Service acid-orders", "only the step that created the object may set it"],
        ),
        Case::new(
            "takes the traffic of another cluster by the labels of its own pods",
            guest().creates("apps/v1 Deployment", &OWN).applies(&object(
                "apps/v1 Deployment",
                "{cluster}-thief",
                json!({"spec": {"template": {"metadata": {"labels": {"cluster-name": "acid-other"}}}}}),
            )),
            By::Merge,
            &["`spec.template.metadata.labels.cluster-name` of apps/v1 Deployment acid-orders-thief"],
        ),
        Case::new(
            "leads a Service of its own to the pods of another cluster",
            guest().creates("v1 Service", &OWN).applies(&service("{cluster}-thief", selects)),
            By::Merge,
            &["`spec.selector.cluster-name` of v1 Service acid-orders-thief"],
        ),
        Case::new(
            "closes the ports of all pods of the namespace",
            guest().creates("networking.k8s.io/v1 NetworkPolicy", &OWN).applies(&object(
                "networking.k8s.io/v1 NetworkPolicy",
                "{cluster}-x",
                json!({"spec": {"podSelector": {}}}),
            )),
            By::Merge,
            &["`spec.podSelector`", "it selects pods that are not the cluster's"],
        ),
        Case::new(
            "keeps the pods of another cluster from being evicted",
            guest().creates("policy/v1 PodDisruptionBudget", &OWN).applies(&object(
                "policy/v1 PodDisruptionBudget",
                "{cluster}-x",
                json!({"spec": {"minAvailable": 9, "selector": {"matchLabels": {"application": "spilo"}}}}),
            )),
            By::Merge,
            &["`spec.selector`", "it selects pods that are not the cluster's"],
        ),
        Case::new(
            "adopts a Deployment of a stranger to have it pruned later",
            guest().creates("apps/v1 Deployment", &OWN).applies(&stranger),
            By::Merge,
            &["apps/v1 Deployment webapp", NOT_ASKED],
        ),
        Case::new(
            "adopts a Deployment of a stranger that its grants cover",
            guest().creates("apps/v1 Deployment", &["*"]).applies(&stranger),
            By::Owner,
            &["it has neither the annotation pgloom.dev/cluster-uid nor the labels"],
        ),
        Case::new(
            "writes into another namespace",
            writes(&object("v1 ConfigMap", "x", json!({"metadata": {"namespace": "kube-system"}})).to_string()),
            By::Merge,
            &["`metadata.namespace` of v1 ConfigMap x", "must be in the namespace of its cluster"],
        ),
        Case::new(
            "takes the name of an object that Patroni makes for a switchover of a cluster with a longer name",
            guest().creates("v1 ConfigMap", &OWN).applies(&object("v1 ConfigMap", "{cluster}-eu-failover", json!({}))),
            By::Merge,
            &["v1 ConfigMap acid-orders-eu-failover", "Patroni keeps its state there"],
        ),
        Case::new(
            "writes the state of Patroni beside its API",
            guest().creates("v1 Endpoints", &OWN).applies(&object(
                "v1 Endpoints",
                "{cluster}-config",
                json!({"metadata": {"annotations": {"config": "{\"ttl\":5}"}}}),
            )),
            By::Merge,
            &["v1 Endpoints acid-orders-config", "Patroni keeps its state there"],
        ),
    ]
}

fn identities() -> Vec<Case> {
    let metadata = |metadata: Value| sets("apps/v1 StatefulSet", json!({"metadata": metadata}));
    let removes = |path| {
        guest().sets("apps/v1 StatefulSet", &OWN, &["metadata"]).removes("apps/v1 StatefulSet", "acid-orders", path)
    };
    let found = "the host sets it, to find the cluster's objects";
    vec![
        Case::new(
            "gives an object the label of another cluster",
            metadata(json!({"labels": {"cluster-name": "acid-other"}})),
            By::Merge,
            &["`metadata.labels.cluster-name` of apps/v1 StatefulSet acid-orders", found],
        ),
        Case::new(
            "marks an object as that of another manifest",
            metadata(json!({"annotations": {"pgloom.dev/cluster-uid": "other"}})),
            By::Merge,
            &["pgloom.dev/cluster-uid", found],
        ),
        Case::new(
            "removes the label by which an object is found",
            removes("metadata.labels.cluster-name"),
            By::Merge,
            &["must not remove `metadata.labels.cluster-name`", found],
        ),
        Case::new(
            "removes all labels of an object",
            removes("metadata.labels"),
            By::Merge,
            &["must not remove `metadata.labels`", found],
        ),
        Case::new(
            "keeps an object from being deleted",
            metadata(json!({"finalizers": ["hostile/for-ever"]})),
            By::Merge,
            &["`metadata.finalizers`", "the host decides when an object is deleted"],
        ),
        Case::new(
            "gives an object another owner, so that it is deleted with it",
            metadata(json!({"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u"}]})),
            By::Merge,
            &["`metadata.ownerReferences`", "the host sets the owners of an object"],
        ),
        Case::new(
            "keeps the database's pods from being deleted by a finalizer of their template",
            sets("apps/v1 StatefulSet", in_template(json!({"finalizers": ["hostile/for-ever"]}))),
            By::Merge,
            &["`spec.template.metadata.finalizers` of apps/v1 StatefulSet acid-orders", "the host decides when"],
        ),
        Case::new(
            "has its Jobs marked as those of another manifest",
            cron_job(json!({"annotations": {"pgloom.dev/cluster-uid": "uid-of-acid-other"}})),
            By::Merge,
            &["`spec.jobTemplate.metadata.annotations[\"pgloom.dev/cluster-uid\"]`", found],
        ),
        Case::new(
            "gives its Jobs the label of another cluster",
            cron_job(json!({"labels": {"cluster-name": "acid-other"}})),
            By::Merge,
            &["`spec.jobTemplate.metadata.labels.cluster-name`", found],
        ),
        Case::new(
            "has a claim deleted with an object of its choice",
            guest().creates("apps/v1 StatefulSet", &OWN).asks("privileges", json!({"name": "claim"})).applies(&object(
                "apps/v1 StatefulSet",
                "{cluster}-x",
                json!({"spec": {"volumeClaimTemplates": [{"metadata": {
                    "name": "data",
                    "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u"}],
                }}]}}),
            )),
            By::Merge,
            &["`spec.volumeClaimTemplates`", "the host sets the owners of an object"],
        ),
        Case::new(
            "writes a status",
            sets("apps/v1 StatefulSet", json!({"status": {"replicas": 9}})),
            By::Merge,
            &["`status`", "a status is observed, not desired"],
        ),
    ]
}

/// The metadata of a pod template.
fn in_template(metadata: Value) -> Value {
    json!({"spec": {"template": {"metadata": metadata}}})
}

/// A guest with a CronJob whose Jobs have this metadata.
fn cron_job(metadata: Value) -> Script {
    guest().creates("batch/v1 CronJob", &OWN).applies(&object(
        "batch/v1 CronJob",
        "{cluster}-x",
        json!({"spec": {"jobTemplate": {"metadata": metadata}}}),
    ))
}

fn names() -> Vec<Case> {
    let case = |name, script| Case::new(name, script, By::Merge, &[NOT_A_NAME]);
    vec![
        case("leads a request to another URL by `..` in a name", named("../secrets/postgres")),
        case("leads a request to another URL by a name of two dots", named("..")),
        case("adds a query to a request by a `?` in a name", named("x?fieldManager=other")),
        case("writes a NUL into a name", named("a\0b")),
        case("writes a line break into a name", named("a\nb")),
        case("gives an object a name of 4000 characters", named(&"a".repeat(4000))),
    ]
}

const DATABASE_COMMAND: &str = "which needs the privilege database-command";

/// A guest that sets a field of the database's container, and is granted the field whole.
fn database(field: &str, value: Value) -> Script {
    let container = json!({"name": "postgres", field: value});
    let set = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    let path = format!("spec.template.spec.containers[name=postgres].{field}");
    let guest = guest().sets("apps/v1 StatefulSet", &OWN, &[&path]);
    guest.applies(&object("apps/v1 StatefulSet", "{cluster}", set))
}

fn fields() -> Vec<Case> {
    let image =
        |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "postgres", "image": image}]}}}});
    let images = ["spec.template.spec.containers[name=postgres].image"];
    let sets_image = |permission: Value| {
        let mut entry = json!({
            "api_version": "apps/v1", "kind": "StatefulSet", "names": ["{cluster}"],
            "fields": images,
        });
        super::merge(&mut entry, permission);
        let guest = guest().asks("objects", entry).asks("privileges", json!({"name": "database-command"}));
        guest.applies(&object("apps/v1 StatefulSet", "{cluster}", image("thief")))
    };
    vec![
        Case::new(
            "sets a field that it does not ask for",
            guest().sets("apps/v1 StatefulSet", &OWN, &["metadata.annotations"]).applies(&object(
                "apps/v1 StatefulSet",
                "{cluster}",
                json!({"spec": {"replicas": 0}}),
            )),
            By::Merge,
            &[
                "`spec.replicas` of apps/v1 StatefulSet acid-orders",
                "the plugin's description does not ask for the field",
            ],
        ),
        Case::new(
            "sets a field of another step to another value",
            sets_image(json!({})),
            By::Merge,
            &["steps database and hostile set `spec.template.spec.containers[name=postgres].image`"],
        ),
        Case::new(
            "sets a field of another step to another value with the grant for another field",
            sets_image(json!({"overrides": ["spec.replicas"]})),
            By::Merge,
            &["grant hostile to override it, or let only one of them set it"],
        ),
        Case::new(
            "mounts a file of its own over a script of the database's image",
            database("volumeMounts", json!([{"name": "own", "mountPath": "/scripts/configure_spilo.py"}])),
            By::Merge,
            &["containers[name=postgres].volumeMounts[mountPath=/scripts/configure_spilo.py]", DATABASE_COMMAND],
        ),
        Case::new(
            "sets a variable of the database by a grant for all of them",
            database("env", json!([{"name": "BACKUP_SCHEDULE", "value": "* * * * *\n* * * * * thief"}])),
            By::Merge,
            &["containers[name=postgres].env[name=BACKUP_SCHEDULE]", DATABASE_COMMAND],
        ),
        Case::new(
            "starts the database in another folder",
            database("workingDir", json!("/tmp")),
            By::Merge,
            &["containers[name=postgres].workingDir", DATABASE_COMMAND],
        ),
        Case::new(
            "removes the container of the database",
            guest().sets("apps/v1 StatefulSet", &OWN, &["metadata"]).removes(
                "apps/v1 StatefulSet",
                "acid-orders",
                "spec.template.spec.containers[name=postgres]",
            ),
            By::Merge,
            &["must not remove `spec.template.spec.containers[name=postgres]`", "does not ask for its removal"],
        ),
        Case::new(
            "leaves out fields of pods while it fails",
            guest().sets("apps/v1 StatefulSet", &OWN, &["spec.template.spec.tolerations"]),
            By::Load,
            &["onFailure is ignore, but the step may write StatefulSet spec.template.spec.tolerations"],
        )
        .step("onFailure", json!("ignore")),
        Case::new(
            "gives one key of an object twice",
            writes(
                r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"b"},"data":{"a":"c"}}"#,
            ),
            By::Answer,
            &["a contribution is not JSON: the key \"data\" is there twice"],
        ),
        Case::new("contributes what is not JSON", writes("{"), By::Answer, &["a contribution is not JSON"]),
    ]
}
