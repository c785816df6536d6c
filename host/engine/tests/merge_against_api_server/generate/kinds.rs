//! The kinds that pgloom's plugins write: for each a first object, and the fragments of other managers.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{MOSTLY, OFTEN, SELDOM, SOMETIMES, Values, list, marks, one_of, pod, some, with};

#[derive(Clone, Debug)]
pub struct Kind {
    pub api_version: &'static str,
    pub kind: &'static str,
    /// A valid object that has no pods, so that no controller starts any.
    pub base: Value,
    /// The fragments of other managers.
    pub part: Values,
}

pub fn all() -> Vec<Kind> {
    // Workloads appear more often, because they have the most to merge.
    vec![
        stateful_set(),
        deployment(),
        stateful_set(),
        deployment(),
        cron_job(),
        service(),
        service(),
        disruption_budget(),
        config_map(),
        endpoints(),
        network_policy(),
        monitor(),
        monitor(),
    ]
}

/// A partial object: fields of the kind, and perhaps labels and annotations.
fn object(name: &'static str, own: Values) -> Values {
    let metadata = some([("labels", OFTEN, marks()), ("annotations", OFTEN, marks())]);
    some([(name, MOSTLY, own), ("metadata", SOMETIMES, metadata)])
}

fn metadata() -> Value {
    json!({"labels": {"application": "spilo"}, "annotations": {"first": "1"}})
}

fn template() -> Value {
    json!({
        "metadata": metadata(),
        "spec": {
            "containers": [
                {"name": "postgres", "image": "localhost/image:1", "env": [
                    {"name": "SCOPE", "value": "a"},
                    {"name": "PGROOT", "value": "a"},
                    {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
                ]},
                {"name": "sidecar", "image": "localhost/image:1"},
            ],
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "scratch", "emptyDir": {}}],
        },
    })
}

fn stateful_set() -> Kind {
    // A default that depends on other fields depends on the object's history, not on the merge, so the field is set.
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}});
    Kind {
        api_version: "apps/v1",
        kind: "StatefulSet",
        base: json!({"metadata": metadata(), "spec": {
            "replicas": 0, "serviceName": "minimal", "template": template(), "updateStrategy": strategy,
            "selector": {"matchLabels": {"application": "spilo"}},
        }}),
        part: object(
            "spec",
            some([
                ("template", MOSTLY, pod::template()),
                (
                    "updateStrategy",
                    SOMETIMES,
                    some([("rollingUpdate", OFTEN, some([("partition", OFTEN, one_of([0, 1]))]))]),
                ),
                (
                    "persistentVolumeClaimRetentionPolicy",
                    SELDOM,
                    some([
                        ("whenDeleted", OFTEN, one_of(["Retain", "Delete"])),
                        ("whenScaled", OFTEN, one_of(["Retain", "Delete"])),
                    ]),
                ),
                ("minReadySeconds", SELDOM, one_of([10, 20])),
            ]),
        ),
    }
}

fn deployment() -> Kind {
    Kind {
        api_version: "apps/v1",
        kind: "Deployment",
        base: json!({"metadata": metadata(), "spec": {
            "replicas": 0, "template": template(), "selector": {"matchLabels": {"application": "spilo"}},
        }}),
        part: object(
            "spec",
            some([
                ("template", MOSTLY, pod::template()),
                (
                    "strategy",
                    SOMETIMES,
                    some([(
                        "rollingUpdate",
                        OFTEN,
                        some([
                            ("maxSurge", OFTEN, one_of([json!(1), json!("25%")])),
                            ("maxUnavailable", OFTEN, one_of([1])),
                        ]),
                    )]),
                ),
                ("revisionHistoryLimit", SELDOM, one_of([2, 3])),
            ]),
        ),
    }
}

fn cron_job() -> Kind {
    let mut template = template();
    template["spec"]["restartPolicy"] = json!("Never");
    Kind {
        api_version: "batch/v1",
        kind: "CronJob",
        base: json!({"metadata": metadata(), "spec": {
            "schedule": "0 1 * * *", "suspend": true, "jobTemplate": {"spec": {"template": template}},
        }}),
        part: object(
            "spec",
            some([
                (
                    "jobTemplate",
                    MOSTLY,
                    some([
                        (
                            "metadata",
                            SOMETIMES,
                            some([("labels", SOMETIMES, marks()), ("annotations", SOMETIMES, marks())]),
                        ),
                        (
                            "spec",
                            OFTEN,
                            some([("template", MOSTLY, pod::template()), ("backoffLimit", SOMETIMES, one_of([1, 2]))]),
                        ),
                    ]),
                ),
                ("schedule", SELDOM, one_of(["0 1 * * *", "0 2 * * *"])),
                ("concurrencyPolicy", SELDOM, one_of(["Forbid", "Replace"])),
            ]),
        ),
    }
}

fn service() -> Kind {
    let port = |port: u16, protocol: &str, name: &str| {
        let keys = json!({"port": port, "protocol": protocol, "name": name});
        let plain = json!({"port": port, "name": name});
        let key_only = json!({"port": port, "protocol": protocol});
        let keys = if protocol == "TCP" { vec![plain, keys, key_only] } else { vec![keys.clone(), keys, key_only] };
        described(keys)
    };
    Kind {
        api_version: "v1",
        kind: "Service",
        base: json!({"metadata": metadata(), "spec": {
            "ports": [{"name": "postgresql", "port": 5432, "targetPort": 5432}], "selector": {"application": "spilo"},
        }}),
        part: object(
            "spec",
            some([
                (
                    "ports",
                    OFTEN,
                    list([
                        port(5432, "TCP", "postgresql"),
                        port(8008, "TCP", "patroni"),
                        port(5432, "UDP", "odd"),
                        port(80, "TCP", "metrics"),
                    ]),
                ),
                ("type", SOMETIMES, one_of(["LoadBalancer", "ClusterIP"])),
                ("loadBalancerSourceRanges", SELDOM, one_of([json!(["127.0.0.1/32"]), json!(["10.0.0.0/8"])])),
                ("sessionAffinity", SELDOM, one_of(["ClientIP", "None"])),
                ("publishNotReadyAddresses", SELDOM, one_of([true, false])),
            ]),
        ),
    }
}

/// One of these entries, with some more fields.
fn described(entries: Vec<Value>) -> Values {
    (one_of(entries), some([("targetPort", SOMETIMES, one_of([json!(8008), json!("http"), json!(5432)]))]))
        .prop_map(|(mut entry, more)| {
            if let (Some(entry), Value::Object(more)) = (entry.as_object_mut(), more) {
                entry.extend(more);
            }
            entry
        })
        .boxed()
}

fn disruption_budget() -> Kind {
    Kind {
        api_version: "policy/v1",
        kind: "PodDisruptionBudget",
        base: json!({"metadata": metadata(), "spec": {"selector": {"matchLabels": {"application": "spilo"}}}}),
        part: object(
            "spec",
            some([
                ("minAvailable", OFTEN, one_of([json!(1), json!("50%"), json!(0)])),
                ("unhealthyPodEvictionPolicy", SELDOM, one_of(["AlwaysAllow", "IfHealthyBudget"])),
            ]),
        ),
    }
}

fn config_map() -> Kind {
    Kind {
        api_version: "v1",
        kind: "ConfigMap",
        base: json!({"metadata": metadata(), "data": {"first": "1"}}),
        part: object(
            "data",
            some([
                ("pgbouncer.ini", SOMETIMES, one_of(["[pgbouncer]\nx = 1\n", "[pgbouncer]\n"])),
                ("first", SOMETIMES, one_of(["1", "2"])),
                ("second", SOMETIMES, one_of(["", "1"])),
                ("third", SOMETIMES, one_of(["3"])),
            ]),
        ),
    }
}

fn network_policy() -> Kind {
    let port = |port: u16| json!([{"ports": [{"port": port, "protocol": "TCP"}]}]);
    Kind {
        api_version: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        base: json!({"metadata": metadata(), "spec": {
            "podSelector": {"matchLabels": {"application": "spilo"}},
            // Left out, its default depends on the other fields.
            "policyTypes": ["Ingress", "Egress"],
        }}),
        part: object(
            "spec",
            some([
                ("ingress", OFTEN, one_of([port(5432), port(8008)])),
                ("egress", SOMETIMES, one_of([port(53), port(443)])),
            ]),
        ),
    }
}

/// The custom resource of `monitors.yaml`: each kind of list, a set, nulls, and fields without a schema.
fn monitor() -> Kind {
    let endpoint = |port: &'static str| {
        with(
            json!({"port": port}),
            [
                ("path", OFTEN, one_of([json!("/metrics"), Value::Null, json!("/")])),
                ("interval", SOMETIMES, one_of(["30s", "1m"])),
            ],
        )
    };
    let open = [
        ("a", SOMETIMES, one_of([json!(1), Value::Null])),
        ("b", SOMETIMES, one_of([json!({"c": null}), json!({"c": 1})])),
    ];
    Kind {
        api_version: "merge.pgloom.dev/v1",
        kind: "Monitor",
        base: json!({"metadata": metadata(), "spec": {"endpoints": [{"port": "web", "interval": "30s"}]}}),
        part: object(
            "spec",
            some([
                ("endpoints", MOSTLY, list([endpoint("web"), endpoint("metrics"), endpoint("patroni")])),
                ("namespaces", OFTEN, list([one_of(["a"]), one_of(["b"]), one_of(["c"])])),
                (
                    "hosts",
                    SOMETIMES,
                    one_of([json!([{"name": "a", "alias": null}]), json!([{"name": "b", "alias": "c"}])]),
                ),
                ("paused", SOMETIMES, one_of([json!(true), Value::Null, json!(false)])),
                ("open", SOMETIMES, some(open)),
            ]),
        ),
    }
}

fn endpoints() -> Kind {
    let subset = |ip: &str| json!([{"addresses": [{"ip": ip}], "ports": [{"name": "postgresql", "port": 5432, "protocol": "TCP"}]}]);
    Kind {
        api_version: "v1",
        kind: "Endpoints",
        base: json!({"metadata": metadata()}),
        part: object("subsets", one_of([subset("10.9.9.1"), subset("10.9.9.2")])),
    }
}
