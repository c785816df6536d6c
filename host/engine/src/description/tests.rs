//! A description that would fail later is refused with its place.

use super::*;
use crate::grant;
use crate::model::{
    ActionPermission, CredentialPermission, ObservedSelector, PrivilegePermission, Requirement, Selection,
};

fn valid() -> Description {
    Description {
        name: "tls".into(),
        summary: "Serves a certificate.".into(),
        config_schema: r#"{"properties": {"greeting": {"type": "string"}}}"#.into(),
        config_example: r#"{"greeting": "hello"}"#.into(),
        config_keys: vec!["scalyr_api_key".into()],
        credentials: vec![CredentialPermission { source: Source::Config("scalyr_api_key".into()), optional: false }],
        relevant: vec![Trigger::Manifest("/spec/tls".into()), Trigger::Config("docker_image".into())],
        objects: vec![ObjectPermission::creates(ObjectKind::new("v1", "Service"), &["{cluster}-*"])],
        privileges: vec![PrivilegePermission { name: "host-path".into(), optional: false }],
        actions: vec![ActionPermission::new(ActionKind::ExpandClaim, &["pgdata-{cluster}-*"])],
        ..Description::default()
    }
}

fn selector(id: &str) -> ObservedSelector {
    ObservedSelector {
        id: id.into(),
        kind: ObjectKind::new("v1", "Secret"),
        from: Selection::Manifest("/spec/tls/secretName".into()),
        fields: vec![],
    }
}

/// A change that makes a description invalid, and a part of what is said about it.
type Fault = (fn(&mut Description), &'static str);

#[test]
fn a_valid_description_is_accepted() {
    assert_eq!(check(&valid()), Ok(()));
}

#[test]
fn what_would_fail_later_is_refused_with_its_place() {
    let cases: [Fault; 21] = [
        (|it| it.name = "TLS".into(), "name \"TLS\" is not lower case"),
        (|it| it.version = "1".into(), "version \"1\" is not semver"),
        (|it| it.summary = "Labels.\nneeds: {}".into(), "summary has line breaks"),
        (
            |it| it.requires = vec![Requirement { plugin: "spilo".into(), version: "new".into() }],
            "the version required of spilo",
        ),
        (|it| it.config_schema = "{".into(), "the configuration schema is not JSON"),
        (|it| it.config_schema = r#"{"type": 3}"#.into(), "the configuration schema is invalid"),
        (
            |it| it.config_example = r#"{"greeting": 1}"#.into(),
            "the configuration example is not what the schema accepts: config.greeting: ",
        ),
        (
            |it| it.config_keys.push("docker_images".into()),
            "config-keys[1]: \"docker_images\" is not a key of the operator configuration; did you mean docker_image?",
        ),
        (
            |it| it.relevant = vec![Trigger::Manifest("spec/tls".into())],
            "relevant[0]: \"spec/tls\" is not a JSON pointer; write it as in /spec/tls/secretName",
        ),
        (|it| it.relevant = vec![Trigger::Config("scalyr_apikey".into())], "did you mean scalyr_api_key?"),
        (|it| it.config_keys.clear(), "credentials[0]: \"scalyr_api_key\" is not in config-keys; add it"),
        (
            |it| it.credentials[0].source = Source::Manifest("/spec/clone/s3_access_key".into()),
            "is not a credential; did you mean manifest:/spec/clone/s3_access_key_id?",
        ),
        (|it| it.desired = vec![ObjectKind::new("v1", "")], "desired[0]: \"\" of \"v1\" is not a kind"),
        (
            |it| it.observed = vec![ObservedSelector { kind: ObjectKind::new("v1", "secret"), ..selector("a") }],
            "observed[0]: \"secret\" of \"v1\" is not a kind; did you mean Secret?",
        ),
        (|it| it.observed = vec![selector("a"), selector("a")], "observed[1]: the id \"a\" is empty or that of"),
        (
            |it| it.observed = vec![ObservedSelector { fields: vec!["a..b".into()], ..selector("a") }],
            "observed[0].fields[0]: `a..b` is not a field path",
        ),
        (
            |it| it.objects[0].kind = ObjectKind::new("v1", "Pod"),
            "objects[0]: v1 Pod must not be contributed: plugins create Deployments",
        ),
        (|it| it.objects[0].names.clear(), "objects[0]: names is empty; name the objects"),
        (
            |it| it.objects[0].names = vec!["{Cluster}".into()],
            "objects[0].names[0]: \"{Cluster}\" is not a pattern of names",
        ),
        (|it| it.privileges[0].name = "hostpath".into(), "\"hostpath\" is not a privilege; did you mean host-path?"),
        (|it| it.actions[0].subjects.clear(), "actions[0]: expand-claim has no subjects; name them"),
    ];
    for (change, expected) in cases {
        let mut description = valid();
        change(&mut description);
        let error = check(&description).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_kind_that_would_change_a_url_or_that_kubernetes_writes_otherwise_is_refused_wherever_it_is() {
    for (api_version, kind, expected) in [
        ("v1", "Secret", true),
        ("apps/v1", "StatefulSet", true),
        ("autoscaling/v2beta1", "HorizontalPodAutoscaler", true),
        ("acid.zalan.do/v1", "postgresql", true),
        ("v1", "secret", false),
        ("v1", "sEcret", false),
        ("apps/v1", "statefulSet", false),
        ("networking.k8s.io/v1", "ingress", false),
        ("/v1", "Secret", false),
        ("/v1/namespaces/x/secrets/y?z=", "Pod", false),
        ("a/b/v1", "Pod", false),
        ("v1", "Pod/log", false),
        ("v1", "Pod?watch=true", false),
        ("..", "Pod", false),
        ("apps/..", "Pod", false),
        ("apps/", "Pod", false),
        ("Apps/v1", "Pod", false),
        ("V1", "Pod", false),
        ("", "Pod", false),
        ("v1", "", false),
    ] {
        let kind = ObjectKind::new(api_version, kind);
        let changes: [fn(&mut Description, ObjectKind); 3] = [
            |it, kind| it.observed = vec![ObservedSelector { kind, ..selector("a") }],
            |it, kind| it.desired = vec![kind],
            |it, kind| it.objects[0].kind = kind,
        ];
        for change in changes {
            let mut description = valid();
            change(&mut description, kind.clone());
            let refused = check(&description).is_err_and(|error| !error.contains("must not be contributed"));
            assert_eq!(refused, !expected, "{kind}");
        }
    }
}

#[test]
fn a_description_has_limits() {
    let cases: [Fault; 4] = [
        (
            |it| it.observed = (0..33).map(|index| selector(&index.to_string())).collect(),
            "observed has 33 entries, the limit is 32",
        ),
        (|it| it.objects[0].fields = vec!["spec".into(); 257], "a list of a permission has 257 entries"),
        (|it| it.summary = "a".repeat(1025), "a text has 1025 bytes, the limit is 1024"),
        (|it| it.config_schema = " ".repeat(300_000), "config-schema has 300000 bytes, the limit is 262144"),
    ];
    for (change, expected) in cases {
        let mut description = valid();
        change(&mut description);
        let error = check(&description).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_grant_that_cannot_be_meant_is_refused_with_its_place_and_what_is_allowed() {
    type Change = fn(&mut Grants);
    let cases: [(Change, &str); 10] = [
        (
            |it| it.objects[0].fields = vec!["spec".into(), "spec[".into()],
            "grants.objects[0].fields[1]: `spec[` is not a field path: ",
        ),
        (|it| it.objects[0].overrides = vec![String::new()], "grants.objects[0].overrides[0]: `` is not a field path"),
        (|it| it.objects[0].removes = vec!["a..b".into()], "; write it as in spec.template.spec.containers[*].env"),
        (
            |it| it.objects[0].names = vec!["{Cluster}".into()],
            "grants.objects[0].names[0]: \"{Cluster}\" is not a pattern of names; write it as in {cluster}-*",
        ),
        (
            |it| it.objects[0].kind = "service".into(),
            "grants.objects[0]: \"service\" of \"v1\" is not a kind; did you mean Service?",
        ),
        (
            |it| it.objects[0].kind = "configmap".into(),
            "grants.objects[0]: \"configmap\" of \"v1\" is not a kind; did you mean ConfigMap?",
        ),
        (
            |it| it.objects[0].kind = "gadget".into(),
            "grants.objects[0]: \"gadget\" of \"v1\" is not a kind; write it in CamelCase, as in ConfigMap",
        ),
        (
            |it| it.reads[0].from = "config:scalyr_apikey".into(),
            "grants.reads[0].from: \"scalyr_apikey\" is not a key of the operator configuration; did you mean",
        ),
        (|it| it.reads[0].fields = vec![".a".into()], "grants.reads[0].fields[0]: `.a` is not a field path: "),
        (
            |it| it.actions[0].subjects = vec![String::new()],
            "grants.actions[0]: a subject of expand-claim is empty; name it, or write *",
        ),
    ];
    let valid = grant::all(&valid());
    assert_eq!(check_grants(&valid), Ok(()));
    let read = ReadGrant {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        from: "config:scalyr_api_key".into(),
        fields: Vec::new(),
    };
    let valid = Grants { reads: vec![read], ..valid };
    for (change, expected) in cases {
        let mut grants = valid.clone();
        change(&mut grants);
        let error = check_grants(&grants).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
