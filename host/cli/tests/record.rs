//! `pgloom record`: from an API server to a golden folder.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use stand_in::{Server, State};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn cluster(tls: bool) -> Vec<Value> {
    let labels = json!({"application": "spilo", "cluster-name": "shop-orders", "team": "shop"});
    let mut manifest = json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": "shop-orders", "namespace": "postgres", "uid": "99999999-9999-4999-8999-999999999999"},
        "spec": {
            "teamId": "shop", "numberOfInstances": 2, "volume": {"size": "5Gi"}, "postgresql": {"version": "15"},
            "env": [{"name": "TOKEN", "value": "s3cret"}],
        },
    });
    if tls {
        manifest["spec"]["tls"] = json!({"secretName": "certificate"});
    }
    vec![
        manifest,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pgloom", "namespace": "pgloom-system"},
            "data": {"wal_s3_bucket": "unread", "storage_resize_mode": "pvc", "scalyr_api_key": "s3cret"}}),
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "shop-orders-0", "namespace": "postgres", "labels": labels}}),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "pgdata-shop-orders-0", "namespace": "postgres", "labels": labels},
            "spec": {"resources": {"requests": {"storage": "1Gi"}}}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other-0", "namespace": "postgres"}}),
    ]
}

/// Runs the command against a served world with these objects.
async fn record(folder: &Path, objects: &[Value], plugin: &str) -> Output {
    let server = Server::new(State::default());
    server.with(|state| objects.iter().for_each(|object| state.put(object)));
    let api = server.listen().await.unwrap();
    let kubeconfig = folder.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
         contexts: [{{name: it, context: {{cluster: it, user: it, namespace: postgres}}}}]\n\
         clusters: [{{name: it, cluster: {{server: \"http://{api}\"}}}}]\nusers: [{{name: it, user: {{}}}}]\n"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgloom"));
    command.arg("record").arg("shop-orders").arg("--kubeconfig").arg(&kubeconfig);
    command.arg("--pipeline").arg(repository("dist/plugins/pipeline.yaml"));
    command.arg("--plugin").arg(repository(&format!("dist/plugins/{plugin}.wasm")));
    command.arg("--output").arg(folder.join("golden")).output().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_is_asked_is_written_without_credentials_and_with_other_names() {
    let folder = tempfile::tempdir().unwrap();
    let output = record(folder.path(), &cluster(false), "volume-resize").await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut whole = String::new();
    for (file, texts) in [
        ("manifest.yaml", ["name: acid-recorded", "namespace: default", "value: removed"]),
        ("operator.yaml", ["storage_resize_mode: pvc", "kind: ConfigMap", "data:"]),
        ("existing.yaml", ["name: acid-recorded-0", "name: pgdata-acid-recorded-0", "storage: 1Gi"]),
    ] {
        let text = std::fs::read_to_string(folder.path().join("golden").join(file)).unwrap();
        assert!(texts.iter().all(|part| text.contains(part)), "{file}: {text}");
        whole += &text;
    }
    for word in ["s3cret", "shop", "99999999", "unread", "other-0", "pgloom-system"] {
        assert!(!whole.contains(word), "{word}: {whole}");
    }
    let again = record(folder.path(), &cluster(false), "volume-resize").await;
    let error = String::from_utf8(again.stderr).unwrap();
    assert!(!again.status.success() && error.contains("golden: is not empty; give a new folder"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_reads_desired_objects_gets_those_of_earlier_steps() {
    let folder = tempfile::tempdir().unwrap();
    let output = record(folder.path(), &cluster(true), "tls").await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let desired = std::fs::read_to_string(folder.path().join("golden/desired.yaml")).unwrap();
    assert!(desired.contains("kind: StatefulSet") && !desired.contains("s3cret"), "{desired}");
    assert!(desired.contains("name: TOKEN\n          value: removed"), "the copy of a hidden variable: {desired}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_not_called_and_a_cluster_that_does_not_exist_get_a_sentence() {
    for (objects, sentence) in [
        (cluster(false), "shop-orders: the plugin is not called for this cluster: none of its triggers holds"),
        (Vec::new(), "there is no postgresql postgres/shop-orders; check --namespace"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = record(folder.path(), &objects, "tls").await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(sentence), "{error}");
        assert!(!folder.path().join("golden").exists());
    }
}
