//! Fragments of a pod template.

use serde_json::json;

use super::{MOSTLY, OFTEN, SELDOM, SOMETIMES, Values, list, marks, some, with, word};

/// A partial pod template.
pub fn template() -> Values {
    let metadata = some([("labels", OFTEN, marks()), ("annotations", OFTEN, marks())]);
    some([("metadata", SOMETIMES, metadata), ("spec", MOSTLY, spec())])
}

fn spec() -> Values {
    some([
        ("containers", OFTEN, containers()),
        ("initContainers", SOMETIMES, list([container("prepare"), container("migrate")])),
        ("volumes", SOMETIMES, volumes()),
        (
            "tolerations",
            SELDOM,
            word([json!([{"key": "a", "operator": "Exists"}]), json!([{"key": "b", "operator": "Exists"}])]),
        ),
        ("nodeSelector", SELDOM, word([json!({"disk": "ssd"}), json!({"disk": "ssd", "zone": "a"})])),
        ("affinity", SELDOM, affinity()),
        (
            "topologySpreadConstraints",
            SOMETIMES,
            list([spread("zone", "DoNotSchedule"), spread("host", "ScheduleAnyway"), spread("zone", "ScheduleAnyway")]),
        ),
        (
            "securityContext",
            SELDOM,
            some([
                ("fsGroup", OFTEN, word([103, 104])),
                ("runAsUser", OFTEN, word([101])),
                ("supplementalGroups", OFTEN, word([json!([1]), json!([1, 2])])),
            ]),
        ),
        ("imagePullSecrets", SELDOM, list([word([json!({"name": "one"})]), word([json!({"name": "two"})])])),
        ("hostAliases", SELDOM, list([alias("10.1.0.1"), alias("10.1.0.2")])),
        ("terminationGracePeriodSeconds", SELDOM, word([300, 60])),
        ("serviceAccountName", SELDOM, word(["postgres-pod", "default"])),
        ("priorityClassName", SELDOM, word(["database", "batch"])),
        ("shareProcessNamespace", SELDOM, word([true, false])),
        (
            "dnsConfig",
            SELDOM,
            some([
                ("searches", OFTEN, word([json!(["a.example"]), json!(["b.example"])])),
                ("nameservers", OFTEN, word([json!(["10.0.0.1"])])),
            ]),
        ),
    ])
}

fn containers() -> Values {
    list([container("postgres"), container("sidecar"), container("exporter")])
}

fn container(name: &'static str) -> Values {
    with(
        // All managers set the same image, so that the first one creates a valid container.
        json!({"name": name, "image": "localhost/image:1"}),
        [
            ("env", OFTEN, env()),
            ("ports", SOMETIMES, ports()),
            (
                "volumeMounts",
                SOMETIMES,
                list([mount("/one", "data"), mount("/two", "data"), mount("/three", "scratch")]),
            ),
            (
                "resources",
                SOMETIMES,
                some([
                    ("limits", OFTEN, quantities(["2", "4"], "2Gi")),
                    ("requests", OFTEN, quantities(["1", "500m"], "1Gi")),
                ]),
            ),
            ("args", SELDOM, word([json!(["a"]), json!(["a", "b"])])),
            ("command", SELDOM, word([json!(["run"]), json!(["stay"])])),
            ("imagePullPolicy", SELDOM, word(["IfNotPresent", "Always"])),
            (
                "securityContext",
                SELDOM,
                some([
                    ("allowPrivilegeEscalation", OFTEN, word([false, true])),
                    ("readOnlyRootFilesystem", OFTEN, word([true, false])),
                    (
                        "capabilities",
                        OFTEN,
                        some([
                            ("add", OFTEN, word([json!(["SYS_NICE"]), json!(["NET_ADMIN"])])),
                            ("drop", OFTEN, word([json!(["ALL"])])),
                        ]),
                    ),
                ]),
            ),
            (
                "readinessProbe",
                SELDOM,
                with(
                    json!({"httpGet": {"path": "/readiness", "port": 8008}}),
                    [("periodSeconds", OFTEN, word([5, 10])), ("initialDelaySeconds", OFTEN, word([6]))],
                ),
            ),
            (
                "lifecycle",
                SELDOM,
                some([(
                    "preStop",
                    OFTEN,
                    word([json!({"exec": {"command": ["stop"]}}), json!({"exec": {"command": ["halt"]}})]),
                )]),
            ),
            (
                "envFrom",
                SELDOM,
                word([json!([{"secretRef": {"name": "pod"}}]), json!([{"configMapRef": {"name": "pod"}}])]),
            ),
            ("workingDir", SELDOM, word(["/home", "/"])),
        ],
    )
}

/// Variables. Some have nothing but their name: they give the others their place.
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
        [("readOnly", SOMETIMES, word([true, false])), ("subPath", SOMETIMES, word(["pgdata", "other"]))],
    )
}

fn quantities(cpu: [&'static str; 2], memory: &'static str) -> Values {
    some([("cpu", OFTEN, word(cpu)), ("memory", OFTEN, word([memory]))])
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
                OFTEN,
                with(
                    json!({"secretName": "tls"}),
                    [
                        ("defaultMode", SOMETIMES, word([416, 288])),
                        (
                            "items",
                            SOMETIMES,
                            word([json!([{"key": "a", "path": "a"}]), json!([{"key": "b", "path": "b"}])]),
                        ),
                    ],
                ),
            )],
        ),
        with(
            json!({"name": "scripts"}),
            [(
                "configMap",
                OFTEN,
                with(
                    json!({"name": "scripts"}),
                    [("defaultMode", SOMETIMES, word([493])), ("optional", SOMETIMES, word([true]))],
                ),
            )],
        ),
        word([json!({"name": "data", "emptyDir": {}}), json!({"name": "data"})]),
    ])
}

fn affinity() -> Values {
    let term = |zone: &str| json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}]});
    let pods = |host: &str| json!([{"labelSelector": {"matchLabels": {"team": "acid"}}, "topologyKey": host}]);
    some([
        (
            "nodeAffinity",
            OFTEN,
            some([("requiredDuringSchedulingIgnoredDuringExecution", OFTEN, word([term("a"), term("b")]))]),
        ),
        (
            "podAntiAffinity",
            OFTEN,
            some([("requiredDuringSchedulingIgnoredDuringExecution", OFTEN, word([pods("host"), pods("zone")]))]),
        ),
    ])
}

fn spread(key: &str, when: &str) -> Values {
    with(
        json!({"topologyKey": key, "whenUnsatisfiable": when, "maxSkew": 1}),
        [(
            "labelSelector",
            OFTEN,
            word([json!({"matchLabels": {"team": "acid"}}), json!({"matchLabels": {"team": "other"}})]),
        )],
    )
}

fn alias(ip: &str) -> Values {
    with(json!({"ip": ip}), [("hostnames", OFTEN, word([json!(["a"]), json!(["b"])]))])
}
