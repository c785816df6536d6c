//! Services of PostgreSQL's port: their exposure, their `spec` and their annotations.

use pgloom_common::name;
use serde_json::Value;

use crate::json::{list, object, text, texts, unless_empty};
use crate::metadata::{Map, Role};
use crate::{Cluster, Warnings};

/// The annotation from which [external-dns](https://kubernetes-sigs.github.io/external-dns/) makes a DNS record.
const DNS_ANNOTATION: &str = "external-dns.alpha.kubernetes.io/hostname";
/// The source range of a load balancer without `allowedSourceRanges`: it refuses every client.
const CLOSED: &str = "127.0.0.1/32";

crate::operator_config! {
    /// The operator configuration's keys about Services.
    pub struct Services {
        /// Annotations of every Service.
        pub custom_service_annotations: Map,
        /// The DNS zone of exposed Services.
        pub db_hosted_zone: String,
        /// `Cluster` or `Local`, as in `Service.spec.externalTrafficPolicy`.
        pub external_traffic_policy: String,
        /// The template of the DNS name of the leader's Service.
        pub master_dns_name_format: String,
        /// The template of the DNS name of the replicas' Service.
        pub replica_dns_name_format: String,
    }
}

/// The clients that can reach a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Clients in the Kubernetes cluster.
    ClusterIp,
    /// Also clients that reach a node, by this port or by one that Kubernetes chooses.
    NodePort(Option<u16>),
    /// Also clients of a load balancer.
    LoadBalancer,
}

/// A Service that may be exposed.
pub struct Named {
    /// Its name.
    pub name: String,
    /// Who can reach it.
    pub exposure: Exposure,
    /// The DNS name that its load balancer gets.
    pub dns_name: String,
}

impl Exposure {
    /// A node port overrides a load balancer. `port` is used only with `node_port`.
    pub fn of(load_balancer: bool, node_port: bool, port: Option<u16>) -> Self {
        match (load_balancer, node_port) {
            (_, true) => Self::NodePort(port),
            (true, false) => Self::LoadBalancer,
            (false, false) => Self::ClusterIp,
        }
    }

    fn port(self) -> Option<u16> {
        match self {
            Self::ClusterIp | Self::LoadBalancer => None,
            Self::NodePort(port) => port,
        }
    }
}

impl Services {
    /// The `spec` of a Service of PostgreSQL's port, without a selector.
    pub fn spec(&self, exposure: Exposure, port_name: &str, ranges: &[String]) -> Value {
        let port = object([
            ("name", text(port_name)),
            ("port", 5432.into()),
            ("protocol", text("TCP")),
            ("targetPort", 5432.into()),
            ("nodePort", exposure.port().into()),
        ]);
        let (kind, policy, ranges) = match exposure {
            Exposure::ClusterIp => ("ClusterIP", "", Value::Null),
            Exposure::NodePort(_) => ("NodePort", self.external_traffic_policy.as_str(), Value::Null),
            Exposure::LoadBalancer => {
                let ranges = if ranges.is_empty() { list([text(CLOSED)]) } else { texts(ranges) };
                ("LoadBalancer", self.external_traffic_policy.as_str(), ranges)
            }
        };
        object([
            ("ports", list([port])),
            ("type", text(kind)),
            ("externalTrafficPolicy", unless_empty(text(policy))),
            ("loadBalancerSourceRanges", ranges),
        ])
    }

    /// The annotations of a Service. Later ones replace earlier ones: the configured ones, those of each field of
    /// `manifest` in turn, the DNS name of a load balancer, the inherited ones. There is a warning for a DNS name of the
    /// manifest that is replaced.
    pub fn annotations(
        &self,
        service: &Named,
        manifest: &[(&str, &Map)],
        inherited: Map,
        warnings: &mut Warnings,
    ) -> Map {
        let mut annotations = self.custom_service_annotations.clone();
        for (_, own) in manifest {
            annotations.extend((*own).clone());
        }
        if service.exposure == Exposure::LoadBalancer {
            for (field, own) in manifest {
                let Some(own) = own.get(DNS_ANNOTATION).filter(|own| **own != service.dns_name) else { continue };
                warnings.warn(
                    format!("{field}.{DNS_ANNOTATION}"),
                    format!(
                        "the load balancer of the Service {} has the DNS name {}, which the operator configuration \
                         makes; \"{own}\" is not used",
                        service.name, service.dns_name
                    ),
                    "remove the annotation, or change master_dns_name_format or replica_dns_name_format",
                );
            }
            annotations.insert(DNS_ANNOTATION.to_owned(), service.dns_name.clone());
        }
        annotations.extend(inherited);
        annotations
    }

    /// The DNS name of the Service of a role; `name` is the value of `{cluster}` in the template.
    pub fn dns_name<S>(&self, cluster: &Cluster<S>, role: Role, name: &str) -> String {
        let format = match role {
            Role::Leader => &self.master_dns_name_format,
            Role::Replica => &self.replica_dns_name_format,
        };
        name::dns_name(format, name, &cluster.team, &cluster.namespace, &self.db_hosted_zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OperatorConfig;
    use serde_json::json;

    fn services() -> Services {
        Services::read(
            &json!({
                "custom_service_annotations": {"a": "config", "b": "config", "c": "config"},
                "db_hosted_zone": "db.example.com",
                "external_traffic_policy": "Local",
                "master_dns_name_format": "{cluster}.{namespace}.{hostedzone}",
                "replica_dns_name_format": "{cluster}-repl.{namespace}.{hostedzone}",
            })
            .to_string(),
        )
        .unwrap()
    }

    #[test]
    fn a_load_balancer_without_ranges_is_closed() {
        let spec = services().spec(Exposure::LoadBalancer, "postgresql", &[]);
        assert_eq!(spec["loadBalancerSourceRanges"], json!(["127.0.0.1/32"]));
        assert_eq!(spec["externalTrafficPolicy"], "Local");
        let spec = services().spec(Exposure::LoadBalancer, "postgresql", &["10.0.0.0/8".to_owned()]);
        assert_eq!(spec["loadBalancerSourceRanges"], json!(["10.0.0.0/8"]));
        let spec = services().spec(Exposure::NodePort(Some(30_000)), "postgresql", &[]);
        assert_eq!((&spec["ports"][0]["nodePort"], &spec["loadBalancerSourceRanges"]), (&json!(30_000), &Value::Null));
    }

    #[test]
    fn a_service_that_is_not_exposed_has_a_cluster_ip_only() {
        let spec = services().spec(Exposure::ClusterIp, "postgresql", &["10.0.0.0/8".to_owned()]);
        assert_eq!(
            spec,
            json!({
                "ports": [{"name": "postgresql", "port": 5432, "protocol": "TCP", "targetPort": 5432}],
                "type": "ClusterIP",
            })
        );
    }

    #[test]
    fn a_node_port_overrides_a_load_balancer_and_a_port_needs_its_switch() {
        assert_eq!(Exposure::of(true, true, Some(30_000)), Exposure::NodePort(Some(30_000)));
        assert_eq!(Exposure::of(true, false, Some(30_000)), Exposure::LoadBalancer);
        assert_eq!(Exposure::of(false, true, None), Exposure::NodePort(None));
        assert_eq!(Exposure::of(false, false, Some(30_000)), Exposure::ClusterIp);
    }

    /// The annotations of a Service by the name `name` with these fields of a manifest, and how many warnings there are.
    fn annotations(exposure: Exposure, own: &Map, role: &Map) -> (Value, usize) {
        let service = Named { name: "acid-orders".to_owned(), exposure, dns_name: "name".to_owned() };
        let fields = [("spec.serviceAnnotations", own), ("spec.masterServiceAnnotations", role)];
        let mut warnings = Warnings::default();
        let annotations = services().annotations(&service, &fields, Map::new(), &mut warnings);
        (json!(annotations), crate::Response::new().with(warnings).build().findings.len())
    }

    #[test]
    fn the_dns_name_of_a_load_balancer_cannot_be_overridden_which_is_told() {
        let own = Map::from([("b".to_owned(), "own".to_owned()), (DNS_ANNOTATION.to_owned(), "mine".to_owned())]);
        let role = Map::from([("c".to_owned(), "role".to_owned())]);
        let expected = json!({"a": "config", "b": "own", "c": "role", DNS_ANNOTATION: "name"});
        assert_eq!(annotations(Exposure::LoadBalancer, &own, &role), (expected, 1));
        let same = Map::from([(DNS_ANNOTATION.to_owned(), "name".to_owned())]);
        assert_eq!(annotations(Exposure::LoadBalancer, &same, &role).1, 0);
    }

    #[test]
    fn only_a_load_balancer_gets_a_dns_name() {
        let own = Map::from([(DNS_ANNOTATION.to_owned(), "mine".to_owned())]);
        for exposure in [Exposure::ClusterIp, Exposure::NodePort(None)] {
            let plain = json!({"a": "config", "b": "config", "c": "config"});
            assert_eq!(annotations(exposure, &Map::new(), &Map::new()), (plain, 0), "{exposure:?}");
            let (annotated, warnings) = annotations(exposure, &own, &Map::new());
            assert_eq!((&annotated[DNS_ANNOTATION], warnings), (&json!("mine"), 0), "{exposure:?}");
        }
    }
}
