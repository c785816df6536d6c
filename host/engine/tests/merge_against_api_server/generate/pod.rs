//! Fragments of a pod template.

use serde_json::json;

use super::{MOSTLY, OFTEN, SELDOM, SOMETIMES, Values, list, marks, one_of, some, with};

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
            one_of([json!([{"key": "a", "operator": "Exists"}]), json!([{"key": "b", "operator": "Exists"}])]),
        ),
        ("nodeSelector", SELDOM, one_of([json!({"disk": "ssd"}), json!({"disk": "ssd", "zone": "a"})])),
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
                ("fsGroup", OFTEN, one_of([103, 104])),
                ("runAsUser", OFTEN, one_of([101])),
                ("supplementalGroups", OFTEN, one_of([json!([1]), json!([1, 2])])),
            ]),
        ),
        ("imagePullSecrets", SELDOM, list([one_of([json!({"name": "one"})]), one_of([json!({"name": "two"})])])),
        ("hostAliases", SELDOM, list([alias("10.1.0.1"), alias("10.1.0.2")])),
        ("terminationGracePeriodSeconds", SELDOM, one_of([300, 60])),
        ("serviceAccountName", SELDOM, one_of(["postgres-pod", "default"])),
        ("priorityClassName", SELDOM, one_of(["database", "batch"])),
        ("shareProcessNamespace", SELDOM, one_of([true, false])),
        (
            "dnsConfig",
            SELDOM,
            some([
                ("searches", OFTEN, one_of([json!(["a.example"]), json!(["b.example"])])),
                ("nameservers", OFTEN, one_of([json!(["10.0.0.1"])])),
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
            ("args", SELDOM, one_of([json!(["a"]), json!(["a", "b"])])),
            ("command", SELDOM, one_of([json!(["run"]), json!(["stay"])])),
            ("imagePullPolicy", SELDOM, one_of(["IfNotPresent", "Always"])),
            (
                "securityContext",
                SELDOM,
                some([
                    ("allowPrivilegeEscalation", OFTEN, one_of([false, true])),
                    ("readOnlyRootFilesystem", OFTEN, one_of([true, false])),
                    (
                        "capabilities",
                        OFTEN,
                        some([
                            ("add", OFTEN, one_of([json!(["SYS_NICE"]), json!(["NET_ADMIN"])])),
                            ("drop", OFTEN, one_of([json!(["ALL"])])),
                        ]),
                    ),
                ]),
            ),
            (
                "readinessProbe",
                SELDOM,
                with(
                    json!({"httpGet": {"path": "/readiness", "port": 8008}}),
                    [("periodSeconds", OFTEN, one_of([5, 10])), ("initialDelaySeconds", OFTEN, one_of([6]))],
                ),
            ),
            (
                "lifecycle",
                SELDOM,
                some([(
                    "preStop",
                    OFTEN,
                    one_of([json!({"exec": {"command": ["stop"]}}), json!({"exec": {"command": ["halt"]}})]),
                )]),
            ),
            (
                "envFrom",
                SELDOM,
                one_of([json!([{"secretRef": {"name": "pod"}}]), json!([{"configMapRef": {"name": "pod"}}])]),
            ),
            ("workingDir", SELDOM, one_of(["/home", "/"])),
        ],
    )
}

/// Variables. Some have only a name: they set the order of the others.
fn env() -> Values {
    list([
        variable("SCOPE"),
        variable("PGROOT"),
        variable("CLONE"),
        variable("WAL"),
        one_of([
            json!({"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}),
            json!({"name": "POD_IP"}),
        ]),
        one_of([
            json!({"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a"}}}),
            json!({"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "b"}}}),
        ]),
    ])
}

fn variable(name: &str) -> Values {
    one_of([
        json!({"name": name, "value": "a"}),
        json!({"name": name}),
        json!({"name": name}),
        json!({"name": name, "value": "b"}),
    ])
}

/// Ports with and without the default of their second key.
fn ports() -> Values {
    list([
        one_of([
            json!({"containerPort": 5432}),
            json!({"containerPort": 5432, "protocol": "TCP", "name": "postgresql"}),
        ]),
        one_of([json!({"containerPort": 5432, "protocol": "UDP"})]),
        one_of([
            json!({"containerPort": 8008, "name": "patroni"}),
            json!({"containerPort": 8008, "protocol": "TCP"}),
            json!({"containerPort": 8008, "name": "rest"}),
        ]),
    ])
}

fn mount(path: &str, volume: &str) -> Values {
    with(
        json!({"mountPath": path, "name": volume}),
        [("readOnly", SOMETIMES, one_of([true, false])), ("subPath", SOMETIMES, one_of(["pgdata", "other"]))],
    )
}

fn quantities(cpu: [&'static str; 2], memory: &'static str) -> Values {
    some([("cpu", OFTEN, one_of(cpu)), ("memory", OFTEN, one_of([memory]))])
}

fn volumes() -> Values {
    list([
        one_of([
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
                        ("defaultMode", SOMETIMES, one_of([416, 288])),
                        (
                            "items",
                            SOMETIMES,
                            one_of([json!([{"key": "a", "path": "a"}]), json!([{"key": "b", "path": "b"}])]),
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
                    [("defaultMode", SOMETIMES, one_of([493])), ("optional", SOMETIMES, one_of([true]))],
                ),
            )],
        ),
        one_of([json!({"name": "data", "emptyDir": {}}), json!({"name": "data"})]),
    ])
}

fn affinity() -> Values {
    let term = |zone: &str| json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}]});
    let pods = |host: &str| json!([{"labelSelector": {"matchLabels": {"team": "acid"}}, "topologyKey": host}]);
    some([
        (
            "nodeAffinity",
            OFTEN,
            some([("requiredDuringSchedulingIgnoredDuringExecution", OFTEN, one_of([term("a"), term("b")]))]),
        ),
        (
            "podAntiAffinity",
            OFTEN,
            some([("requiredDuringSchedulingIgnoredDuringExecution", OFTEN, one_of([pods("host"), pods("zone")]))]),
        ),
    ])
}

fn spread(key: &str, when: &str) -> Values {
    with(
        json!({"topologyKey": key, "whenUnsatisfiable": when, "maxSkew": 1}),
        [(
            "labelSelector",
            OFTEN,
            one_of([json!({"matchLabels": {"team": "acid"}}), json!({"matchLabels": {"team": "other"}})]),
        )],
    )
}

fn alias(ip: &str) -> Values {
    with(json!({"ip": ip}), [("hostnames", OFTEN, one_of([json!(["a"]), json!(["b"])]))])
}
