//! The resources of the database's container.

use super::*;
use pgloom_kit::testing::reason;

fn resources(given: Value, config: Value) -> Value {
    container(&answer(json!({"resources": given}), config))["resources"].clone()
}

fn of(requests: [&str; 2], limits: [&str; 2]) -> Value {
    json!({
        "requests": {"cpu": requests[0], "memory": requests[1]},
        "limits": {"cpu": limits[0], "memory": limits[1]},
    })
}

#[test]
fn each_quantity_has_its_own_default() {
    assert_eq!(resources(json!(null), json!({})), of(["100m", "100Mi"], ["1", "500Mi"]));
    assert_eq!(resources(json!({"limits": {"memory": "2Gi"}}), json!({})), of(["100m", "100Mi"], ["1", "2Gi"]));
    assert_eq!(
        resources(json!({"requests": {"cpu": "50m", "memory": null}}), json!({})),
        of(["50m", "100Mi"], ["1", "500Mi"])
    );
}

#[test]
fn a_default_may_be_none() {
    for none in ["", "0", "null"] {
        let config = json!({"default_cpu_limit": none, "default_memory_limit": none, "default_memory_request": none});
        assert_eq!(resources(json!(null), config), json!({"requests": {"cpu": "100m"}}), "{none:?}");
    }
    assert_eq!(resources(json!({"limits": {"cpu": "0"}}), json!({})), of(["100m", "100Mi"], ["1", "500Mi"]));
}

#[test]
fn a_low_limit_is_raised_with_a_warning() {
    let given = json!({"requests": {"cpu": "10m", "memory": "50Mi"}, "limits": {"cpu": "200m", "memory": "200Mi"}});
    let answer = answer(json!({"resources": given}), json!({"min_cpu_limit": "500m", "min_memory_limit": "500Mi"}));
    assert_eq!(container(&answer)["resources"], of(["10m", "50Mi"], ["500m", "500Mi"]));
    let paths: Vec<_> = answer.response.findings.iter().map(|finding| finding.path.as_deref().unwrap()).collect();
    assert_eq!(paths, ["spec.resources.limits.cpu", "spec.resources.limits.memory"]);
}

#[test]
fn quantities_are_compared_by_value() {
    for (limit, min, expected) in
        [("1G", "2G", "2G"), ("1G", "1Gi", "1Gi"), ("1024Mi", "1G", "1Gi"), ("1e9", "1G", "1e9"), ("1000M", "1G", "1G")]
    {
        let made = resources(json!({"limits": {"memory": limit}}), json!({"min_memory_limit": min}));
        assert_eq!(made["limits"]["memory"], expected, "{limit} and at least {min}");
    }
}

#[test]
fn a_request_is_never_above_its_limit() {
    // A limit below a request, also below a default request, is raised with a warning.
    let answered = answer(json!({"resources": {"limits": {"cpu": "60m"}}}), json!({"min_cpu_limit": ""}));
    assert_eq!(container(&answered)["resources"], of(["100m", "100Mi"], ["100m", "500Mi"]));
    assert_eq!(answered.messages(), ["the limit of 60m cpu is raised to the default request of 100m"]);
    let made = resources(json!({"requests": {"memory": "750Mi"}}), json!({}));
    assert_eq!(made, of(["100m", "750Mi"], ["1", "750Mi"]));
    let both = json!({"requests": {"memory": "750Mi"}, "limits": {"memory": "300Mi"}});
    let failure = call(json!({"resources": both}), json!({})).unwrap_err();
    let expected = "spec.resources.requests.memory: the request of 750Mi memory is above the limit of 300Mi";
    assert_eq!(reason(&failure), expected);
}

#[test]
fn the_memory_request_may_be_set_to_the_limit_up_to_the_highest_request() {
    let config = json!({"set_memory_request_to_limit": true});
    assert_eq!(resources(json!({"limits": {"memory": "2Gi"}}), config), of(["100m", "2Gi"], ["1", "2Gi"]));
    let config = json!({"set_memory_request_to_limit": true, "max_memory_request": "1Gi"});
    assert_eq!(resources(json!({"limits": {"memory": "2Gi"}}), config), of(["100m", "1Gi"], ["1", "2Gi"]));
}

#[test]
fn a_request_is_lowered_to_the_highest_with_a_warning() {
    let given = json!({"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"cpu": "3", "memory": "9Gi"}});
    let answer = answer(json!({"resources": given}), json!({"max_cpu_request": "1", "max_memory_request": "4Gi"}));
    assert_eq!(container(&answer)["resources"], of(["1", "4Gi"], ["3", "9Gi"]));
    assert_eq!(answer.messages().len(), 2);
}

#[test]
fn bounds_do_not_apply_to_a_cluster_with_the_annotation() {
    let mut manifest = manifest(&json!({"resources": {"limits": {"cpu": "150m"}}}));
    manifest["metadata"]["annotations"] = json!({"free": "true"});
    let config = operator_config(&json!({"ignore_resources_limits_annotation_key": "free"}));
    let answer = Call::new(&manifest).operator_config(&config).mutate::<Spilo>().unwrap();
    assert_eq!(container(&answer)["resources"]["limits"]["cpu"], "150m");
}

#[test]
fn huge_pages_are_requested_unchanged() {
    let pages = json!({"hugepages-2Mi": "128Mi", "hugepages-1Gi": "1Gi"});
    let made = resources(json!({"requests": pages, "limits": pages}), json!({}));
    assert_eq!(made["limits"]["hugepages-2Mi"], "128Mi");
    assert_eq!(made["requests"]["hugepages-1Gi"], "1Gi");
    assert_eq!(made["requests"]["cpu"], "100m");
}

#[test]
fn an_invalid_quantity_is_refused_with_its_path() {
    let failure = call(json!({"resources": {"limits": {"cpu": "much"}}}), json!({})).unwrap_err();
    assert_eq!(reason(&failure), "spec.resources.limits.cpu: \"much\" is not a quantity of cpu");
    let failure = call(json!({"resources": {"limits": {"hugepages-2Mi": "-1"}}}), json!({})).unwrap_err();
    assert_eq!(reason(&failure), "spec.resources.limits.hugepages-2Mi: \"-1\" is not a quantity of hugepages-2Mi");
    let failure = call(json!({}), json!({"default_cpu_request": "x"})).unwrap_err();
    assert_eq!(reason(&failure), "\"x\" is not a quantity; write it as in 250m or 500Mi");
}
