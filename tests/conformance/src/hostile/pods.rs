//! Guests whose pods and Services lead to the node, to credentials of others, or out of the cluster.

use serde_json::{Value, json};

use super::{By, Case, guest, object};
use crate::script::Script;

/// A guest that may create Deployments, with this `spec` of their pods.
fn pods(spec: Value) -> Script {
    let template = json!({"spec": {"template": {"spec": spec}}});
    guest().creates("apps/v1 Deployment", &["{cluster}-*"]).applies(&object(
        "apps/v1 Deployment",
        "{cluster}-x",
        template,
    ))
}

fn volume(source: Value) -> Script {
    let mut volume = json!({"name": "v"});
    super::merge(&mut volume, source);
    pods(json!({"volumes": [volume]}))
}

fn container(fields: Value) -> Script {
    let mut container = json!({"name": "c", "image": "i"});
    super::merge(&mut container, fields);
    pods(json!({"containers": [container]}))
}

fn annotated_pods(annotations: Value) -> Script {
    let template = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    guest().creates("apps/v1 Deployment", &["{cluster}-*"]).applies(&object(
        "apps/v1 Deployment",
        "{cluster}-x",
        template,
    ))
}

/// A guest with a set whose name begins as the cluster's, and a template of claims.
fn claims(template: &str, spec: Value) -> Script {
    let claims = json!({"spec": {"volumeClaimTemplates": [{"metadata": {"name": template}, "spec": spec}]}});
    guest().creates("apps/v1 StatefulSet", &["{cluster}-*"]).applies(&object(
        "apps/v1 StatefulSet",
        "{cluster}-eu",
        claims,
    ))
}

fn annotated_service(annotations: Value) -> Script {
    let metadata = json!({"metadata": {"annotations": annotations}});
    guest().creates("v1 Service", &["{cluster}-*"]).applies(&object("v1 Service", "{cluster}-x", metadata))
}

fn service(spec: Value) -> Script {
    guest().creates("v1 Service", &["{cluster}-*"]).applies(&object("v1 Service", "{cluster}-x", json!({"spec": spec})))
}

pub(super) fn cases() -> Vec<Case> {
    let case = |name, script, says: &'static str| Case::new(name, script, By::Merge, &[says, "does not ask for it"]);
    let members = json!({"application": "spilo", "cluster-name": "{cluster}"});
    let of_other = "postgres.acid-other.credentials.postgresql.acid.zalan.do";
    let variable = json!({"name": "P", "valueFrom": {"secretKeyRef": {"name": of_other, "key": "password"}}});
    vec![
        case(
            "mounts a ConfigMap whose name only begins as the cluster's",
            volume(json!({"configMap": {"name": "{cluster}-x-settings"}})),
            "`spec.template.spec.volumes[0].configMap.name` of apps/v1 Deployment acid-orders-x, which needs the privilege foreign-config-map",
        ),
        case(
            "makes the Secret of another cluster its own by a wide grant for user lists",
            volume(json!({"secret": {"secretName": "{cluster}-x-pooler-u"}}))
                .action("credential", &["spy"])
                .requests("role", "credential", json!({"username": "spy", "labels": []}))
                .action("user-list", &["*"])
                .requests("list", "user-list", json!({"secret": "{cluster}-x-pooler-u", "username": "spy"})),
            "the privilege foreign-secret",
        ),
        case(
            "mounts a folder of the node",
            volume(json!({"hostPath": {"path": "/"}})),
            "`spec.template.spec.volumes[0].hostPath` of apps/v1 Deployment acid-orders-x, which needs the privilege host-path",
        ),
        case("uses the network of the node", pods(json!({"hostNetwork": true})), "the privilege host-namespaces"),
        case("sees the processes of the node", pods(json!({"hostPID": true})), "the privilege host-namespaces"),
        case(
            "runs a privileged container",
            container(json!({"securityContext": {"privileged": true}})),
            "`spec.template.spec.containers[0].securityContext.privileged`",
        ),
        case(
            "takes capabilities",
            container(json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}})),
            "the privilege capabilities",
        ),
        case(
            "runs as a service account",
            pods(json!({"serviceAccountName": "admin"})),
            "the privilege service-account",
        ),
        Case::new(
            "leaves it to Kubernetes to give its pods the token of the default account",
            container(json!({})),
            By::Harmless,
            &[r#""automountServiceAccountToken":false"#],
        ),
        case(
            "mounts the token of a service account",
            volume(json!({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}})),
            "the privilege service-account",
        ),
        case(
            "reads the password of another cluster's superuser into a variable",
            container(json!({"env": [variable]})),
            "the privilege foreign-secret",
        ),
        case(
            "mounts the Secret of another cluster",
            volume(json!({"secret": {"secretName": of_other}})),
            "the privilege foreign-secret",
        ),
        case(
            "mounts the claim of another cluster",
            volume(json!({"persistentVolumeClaim": {"claimName": "pgdata-acid-other-0"}})),
            "the privilege claim",
        ),
        case(
            "listens on a port of the node",
            container(json!({"ports": [{"containerPort": 1, "hostPort": 1}]})),
            "host-port",
        ),
        case(
            "labels its pods as members, so that Services lead to them",
            guest().creates("apps/v1 Deployment", &["{cluster}-*"]).applies(&object(
                "apps/v1 Deployment",
                "{cluster}-x",
                json!({"spec": {"template": {"metadata": {"labels": members}}}}),
            )),
            "the privilege member-labels",
        ),
        case("evicts other pods", pods(json!({"priorityClassName": "system-node-critical"})), "system-priority"),
        case("runs as root", container(json!({"securityContext": {"runAsUser": 0}})), "root-user"),
        case("chooses a node without the scheduler", pods(json!({"nodeName": "control-plane"})), "node-name"),
        case(
            "has the kubelet ask a host of the node's network by a probe",
            container(json!({"livenessProbe": {"httpGet": {"host": "169.254.169.254", "port": 80}}})),
            "`spec.template.spec.containers[0].livenessProbe.httpGet.host` of apps/v1 Deployment acid-orders-x, which needs the privilege host-namespaces",
        ),
        case(
            "has the kubelet ask a host of the node's network when its container ends",
            container(json!({"lifecycle": {"preStop": {"httpGet": {"host": "127.0.0.1", "port": 10255}}}})),
            "lifecycle.preStop.httpGet.host",
        ),
        case(
            "takes a device of the node as a resource",
            container(json!({"resources": {"limits": {"smarter-devices/fuse": 1}}})),
            "`spec.template.spec.containers[0].resources.limits` of apps/v1 Deployment acid-orders-x, which needs the privilege other-volume",
        ),
        case(
            "takes a role in the cloud by an annotation of its pods",
            annotated_pods(json!({"iam.amazonaws.com/role": "admin"})),
            r#"`spec.template.metadata.annotations["iam.amazonaws.com/role"]`"#,
        ),
        case(
            "takes a device of the node by an annotation for the container runtime",
            annotated_pods(json!({"io.kubernetes.cri-o.Devices": "/dev/sda"})),
            "the privilege privileged",
        ),
        case(
            "has the claim of a cluster with a longer name mounted by the names of a set and its template",
            claims("pgdata-acid", json!({})),
            "`spec.volumeClaimTemplates[0]` of apps/v1 StatefulSet acid-orders-eu, which needs the privilege claim",
        ),
        case(
            "binds a given volume by a selector",
            claims("data", json!({"selector": {"matchLabels": {"tier": "backup"}}})),
            "the privilege claim",
        ),
        case(
            "mounts the users of another cluster, whose Secret an action that is refused names",
            volume(json!({"secret": {"secretName": "acid-orders-eu-pooler-u"}}))
                .action("user-list", &["{cluster}-*"])
                .requests("list", "user-list", json!({"secret": "acid-orders-eu-pooler-u", "username": "none"})),
            "the privilege foreign-secret",
        ),
        case(
            "publishes a name outside the cluster",
            annotated_service(json!({"external-dns.alpha.kubernetes.io/hostname": "bank.example"})),
            r#"`metadata.annotations["external-dns.alpha.kubernetes.io/hostname"]` of v1 Service acid-orders-x, which needs the privilege external-service"#,
        ),
        case(
            "lets all addresses in by an annotation of a Service",
            annotated_service(json!({"service.beta.kubernetes.io/load-balancer-source-ranges": "0.0.0.0/0"})),
            "the privilege external-service",
        ),
        case(
            "opens the database to the internet",
            service(json!({"type": "LoadBalancer"})),
            "`spec.type` of v1 Service acid-orders-x, which needs the privilege external-service",
        ),
        case(
            "leads clients to a name outside the cluster",
            service(json!({"externalName": "evil.example"})),
            "the privilege external-address",
        ),
        case(
            "takes an address of the network",
            service(json!({"externalIPs": ["192.0.2.1"]})),
            "the privilege external-address",
        ),
        case(
            "leads clients to an address by Endpoints",
            guest().creates("v1 Endpoints", &["{cluster}-*"]).applies(&object(
                "v1 Endpoints",
                "{cluster}-x",
                json!({"subsets": [{"addresses": [{"ip": "192.0.2.1"}]}]}),
            )),
            "the privilege external-address",
        ),
    ]
}
