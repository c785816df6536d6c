use std::path::{Path, PathBuf};

use super::*;

const MINIMAL: &str = include_str!("../../golden/validate/minimal.yaml");

fn yaml(text: &str) -> Value {
    serde_yaml_ng::from_str(text).unwrap()
}

fn minimal_with(changes: &Value) -> Value {
    let mut manifest = yaml(MINIMAL);
    json_patch::merge(&mut manifest, changes);
    manifest
}

fn said(result: Result<Validated, Vec<Finding>>) -> String {
    let findings = match &result {
        Ok(validated) => validated.warnings(),
        Err(findings) => findings,
    };
    let word = |finding: &Finding| if finding.is_error() { "error" } else { "warning" };
    findings.iter().map(|finding| format!("  {}: {finding}\n", word(finding))).collect()
}

#[test]
fn every_rule_has_its_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/validate");
    let cases: serde_yaml_ng::Mapping =
        serde_yaml_ng::from_str(&std::fs::read_to_string(folder.join("cases.yaml")).unwrap()).unwrap();
    let mut messages = String::new();
    for (name, changes) in cases {
        let manifest = minimal_with(&serde_json::to_value(changes).unwrap());
        let said = said(validate(&manifest, &Rules::default()));
        assert!(!said.is_empty(), "{name:?} breaks no rule of the host");
        messages += &format!("{}:\n{said}", name.as_str().unwrap());
    }
    let golden = folder.join("messages.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&golden, &messages).unwrap();
    }
    assert_eq!(std::fs::read_to_string(golden).unwrap_or_default(), messages);
}

#[test]
fn the_guides_minimal_manifest_is_read_as_the_guide_says() {
    let validated = validate(&yaml(MINIMAL), &Rules::default()).unwrap();
    assert_eq!(validated.warnings(), []);
    let cluster = validated.cluster();
    assert_eq!(
        (cluster.name.as_str(), cluster.namespace.as_str(), cluster.team.as_str()),
        ("acid-minimal-cluster", "default", "acid")
    );
    assert_eq!(cluster.users["zalando"].words(), ["CREATEDB", "LOGIN", "SUPERUSER"]);
    assert_eq!(cluster.users["foo_user"].words(), ["LOGIN"]);
    assert_eq!(cluster.databases["foo"], "zalando");
    assert!(!cluster.standby && cluster.prepared_databases.is_empty());
}

#[test]
fn plugins_see_the_manifest_as_written_without_nulls_and_without_what_is_not_theirs() {
    let manifest = minimal_with(&yaml(
        r#"{metadata: {uid: u, generation: 3, resourceVersion: "7", labels: {a: b}, annotations: {kept: x, kubectl.kubernetes.io/last-applied-configuration: secret}, managedFields: []}, status: {PostgresClusterStatus: Running}, spec: {sidecars: []}}"#,
    ));
    let mut manifest = manifest;
    manifest["spec"]["tls"] = Value::Null;
    let validated = validate(&manifest, &Rules::default()).unwrap();
    assert_eq!(
        validated.object(),
        &yaml(
            r#"
apiVersion: acid.zalan.do/v1
kind: postgresql
metadata: {name: acid-minimal-cluster, namespace: default, uid: u, labels: {a: b}, annotations: {kept: x}}
spec:
  teamId: acid
  volume: {size: 1Gi}
  numberOfInstances: 2
  users: {zalando: [superuser, createdb], foo_user: []}
  databases: {foo: zalando}
  postgresql: {version: "12"}
  sidecars: []
"#
        )
    );
}

#[test]
fn maintenance_windows_have_an_effect_where_they_are_switched_on() {
    let manifest = json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql", "metadata": {"name": "acid-a", "namespace": "ns"},
        "spec": {"teamId": "acid", "numberOfInstances": 1, "volume": {"size": "1Gi"}, "postgresql": {"version": "17"},
            "maintenanceWindows": ["Sat:00:00-04:00"]},
    });
    let count = |maintenance_windows| {
        let rules = Rules { maintenance_windows, ..Rules::default() };
        validate(&manifest, &rules).unwrap().warnings().len()
    };
    assert_eq!((count(false), count(true)), (1, 0));
}

#[test]
fn a_clone_to_a_point_in_time_takes_any_name_and_either_zone_form() {
    for timestamp in ["2017-12-19T12:40:33+01:00", "2017-12-19T12:40:33Z", "2017-12-19t12:40:33.5-08:00"] {
        let changes = json!({"spec": {"clone": {"cluster": "foo+bar", "uid": "x", "timestamp": timestamp}}});
        assert_eq!(said(validate(&minimal_with(&changes), &Rules::default())), "", "{timestamp}");
    }
    let empty = yaml("{spec: {clone: {cluster: ''}, tls: {secretName: ''}}}");
    assert_eq!(said(validate(&minimal_with(&empty), &Rules::default())), "");
}

#[test]
fn a_standby_may_stream_with_an_archive_behind_it() {
    let changes =
        yaml("{spec: {standby: {standby_host: acid-a.default, standby_port: '5432', s3_wal_path: 's3://b/w'}}}");
    let validated = validate(&minimal_with(&changes), &Rules::default()).unwrap();
    assert!(validated.cluster().standby && validated.warnings().is_empty());
}

#[test]
fn a_volume_source_is_read_in_any_case_as_upstream_does() {
    let changes = yaml(
        "{spec: {additionalVolumes: [{name: a, mountPath: /a, volumeSource: {PersistentVolumeClaim: {claimName: c}}}]}}",
    );
    let validated = validate(&minimal_with(&changes), &Rules::default()).unwrap();
    assert_eq!(
        validated.object()["spec"]["additionalVolumes"][0]["volumeSource"],
        json!({"persistentVolumeClaim": {"claimName": "c"}})
    );
}

#[test]
fn a_credential_is_in_no_debug_output_and_no_message() {
    let changes = yaml("{spec: {clone: {cluster: acid-b, s3_secret_access_key: hush, s3_access_key_id: quiet}}}");
    let validated = validate(&minimal_with(&changes), &Rules::default()).unwrap();
    let spec: PostgresqlSpec = serde_json::from_value(validated.object()["spec"].clone()).unwrap();
    let shown = format!("{validated:?} {spec:?}");
    assert!(!shown.contains("hush") && !shown.contains("quiet"), "{shown}");
}

#[test]
fn every_recorded_manifest_is_valid() {
    let Some(folder) = recorded() else { return };
    let mut count = 0;
    for release in ["newest", "v1.5.0"] {
        for case in std::fs::read_dir(folder.join(release)).unwrap() {
            let file = case.unwrap().path().join("manifest.yaml");
            let manifest = yaml(&std::fs::read_to_string(&file).unwrap());
            let result = validate(&manifest, &Rules::default());
            assert!(result.is_ok(), "{}: {result:?}", file.display());
            count += 1;
        }
    }
    assert!(count > 30, "{count} manifests");
}

/// The folder of recorded objects, if `PGLOOM_UPSTREAM` names it.
fn recorded() -> Option<PathBuf> {
    let folder = std::env::var_os("PGLOOM_UPSTREAM").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED every_recorded_manifest_is_valid: PGLOOM_UPSTREAM is not set");
    }
    folder
}

#[test]
fn a_value_that_only_pods_would_be_refused_for_is_a_warning_where_they_run() {
    let sidecar = "{spec: {sidecars: [{name: a, image: b, imagePullPolicy: always}]}}";
    let manifest = minimal_with(&yaml(sidecar));
    let message = "spec.sidecars[0].imagePullPolicy: Kubernetes does not accept \"always\" here; did you mean Always?";
    assert_eq!(said(validate(&manifest, &Rules::default())), format!("  error: {message}\n"));
    let running = validate(&manifest, &Rules { runs: true, ..Rules::default() });
    assert_eq!(running.as_ref().unwrap().object()["spec"]["sidecars"][0]["imagePullPolicy"], "always");
    assert_eq!(said(running), format!("  warning: {message}\n"));
}

#[test]
fn what_kubernetes_refuses_in_pods_and_services_is_an_error_for_a_new_cluster_and_a_warning_for_one_that_runs() {
    let one_of = "Kubernetes does not accept";
    let label = crate::suggest::LABEL;
    for (spec, expected) in [
        (
            "{podAnnotations: {'a b': c}}",
            format!("spec.podAnnotations: {one_of} \"a b\" as the key of an annotation; {label}"),
        ),
        (
            "{replicaServiceAnnotations: {a/b/c: d}}",
            format!("spec.replicaServiceAnnotations: {one_of} \"a/b/c\" as the key of an annotation; {label}"),
        ),
        (
            "{env: [{name: A, value: b, valueFrom: {fieldRef: {fieldPath: c}}}]}",
            format!("spec.env[0].valueFrom: {one_of} valueFrom beside value; remove one of them"),
        ),
        (
            "{sidecars: [{name: a, image: b, env: [{name: A, valueFrom: {fieldRef: {fieldPath: c}, secretKeyRef: {name: d, key: e}}}]}]}",
            format!(
                "spec.sidecars[0].env[0].valueFrom.secretKeyRef: {one_of} secretKeyRef beside fieldRef; remove one of them"
            ),
        ),
        (
            "{initContainers: [{name: a, image: b, envFrom: [{configMapRef: {name: c}, secretRef: {name: d}}]}]}",
            format!(
                "spec.initContainers[0].envFrom[0].secretRef: {one_of} secretRef beside configMapRef; remove one of them"
            ),
        ),
        (
            "{livenessProbe: {exec: {command: [a]}, httpGet: {port: 80}}}",
            format!("spec.livenessProbe.httpGet: {one_of} httpGet beside exec; remove one of them"),
        ),
        (
            "{additionalVolumes: [{name: a, mountPath: /a, volumeSource: {emptyDir: {}, secret: {secretName: b}}}]}",
            format!(
                "spec.additionalVolumes[0].volumeSource.secret: {one_of} secret beside emptyDir; remove one of them"
            ),
        ),
    ] {
        let manifest = minimal_with(&yaml(&format!("{{spec: {spec}}}")));
        assert_eq!(said(validate(&manifest, &Rules::default())), format!("  error: {expected}\n"));
        let running = validate(&manifest, &Rules { runs: true, ..Rules::default() });
        assert_eq!(said(running), format!("  warning: {expected}\n"));
    }
}

#[test]
fn the_fields_of_containers_and_volumes_may_have_names_in_any_case() {
    let manifest = minimal_with(&yaml(
        "{spec: {sidecars: [{Name: a, Image: b, Ports: [{ContainerPort: 80}]}], initContainers: [{Name: c, IMAGE: d}],
        init_containers: [{Name: e, Image: f}], env: [{Name: A, ValueFrom: {SecretKeyRef: {Name: s, Key: k}}}],
        additionalVolumes: [{name: v, mountPath: /v, volumeSource: {PersistentVolumeClaim: {ClaimName: w}}}]}}",
    ));
    let validated = validate(&manifest, &Rules::default()).unwrap();
    let spec = &validated.object()["spec"];
    assert_eq!(spec["sidecars"], json!([{"name": "a", "image": "b", "ports": [{"containerPort": 80}]}]));
    assert_eq!(spec["initContainers"], json!([{"name": "c", "image": "d"}]));
    assert_eq!(spec["init_containers"], json!([{"name": "e", "image": "f"}]));
    assert_eq!(spec["env"], json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]));
    assert_eq!(spec["additionalVolumes"][0]["volumeSource"], json!({"persistentVolumeClaim": {"claimName": "w"}}));
}
