//! Services of PostgreSQL's port: their exposure, their `spec` and their annotations.

use pgloom_common::name;
use serde_json::Value;

use crate::Cluster;
use crate::json::{list, object, text, texts, unless_empty};
use crate::metadata::{Map, Role};

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
    /// Also clients of a load balancer, which uses this node port or one that Kubernetes chooses.
    LoadBalancer(Option<u16>),
}

impl Exposure {
    /// A load balancer is preferred to a node port, because it includes one. `port` is used only with `node_port`.
    pub fn of(load_balancer: bool, node_port: bool, port: Option<u16>) -> Self {
        let port = port.filter(|_| node_port);
        match (load_balancer, node_port) {
            (true, _) => Self::LoadBalancer(port),
            (false, true) => Self::NodePort(port),
            (false, false) => Self::ClusterIp,
        }
    }

    fn port(self) -> Option<u16> {
        match self {
            Self::ClusterIp => None,
            Self::NodePort(port) | Self::LoadBalancer(port) => port,
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
            Exposure::LoadBalancer(_) => {
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

    /// A Service's annotations. Later ones replace earlier ones: the configured ones, those of each of `manifest` in
    /// turn, the DNS name if the Service is exposed, the inherited ones.
    pub fn annotations(&self, manifest: &[&Map], exposure: Exposure, dns_name: String, inherited: Map) -> Map {
        let mut annotations = self.custom_service_annotations.clone();
        for own in manifest {
            annotations.extend((*own).clone());
        }
        if exposure != Exposure::ClusterIp {
            annotations.insert(DNS_ANNOTATION.to_owned(), dns_name);
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
        let spec = services().spec(Exposure::LoadBalancer(None), "postgresql", &[]);
        assert_eq!(spec["loadBalancerSourceRanges"], json!(["127.0.0.1/32"]));
        assert_eq!(spec["externalTrafficPolicy"], "Local");
        let spec = services().spec(Exposure::LoadBalancer(Some(30_000)), "postgresql", &["10.0.0.0/8".to_owned()]);
        assert_eq!(spec["loadBalancerSourceRanges"], json!(["10.0.0.0/8"]));
        assert_eq!(spec["ports"][0]["nodePort"], 30_000);
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
    fn a_load_balancer_wins_over_a_node_port_and_a_port_needs_its_switch() {
        assert_eq!(Exposure::of(true, true, Some(30_000)), Exposure::LoadBalancer(Some(30_000)));
        assert_eq!(Exposure::of(true, false, Some(30_000)), Exposure::LoadBalancer(None));
        assert_eq!(Exposure::of(false, true, None), Exposure::NodePort(None));
        assert_eq!(Exposure::of(false, false, Some(30_000)), Exposure::ClusterIp);
    }

    #[test]
    fn the_dns_name_cannot_be_overridden() {
        let own = Map::from([("b".to_owned(), "own".to_owned()), (DNS_ANNOTATION.to_owned(), "mine".to_owned())]);
        let role = Map::from([("c".to_owned(), "role".to_owned())]);
        let annotations =
            services().annotations(&[&own, &role], Exposure::NodePort(None), "name".to_owned(), Map::new());
        assert_eq!(json!(annotations), json!({"a": "config", "b": "own", "c": "role", DNS_ANNOTATION: "name"}));
        let inside = services().annotations(&[], Exposure::ClusterIp, "name".to_owned(), Map::new());
        assert_eq!(json!(inside), json!({"a": "config", "b": "config", "c": "config"}));
    }
}
