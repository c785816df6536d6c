//! The recipes of plugins/kit/COOKBOOK.md as components: built outside the repository, decided with the grants of their
//! steps, and proven. `UPDATE=1` rewrites what each gives.

use std::path::Path;

use serde_json::{Value, json};

use super::outside::{Outside, repository, target};

/// The folder of the recipes: NAME.rs, its step NAME.yaml, and what it gives NAME.txt.
fn folder() -> std::path::PathBuf {
    repository("plugins/kit/tests/cookbook")
}

fn names() -> Vec<String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.filter_map(|file| file.strip_suffix(".rs").map(str::to_owned)).collect();
    names.sort();
    names
}

fn read(path: &Path) -> Value {
    serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The shipped pipeline with these steps behind its own.
fn with(steps: &[Value]) -> String {
    let mut pipeline = read(&repository("dist/plugins/pipeline.yaml"));
    pipeline["spec"]["steps"].as_array_mut().unwrap().extend_from_slice(steps);
    pipeline.to_string()
}

impl Outside {
    /// Builds every recipe, each an example of one crate, to the folder `plugins`, beside the shipped plugins.
    fn build_recipes(&self) {
        self.good("", &["new", "cookbook", "--sdk", repository(".").to_str().unwrap()]);
        std::fs::write(self.path("cookbook/src/lib.rs"), "").unwrap();
        let mut manifest = std::fs::read_to_string(self.path("cookbook/Cargo.toml")).unwrap();
        for name in names() {
            let (example, path) = (name.replace('-', "_"), folder().join(format!("{name}.rs")).canonicalize().unwrap());
            manifest += &format!("\n[[example]]\nname = \"{example}\"\npath = {path:?}\ncrate-type = [\"cdylib\"]\n");
        }
        std::fs::write(self.path("cookbook/Cargo.toml"), manifest).unwrap();
        let mut cargo = self.command("cargo", "cookbook");
        let built = cargo.args(["build", "--release", "--target", "wasm32-unknown-unknown", "--examples"]).output();
        let built = built.unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let shipped = std::fs::read_dir(repository("dist/plugins")).unwrap().map(|entry| entry.unwrap().path());
        std::fs::create_dir(self.path("plugins")).unwrap();
        for file in shipped.filter(|path| path.is_file()) {
            std::fs::copy(&file, self.path("plugins").join(file.file_name().unwrap())).unwrap();
        }
        for name in names() {
            let module = format!("wasm32-unknown-unknown/release/examples/{}.wasm", name.replace('-', "_"));
            let component = format!("plugins/{name}.wasm");
            self.good("", &["build", target().join(module).to_str().unwrap(), "--output", &component]);
        }
    }

    /// The exit code of a command, what it prints, and its errors.
    fn result(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.binary("", arguments).output().unwrap();
        let [printed, said] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code(), printed, said)
    }

    /// What a recipe would change of the cluster of its manifest.
    fn gives(&self, name: &str) -> String {
        std::fs::write(self.path("plugins/new.yaml"), with(&[read(&folder().join(format!("{name}.yaml")))])).unwrap();
        let own = folder().join(format!("manifest-{name}.yaml"));
        let manifest = if own.exists() { own } else { folder().join("manifest.yaml") };
        let (code, printed, said) = self.result(&[
            "diff",
            "--pipeline-now",
            "plugins/pipeline.yaml",
            "--pipeline",
            "plugins/new.yaml",
            "--config",
            "configuration.yaml",
            manifest.to_str().unwrap(),
        ]);
        assert!(matches!(code, Some(3..=5)), "{name}: {printed}{said}");
        printed
    }
}

#[test]
fn every_recipe_is_built_decided_with_the_grants_of_its_step_and_proven() {
    let outside = super::new_outside();
    outside.build_recipes();
    let configuration = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "data": {"logical_backup_s3_secret_access_key": "s3cret"},
    });
    std::fs::write(outside.path("configuration.yaml"), configuration.to_string()).unwrap();
    // The corpus has no cluster with the credential.
    let manifest = std::fs::read_to_string(folder().join("manifest.yaml")).unwrap();
    std::fs::write(outside.path("case.yaml"), format!("{manifest}---\n{configuration}\n")).unwrap();
    let (mut steps, mut problems) = (Vec::new(), Vec::new());
    for name in names() {
        let (given, expected) = (outside.gives(&name), folder().join(format!("{name}.txt")));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &given).unwrap();
        }
        if given != std::fs::read_to_string(&expected).unwrap_or_default() {
            problems.push(format!("{}: is not what the recipe gives: {given}", expected.display()));
        }
        assert!(!given.contains("s3cret"), "{given}");

        let component = format!("plugins/{name}.wasm");
        let checks = ["--pipeline", "plugins/pipeline.yaml", "--case", "case.yaml"];
        let (code, printed, said) = outside.result(&[&["conformance", &component][..], &checks].concat());
        if code != Some(0) {
            problems.push(format!("{printed}{said}"));
        }
        steps.push(read(&folder().join(format!("{name}.yaml"))));
    }
    assert!(problems.is_empty() && steps.len() == 7, "{}", problems.join("\n"));
    std::fs::write(outside.path("plugins/all.yaml"), with(&steps)).unwrap();
    let manifest = folder().join("manifest.yaml");
    let all = ["render", "--pipeline", "plugins/all.yaml", "--config", "configuration.yaml"];
    let (code, printed, said) = outside.result(&[&all[..], &[manifest.to_str().unwrap()]].concat());
    assert_eq!(code, Some(0), "{printed}{said}");
    for object in ["kind: NetworkPolicy", "kind: ServiceMonitor", "name: vault-acid-orders", "example.com/owner"] {
        assert!(printed.contains(object), "{object}: {printed}");
    }
}
