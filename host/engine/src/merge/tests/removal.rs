//! Removing what earlier steps set.

use super::*;

fn object() -> ObjectRef {
    ObjectRef { api_version: "apps/v1".into(), kind: "StatefulSet".into(), name: "orders".into() }
}

fn removing(path: &str) -> Permissions {
    allowed(ObjectRights { removes: patterns(&[path]), ..rights(kind(&stateful_set(json!({}))), false, &[]) })
}

/// What a step that may remove `granted` removes from a StatefulSet of step spilo; and whether it was there.
fn remove(granted: &str, path: &str) -> Result<(bool, Made), Error> {
    let mut merger = merge(&[(
        "spilo",
        stateful_set(json!({
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"spec": {
                "containers": [
                    {"name": "postgres", "image": "spilo", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                    {"name": "exporter", "image": "exporter", "ports": [{"containerPort": 9187}]},
                ],
                "securityContext": {"fsGroup": 103},
                "tolerations": [{"key": "a"}],
            }},
        })),
    )])
    .unwrap();
    let permissions = removing(granted);
    let was_there = merger.remove(&Writer { step: "slim", permissions: &permissions }, &object(), path)?;
    Ok((was_there, made(merger)))
}

#[test]
fn a_removed_entry_is_gone_with_all_that_it_says() {
    let (was_there, object) = remove("spec", "spec.template.spec.containers[name=exporter]").unwrap();
    assert!(was_there);
    assert_eq!(names(containers(&object)), ["postgres"]);
    assert!(!object.owners.keys().any(|path| path.contains("exporter")));
    let removed = ("spec.template.spec.containers[name=exporter]".to_owned(), "slim".to_owned());
    assert_eq!(object.removed, BTreeMap::from([removed]));
}

#[test]
fn a_removed_field_takes_an_empty_map_or_list_with_it() {
    let pod = |path| remove("spec", path).unwrap().1.object["spec"]["template"]["spec"].take();
    assert_eq!(pod("spec.template.spec.securityContext.fsGroup").get("securityContext"), None);
    let ports = pod("spec.template.spec.containers[name=exporter].ports[containerPort=9187,protocol=TCP]");
    assert_eq!(ports["containers"][1], json!({"name": "exporter", "image": "exporter"}));
    assert_eq!(pod("spec.template.spec.containers[name=exporter].ports[containerPort=9187]"), ports);
    let env = pod("spec.template.spec.containers[name=postgres].env[name=A].value");
    assert_eq!(env["containers"][0]["env"], json!([{"name": "A"}, {"name": "B", "value": "2"}]));
    assert_eq!(pod("spec.template.spec.tolerations").get("tolerations"), None);
}

#[test]
fn what_is_not_there_is_as_it_shall_be() {
    for path in
        ["spec.template.spec.volumes[name=tls]", "spec.template.spec.containers[name=x].image", "spec.serviceName"]
    {
        assert!(!remove("spec", path).unwrap().0, "{path}");
    }
    let mut merger = merger();
    let permissions = removing("spec");
    assert!(!merger.remove(&Writer { step: "slim", permissions: &permissions }, &object(), "spec.replicas").unwrap());
}

#[test]
fn a_removal_needs_a_grant_and_a_path_that_can_be_removed() {
    for (granted, path, reason) in [
        ("spec.replicas", "spec.template.spec.containers[name=exporter]", "does not ask for its removal"),
        ("spec.template.spec.containers[*].env", "spec.template.spec.containers[name=exporter]", "does not ask"),
        ("*", "metadata.name", "it identifies the object"),
        ("*", "metadata", "it identifies the object"),
        ("*", "metadata.ownerReferences", "sets the owners"),
        ("*", "metadata.labels", "the host sets it"),
        ("*", "metadata.labels.cluster-name", "the host sets it"),
        ("*", "spec", "only the step that created the object"),
        ("*", "spec.selector.matchLabels", "only the step that created the object"),
        ("*", "spec.template.spec.containers[name=postgres].name", "merge key"),
        ("*", "spec.template.spec.tolerations[key=a]", "merged as a whole"),
    ] {
        let error = remove(granted, path).expect_err(path);
        assert!(
            matches!(error, Error::Remove { .. } | Error::RemovePermission { .. })
                && error.to_string().contains(reason),
            "{path}: {error}"
        );
    }
    let error = remove("*", "spec.template.spec.containers[0]").expect_err("a refusal");
    assert!(matches!(error, Error::Path { .. }), "{error}");
}

#[test]
fn a_removal_is_asked_for_and_granted_for_objects_by_name() {
    let of = |names: &str, path: &str| {
        let objects = rights(kind(&stateful_set(json!({}))), false, &[]);
        with_privileges(ObjectRights { names: vec![names.to_owned()], removes: patterns(&[path]), ..objects })
    };
    let remove = |permissions: Permissions| {
        let mut merger = merge(&[("spilo", stateful_set(json!({"replicas": 2})))]).unwrap();
        merger.remove(&Writer { step: "slim", permissions: &permissions }, &object(), "spec.replicas")
    };
    assert!(remove(Permissions::new(&of("*", "spec"), &of("{cluster}", "spec.replicas"))).unwrap());
    let error = remove(Permissions::new(&of("*", "spec"), &of("{cluster}", "spec.template"))).unwrap_err();
    assert!(error.to_string().ends_with("the pipeline does not grant the step its removal"), "{error}");
    let error = remove(Permissions::new(&of("*", "spec"), &of("{cluster}-*", "spec"))).unwrap_err();
    assert!(error.to_string().ends_with("does not grant the step objects of this kind and name"), "{error}");
}

#[test]
fn what_one_step_removed_a_later_one_may_set() {
    let mut merger = merge(&[("spilo", stateful_set(json!({"replicas": 2})))]).unwrap();
    let permissions = removing("spec.replicas");
    merger.remove(&Writer { step: "slim", permissions: &permissions }, &object(), "spec.replicas").unwrap();
    let permissions = everything(kind(&stateful_set(json!({}))));
    merger.apply(&Writer { step: "scale", permissions: &permissions }, stateful_set(json!({"replicas": 3}))).unwrap();
    assert_eq!(merger.owners()[0].leaves["spec.replicas"], ["scale"]);
}
