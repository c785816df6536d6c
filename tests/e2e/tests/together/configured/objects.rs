//! Owners and annotations of objects, types of Services, the image of backups.

use std::collections::BTreeSet;

use e2e::{Namespace, Operator, ensure, eventually};
use serde_json::{Value, json};

use super::{CLUSTER, change, configure};

/// The annotation of what the operator made for a cluster. Patroni's own objects do not have it.
const MARK: &str = "pgloom.dev/cluster-uid";
const KINDS: [&str; 6] = ["CronJob", "Deployment", "PodDisruptionBudget", "Secret", "Service", "StatefulSet"];
const REPLICAS: &str = "acid-configured-repl";

pub fn every_object_has_its_owner_while_the_platform_wants_it(namespace: &Namespace) {
    let uid = namespace.get("postgresql", CLUSTER).unwrap()["metadata"]["uid"].clone();
    let made: BTreeSet<String> =
        made(namespace).unwrap().iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(made, KINDS.map(str::to_owned).into(), "an object of each kind is looked at");
    configure(namespace, &json!({"enable_owner_references": "true"}));
    have(namespace, "every object has its owner", |object| {
        let owner = &object["metadata"]["ownerReferences"][0];
        owner["kind"] == "postgresql" && owner["uid"] == uid && owner["controller"] == true
    });
    configure(namespace, &json!({"enable_owner_references": "false"}));
    have(namespace, "no object has an owner", |object| object["metadata"]["ownerReferences"].is_null());
}

/// What the operator made for the cluster in its namespace.
fn made(namespace: &Namespace) -> Result<Vec<Value>, String> {
    let text = namespace.kubectl(&["get", &KINDS.join(","), "--output", "json"])?;
    let list: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let is_made = |object: &&Value| object["metadata"]["annotations"][MARK].is_string();
    Ok(list["items"].as_array().into_iter().flatten().filter(is_made).cloned().collect())
}

/// Waits until this holds for every object.
#[track_caller]
fn have(namespace: &Namespace, what: &str, holds: impl Fn(&Value) -> bool) {
    eventually(what, || {
        let without = made(namespace)?;
        let without = without.iter().filter(|object| !holds(object));
        let without: Vec<_> =
            without.map(|object| format!("{} {}", object["kind"], object["metadata"]["name"])).collect();
        ensure(without.is_empty(), without.join(", "))
    });
}

pub fn annotations_load_balancers_and_the_image_of_backups_reach_what_runs(namespace: &Namespace) {
    let keys = json!({
        "downscaler_annotations": "deployment-time,downscaler/*",
        "inherited_annotations": "environment,owned-by",
        "custom_service_annotations": "foo:bar",
        "logical_backup_docker_image": "localhost/pgloom/other-backup:1",
    });
    configure(namespace, &keys);
    let own =
        json!({"deployment-time": "2020-04-30 12:00:00", "downscaler/downtime_replicas": "0", "owned-by": "acid"});
    namespace.patch("postgresql", CLUSTER, &json!({"metadata": {"annotations": own}}));
    let of_services = json!({"annotation.key": "value", "alice": "bob"});
    let balanced = json!({"enableMasterLoadBalancer": true, "enableReplicaLoadBalancer": true});
    change(namespace, &balanced);
    change(namespace, &json!({"serviceAnnotations": of_services}));

    annotated(namespace, "statefulset", CLUSTER, &own);
    for (kind, name) in [
        ("pod", format!("{CLUSTER}-0")),
        ("pod", format!("{CLUSTER}-1")),
        ("secret", format!("foo-user.{CLUSTER}.credentials")),
        ("secret", format!("postgres.{CLUSTER}.credentials")),
        ("pvc", format!("pgdata-{CLUSTER}-0")),
        ("pvc", format!("pgdata-{CLUSTER}-1")),
    ] {
        annotated(namespace, kind, &name, &json!({"owned-by": "acid"}));
    }
    for service in [CLUSTER, REPLICAS] {
        annotated(namespace, "service", service, &json!({"annotation.key": "value", "alice": "bob", "foo": "bar"}));
    }
    are_of_type(namespace, "LoadBalancer");
    change(namespace, &json!({"enableMasterLoadBalancer": false, "enableReplicaLoadBalancer": false}));
    are_of_type(namespace, "ClusterIP");
    eventually("the CronJob has the image", || {
        let job = namespace.get("cronjob", &format!("logical-backup-{CLUSTER}"))?;
        let image = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"];
        ensure(image == "localhost/pgloom/other-backup:1", image)
    });
}

fn annotated(namespace: &Namespace, kind: &str, name: &str, wanted: &Value) {
    eventually(&format!("{kind} {name} has its annotations"), || {
        let annotations = namespace.get(kind, name)?["metadata"]["annotations"].clone();
        let has = wanted.as_object().into_iter().flatten().all(|(key, value)| annotations[key] == *value);
        ensure(has, annotations)
    });
}

fn are_of_type(namespace: &Namespace, wanted: &str) {
    for service in [CLUSTER, REPLICAS] {
        eventually(&format!("the Service {service} is of type {wanted}"), || {
            let now = namespace.get("service", service)?["spec"]["type"].clone();
            ensure(now == wanted, now)
        });
    }
}

pub fn ignored_annotations_are_left_as_others_set_them(namespace: &Namespace, operator: &mut Operator) {
    configure(namespace, &json!({"ignored_annotations": "k8s-status,foo"}));
    let objects = [("statefulset", CLUSTER), ("service", CLUSTER)];
    let uid = |(kind, name): (&str, &str)| namespace.get(kind, name).unwrap()["metadata"]["uid"].clone();
    let before = objects.map(uid);
    // An operator that starts has to know it, too, and one that runs has the configuration by now.
    operator.kill_and_start_again();
    for (kind, name) in objects {
        namespace.kubectl(&["annotate", kind, name, "k8s-status=healthy", "foo=theirs", "--overwrite"]).unwrap();
    }
    change(namespace, &json!({"serviceAnnotations": {"alice": "carol"}}));
    annotated(namespace, "service", CLUSTER, &json!({"alice": "carol"}));
    namespace.running(CLUSTER);
    for (kind, name) in objects {
        annotated(namespace, kind, name, &json!({"k8s-status": "healthy", "foo": "theirs"}));
    }
    assert_eq!(objects.map(uid), before);
}
