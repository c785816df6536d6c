//! Which pod leads, read from the Endpoints of the leader's Service.
//!
//! The Endpoints are where clients in the cluster are sent, and Patroni or Kubernetes keeps them current. The pods'
//! role label is not reliable in a failover: a leader that hangs keeps the label of the leader until it answers again.

use k8s_openapi::api::core::v1::Endpoints;

/// The name of the pod behind the leader's Service. `None` between two leaders.
pub fn pod(endpoints: &Endpoints) -> Option<String> {
    let addresses = endpoints.subsets.iter().flatten().flat_map(|subset| subset.addresses.iter().flatten());
    let mut pods = addresses.filter_map(|address| address.target_ref.as_ref()?.name.clone());
    pods.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod_of(subsets: serde_json::Value) -> Option<String> {
        let endpoints = json!({"metadata": {"name": "acid-a"}, "subsets": subsets});
        pod(&serde_json::from_value(endpoints).unwrap())
    }

    #[test]
    fn the_leader_is_the_pod_behind_the_address() {
        let address = json!({"ip": "10.0.0.7", "targetRef": {"kind": "Pod", "name": "acid-a-1"}});
        let ports = json!([{"name": "postgresql", "port": 5432}]);
        assert_eq!(pod_of(json!([{"addresses": [address], "ports": ports}])).as_deref(), Some("acid-a-1"));
    }

    #[test]
    fn without_an_address_no_pod_leads() {
        let address = json!({"ip": "10.0.0.7", "targetRef": {"kind": "Pod", "name": "acid-a-1"}});
        for subsets in [json!(null), json!([]), json!([{}]), json!([{"notReadyAddresses": [address]}])] {
            assert_eq!(pod_of(subsets.clone()), None, "{subsets}");
        }
    }
}
