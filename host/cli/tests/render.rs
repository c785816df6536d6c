//! `pgloom render`: its output; invalid input gives exit code 1, an empty standard output, and a message with place and
//! remedy.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use conformance::script::Script;
use tempfile::TempDir;

const MINIMAL: &str = include_str!("../../../manifests/examples/minimal.yaml");

/// A folder with files, and the plugins of the repository.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A pipeline with one step, and the component `it.wasm` in the same folder.
    fn pipeline(&self, component: Option<&[u8]>, more: &str) -> PathBuf {
        if let Some(component) = component {
            self.file("it.wasm", component);
        }
        let step = format!("{{name: it, source: {{file: it.wasm}}{more}}}");
        let document = format!(
            "apiVersion: pgloom.dev/v1alpha1\nkind: Pipeline\nmetadata: {{name: it}}\nspec: {{steps: [{step}]}}\n"
        );
        self.file("pipeline.yaml", document)
    }

    fn render(&self, arguments: &[&Path]) -> Output {
        let shipped = plugins().join("pipeline.yaml");
        let own = arguments.iter().any(|argument| *argument == Path::new("--pipeline"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgloom"));
        command.arg("render").env("XDG_CACHE_HOME", self.folder.path());
        if !own {
            command.arg("--pipeline").arg(shipped);
        }
        command.args(arguments).output().unwrap()
    }

    /// The message about invalid input.
    fn refused(&self, arguments: &[&Path]) -> String {
        let output = self.render(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
        said
    }
}

fn plugins() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/plugins");
    assert!(folder.join("spilo.wasm").exists(), "there are no plugins; build them: make plugins");
    folder
}

fn flag(text: &str) -> &Path {
    Path::new(text)
}

#[test]
fn a_manifest_that_cannot_be_used_is_named_with_its_field_and_the_remedy() {
    let bench = Bench::new();
    for (change, to, expected) in [
        (
            "acid-minimal-cluster",
            "other-cluster",
            "metadata.name: name must match {TEAM}-{NAME} format; call it acid-other-cluster",
        ),
        (
            "numberOfInstances",
            "numberOfInstance",
            "spec.numberOfInstance: this field does not exist; did you mean numberOfInstances?",
        ),
        ("    version: \"15\"\n", "    parameters: {}\n", "spec.postgresql.version: is missing; add it"),
        (
            "size: 1Gi",
            "size: 1Gx",
            "spec.volume.size: \"1Gx\" is not of the form that is allowed here; write it as in 5Gi",
        ),
        ("kind: postgresql", "kind: Pod", "kind: is \"Pod\", not postgresql; write kind: postgresql"),
        ("- createdb", "- createdbs", "user flag \"CREATEDBS\" is not valid; use superuser"),
        ("- createdb", "- nosuperuser", "conflicting user flags"),
        (
            "spec:",
            "spec:\n  sidecars: [{name: a}]",
            "spec.sidecars[0].image: is missing; add it, as in quay.io/exporter:1",
        ),
    ] {
        assert!(MINIMAL.contains(change), "{change}");
        let said = bench.refused(&[&bench.file("manifest.yaml", MINIMAL.replace(change, to))]);
        assert!(said.contains("manifest.yaml: ") && said.contains(expected), "{said}");
    }
}

#[test]
fn what_is_no_manifest_at_all_is_named_with_its_file() {
    let bench = Bench::new();
    for (content, expected) in [
        (&b"a: [1, 2\nb: }"[..], "manifest.yaml: line 2, column 2: is not YAML"),
        (b"# nothing\n", "manifest.yaml: there is no document; give at least one object"),
        (b"hello\n", "manifest.yaml: is not a Kubernetes object; start it with apiVersion"),
        (b"\xff\xfe", "manifest.yaml: not UTF-8; check the content"),
    ] {
        let said = bench.refused(&[&bench.file("manifest.yaml", content)]);
        assert!(said.contains(expected), "{said}");
    }
    let said = bench.refused(&[&bench.folder.path().join("nowhere.yaml")]);
    assert!(said.contains("nowhere.yaml: cannot be read; check the path"), "{said}");
}

#[test]
fn one_bad_manifest_of_many_prints_nothing_of_the_others() {
    let bench = Bench::new();
    let (good, bad) = (bench.file("good.yaml", MINIMAL), bench.file("bad.yaml", MINIMAL.replace("1Gi", "large")));
    assert!(bench.refused(&[&good, &bad]).contains("bad.yaml: spec.volume.size"));
}

#[test]
fn a_plugin_that_cannot_be_loaded_is_named_with_its_step_and_the_phase() {
    let bench = Bench::new();
    let manifest = bench.file("manifest.yaml", MINIMAL);
    let spilo = std::fs::read(plugins().join("spilo.wasm")).unwrap();
    let pinned = format!(", digest: \"sha256:{}\"", "0".repeat(64));
    for (component, more, expected) in [
        (None, "", "step it: fetch failed: "),
        (Some(&spilo[..spilo.len() / 2]), "", "step it: compile failed: the component cannot be compiled: "),
        (Some(&b"\0asm\x01\0\0\0"[..]), "", "step it: verify failed: the file is a core module, not a component"),
        (Some(&b""[..]), "", "step it: verify failed: the file is not WebAssembly"),
        (Some(&spilo[..]), &pinned[..], "step it: verify failed: the component has digest sha256:"),
        (Some(&spilo[..]), ", confg: {}", "spec.steps[0].confg: this field does not exist; did you mean config?"),
    ] {
        let pipeline = bench.pipeline(component, more);
        let said = bench.refused(&[flag("--pipeline"), &pipeline, &manifest]);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn what_the_configuration_forbids_is_refused_and_what_is_wrong_with_it_is_named() {
    let bench = Bench::new();
    let config = |data: &str| bench.file("config.yaml", format!("apiVersion: v1\nkind: ConfigMap\ndata: {data}\n"));
    let sidecar = bench.file("manifest.yaml", MINIMAL.replace("spec:", "spec:\n  sidecars: [{name: a, image: b}]"));
    let said = bench.refused(&[flag("--config"), &config("{enable_sidecars: \"false\"}"), &sidecar]);
    assert!(said.contains("sidecar containers specified but disabled in configuration; set enable_sidecars"), "{said}");
    let said = bench.refused(&[flag("--config"), &config("{max_instances: four}"), &sidecar]);
    assert!(said.contains("config.yaml: data.max_instances: "), "{said}");
}

#[test]
fn a_warning_beside_an_error_of_the_configuration_stays_a_warning() {
    let bench = Bench::new();
    let text = "apiVersion: v1\nkind: ConfigMap\ndata: {nosuch: x, min_instances: abc, max_instances: abc}\n";
    let said = bench.refused(&[flag("--config"), &bench.file("config.yaml", text), &bench.file("a.yaml", MINIMAL)]);
    let severity = |key: &str| said.lines().find(|line| line.contains(key)).unwrap().split(':').next().unwrap();
    assert_eq!(["nosuch", "min_instances", "max_instances"].map(severity), ["warning", "error", "error"], "{said}");
}

#[test]
fn existing_objects_in_another_namespace_than_the_manifest_are_named() {
    let bench = Bench::new();
    let observed = "apiVersion: v1\nkind: Service\nmetadata: {name: acid-minimal-cluster, namespace: shop, labels: {application: spilo, cluster-name: acid-minimal-cluster}}\n";
    let (observed, manifest) = (bench.file("observed.yaml", observed), bench.file("a.yaml", MINIMAL));
    let said = |more: &[&Path]| {
        let flags = [&[flag("--observed"), &observed][..], more, &[&manifest]].concat();
        String::from_utf8(bench.render(&flags).stderr).unwrap()
    };
    let elsewhere = said(&[]);
    assert!(elsewhere.contains("no object of acid-minimal-cluster in the namespace default is among"), "{elsewhere}");
    assert!(elsewhere.contains("which are in shop; name the namespace with --namespace"), "{elsewhere}");
    assert!(!said(&[flag("--namespace"), Path::new("shop")]).contains("is among"));
}

#[test]
fn existing_objects_bring_infrastructure_roles_and_no_password_is_printed() {
    let bench = Bench::new();
    let config = bench.file(
        "config.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it, namespace: own}\ndata: {infrastructure_roles_secret_name: roles}\n",
    );
    let observed = bench.file(
        "observed.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: roles, namespace: own}\nstringData: {user1: ada, password1: hunter2}\n",
    );
    let manifest = bench.file("manifest.yaml", MINIMAL);
    let output = bench.render(&[flag("--config"), &config, flag("--observed"), &observed, &manifest]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("name: ada.acid-minimal-cluster.credentials"), "{printed}");
    assert!(!printed.contains("hunter2") && !printed.contains("aHVudGVyMg=="));
    let elsewhere = bench.render(&[flag("--observed"), &observed, &manifest]);
    assert!(!String::from_utf8(elsewhere.stdout).unwrap().contains("name: ada."));
}

#[test]
fn a_credential_of_the_operator_is_not_opened_by_an_existing_object() {
    let bench = Bench::new();
    let config = bench.file(
        "config.yaml",
        "apiVersion: v1\nkind: ConfigMap\ndata: {pod_environment_configmap: env, scalyr_api_key: hunter2}\n",
    );
    let observed = bench.file(
        "observed.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: env}\ndata: {KEY: \"pgloom-placeholder:config:scalyr_api_key\"}\n",
    );
    let said = bench.refused(&[
        flag("--config"),
        &config,
        flag("--observed"),
        &observed,
        &bench.file("manifest.yaml", MINIMAL),
    ]);
    assert!(said.contains("ConfigMap env data.KEY: ") && !said.contains("hunter2"), "{said}");
}

#[test]
fn what_a_plugin_logs_is_one_line_with_its_step_and_version_and_begins_no_other_line() {
    let bench = Bench::new();
    let forged = "a\n2026-01-01T00:00:00Z ERROR cluster{name=other}: forged\r\nb";
    let talkative = Script::new("talkative").acts("log", (forged, "", 2, "")).component();
    let pipeline = bench.pipeline(Some(&talkative), "");
    let manifest = bench.file("manifest.yaml", MINIMAL);
    for format in ["text", "json"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgloom"));
        command.args(["render", "--log", "info", "--log-format", format, "--pipeline"]).arg(&pipeline).arg(&manifest);
        let output = command.env("XDG_CACHE_HOME", bench.folder.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let (of_plugin, others): (Vec<&str>, Vec<&str>) = said.lines().partition(|line| line.contains("forged"));
        assert_eq!(of_plugin.len(), 2, "{said}");
        let step = match format {
            "text" => "plugin{step=it version=0.1.0}",
            _ => r#""name":"plugin","step":"it","version":"0.1.0""#,
        };
        let fields = |line: &str| line.replace(r#""step":"it","version":"0.1.0","name":"plugin""#, step);
        for line in of_plugin {
            assert!(!line.starts_with("2026-01-01T00") && fields(line).contains(step), "{line}");
        }
        assert!(!others.iter().any(|line| *line == "b" || line.starts_with("2026-01-01T00")), "{said}");
    }
}

#[test]
fn objects_of_other_kinds_beside_the_manifest_are_left_out_with_a_word() {
    let bench = Bench::new();
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\n";
    let alone = bench.render(&[&bench.file("alone.yaml", MINIMAL)]);
    for text in [
        format!("{secret}---\n{MINIMAL}"),
        format!("\u{feff}{MINIMAL}---\n# nothing\n---\n{secret}"),
        format!(
            "apiVersion: v1\nkind: List\nitems:\n- {{kind: Secret, metadata: {{name: keys}}}}\n- {}",
            MINIMAL
                .split_once("apiVersion")
                .map(|(_, rest)| format!("apiVersion{rest}"))
                .unwrap()
                .replace('\n', "\n  ")
        ),
    ] {
        let output = bench.render(&[&bench.file("several.yaml", text)]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.contains("Secret keys is no postgresql, and is left out"), "{said}");
        assert_eq!(output.stdout, alone.stdout);
    }
    let said = bench.refused(&[&bench.file("secret.yaml", secret)]);
    assert!(said.contains("kind: is \"Secret\", not postgresql"), "{said}");
}

#[test]
fn a_configuration_is_found_among_other_objects() {
    let bench = Bench::new();
    let manifest = bench.file("manifest.yaml", MINIMAL);
    let configuration = "apiVersion: v1\nkind: ConfigMap\ndata: {docker_image: 'mine:1'}\n";
    let config = bench.file("config.yaml", format!("kind: Namespace\nmetadata: {{name: a}}\n---\n{configuration}"));
    let output = bench.render(&[flag("--config"), &config, &manifest]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("image: mine:1"));
    let two = bench.file("two.yaml", format!("{configuration}---\n{configuration}"));
    let said = bench.refused(&[flag("--config"), &two, &manifest]);
    assert!(said.contains("has several documents, and not one operator configuration"), "{said}");
}
