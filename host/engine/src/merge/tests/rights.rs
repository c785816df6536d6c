use super::*;
use crate::claim::Missing;

fn claim(of: &Value, creates: bool, paths: &[&str]) -> Claim {
    Claim { kind: kind(of), creates, paths: paths.iter().map(|path| path.parse().unwrap()).collect() }
}

fn writes(paths: &[&str]) -> Rights {
    Rights::new(&[claim(&stateful_set(json!({})), false, paths)])
}

/// What becomes of a StatefulSet of step spilo when step sidecar has something to say about it.
fn second(rights: &Rights, fragment: Value) -> Result<Made, Error> {
    let mut merger = merge(&[(
        "spilo",
        stateful_set(json!({
            "replicas": 2,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"spec": {
                "containers": [{"name": "postgres", "image": "spilo", "env": [{"name": "SCOPE", "value": "orders"}]}],
                "imagePullSecrets": [{"name": "registry"}],
            }},
        })),
    )])
    .unwrap();
    merger.apply(&Writer { step: "sidecar", rights }, fragment)?;
    Ok(made(merger))
}

#[test]
fn a_step_writes_what_it_claims() {
    let rights = writes(&["spec.template.spec.containers[*].env", "spec.template.spec.volumes[name=tls]"]);
    let fragment = pod(json!({
        "containers": [{"name": "postgres", "env": [{"name": "TLS", "value": "on"}]}],
        "volumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
    }));
    let object = second(&rights, fragment).unwrap().object;
    assert_eq!(object["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"], "tls");
}

#[test]
fn what_a_step_does_not_claim_is_refused_with_the_path() {
    let rights = writes(&["spec.template.spec.containers[*].env", "spec.template.spec.volumes[name=tls]"]);
    for (fragment, path) in [
        (stateful_set(json!({"replicas": 3})), "spec.replicas"),
        // Even if the value is the same: what it does not claim is not its business.
        (stateful_set(json!({"replicas": 2})), "spec.replicas"),
        (
            pod(json!({"containers": [{"name": "postgres", "image": "mine"}]})),
            "spec.template.spec.containers[name=postgres].image",
        ),
        (pod(json!({"volumes": [{"name": "other"}]})), "spec.template.spec.volumes[name=other]"),
        // The variables of every container are no claim on new containers.
        (pod(json!({"containers": [{"name": "new", "env": []}]})), "spec.template.spec.containers[name=new]"),
        (pod(json!({"imagePullSecrets": [{"name": "other"}]})), "spec.template.spec.imagePullSecrets[name=other]"),
    ] {
        let error = second(&rights, fragment).expect_err(path);
        let Error::Claim { path: found, missing: Missing::Claim, .. } = &error else { panic!("{error}") };
        assert_eq!(found.to_string(), path);
    }
}

#[test]
fn to_name_an_entry_that_is_there_needs_no_claim() {
    let rights = writes(&["spec.template.spec.containers[name=postgres].env[name=TLS]"]);
    let fragment = pod(json!({
        "containers": [{"name": "postgres", "env": [{"name": "TLS", "value": "on"}, {"name": "SCOPE"}]}],
        "imagePullSecrets": [{"name": "registry"}],
    }));
    let object = second(&rights, fragment).unwrap();
    assert_eq!(names(&containers(&object)[0]["env"]), ["TLS", "SCOPE"]);
}

#[test]
fn the_order_of_what_is_there_changes_only_who_claims_the_whole_list() {
    let reversed =
        || pod(json!({"containers": [{"name": "postgres", "env": [{"name": "SCOPE"}, {"name": "PGROOT"}]}]}));
    let first = env(json!([{"name": "PGROOT", "value": "x"}, {"name": "SCOPE", "value": "orders"}]));
    let reorder = |rights: Rights| {
        let mut merger = merge(&[("spilo", first.clone())]).unwrap();
        merger.apply(&Writer { step: "sidecar", rights: &rights }, reversed())?;
        Ok::<_, Error>(made(merger))
    };
    let error = reorder(writes(&["spec.template.spec.containers[*].env[name=TLS]"])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("containers[name=postgres].env` of apps/v1 StatefulSet orders: it would change the order"),
        "{error}"
    );
    let object = reorder(writes(&["spec.template.spec.containers[*].env"])).unwrap();
    assert_eq!(names(&containers(&object)[0]["env"]), ["SCOPE", "PGROOT"]);
}

#[test]
fn a_grant_narrows_a_claim_and_the_error_says_which_of_them_is_missing() {
    let narrowed =
        |grants: &[&str]| writes(&["spec.template"]).granted(&[claim(&stateful_set(json!({})), false, grants)]);
    let fragment = pod(json!({"hostname": "a"}));
    second(&narrowed(&["spec"]), fragment.clone()).unwrap();
    let error = second(&narrowed(&["spec.template.metadata"]), fragment.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "step sidecar: it must not write `spec.template.spec.hostname` of apps/v1 StatefulSet orders: \
         the pipeline does not grant the step the field"
    );
    let error = second(&writes(&["spec.replicas"]), fragment).unwrap_err();
    assert!(error.to_string().ends_with("the plugin's description does not claim the field"), "{error}");
}

#[test]
fn creating_an_object_is_a_claim_of_its_own() {
    let own = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {"a": "b"}});
    let error = second(&Rights::new(&[claim(&own, false, &["*"])]), own.clone()).unwrap_err();
    assert!(matches!(error, Error::Create { missing: Missing::Claim, .. }), "{error}");
    let ungranted = Rights::new(&[claim(&own, true, &[])]).granted(&[claim(&own, false, &[])]);
    let error = second(&ungranted, own.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "step sidecar: no earlier step made v1 ConfigMap mine, and the step must not: \
         the pipeline does not grant the step the creation of its kind"
    );
    second(&Rights::new(&[claim(&own, true, &[])]), own).unwrap();
}

#[test]
fn a_claim_without_paths_means_the_objects_that_the_step_created() {
    let rights = Rights::new(&[claim(&stateful_set(json!({})), true, &[])]);
    let error = second(&rights, stateful_set(json!({"replicas": 2}))).unwrap_err();
    assert!(matches!(error, Error::Claim { .. }), "{error}");

    let mut merger = Merger::new(NAMESPACE).unwrap();
    let writer = Writer { step: "spilo", rights: &rights };
    merger.apply(&writer, stateful_set(json!({"replicas": 2}))).unwrap();
    merger.apply(&writer, stateful_set(json!({"selector": {"matchLabels": {"a": "b"}}}))).unwrap();
    assert_eq!(merger.finish()[0].object["spec"]["selector"]["matchLabels"]["a"], "b");
}

#[test]
fn a_step_overrides_what_it_is_granted_to() {
    let rights = writes(&["spec"]).overrides(overriding("spec.replicas"));
    let object = second(&rights, stateful_set(json!({"replicas": 5}))).unwrap();
    assert_eq!(object.object["spec"]["replicas"], 5);
    assert_eq!(object.owners["spec.replicas"], "sidecar");

    let image = pod(json!({"containers": [{"name": "postgres", "image": "mine"}]}));
    assert!(matches!(second(&rights, image.clone()), Err(Error::Conflict(_))));
    second(&writes(&["spec"]).overrides(overriding("spec.template.spec.containers[*]")), image).unwrap();

    let service = ObjectKind { api_version: "v1".into(), kind: "Service".into() };
    let elsewhere =
        writes(&["spec"]).overrides(vec![Grant { kind: Some(service), paths: vec!["spec".parse().unwrap()] }]);
    assert!(matches!(second(&elsewhere, stateful_set(json!({"replicas": 5}))), Err(Error::Conflict(_))));
}

#[test]
fn what_belongs_to_the_server_or_the_host_is_nobodys_to_set() {
    let all = Rights::new(&[claim(&stateful_set(json!({})), true, &["*"])]);
    for (field, value) in [
        ("uid", json!("a")),
        ("resourceVersion", json!("1")),
        ("generation", json!(1)),
        ("creationTimestamp", json!("2020-01-01T00:00:00Z")),
        ("deletionTimestamp", json!("2020-01-01T00:00:00Z")),
        ("managedFields", json!([])),
        ("ownerReferences", json!([{"uid": "a"}])),
        ("finalizers", json!(["a"])),
        ("generateName", json!("a-")),
    ] {
        let mut fragment = stateful_set(json!({}));
        fragment["metadata"][field] = value;
        let error = second(&all, fragment).unwrap_err();
        let Error::Forbid { path, .. } = &error else { panic!("{error}") };
        assert_eq!(path.to_string(), format!("metadata.{field}"));
    }
    let mut fragment = stateful_set(json!({}));
    fragment["status"] = json!({"replicas": 1});
    assert!(matches!(second(&all, fragment), Err(Error::Forbid { .. })));
}

#[test]
fn selectors_and_claim_templates_are_the_creators() {
    let all = Rights::new(&[claim(&stateful_set(json!({})), true, &["*"])]).overrides(overriding("*"));
    for spec in [json!({"selector": {"matchLabels": {"a": "b"}}}), json!({"volumeClaimTemplates": []})] {
        let error = second(&all, stateful_set(spec)).unwrap_err();
        assert!(error.to_string().contains("only the step that created the object"), "{error}");
    }
}

#[test]
fn some_kinds_are_the_hosts_or_nobodys() {
    for (api_version, kind, reason) in [
        ("v1", "Secret", "ask for them by a `credential`"),
        ("v1", "Namespace", "namespace of its cluster"),
        ("v1", "ServiceAccount", "hands out identities and rights"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", "hands out identities and rights"),
        ("rbac.authorization.k8s.io/v1beta1", "Role", "hands out identities and rights"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", "hands out identities and rights"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "the API of the cluster"),
        ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "the API of the cluster"),
        ("acid.zalan.do/v1", "postgresql", "what the user wrote"),
        ("pgloom.dev/v1alpha1", "Pipeline", "the pipeline"),
        ("v1", "Node", "lives in no namespace"),
        ("storage.k8s.io/v1", "StorageClass", "lives in no namespace"),
    ] {
        let error = refused(&[("bad", json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}}))]);
        assert!(matches!(error, Error::Kind { .. }) && error.to_string().contains(reason), "{error}");
    }
}
