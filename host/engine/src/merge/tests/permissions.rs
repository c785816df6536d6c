//! Who may write what.

use super::*;
use crate::permission::Missing;

fn claim(of: &Value, creates: bool, paths: &[&str]) -> WritePermission {
    WritePermission { kind: kind(of), creates, paths: paths.iter().map(|path| path.parse().unwrap()).collect() }
}

fn writes(paths: &[&str]) -> Permissions {
    Permissions::new(&[claim(&stateful_set(json!({})), false, paths)])
}

/// The StatefulSet of step spilo after step sidecar has contributed to it.
fn second(permissions: &Permissions, fragment: Value) -> Result<Made, Error> {
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
    merger.apply(&Writer { step: "sidecar", permissions }, fragment)?;
    Ok(made(merger))
}

#[test]
fn a_step_writes_what_it_claims() {
    let permissions = writes(&["spec.template.spec.containers[*].env", "spec.template.spec.volumes[name=tls]"]);
    let fragment = pod(json!({
        "containers": [{"name": "postgres", "env": [{"name": "TLS", "value": "on"}]}],
        "volumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
    }));
    let object = second(&permissions, fragment).unwrap().object;
    assert_eq!(object["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"], "tls");
}

#[test]
fn what_a_step_does_not_claim_is_refused_with_the_path() {
    let permissions = writes(&["spec.template.spec.containers[*].env", "spec.template.spec.volumes[name=tls]"]);
    for (fragment, path) in [
        (stateful_set(json!({"replicas": 3})), "spec.replicas"),
        // Even if the value is the same.
        (stateful_set(json!({"replicas": 2})), "spec.replicas"),
        (
            pod(json!({"containers": [{"name": "postgres", "image": "mine"}]})),
            "spec.template.spec.containers[name=postgres].image",
        ),
        (pod(json!({"volumes": [{"name": "other"}]})), "spec.template.spec.volumes[name=other]"),
        // A claim on the variables of every container does not allow new containers.
        (pod(json!({"containers": [{"name": "new", "env": []}]})), "spec.template.spec.containers[name=new]"),
        (pod(json!({"imagePullSecrets": [{"name": "other"}]})), "spec.template.spec.imagePullSecrets[name=other]"),
    ] {
        let error = second(&permissions, fragment).expect_err(path);
        let Error::Permission { path: found, missing: Missing::Description, .. } = &error else { panic!("{error}") };
        assert_eq!(found.to_string(), path);
    }
}

#[test]
fn naming_an_existing_entry_needs_no_claim() {
    let permissions = writes(&["spec.template.spec.containers[name=postgres].env[name=TLS]"]);
    let fragment = pod(json!({
        "containers": [{"name": "postgres", "env": [{"name": "TLS", "value": "on"}, {"name": "SCOPE"}]}],
        "imagePullSecrets": [{"name": "registry"}],
    }));
    let object = second(&permissions, fragment).unwrap();
    assert_eq!(names(&containers(&object)[0]["env"]), ["TLS", "SCOPE"]);
}

#[test]
fn reordering_existing_entries_needs_a_claim_on_the_whole_list() {
    let reversed =
        || pod(json!({"containers": [{"name": "postgres", "env": [{"name": "SCOPE"}, {"name": "PGROOT"}]}]}));
    let first = env(json!([{"name": "PGROOT", "value": "x"}, {"name": "SCOPE", "value": "orders"}]));
    let reorder = |permissions: Permissions| {
        let mut merger = merge(&[("spilo", first.clone())]).unwrap();
        merger.apply(&Writer { step: "sidecar", permissions: &permissions }, reversed())?;
        Ok::<_, Error>(made(merger))
    };
    let error = reorder(writes(&["spec.template.spec.containers[*].env[name=TLS]"])).unwrap_err();
    assert!(
        error.to_string().contains("containers[name=postgres].env` of apps/v1 StatefulSet orders: it would reorder"),
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
        "step sidecar: must not write `spec.template.spec.hostname` of apps/v1 StatefulSet orders: \
         the pipeline does not grant the step the field"
    );
    let error = second(&writes(&["spec.replicas"]), fragment).unwrap_err();
    assert!(error.to_string().ends_with("the plugin's description does not claim the field"), "{error}");
}

#[test]
fn creating_an_object_is_a_claim_of_its_own() {
    let own = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {"a": "b"}});
    let error = second(&Permissions::new(&[claim(&own, false, &["*"])]), own.clone()).unwrap_err();
    assert!(matches!(error, Error::Create { missing: Missing::Description, .. }), "{error}");
    let ungranted = Permissions::new(&[claim(&own, true, &[])]).granted(&[claim(&own, false, &[])]);
    let error = second(&ungranted, own.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "step sidecar: no earlier step created v1 ConfigMap mine, and the step must not create it: \
         the pipeline does not grant the step the creation of its kind"
    );
    second(&Permissions::new(&[claim(&own, true, &[])]), own).unwrap();
}

#[test]
fn a_claim_without_paths_means_the_objects_that_the_step_created() {
    let permissions = Permissions::new(&[claim(&stateful_set(json!({})), true, &[])]);
    let error = second(&permissions, stateful_set(json!({"replicas": 2}))).unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error}");

    let mut merger = Merger::new(Schemas::built_in().unwrap(), NAMESPACE);
    let writer = Writer { step: "spilo", permissions: &permissions };
    merger.apply(&writer, stateful_set(json!({"replicas": 2}))).unwrap();
    merger.apply(&writer, stateful_set(json!({"selector": {"matchLabels": {"a": "b"}}}))).unwrap();
    assert_eq!(merger.finish()[0].object["spec"]["selector"]["matchLabels"]["a"], "b");
}

#[test]
fn a_step_overrides_what_it_is_granted_to() {
    let permissions = writes(&["spec"]).overrides(overriding("spec.replicas"));
    let object = second(&permissions, stateful_set(json!({"replicas": 5}))).unwrap();
    assert_eq!(object.object["spec"]["replicas"], 5);
    assert_eq!(object.owners["spec.replicas"], "sidecar");

    let image = pod(json!({"containers": [{"name": "postgres", "image": "mine"}]}));
    assert!(matches!(second(&permissions, image.clone()), Err(Error::Conflict(_))));
    second(&writes(&["spec"]).overrides(overriding("spec.template.spec.containers[*]")), image).unwrap();

    let service = ObjectKind { api_version: "v1".into(), kind: "Service".into() };
    let elsewhere = writes(&["spec"])
        .overrides(vec![FieldPermission { kind: Some(service), paths: vec!["spec".parse().unwrap()] }]);
    assert!(matches!(second(&elsewhere, stateful_set(json!({"replicas": 5}))), Err(Error::Conflict(_))));
}

#[test]
fn fields_of_the_server_or_the_host_are_reserved() {
    let all = Permissions::new(&[claim(&stateful_set(json!({})), true, &["*"])]);
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
        let Error::Reserved { path, .. } = &error else { panic!("{error}") };
        assert_eq!(path.to_string(), format!("metadata.{field}"));
    }
    let mut fragment = stateful_set(json!({}));
    fragment["status"] = json!({"replicas": 1});
    assert!(matches!(second(&all, fragment), Err(Error::Reserved { .. })));
}

#[test]
fn only_the_creator_sets_selectors_and_claim_templates() {
    let all = Permissions::new(&[claim(&stateful_set(json!({})), true, &["*"])]).overrides(overriding("*"));
    for spec in [json!({"selector": {"matchLabels": {"a": "b"}}}), json!({"volumeClaimTemplates": []})] {
        let error = second(&all, stateful_set(spec)).unwrap_err();
        assert!(error.to_string().contains("only the step that created the object"), "{error}");
    }
}

#[test]
fn some_kinds_are_reserved() {
    for (api_version, kind, reason) in [
        ("v1", "Secret", "ask for them by a `credential`"),
        ("v1", "Namespace", "namespace of its cluster"),
        ("v1", "ServiceAccount", "only the host creates service accounts"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", "only the host creates service accounts"),
        ("rbac.authorization.k8s.io/v1beta1", "Role", "only the host creates service accounts"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", "only the host creates service accounts"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "the API of the cluster"),
        ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "the API of the cluster"),
        ("acid.zalan.do/v1", "postgresql", "what the user wrote"),
        ("pgloom.dev/v1alpha1", "Pipeline", "the pipeline"),
        ("v1", "Node", "cluster-scoped"),
        ("storage.k8s.io/v1", "StorageClass", "cluster-scoped"),
    ] {
        let error = refused(&[("bad", json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}}))]);
        assert!(matches!(error, Error::Kind { .. }) && error.to_string().contains(reason), "{error}");
    }
}
