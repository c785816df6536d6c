use serde_json::json;

use super::*;

fn pipeline(steps: Value) -> Value {
    json!({"apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline", "spec": {"steps": steps}})
}

fn refused(steps: Value) -> Vec<String> {
    Document::read(&pipeline(steps)).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_short_document_gets_its_defaults() {
    let document = Document::read(&pipeline(json!([{"name": "tls", "source": {"file": "tls.wasm"}}]))).unwrap();
    assert_eq!(document.name, "pipeline");
    let step = &document.steps[0];
    assert_eq!(step.source, Source::File("tls.wasm".into()));
    assert_eq!(step.limits, Limits { memory: 64 << 20, fuel: 1_000_000_000, deadline: Duration::from_secs(5) });
    assert_eq!((step.on_failure, &step.grants), (OnFailure::Hold, &Grants::default()));
    assert!(step.matches.covers("anywhere", &BTreeMap::new()));
}

#[test]
fn a_full_document_is_read_to_the_last_field() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let mut document = pipeline(json!([{
        "name": "pooler",
        "source": {"file": "pooler.wasm"},
        "digest": digest,
        "config": {"replicas": 3},
        "grants": {
            "objects": [{
                "apiVersion": "apps/v1", "kind": "Deployment", "names": ["{cluster}-*"], "creates": true,
                "fields": ["spec"], "overrides": ["spec.replicas"], "removes": ["metadata.annotations"],
            }],
            "reads": [{"apiVersion": "v1", "kind": "ConfigMap", "from": "cluster"}],
            "desired": [{"apiVersion": "apps/v1", "kind": "StatefulSet"}],
            "config": ["docker_image"],
            "privileges": ["foreign-secret"],
            "credentials": ["config:scalyr_api_key", "manifest:/spec/clone/s3_secret_access_key"],
            "actions": [{"kind": "credential", "subjects": ["pooler"]}, {"kind": "promote"}],
        },
        "onFailure": "keepLast",
        "limits": {"memory": "1.5Mi", "fuel": 5000, "deadline": "500ms"},
        "match": {"namespaces": ["prod"], "selector": {"matchLabels": {"tier": "gold"}, "matchExpressions": [{"key": "old", "operator": "DoesNotExist"}]}}
    }]));
    document["metadata"] = json!({"name": "platform"});
    let document = Document::read(&document).unwrap();
    assert_eq!(document.name, "platform");
    let step = &document.steps[0];
    assert_eq!(step.source, Source::File("pooler.wasm".into()));
    assert_eq!(step.digest.as_ref().map(Digest::as_str), Some(digest.as_str()));
    assert_eq!(step.config["replicas"], 3);
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        step.grants.objects,
        [ObjectGrant {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            names: texts(&["{cluster}-*"]),
            creates: true,
            fields: texts(&["spec"]),
            overrides: texts(&["spec.replicas"]),
            removes: texts(&["metadata.annotations"]),
        }]
    );
    assert_eq!(step.grants.reads.len(), 1);
    let set = KindGrant { api_version: "apps/v1".into(), kind: "StatefulSet".into() };
    assert_eq!(step.grants.desired, BTreeSet::from([set]));
    assert_eq!(step.grants.config, BTreeSet::from(["docker_image".to_owned()]));
    assert_eq!(step.grants.privileges, BTreeSet::from([Privilege::ForeignSecret]));
    let of_manifest = Credential::Manifest("/spec/clone/s3_secret_access_key".into());
    assert_eq!(step.grants.credentials, BTreeSet::from([Credential::Config("scalyr_api_key".into()), of_manifest]));
    assert_eq!(
        step.grants.actions,
        [
            ActionGrant { kind: ActionKind::Credential, subjects: texts(&["pooler"]) },
            ActionGrant { kind: ActionKind::Promote, subjects: vec![] },
        ]
    );
    assert_eq!(step.on_failure, OnFailure::KeepLast);
    assert_eq!(step.limits, Limits { memory: 3 << 19, fuel: 5000, deadline: Duration::from_millis(500) });
    let labels =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    assert!(step.matches.covers("prod", &labels(&[("tier", "gold")])));
    assert!(!step.matches.covers("test", &labels(&[("tier", "gold")])));
    assert!(!step.matches.covers("prod", &labels(&[("tier", "gold"), ("old", "")])));
}

#[test]
fn an_unknown_field_names_the_nearest() {
    assert_eq!(
        refused(
            json!([{"name": "tls", "source": {"file": "tls.wasm"}, "onfailure": "hold", "grants": {"object": []}}])
        ),
        [
            "spec.steps[0].grants.object: this field does not exist; did you mean objects?",
            "spec.steps[0].onfailure: this field does not exist; did you mean onFailure?",
        ]
    );
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let step = |extra: Value| {
        let mut step = json!({"name": "tls", "source": {"file": "tls.wasm"}});
        step.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        step
    };
    for (steps, expected) in [
        (json!([]), "spec.steps: is empty; give it at least 1 entry"),
        (json!([{"source": {"file": "x"}}]), "spec.steps[0].name: is missing; add it, as in logical-backup"),
        (
            json!([step(json!({})), step(json!({}))]),
            "spec.steps[1].name: \"tls\" is the name of an earlier step; give each step a name of its own",
        ),
        (
            json!([step(json!({"name": "TLS"}))]),
            "spec.steps[0].name: \"TLS\" is not of the form that is allowed here; write it as in logical-backup",
        ),
        (
            json!([step(json!({"source": {}}))]),
            "spec.steps[0].source: the component is missing; give file, as in tls.wasm, or oci, as in \
             ghcr.io/example/tls:0.1.0",
        ),
        (
            json!([step(json!({"source": {"file": "tls.wasm", "oci": "x"}}))]),
            "spec.steps[0].source.oci: a step has one component; give either file or oci",
        ),
        (
            json!([step(json!({"source": {"oci": format!("ghcr.io/x:1@sha256:{:064}", 1), "digest": digest}}))]),
            "spec.steps[0].source.digest: is not the digest in oci; give one of them",
        ),
        (
            json!([step(json!({"source": {"file": "tls.wasm", "publicKeys": ["key"]}}))]),
            "spec.steps[0].source.publicKeys: belongs to oci; pin a file by the digest of the step",
        ),
        (
            json!([step(json!({"source": {"file": "tls.wasm", "digest": digest}}))]),
            "spec.steps[0].source.digest: belongs to oci; pin a file by the digest of the step",
        ),
        (
            json!([step(json!({"limits": {"memory": "1Ki"}}))]),
            "spec.steps[0].limits.memory: \"1Ki\" is less than one page of memory; give at least 64Ki, as in 64Mi",
        ),
        (
            json!([step(json!({"limits": {"memory": "1Gi"}}))]),
            "spec.steps[0].limits.memory: \"1Gi\" is more than a step may have; give at most 512Mi",
        ),
        (
            json!([step(json!({"limits": {"fuel": 20_000_000_000_u64}}))]),
            "spec.steps[0].limits.fuel: 20000000000 is more than 10000000000; use 10000000000 or less",
        ),
        (
            json!([step(json!({"limits": {"deadline": "10h"}}))]),
            "spec.steps[0].limits.deadline: \"10h\" is longer than a call may take; give at most 10s, and fewer tasks to \
             the plugin",
        ),
        (
            json!([step(json!({"limits": {"deadline": "0s"}}))]),
            "spec.steps[0].limits.deadline: is zero; give the calls some time, as in 1s",
        ),
        (
            json!([step(json!({"limits": {"deadline": "soon"}}))]),
            "spec.steps[0].limits.deadline: \"soon\" is not of the form that is allowed here; write it as in 500ms",
        ),
        (
            json!([step(json!({"onFailure": "holt"}))]),
            "spec.steps[0].onFailure: \"holt\" is not allowed; did you mean hold?",
        ),
        (
            json!([step(json!({"grants": {"actions": [{"kind": "promot"}]}}))]),
            "spec.steps[0].grants.actions[0].kind: \"promot\" is not allowed; did you mean promote?",
        ),
        (
            json!([step(json!({"grants": {"privileges": ["hostpath"]}}))]),
            "spec.steps[0].grants.privileges[0]: \"hostpath\" is not allowed; did you mean host-path?",
        ),
        (
            json!([step(json!({"grants": {"config": ["docker_image", "docker_imag"]}}))]),
            "spec.steps[0].grants.config[1]: \"docker_imag\" is not a key of the operator configuration; did you mean docker_image?",
        ),
        (
            json!([step(json!({"grants": {"credentials": ["config:scalyr_apikey"]}}))]),
            "spec.steps[0].grants.credentials[0]: \"config:scalyr_apikey\" is not a credential; did you mean config:scalyr_api_key?",
        ),
        (
            json!([step(json!({"grants": {"objects": [{"apiVersion": "v1", "kind": "Service", "names": []}]}}))]),
            "spec.steps[0].grants.objects[0].names: is empty; give it at least 1 entry",
        ),
        (
            json!([step(json!({"match": {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}}))]),
            "spec.steps[0].match.selector.matchExpressions[0]: has no values to compare with; In and NotIn have values, Exists and DoesNotExist have none",
        ),
    ] {
        assert_eq!(refused(steps), [expected]);
    }
}

#[test]
fn a_former_grant_is_refused_with_what_replaces_it() {
    let grants = json!({"writes": [], "overrides": [], "removes": [], "secrets": true, "actions": ["promote"]});
    assert_eq!(
        refused(json!([{"name": "tls", "source": {"file": "tls.wasm"}, "grants": grants}])),
        [
            "spec.steps[0].grants.writes: is not a grant any more; use objects, with names and with fields in place of paths",
            "spec.steps[0].grants.overrides: is not a grant any more; use overrides of an entry of objects",
            "spec.steps[0].grants.removes: is not a grant any more; use removes of an entry of objects",
            "spec.steps[0].grants.secrets: is not a grant any more; remove it: the values of Secrets are never shown to a plugin",
            "spec.steps[0].grants.actions: is a list of names; name the subjects, too, as in {kind: configure-patroni, subjects: [ttl]}",
        ]
    );
}

#[test]
fn another_kind_is_refused() {
    let findings = Document::read(&json!({"apiVersion": "v1", "kind": "Pod"})).unwrap_err();
    let said: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "apiVersion: is not pgloom.dev/v1alpha1; write apiVersion: pgloom.dev/v1alpha1",
            "kind: is not Pipeline; write kind: Pipeline"
        ]
    );
}

#[test]
fn a_document_is_checked_by_the_schema_that_the_api_server_gets() {
    use kube_core::CustomResourceExt;

    let definition = crate::schema::finished(crate::pipeline::Pipeline::crd()).unwrap();
    let checked = crate::schema::object_schema::<crate::pipeline::PipelineSpec>();
    crate::schema::assert_same::<crate::pipeline::PipelineSpec>(&checked, definition);
}

#[test]
fn a_component_of_a_registry_has_its_digest_in_the_reference_and_its_keys() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let read = |source: Value| {
        let document = json!({
            "apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "p"},
            "spec": {"imagePullSecrets": [{"name": "registry"}], "steps": [{"name": "tls", "source": source}]},
        });
        Document::read(&document).unwrap()
    };
    let document = read(json!({"oci": "ghcr.io/example/tls:1", "digest": digest, "publicKeys": ["key"]}));
    let reference = format!("ghcr.io/example/tls:1@{digest}");
    let artifact = Artifact { reference: reference.clone(), public_keys: vec!["key".to_owned()] };
    assert_eq!(document.steps[0].source, Source::Oci(artifact));
    assert_eq!(document.pull_secrets, ["registry"]);
    let document = read(json!({"oci": reference, "digest": digest}));
    assert!(matches!(&document.steps[0].source, Source::Oci(artifact) if artifact.reference == reference));
}

fn with_rollout(rollout: Value) -> Value {
    let mut document = pipeline(json!([{"name": "tls", "source": {"file": "tls.wasm"}}]));
    document["spec"]["rollout"] = rollout;
    document
}

#[test]
fn a_rollout_gets_its_defaults_and_is_read_to_the_last_field() {
    let read = |rollout: Value| Document::read(&with_rollout(rollout)).unwrap().rollout.unwrap();
    assert_eq!(read(json!({})), Rollout::default());
    let full = read(json!({
        "maxRestarts": 0, "canary": {"namespaces": ["test"], "selector": {"matchLabels": {"tier": "canary"}}},
        "percentages": [10, 50], "soak": "1h", "readyDeadline": "10m", "paused": true,
    }));
    assert_eq!((full.max_restarts, full.percentages, full.paused), (Some(0), vec![10, 50], true));
    assert_eq!((full.soak.as_secs(), full.ready_deadline.as_secs()), (3600, 600));
    let canary = full.canary.unwrap();
    let labels = BTreeMap::from([("tier".to_owned(), "canary".to_owned())]);
    assert!(canary.covers("test", &labels) && !canary.covers("prod", &labels));
}

#[test]
fn a_rollout_that_cannot_be_done_names_the_field() {
    for (rollout, expected) in [
        (json!({"percentages": [50, 10]}), "spec.rollout.percentages[1]: is not larger than the percentage before"),
        (json!({"percentages": [10, 10]}), "spec.rollout.percentages[1]: is not larger than the percentage before"),
        (json!({"percentages": [100]}), "spec.rollout.percentages[0]: "),
        (json!({"maxRestarts": -1}), "spec.rollout.maxRestarts: "),
        (json!({"soak": "long"}), "spec.rollout.soak: "),
        (json!({"pause": true}), "spec.rollout.pause: "),
        (
            json!({"canary": {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}}),
            "spec.rollout.canary.selector.matchExpressions[0]: has no values",
        ),
    ] {
        let findings = Document::read(&with_rollout(rollout)).unwrap_err();
        assert!(findings[0].to_string().starts_with(expected), "{findings:?}");
    }
}
