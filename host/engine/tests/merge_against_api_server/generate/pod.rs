//! What managers say about a pod.

use serde_json::json;

use super::{Values, list, marks, some, with, word};

/// A partial pod template.
pub fn template() -> Values {
    some([
        ("metadata", some([("labels", marks()), ("annotations", marks())])),
        ("spec", spec()),
        // Twice as likely as the rest, for a pod has most of the lists.
        ("spec", spec()),
    ])
}

fn spec() -> Values {
    some([
        ("containers", containers()),
        ("containers", containers()),
        ("containers", containers()),
        ("initContainers", list([container("prepare"), container("migrate")])),
        ("volumes", volumes()),
        (
            "tolerations",
            word([json!([{"key": "a", "operator": "Exists"}]), json!([{"key": "b", "operator": "Exists"}])]),
        ),
        ("nodeSelector", word([json!({"disk": "ssd"}), json!({"disk": "ssd", "zone": "a"})])),
        ("affinity", affinity()),
        (
            "topologySpreadConstraints",
            list([spread("zone", "DoNotSchedule"), spread("host", "ScheduleAnyway"), spread("zone", "ScheduleAnyway")]),
        ),
        (
            "securityContext",
            some([
                ("fsGroup", word([103, 104])),
                ("runAsUser", word([101])),
                ("supplementalGroups", word([json!([1]), json!([1, 2])])),
            ]),
        ),
        ("imagePullSecrets", list([word([json!({"name": "one"})]), word([json!({"name": "two"})])])),
        ("hostAliases", list([alias("10.1.0.1"), alias("10.1.0.2")])),
        ("terminationGracePeriodSeconds", word([300, 60])),
        ("serviceAccountName", word(["postgres-pod", "default"])),
        ("priorityClassName", word(["database", "batch"])),
        ("shareProcessNamespace", word([true, false])),
        (
            "dnsConfig",
            some([
                ("searches", word([json!(["a.example"]), json!(["b.example"])])),
                ("nameservers", word([json!(["10.0.0.1"])])),
            ]),
        ),
    ])
}

fn containers() -> Values {
    list([container("postgres"), container("sidecar"), container("exporter")])
}

fn container(name: &'static str) -> Values {
    with(
        // An image that all agree on, so that whoever comes first makes a valid container.
        json!({"name": name, "image": "localhost/image:1"}),
        [
            ("env", env()),
            ("env", env()),
            ("ports", ports()),
            ("volumeMounts", list([mount("/one", "data"), mount("/two", "data"), mount("/three", "scratch")])),
            (
                "resources",
                some([("limits", quantities(["2", "4"], "2Gi")), ("requests", quantities(["1", "500m"], "1Gi"))]),
            ),
            ("args", word([json!(["a"]), json!(["a", "b"])])),
            ("command", word([json!(["run"]), json!(["stay"])])),
            ("imagePullPolicy", word(["IfNotPresent", "Always"])),
            (
                "securityContext",
                some([
                    ("allowPrivilegeEscalation", word([false, true])),
                    ("readOnlyRootFilesystem", word([true, false])),
                    (
                        "capabilities",
                        some([
                            ("add", word([json!(["SYS_NICE"]), json!(["NET_ADMIN"])])),
                            ("drop", word([json!(["ALL"])])),
                        ]),
                    ),
                ]),
            ),
            (
                "readinessProbe",
                with(
                    json!({"httpGet": {"path": "/readiness", "port": 8008}}),
                    [("periodSeconds", word([5, 10])), ("initialDelaySeconds", word([6]))],
                ),
            ),
            (
                "lifecycle",
                some([(
                    "preStop",
                    word([json!({"exec": {"command": ["stop"]}}), json!({"exec": {"command": ["halt"]}})]),
                )]),
            ),
            ("envFrom", word([json!([{"secretRef": {"name": "pod"}}]), json!([{"configMapRef": {"name": "pod"}}])])),
            ("workingDir", word(["/home", "/"])),
        ],
    )
}

/// Variables, some of them by their names alone: they give the others a place.
fn env() -> Values {
    list([
        variable("SCOPE"),
        variable("PGROOT"),
        variable("CLONE"),
        variable("WAL"),
        word([
            json!({"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}),
            json!({"name": "POD_IP"}),
        ]),
        word([
            json!({"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a"}}}),
            json!({"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "b"}}}),
        ]),
    ])
}

fn variable(name: &str) -> Values {
    word([
        json!({"name": name, "value": "a"}),
        json!({"name": name}),
        json!({"name": name}),
        json!({"name": name, "value": "b"}),
    ])
}

/// Ports with and without the default of their second key.
fn ports() -> Values {
    list([
        word([json!({"containerPort": 5432}), json!({"containerPort": 5432, "protocol": "TCP", "name": "postgresql"})]),
        word([json!({"containerPort": 5432, "protocol": "UDP"})]),
        word([
            json!({"containerPort": 8008, "name": "patroni"}),
            json!({"containerPort": 8008, "protocol": "TCP"}),
            json!({"containerPort": 8008, "name": "rest"}),
        ]),
    ])
}

fn mount(path: &str, volume: &str) -> Values {
    with(
        json!({"mountPath": path, "name": volume}),
        [("readOnly", word([true, false])), ("subPath", word(["pgdata", "other"]))],
    )
}

fn quantities(cpu: [&'static str; 2], memory: &'static str) -> Values {
    some([("cpu", word(cpu)), ("memory", word([memory]))])
}

fn volumes() -> Values {
    list([
        word([
            json!({"name": "scratch"}),
            json!({"name": "scratch", "emptyDir": {"medium": "Memory"}}),
            json!({"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}),
        ]),
        with(
            json!({"name": "certificates"}),
            [(
                "secret",
                with(
                    json!({"secretName": "tls"}),
                    [
                        ("defaultMode", word([416, 288])),
                        ("items", word([json!([{"key": "a", "path": "a"}]), json!([{"key": "b", "path": "b"}])])),
                    ],
                ),
            )],
        ),
        with(
            json!({"name": "scripts"}),
            [(
                "configMap",
                with(json!({"name": "scripts"}), [("defaultMode", word([493])), ("optional", word([true]))]),
            )],
        ),
        word([json!({"name": "data", "emptyDir": {}}), json!({"name": "data"})]),
    ])
}

fn affinity() -> Values {
    let term = |zone: &str| json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}]});
    let pods = |host: &str| json!([{"labelSelector": {"matchLabels": {"team": "acid"}}, "topologyKey": host}]);
    some([
        ("nodeAffinity", some([("requiredDuringSchedulingIgnoredDuringExecution", word([term("a"), term("b")]))])),
        (
            "podAntiAffinity",
            some([("requiredDuringSchedulingIgnoredDuringExecution", word([pods("host"), pods("zone")]))]),
        ),
    ])
}

fn spread(key: &str, when: &str) -> Values {
    with(
        json!({"topologyKey": key, "whenUnsatisfiable": when, "maxSkew": 1}),
        [(
            "labelSelector",
            word([json!({"matchLabels": {"team": "acid"}}), json!({"matchLabels": {"team": "other"}})]),
        )],
    )
}

fn alias(ip: &str) -> Values {
    with(json!({"ip": ip}), [("hostnames", word([json!(["a"]), json!(["b"])]))])
}
