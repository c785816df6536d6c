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
