//! `pgloom explain`, `pgloom diff` and `pgloom render --explain-steps`, with the shipped plugins.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const MINIMAL: &str = include_str!("../../../manifests/examples/minimal.yaml");

/// A folder with the manifest `minimal.yaml`.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        bench.file("minimal.yaml", MINIMAL);
        bench
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The shipped pipeline, changed.
    fn pipeline(&self, change: impl FnOnce(String) -> String) -> PathBuf {
        let shipped = std::fs::read_to_string(plugins().join("pipeline.yaml")).unwrap();
        self.file("new.yaml", &change(shipped))
    }

    fn run(&self, command: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut process = Command::new(env!("CARGO_BIN_EXE_pgloom"));
        process.arg(command).current_dir(self.0.path()).env("XDG_CACHE_HOME", cache());
        let shipped = plugins().join("pipeline.yaml");
        process.env("PGLOOM_PLUGINS", plugins()).env("PGLOOM_PIPELINE", &shipped).args(arguments);
        if command == "diff" {
            process.arg("--pipeline-now").arg(shipped);
        }
        let Output { status, stdout, stderr } = process.output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }
}

fn plugins() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/plugins");
    assert!(folder.join("spilo.wasm").exists(), "there are no plugins; build them: make plugins");
    folder.canonicalize().unwrap()
}

/// The compiled code is the same for all tests.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("see")
}

#[test]
fn the_steps_are_explained_on_standard_error_and_the_objects_stay_as_they_are() {
    let bench = Bench::new();
    let (_, plain, _) = bench.run("render", &["minimal.yaml"]);
    let (code, objects, said) = bench.run("render", &["--explain-steps", "minimal.yaml"]);
    assert_eq!((code, objects), (Some(0), plain), "{said}");
    for line in [
        "steps of default/acid-minimal-cluster:",
        "creates StatefulSet acid-minimal-cluster: ",
        "tls 0.1.0: not called, the plugin is not asked for: spec.tls.secretName of the manifest has no value",
        "patches 0.1.0: called, fuel ",
        ": it contributed nothing",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn a_pipeline_that_is_named_by_its_file_alone_has_its_components_beside_it() {
    let bench = Bench::new();
    for entry in std::fs::read_dir(plugins()).unwrap().map(|entry| entry.unwrap()) {
        std::fs::copy(entry.path(), bench.0.path().join(entry.file_name())).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgloom"));
    command.current_dir(bench.0.path()).env("XDG_CACHE_HOME", cache()).env_remove("PGLOOM_PLUGINS");
    let output = command.args(["render", "--pipeline", "pipeline.yaml", "minimal.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_step_for_another_namespace_says_which_rule_does_not_hold() {
    let bench = Bench::new();
    let with_match = |text: String| text + "    match: {namespaces: [shop]}\n";
    let pipeline = bench.pipeline(with_match);
    let (_, _, said) =
        bench.run("render", &["--pipeline", pipeline.to_str().unwrap(), "--explain-steps", "minimal.yaml"]);
    let line = "patches 0.1.0: not called, the step is for other clusters: match.namespaces has only shop";
    assert!(said.contains(line), "{said}");
}

#[test]
fn a_field_is_explained_by_its_step_and_by_what_it_depends_on() {
    let bench = Bench::new();
    let explain = |path: &str| {
        let (code, text, said) =
            bench.run("explain", &["-f", "minimal.yaml", "StatefulSet/acid-minimal-cluster", path]);
        assert_eq!(code, Some(0), "{said}");
        text
    };
    let text = explain(".spec.replicas");
    assert!(text.contains("  spec.replicas: 2: step spilo\n"), "{text}");
    assert!(text.contains("  spec.numberOfInstances of the manifest: "), "{text}");
    assert!(text.contains("  step spilo: plugin spilo 0.1.0, sha256:"), "{text}");
    let tested = "\nNot tested, because the manifest is invalid without them: spec.postgresql, spec.teamId, ";
    assert!(text.contains(tested), "{text}");
    let text = explain(".spec.template.spec.containers[0].image");
    assert!(text.contains("containers[name=postgres].image"), "{text}");
    assert!(text.contains("  docker_image of the operator configuration: with another value it is "), "{text}");
    let text = explain("");
    assert!(text.contains("\nIts existence depends on:\n") && !text.contains("\nDepends on:\n"), "{text}");
    let hint = "Only the existence of the object is explained here. For a value, name its field: pgloom explain … ";
    let (_, field) = text.split_once(hint).unwrap();
    let (object, path) = field.lines().next().unwrap().split_once(' ').unwrap();
    assert_eq!(object, "StatefulSet/acid-minimal-cluster");
    assert!(explain(path.trim_matches('\'')).contains("\nDepends on:\n"));
}

#[test]
fn an_object_or_field_that_does_not_exist_is_named_with_those_that_do() {
    let bench = Bench::new();
    for (object, path, expected) in [
        ("Service/other", "", "the cluster has no Service other; it has "),
        (
            "StatefulSet/acid-minimal-cluster",
            "spec.nothing",
            "StatefulSet acid-minimal-cluster has no field spec.nothing",
        ),
    ] {
        let (code, text, said) = bench.run("explain", &["-f", "minimal.yaml", object, path]);
        assert_eq!((code, text.as_str()), (Some(1), ""));
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn without_an_api_server_the_commands_say_how_one_is_named() {
    let bench = Bench::new();
    let not_found =
        "error: no API server found: neither $KUBECONFIG nor ~/.kube/config leads to one; give --kubeconfig";
    let spilo = plugins().join("spilo.wasm");
    for (arguments, manifest) in [
        (&["explain", "StatefulSet/acid-minimal-cluster"][..], ", or name a manifest"),
        (&["diff"], ", or name a manifest"),
        (&["record", "acid-orders", "--output", "golden", "--plugin", spilo.to_str().unwrap()], ""),
    ] {
        let said = |kubeconfig: &Path| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_pgloom"));
            command.current_dir(bench.0.path()).env("XDG_CACHE_HOME", cache()).env("HOME", bench.0.path());
            command.env("PGLOOM_PIPELINE", plugins().join("pipeline.yaml")).env("KUBECONFIG", kubeconfig);
            let output = command.args(arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            String::from_utf8(output.stderr).unwrap()
        };
        for nowhere in ["", "absent"].map(|path| said(Path::new(path))) {
            assert!(nowhere.ends_with(&format!("{not_found}{manifest}\n")), "{nowhere}");
        }
        let broken = said(&bench.file("broken", "a: [b"));
        assert!(broken.contains("error: the kubeconfig cannot be used: ") && broken.contains("mend it"), "{broken}");
    }
}

#[test]
fn an_api_server_that_does_not_answer_gets_a_sentence_from_every_command_that_needs_one() {
    let bench = Bench::new();
    let kubeconfig = |address: &str| {
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: it, contexts: [{{name: it, context: {{cluster: it, user: \
             it}}}}], clusters: [{{name: it, cluster: {{server: \"http://{address}\"}}}}], users: [{{name: it, user: {{}}}}]}}"
        );
        bench.file("kubeconfig", &text)
    };
    let spilo = plugins().join("spilo.wasm");
    let spilo = spilo.to_str().unwrap();
    let page = page();
    for (address, sentence) in [
        ("127.0.0.1:1", "error: the API server 127.0.0.1:1 cannot be reached: "),
        (&page, "does not answer as an API server: "),
    ] {
        let kubeconfig = kubeconfig(address);
        for arguments in [
            &["explain", "StatefulSet/a"][..],
            &["diff"],
            &["connect", "a", "--port", "0"],
            &["record", "a", "--output", "golden", "--plugin", spilo],
        ] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_pgloom"));
            command.current_dir(bench.0.path()).env("XDG_CACHE_HOME", cache()).args(arguments);
            command.env("PGLOOM_PIPELINE", plugins().join("pipeline.yaml")).arg("--kubeconfig").arg(&kubeconfig);
            let output = command.output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
            assert!(said.contains(sentence) && said.contains("; check "), "{arguments:?}: {said}");
            assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        }
    }
}

/// The address of a server that answers every request with a page.
fn page() -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // A request without a body fits.
            _ = stream.read(&mut [0; 8192]);
            _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>");
        }
    });
    address
}

#[test]
fn a_manifest_that_names_no_cluster_is_named_by_diff_as_by_render() {
    let bench = Bench::new();
    bench.file("other.yaml", "apiVersion: acid.zalan.do/v1\nkind: Postgresql\nspec: {}\n");
    bench.file("two.yaml", &format!("{MINIMAL}---\napiVersion: acid.zalan.do/v1\nkind: postgresql\nmetadata: {{}}\n"));
    for (file, place) in [("other.yaml", "other.yaml:\n"), ("two.yaml", "two.yaml: object 2:\n")] {
        let (code, text, said) = bench.run("diff", &[file]);
        assert_eq!(code, Some(1), "{text}{said}");
        let (_, rest) = text.split_once(place).unwrap_or_else(|| panic!("{text}"));
        let (_, _, render) = bench.run("render", &[file]);
        let reason = rest.lines().next().unwrap().trim().strip_prefix("is refused by both pipelines: ").unwrap();
        assert!(render.contains(reason) && !text.contains("/:"), "{text}\n{render}");
    }
}

#[test]
fn the_exit_code_of_diff_says_what_a_pipeline_would_do() {
    let bench = Bench::new();
    let diff = |patch: &str| {
        let pipeline = bench.pipeline(|text| text + patch);
        bench.run("diff", &["--pipeline", pipeline.to_str().unwrap(), "minimal.yaml"])
    };
    let patch = |spec: &str| {
        let apply = format!(
            "{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: acid-minimal-cluster}}, spec: {spec}}}"
        );
        format!("    config: {{patches: [{{apply: {apply}}}]}}\n")
    };
    let (code, text, said) = diff("");
    assert_eq!((code, text.as_str()), (Some(0), "1 cluster: 0 change, no pod restarts\n"), "{said}");
    let (code, text, said) = diff(&patch("{minReadySeconds: 3}"));
    assert_eq!(code, Some(3), "{text}{said}");
    assert!(
        text.contains("  ~ StatefulSet acid-minimal-cluster\n      spec.minReadySeconds: 3, set by patches\n"),
        "{text}"
    );
    let (code, text, said) = diff(&patch("{template: {spec: {affinity: {podAntiAffinity: {}}}}}"));
    assert_eq!(code, Some(4), "{text}{said}");
    let restarts =
        "  RESTARTS 2 pods of the database, StatefulSet acid-minimal-cluster: affinity changes, by patches\n";
    assert!(text.contains(restarts), "{text}");
    let (code, text, said) = diff(&patch("{replicas: 5}"));
    assert_eq!(code, Some(5), "{text}{said}");
    assert!(text.contains("would be held, the new pipeline refuses it: step patches"), "{text}");
}

#[test]
fn diff_lists_members_that_run_something_else_than_either_pipeline_desires() {
    let bench = Bench::new();
    let allowed = "metadata:\n  annotations: {pgloom.dev/adopt-restarts: \"true\"}\n";
    bench.file("minimal.yaml", &MINIMAL.replacen("metadata:\n", allowed, 1));
    let (_, made, said) = bench.run("render", &["minimal.yaml"]);
    let same = bench.file("same.yaml", &made);
    let other = bench
        .file("other.yaml", &made.replace("terminationGracePeriodSeconds: 300", "terminationGracePeriodSeconds: 30"));
    let diff = |observed: &Path| bench.run("diff", &["--observed", observed.to_str().unwrap(), "minimal.yaml"]);
    let (code, text, _) = diff(&same);
    assert_eq!((code, text.as_str()), (Some(0), "1 cluster: 0 change, no pod restarts\n"), "{said}");
    let (code, text, said) = diff(&other);
    let restarts = "default/acid-minimal-cluster:\n  RESTARTS 2 pods of the database, StatefulSet acid-minimal-cluster: \
                    what runs has another terminationGracePeriodSeconds\n1 cluster: 1 changes, 2 pods of 1 cluster restart\n";
    assert_eq!((code, text.as_str()), (Some(4), restarts), "{said}");
}

#[test]
fn diff_answers_programs_as_json_and_compares_configurations() {
    let bench = Bench::new();
    let data = "{docker_image: \"spilo:other\", kubernetes_use_configmaps: \"false\"}";
    let config = bench.file("config.yaml", &format!("{{apiVersion: v1, kind: ConfigMap, data: {data}}}\n"));
    let config = config.to_str().unwrap();
    let (code, text, said) = bench.run("diff", &["--config-then", config, "--output", "json", "minimal.yaml"]);
    assert_eq!(code, Some(4), "{said}");
    assert!(text.contains("\"verdict\": \"restarts\"") && text.contains("\"pods\": 2"), "{text}");
    assert!(text.contains("containers[postgres].image"), "{text}");
}
