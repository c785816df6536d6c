//! `pgloom explain` and `pgloom diff` of clusters that run, with the shipped plugins.
#![cfg(test)]

use std::path::{Path, PathBuf};

use conformance::script::Script;
use pgloom_engine::plugin::digest;
use pgloom_engine::{Contribution, Response};
use serde_json::{Value, json};
use stand_in::{Right, Server, State};
use tempfile::TempDir;

fn plugins() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/plugins");
    assert!(folder.join("spilo.wasm").exists(), "there are no plugins; build them: make plugins");
    folder.canonicalize().unwrap()
}

fn shipped() -> Value {
    serde_yaml_ng::from_str(&std::fs::read_to_string(plugins().join("pipeline.yaml")).unwrap()).unwrap()
}

/// The Pipeline object in use, with the digest of every component.
fn pipeline(reason: &str) -> Value {
    let mut last = shipped();
    for step in last["spec"]["steps"].as_array_mut().unwrap() {
        let bytes = std::fs::read(plugins().join(step["source"]["file"].as_str().unwrap())).unwrap();
        step["digest"] = json!(digest(&bytes));
    }
    let condition = json!({
        "type": "Loaded", "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2031-05-14T00:00:00Z",
    });
    // What is wanted may be refused: what was loaded last is in use.
    json!({
        "apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline",
        "metadata": {"name": "default", "namespace": "pgloom-system"},
        "spec": {"steps": [{"name": "wanted", "source": {"file": "wanted.wasm"}}]},
        "status": {
            "conditions": [condition], "steps": [],
            "lastLoaded": {"generation": 2, "since": "2031-05-14T00:00:00Z", "spec": last["spec"]},
        },
    })
}

fn cluster(namespace: &str, name: &str) -> Vec<Value> {
    let labels = json!({"application": "spilo", "cluster-name": name, "team": "shop"});
    vec![
        json!({
            "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
            "metadata": {"name": name, "namespace": namespace, "uid": "99999999-9999-4999-8999-999999999999"},
            "spec": {
                "teamId": "shop", "numberOfInstances": 2, "volume": {"size": "5Gi"}, "postgresql": {"version": "15"},
                "clone": {"cluster": "old", "uid": "5", "timestamp": "2031-05-14T00:00:00+00:00",
                    "s3_secret_access_key": "s3cret"},
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": format!("postgres.{name}.credentials.postgresql.acid.zalan.do"),
                "namespace": namespace, "labels": labels},
            "data": {"username": "cG9zdGdyZXM=", "password": "czNjcmV0"},
        }),
    ]
}

/// Two clusters in two namespaces, their operator's configuration and its pipeline.
fn world() -> Vec<Value> {
    let configuration = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pgloom", "namespace": "pgloom-system"},
        "data": {
            "docker_image": "example.com/spilo:1", "scalyr_api_key": "s3cret", "scalyr_image": "example.com/scalyr:1",
        },
    });
    let clusters = [cluster("shop", "shop-orders"), cluster("other", "shop-stock")].concat();
    [vec![configuration, pipeline("Loaded")], clusters].concat()
}

/// What is denied to whom asks.
fn may_not(verb: &str, resource: &str, group: &str) -> Vec<Right> {
    Right::each(&[verb], group, resource).into_iter().collect()
}

struct Said {
    code: Option<i32>,
    printed: String,
    error: String,
}

/// A folder, and a served API server.
struct Bench {
    folder: TempDir,
}

impl Bench {
    async fn new(objects: &[Value], denied: Vec<Right>) -> Self {
        Self::with(|state| state.denied = denied.into_iter().collect(), objects).await
    }

    async fn with(prepare: impl FnOnce(&mut State), objects: &[Value]) -> Self {
        let server = Server::new(State::default());
        server.with(|state| {
            prepare(state);
            objects.iter().for_each(|object| state.put(object));
        });
        let api = server.listen().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
             contexts: [{{name: it, context: {{cluster: it, user: it, namespace: shop}}}}]\n\
             clusters: [{{name: it, cluster: {{server: \"http://{api}\"}}}}]\nusers: [{{name: it, user: {{}}}}]\n"
        );
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        Self { folder }
    }

    fn file(&self, name: &str, document: &Value) {
        std::fs::write(self.folder.path().join(name), document.to_string()).unwrap();
    }

    async fn run(&self, arguments: &[&str]) -> Said {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgloom"));
        command.env("PGLOOM_PLUGINS", plugins());
        self.finish(command, arguments).await
    }

    /// The components of a pipeline are beside it.
    async fn run_alone(&self, arguments: &[&str]) -> Said {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgloom"));
        command.env_remove("PGLOOM_PLUGINS");
        self.finish(command, arguments).await
    }

    async fn finish(&self, mut command: tokio::process::Command, arguments: &[&str]) -> Said {
        command.args(arguments).args(["--kubeconfig", "kubeconfig"]).current_dir(self.folder.path());
        command.env_remove("PGLOOM_PIPELINE");
        command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("see"));
        let output = command.output().await.unwrap();
        let [printed, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        for text in [&printed, &error] {
            assert!(!text.contains("s3cret") && !text.contains("czNjcmV0"), "a secret: {text}");
        }
        Said { code: output.status.code(), printed, error }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_a_cluster_that_runs_is_explained_with_what_the_api_server_has() {
    let bench = Bench::new(&world(), Vec::new()).await;
    let said = bench.run(&["explain", "StatefulSet/shop-orders", ".spec.template.spec.containers[0].image"]).await;
    assert!(said.code == Some(0) && !said.error.contains("warning:"), "{}", said.error);
    for line in [
        "containers[name=postgres].image: \"example.com/spilo:1\": step spilo\n",
        "  docker_image of the operator configuration: without it it is ",
    ] {
        assert!(said.printed.contains(line), "{line}: {}", said.printed);
    }
    // The whole object has a credential, of which the placeholder is shown.
    let said = bench.run(&["explain", "-n", "other", "StatefulSet/shop-stock"]).await;
    let has_placeholder = said.printed.contains("name=SCALYR_API_KEY].value: \"pgloom-placeholder:");
    assert!(said.code == Some(0) && has_placeholder, "{}{}", said.printed, said.error);
    let said = bench.run(&["explain", "StatefulSet/shop-stock"]).await;
    assert!(said.code == Some(1) && said.error.contains("the cluster has no StatefulSet shop-stock"), "{}", said.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pipeline_is_compared_with_the_one_in_use_for_all_clusters_that_run() {
    let bench = Bench::new(&world(), Vec::new()).await;
    let mut new = shipped();
    bench.file("same.yaml", &new);
    let said = bench.run(&["diff", "-A", "--pipeline", "same.yaml"]).await;
    let same = "2 clusters: 0 change, no pod restarts\n";
    assert_eq!((said.code, said.printed.as_str()), (Some(0), same), "{}", said.error);
    let steps = new["spec"]["steps"].as_array_mut().unwrap();
    steps.last_mut().unwrap()["config"] = json!({"patches": [{"apply": {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "shop-orders"},
        "spec": {"minReadySeconds": 3},
    }}]});
    bench.file("new.yaml", &new);
    let said = bench.run(&["diff", "-n", "shop", "--pipeline", "new.yaml"]).await;
    assert_eq!(said.code, Some(3), "{}{}", said.printed, said.error);
    assert!(said.printed.starts_with("shop/shop-orders:\n  ~ StatefulSet shop-orders\n"), "{}", said.printed);
    assert!(said.printed.ends_with("1 cluster: 1 changes, no pod restarts\n"), "{}", said.printed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_alone_is_compared_with_the_same_pipeline() {
    let bench = Bench::new(&world(), Vec::new()).await;
    let changed = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"docker_image": "example.com/spilo:2"}});
    bench.file("then.yaml", &changed);
    let said = bench.run(&["diff", "-A", "--config-then", "then.yaml"]).await;
    assert_eq!(said.code, Some(4), "{}{}", said.printed, said.error);
    for line in ["other/shop-stock:", "shop/shop-orders:", "\"example.com/spilo:1\" -> \"example.com/spilo:2\""] {
        assert!(said.printed.contains(line), "{line}: {}", said.printed);
    }
}

/// A pipeline of the shipped steps and of one with a scripted component.
fn with_script(bench: &Bench, name: &str, script: &Script, on_failure: &str) -> String {
    let mut document = shipped();
    let component = format!("{name}.wasm");
    let folder = bench.folder.path().join("plugins");
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(plugins()).unwrap().map(|entry| entry.unwrap()) {
        std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    std::fs::write(folder.join(&component), script.component()).unwrap();
    let step = json!({
        "name": name, "source": {"file": component}, "grants": script.grants(), "onFailure": on_failure,
    });
    document["spec"]["steps"].as_array_mut().unwrap().push(step);
    bench.file(&format!("plugins/{name}.yaml"), &document);
    format!("plugins/{name}.yaml")
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_resources_are_merged_by_the_schemas_of_the_api_server() {
    // Its path names no namespace, so it is not one of a namespace.
    let answer = json!({"$ref": "#/components/schemas/com.example.v1.Monitor"});
    let published = json!({
        "paths": {"/apis/example.com/v1/monitors/{name}": {"patch": {
            "requestBody": {"content": {"application/apply-patch+yaml": {}}},
            "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
            "x-kubernetes-group-version-kind": {"group": "example.com", "version": "v1", "kind": "Monitor"},
        }}},
        "components": {"schemas": {
            "com.example.v1.Monitor": {"type": "object", "properties": {"spec": {"type": "object"}}},
            "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object"},
        }},
    });
    let script = Script::new("monitor").creates("example.com/v1 Monitor", &["{cluster}"]).applies(&json!({
        "apiVersion": "example.com/v1", "kind": "Monitor", "metadata": {"name": "{cluster}"}, "spec": {"a": 1},
    }));
    let schemas = [("example.com/v1".to_owned(), published)];
    for (schemas, expected) in [
        (&[][..], "  + Monitor shop-orders, by monitor"),
        (&schemas, "would be held, the new pipeline refuses it: step monitor (monitor 0.1.0): merge failed"),
    ] {
        let bench = Bench::with(|state| state.schemas = schemas.iter().cloned().collect(), &world()).await;
        let new = with_script(&bench, "monitor", &script, "hold");
        let said = bench.run_alone(&["diff", "--pipeline", &new, "--plugins-now", "plugins"]).await;
        assert!(said.printed.contains(expected), "{expected}: {}{}", said.printed, said.error);
    }
}

/// Where the answers for `shop-orders` are kept: the stand-in gives the third object of [`world`] this uid.
const KEPT: &str = "pgloom-last-00000000-0000-4000-8000-000000000003";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_step_answered_last_is_used_where_it_fails() {
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop-orders-note"}, "data": {"a": "b"}});
    let answer = Response { contributions: vec![Contribution::Apply(object.to_string())], ..Response::default() };
    let answers = json!({"note": answer}).to_string();
    let kept = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": KEPT, "namespace": "pgloom-system"},
        "data": {"answers.json": answers},
    });
    // A text that is no object is refused.
    let script = Script::new("note").creates("v1 ConfigMap", &["{cluster}-note"]).contributes("broken");
    let objects = [world(), vec![kept]].concat();
    for (objects, expected) in
        [(&world(), "the API server: shop-orders: step note"), (&objects, "data.a: \"b\": step note")]
    {
        let bench = Bench::new(objects, Vec::new()).await;
        let pipeline = with_script(&bench, "note", &script, "keepLast");
        let said = bench.run_alone(&["explain", "ConfigMap/shop-orders-note", "--pipeline", &pipeline]).await;
        assert!(format!("{}{}", said.printed, said.error).contains(expected), "{}{}", said.printed, said.error);
    }
    let bench = Bench::new(&objects, may_not("get", "configmaps", "")).await;
    bench.file("config.yaml", &json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {}}));
    let pipeline = with_script(&bench, "note", &script, "keepLast");
    let said = bench
        .run_alone(&["diff", "--pipeline", &pipeline, "--plugins-now", "plugins", "--config", "config.yaml"])
        .await;
    let left_out = format!("warning: ConfigMap pgloom-system/{KEPT} cannot be read");
    assert!(said.error.contains(&left_out), "{}{}", said.printed, said.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_configuration_is_read_by_its_name() {
    let own = json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "OperatorConfiguration",
        "metadata": {"name": "typed", "namespace": "pgloom-system"},
        "configuration": {"docker_image": "example.com/spilo:typed"},
    });
    let bench = Bench::new(&[world(), vec![own]].concat(), Vec::new()).await;
    let explained = ["explain", "StatefulSet/shop-orders", ".spec.template.spec.containers[0].image"];
    let said = bench.run(&[&explained[..], &["--config-object", "typed"]].concat()).await;
    assert!(said.code == Some(0) && said.printed.contains("example.com/spilo:typed"), "{}{}", said.printed, said.error);
    let said = bench.run(&[&explained[..], &["--config-map", "absent"]].concat()).await;
    assert!(
        said.error.contains("there is no ConfigMap pgloom-system/absent; name the configuration"),
        "{}",
        said.error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_gets_a_sentence() {
    let explained = ["explain", "StatefulSet/shop-orders", ".spec.replicas"];
    let bench = Bench::new(&world(), may_not("list", "secrets", "")).await;
    let said = bench.run(&explained).await;
    let sentence =
        "warning: the Secret objects of the namespace shop cannot be read; ask for the right to list that kind";
    assert!(said.error.contains(sentence) && said.error.contains("decided as if there were none"), "{}", said.error);
    assert!(said.code == Some(0) && said.printed.contains("spec.replicas: 2: step spilo"), "{}", said.printed);
    for (resource, group, sentence) in [
        (
            "postgresqls",
            "acid.zalan.do",
            "the postgresql objects of the namespace shop cannot be read; ask for the right",
        ),
        ("pipelines", "pgloom.dev", "the pipeline in use is not known; name it with a file: the Pipeline objects of "),
    ] {
        let bench = Bench::new(&world(), may_not("list", resource, group)).await;
        let said = bench.run(&explained).await;
        assert!(said.code == Some(1) && said.error.contains(sentence), "{}", said.error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_in_a_file_of_the_operator_and_other_components_get_a_sentence() {
    let explained = ["explain", "StatefulSet/shop-orders", ".spec.replicas"];
    let objects = |pipeline: Value| {
        let others = world().into_iter().filter(|object| object["kind"] != "Pipeline");
        others.chain([pipeline]).collect::<Vec<_>>()
    };
    let bench = Bench::new(&objects(pipeline("NotInUse")), Vec::new()).await;
    let named = plugins().join("pipeline.yaml");
    let said = bench.run(&[&explained[..], &["--pipeline", named.to_str().unwrap()]].concat()).await;
    assert!(said.code == Some(0) && !said.error.contains("warning:"), "{}", said.error);
    let said = bench.run(&explained).await;
    let in_file = "no Pipeline object of pgloom-system is in use, so the operator has its pipeline in a file";
    assert!(said.error.contains(in_file) || said.error.contains("give one with --pipeline"), "{}", said.error);
    let mut other = pipeline("Loaded");
    other["status"]["lastLoaded"]["spec"]["steps"][0]["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    let bench = Bench::new(&objects(other), Vec::new()).await;
    let said = bench.run(&explained).await;
    for part in
        ["components of files are in the operator's image", "Pipeline pgloom-system/default", "the pipeline pins"]
    {
        assert!(said.code == Some(1) && said.error.contains(part), "{part}: {}", said.error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_are_for_manifests_in_files_are_refused() {
    let bench = Bench::new(&world(), Vec::new()).await;
    bench.file("observed.yaml", &json!({}));
    let said = bench.run(&["diff", "--pipeline", "new.yaml", "--observed", "observed.yaml"]).await;
    assert!(said.code == Some(2) && said.error.contains("--observed is for manifests in files"), "{}", said.error);
    let said = bench.run(&["diff", "-A", "manifest.yaml"]).await;
    assert!(said.code == Some(2) && said.error.contains("cannot be used with"), "{}", said.error);
    let said = bench.run(&["diff", "-n", "empty"]).await;
    assert!(said.error.contains("there is no postgresql in the namespace empty; check --namespace"), "{}", said.error);
}
