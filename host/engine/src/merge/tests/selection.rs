//! Which pods an object may select.

use super::*;

/// Merges fragments of one step and checks what they select: the field that is refused, if one is.
fn fault(fragments: &[Value]) -> Option<String> {
    let fragments: Vec<(&str, Value)> = fragments.iter().map(|fragment| ("web", fragment.clone())).collect();
    match merge(&fragments).unwrap().check_selections("web") {
        Ok(()) => None,
        Err(Error::Reserved { step, path, .. }) => {
            assert_eq!(step, "web");
            Some(path.to_string())
        }
        Err(other) => panic!("{other}"),
    }
}

fn object(api_version: &str, kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn service(selector: Value) -> Value {
    object("v1", "Service", "orders-web", json!({"selector": selector}))
}

fn budget(selector: Value) -> Value {
    object("policy/v1", "PodDisruptionBudget", "orders-web", json!({"selector": selector}))
}

fn policy(selector: Value) -> Value {
    object("networking.k8s.io/v1", "NetworkPolicy", "orders-web", json!({"podSelector": selector}))
}

#[test]
fn a_selector_of_pods_that_are_not_the_clusters_is_refused_with_its_field() {
    for (of, place) in [
        (service as fn(Value) -> Value, "spec.selector"),
        (budget, "spec.selector.matchLabels"),
        (policy, "spec.podSelector.matchLabels"),
    ] {
        let labels = |labels: Value| if place == "spec.selector" { labels } else { json!({"matchLabels": labels}) };
        let field = place.strip_suffix(".matchLabels").unwrap_or(place);
        let another = labels(json!({"application": "spilo", "cluster-name": "another"}));
        assert_eq!(fault(&[of(another)]), Some(format!("{place}.cluster-name")));
        assert_eq!(fault(&[of(labels(json!({"application": "web"})))]).as_deref(), Some(field));
        assert_eq!(fault(&[of(json!({}))]).as_deref(), Some(field));
        assert_eq!(fault(&[of(labels(json!({"cluster-name": "orders", "application": "web"})))]), None);
    }
    let expression = |operator: &str, values: &[&str]| {
        let expression = json!({"key": "cluster-name", "operator": operator, "values": values});
        fault(&[policy(json!({"matchExpressions": [expression]}))])
    };
    assert_eq!(expression("In", &["orders"]), None);
    for (operator, values) in [("In", &["orders", "another"][..]), ("In", &[]), ("NotIn", &["orders"]), ("Exists", &[])]
    {
        assert_eq!(expression(operator, values).as_deref(), Some("spec.podSelector"), "{operator} {values:?}");
    }
    let without = object("networking.k8s.io/v1", "NetworkPolicy", "orders-web", json!({"policyTypes": ["Ingress"]}));
    assert_eq!(fault(&[without]).as_deref(), Some("spec.podSelector"));
}

#[test]
fn a_service_may_lead_nowhere_or_to_the_pods_of_its_own_name() {
    assert_eq!(fault(&[object("v1", "Service", "orders-web", json!({"ports": [{"port": 80}]}))]), None);
    let pods = |name: &str, labels: Value| {
        object("apps/v1", "Deployment", name, json!({"template": {"metadata": {"labels": labels}}}))
    };
    let selected = || service(json!({"connection-pooler": "orders-web"}));
    let own = || json!({"connection-pooler": "orders-web", "tier": "web"});
    assert_eq!(fault(&[selected(), pods("orders-web", own())]), None);
    for others in [
        vec![selected()],
        vec![selected(), pods("orders-web", json!({"tier": "web"}))],
        vec![selected(), pods("orders-other", own())],
        vec![service(json!({"connection-pooler": "orders-web", "app": "shop"})), pods("orders-web", own())],
        vec![service(json!({"tier": "web"})), pods("orders-web", own())],
        vec![service(json!({"connection-pooler": "orders-other"})), pods("orders-web", own())],
    ] {
        assert_eq!(fault(&others).as_deref(), Some("spec.selector"), "{others:?}");
    }
    let named = budget(json!({"matchLabels": {"connection-pooler": "orders-web"}}));
    assert_eq!(fault(&[named]).as_deref(), Some("spec.selector"));
}

#[test]
fn pods_with_the_label_of_another_cluster_are_refused() {
    let labelled = |labels: Value| {
        let template = json!({"template": {"metadata": {"labels": labels}}});
        object("apps/v1", "Deployment", "orders-web", template)
    };
    let place = Some("spec.template.metadata.labels.cluster-name".to_owned());
    assert_eq!(fault(&[labelled(json!({"cluster-name": "another"}))]), place);
    assert_eq!(fault(&[labelled(json!({"cluster-name": "orders"}))]), None);
    assert_eq!(fault(&[labelled(json!({"app": "web"}))]), None);
    let job = json!({"jobTemplate": {"spec": {"template": {"metadata": {"labels": {"cluster-name": "another"}}}}}});
    let path = fault(&[object("batch/v1", "CronJob", "orders-web", job)]).unwrap();
    assert_eq!(path, "spec.jobTemplate.spec.template.metadata.labels.cluster-name");
}
