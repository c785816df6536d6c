//! What a plugin is asked for a cluster that runs: recorded without a secret value, and replayed by the plugin's tests.

use conformance::canary::Canary;
use e2e::{Namespace, has_cluster, kubeconfig, minimal, namespace};
use serde_json::{Value, json};

use super::outside::{Outside, repository};

const CLUSTER: &str = "acid-noted";
/// The value of a variable of the manifest.
const TOKEN: &str = "t0ken-of-the-manifest";

#[test]
fn a_cluster_that_runs_is_recorded_without_secrets_and_replayed() {
    if !has_cluster("record") {
        return;
    }
    let namespace = namespace("record");
    let mut manifest = minimal(CLUSTER, 1);
    manifest["metadata"]["annotations"] = json!({"example.com/motto": "on time"});
    manifest["spec"]["env"] = json!([{"name": "TOKEN", "value": TOKEN}]);
    namespace.apply(&manifest);
    namespace.running(CLUSTER);

    let outside = Outside::new(repository("dist/pgloom").canonicalize().unwrap());
    outside.pgloom("", &["plugin", "new", "motto", "--sdk", &repository(".").display().to_string()]);
    outside.pgloom("motto", &["plugin", "build"]);
    let record = |plugin: &str, output: &str| {
        let kubeconfig = kubeconfig();
        let flags = ["--namespace", &namespace.name, "--kubeconfig", kubeconfig.to_str().unwrap()];
        let shipped = repository("dist/plugins/pipeline.yaml");
        let files = ["--plugin", plugin, "--output", output, "--pipeline", shipped.to_str().unwrap()];
        outside.pgloom("motto", &[&["record", CLUSTER][..], &flags, &files].concat());
        read(&outside, &format!("motto/{output}"))
    };
    let recorded = record("dist/motto.wasm", "golden/recorded");
    // This one reads existing objects and the whole of the configuration that it uses.
    let spilo = repository("dist/plugins/spilo.wasm");
    let recorded = recorded + &record(spilo.to_str().unwrap(), "spilo");
    assert!(recorded.contains("on time") && recorded.contains("kind: StatefulSet"), "{recorded}");
    for canary in canaries(&namespace) {
        assert!(canary.found_in(&recorded).is_empty(), "{} is in the recording", canary.origin);
    }
    for name in [CLUSTER, &namespace.name] {
        assert!(!recorded.contains(name), "{name}: {recorded}");
    }

    outside.pgloom("motto", &["plugin", "test", "--update"]);
    let tested = outside.pgloom("motto", &["plugin", "test"]);
    assert!(tested.contains("golden recorded ... ok") && tested.contains("3 passed; 0 failed"), "{tested}");
    let expected = std::fs::read_to_string(outside.path("motto/golden/recorded/expected.yaml")).unwrap();
    assert!(expected.contains("text: on time"), "{expected}");
}

/// The texts of all files of a folder.
fn read(outside: &Outside, folder: &str) -> String {
    let entries = std::fs::read_dir(outside.path(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Every value of the Secrets of the namespace that is not a name, and that of the variable.
fn canaries(namespace: &Namespace) -> Vec<Canary> {
    let secrets: Value =
        serde_json::from_str(&namespace.kubectl(&["get", "secrets", "--output", "json"]).unwrap()).unwrap();
    let passwords = secrets["items"].as_array().unwrap().iter().filter_map(|secret| {
        let password = secret["data"]["password"].as_str()?;
        Some(Canary::new(format!("the Secret {}", secret["metadata"]["name"]), e2e::decoded(password)))
    });
    let canaries: Vec<Canary> = passwords.chain([Canary::new("the variable TOKEN", TOKEN)]).collect();
    assert!(canaries.len() > 3, "the cluster has Secrets");
    canaries
}
