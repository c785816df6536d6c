//! The API server accepts every example manifest and every object that is rendered from it.

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{has_cluster, kubectl_with, namespace};

#[test]
fn every_example_and_what_is_rendered_from_it_is_accepted() {
    if !has_cluster("examples") {
        return;
    }
    let namespace = namespace("examples");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut refused = Vec::new();
    let examples = examples(&root.join("manifests/examples"));
    assert!(!examples.is_empty());
    for example in &examples {
        let name = example.file_name().unwrap().to_string_lossy();
        let mut accept = |what: &str, text: &str| {
            let arguments = ["apply", "--server-side", "--dry-run=server", "--filename", "-"];
            if let Err(reason) = kubectl_with(&arguments, text) {
                refused.push(format!("{name}, {what}: {reason}"));
            }
        };
        let manifest = std::fs::read_to_string(example).unwrap();
        accept("the manifest", &manifest);
        // The others are Secrets and ConfigMaps that manifests refer to.
        if manifest.contains("kind: postgresql\n") {
            accept("what is rendered", &render(&root, example, &namespace.name));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

fn render(root: &Path, manifest: &Path, namespace: &str) -> String {
    let output = Command::new(root.join("dist/pgloom"))
        .args(["render", "--namespace", namespace, "--config"])
        .arg(root.join("manifests/configuration.yaml"))
        .arg(manifest)
        .output()
        .expect("dist/pgloom runs; `make build` makes it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn examples(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}
