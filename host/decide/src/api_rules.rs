//! What the API server would refuse in the desired objects, and no step can know alone: the mounts of a pod against its
//! volumes, and the ports on nodes of several Services.

use std::collections::BTreeMap;

use pgloom_api::suggest::instead;
use pgloom_api::{Finding, pod_template};
use serde_json::Value;

use crate::kind::{BuiltIn, ObjectKey};

/// An error for each violation.
pub fn violations<'a>(objects: impl Iterator<Item = &'a Value>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut node_ports = BTreeMap::new();
    for object in objects {
        let key = ObjectKey::of(object);
        if key.built_in() == Some(BuiltIn::Service) {
            shared_node_ports(object, &mut node_ports, &mut findings);
        } else if let Some(path) = pod_template::path(key.api_version, key.kind) {
            mounts(object, path, &mut findings);
        }
    }
    findings
}

/// The Services by the number and the protocol of their ports on nodes.
type NodePorts<'a> = BTreeMap<(u64, &'a str), &'a str>;

fn shared_node_ports<'a>(service: &'a Value, taken: &mut NodePorts<'a>, findings: &mut Vec<Finding>) {
    let key = ObjectKey::of(service);
    for (index, port) in list(&service["spec"]["ports"]).enumerate() {
        let Some(number) = port["nodePort"].as_u64().filter(|number| *number > 0) else { continue };
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let Some(other) = taken.insert((number, protocol), key.name) else { continue };
        let finding =
            Finding::error(format!("Kubernetes gives the port {number} of nodes to one Service, here to {other}"));
        let finding = finding.of(key.reference()).at(format!("spec.ports[{index}].nodePort"));
        findings.push(finding.remedy("choose another number for one of them, or let Kubernetes choose"));
    }
}

fn mounts(object: &Value, path: &[&str], findings: &mut Vec<Finding>) {
    let pod = &path.iter().fold(object, |object, field| &object[*field])["spec"];
    let claims = list(&object["spec"]["volumeClaimTemplates"]).map(|claim| &claim["metadata"]["name"]);
    let volumes = list(&pod["volumes"]).map(|volume| &volume["name"]);
    let volumes: Vec<&str> = volumes.chain(claims).filter_map(Value::as_str).collect();
    let mut refuse = |place: String, message: String, remedy: String| {
        let finding = Finding::error(message).of(ObjectKey::of(object).reference());
        findings.push(finding.at(format!("{}.spec.{place}", path.join("."))).remedy(remedy));
    };
    for kind in ["initContainers", "containers"] {
        for (index, container) in list(&pod[kind]).enumerate() {
            let name = container["name"].as_str().unwrap_or_default();
            for (at, mount) in list(&container["volumeMounts"]).enumerate() {
                let place = |field: &str| format!("{kind}[{index}].volumeMounts[{at}].{field}");
                let text = |field: &str| mount[field].as_str().unwrap_or_default();
                let volume = text("name");
                if !volumes.contains(&volume) {
                    let message =
                        format!("the container {name} mounts the volume {volume:?}, which the pod does not have");
                    refuse(place("name"), message, instead(volume, volumes.iter().copied()));
                }
                if text("mountPath").is_empty() {
                    let message = format!("the container {name} mounts the volume {volume:?} at no path");
                    refuse(place("mountPath"), message, format!("write a path, as in /mnt/{volume}"));
                }
                for field in ["subPath", "subPathExpr"] {
                    let path = text(field);
                    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
                        let message =
                            format!("{path:?} of the container {name} is no path inside the volume {volume:?}");
                        refuse(place(field), message, "write it without a slash in front, and without ..".to_owned());
                    }
                }
            }
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(objects: &[Value]) -> Vec<String> {
        violations(objects.iter()).iter().map(ToString::to_string).collect()
    }

    fn set(pod: Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "acid-a"}, "spec": {
            "volumeClaimTemplates": [{"metadata": {"name": "pgdata"}}], "template": {"spec": pod},
        }})
    }

    #[test]
    fn a_mount_needs_a_volume_and_a_path() {
        let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
        let pod = json!({
            "volumes": [{"name": "dshm"}],
            "containers": [{"name": "postgres", "volumeMounts": [mount("pgdata", "/a"), mount("dshm", "/b")]},
                {"name": "exporter", "volumeMounts": [mount("dsh", "/c"), mount("pgdata", "")]}],
            "initContainers": [{"name": "date", "volumeMounts": [mount("certificates", "/d")]}],
        });
        assert_eq!(
            said(&[set(pod)]),
            [
                "StatefulSet acid-a spec.template.spec.initContainers[0].volumeMounts[0].name: the container date mounts the volume \"certificates\", which the pod does not have; known here: dshm, pgdata",
                "StatefulSet acid-a spec.template.spec.containers[1].volumeMounts[0].name: the container exporter mounts the volume \"dsh\", which the pod does not have; did you mean dshm?",
                "StatefulSet acid-a spec.template.spec.containers[1].volumeMounts[1].mountPath: the container exporter mounts the volume \"pgdata\" at no path; write a path, as in /mnt/pgdata",
            ]
        );
    }

    #[test]
    fn a_path_inside_a_volume_is_relative() {
        let mount = |path: &str| json!({"name": "pgdata", "mountPath": path, "subPath": path});
        let of = |path| set(json!({"containers": [{"name": "postgres", "volumeMounts": [mount(path)]}]}));
        assert_eq!((said(&[of("a/b..c")]).len(), said(&[of("/a")]).len(), said(&[of("a/../b")]).len()), (0, 1, 1));
    }

    #[test]
    fn two_services_do_not_share_a_port_of_nodes() {
        let service = |name: &str, port: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [port]}});
        let first = service("acid-a", json!({"port": 5432, "nodePort": 31000}));
        let second = service("acid-a-repl", json!({"port": 5432, "nodePort": 31000, "protocol": "TCP"}));
        assert_eq!(
            said(&[first.clone(), second]),
            [
                "Service acid-a-repl spec.ports[0].nodePort: Kubernetes gives the port 31000 of nodes to one Service, here to acid-a; choose another number for one of them, or let Kubernetes choose"
            ]
        );
        let others = [
            json!({"port": 1, "nodePort": 31001}),
            json!({"port": 1}),
            json!({"port": 1, "nodePort": 31000, "protocol": "UDP"}),
        ];
        for other in others {
            assert!(said(&[first.clone(), service("acid-a-repl", other)]).is_empty());
        }
    }
}
