//! A plugin outside the repository, by following the tutorial: `new`, `build`, `test`, `bench`, `run`. The crates come from
//! cargo's cache.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Output;

use outside::{Outside, repository, target};

#[path = "plugin_outside/cookbook.rs"]
mod cookbook;
#[path = "plugin_outside/outside.rs"]
mod outside;

/// A home of cargo with the downloaded crates of the user's, so that nothing is left behind there.
fn cargo_home() -> PathBuf {
    let own = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let own = own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"))).unwrap();
    let home = target().join("cargo-home");
    std::fs::create_dir_all(&home).unwrap();
    if !home.join("registry").exists() {
        std::os::unix::fs::symlink(own.join("registry"), home.join("registry")).unwrap();
    }
    home
}

fn new_outside() -> Outside {
    Outside::new(env!("CARGO_BIN_EXE_pgloom"))
}

impl Outside {
    fn run(&self, folder: &str, arguments: &[&str]) -> Output {
        self.binary(folder, &[&["plugin"][..], arguments].concat()).output().unwrap()
    }

    /// What a command about plugins prints.
    fn good(&self, folder: &str, arguments: &[&str]) -> String {
        self.pgloom(folder, &[&["plugin"][..], arguments].concat())
    }

    /// The ClusterRole for a pipeline with the step of a plugin.
    fn rights_of(&self, plugin: &str) -> String {
        let step = std::fs::read_to_string(self.path(plugin).join("step.yaml")).unwrap();
        let step: serde_json::Value = serde_yaml_ng::from_str(&step).unwrap();
        let pipeline = serde_json::json!({
            "apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "default"},
            "spec": {"steps": [step]},
        });
        std::fs::write(self.path("pipeline.yaml"), pipeline.to_string()).unwrap();
        self.pgloom("", &["rbac", "--pipeline", "pipeline.yaml", "--plugins", &format!("{plugin}/dist")])
    }

    /// The error of a command.
    fn bad(&self, folder: &str, arguments: &[&str]) -> String {
        let output = self.run(folder, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {said}");
        assert!(!said.contains("backtrace") && !said.contains("panicked at host"), "{said}");
        said
    }
}

/// The blocks of code in a language, in a text in Markdown.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split_once("```").unwrap().0.trim().to_owned()).collect()
}

#[test]
fn a_plugin_outside_the_repository_is_begun_built_tested_measured_and_rendered() {
    let outside = new_outside();
    let sdk = repository(".");
    let begun = outside.good("", &["new", "cost-labels", "--sdk", sdk.to_str().unwrap()]);
    assert!(begun.contains("cd cost-labels && pgloom plugin build && pgloom plugin test"), "{begun}");

    let built = outside.good("cost-labels", &["build"]);
    assert!(built.contains("cost-labels/dist/cost-labels.wasm: ") && built.contains(", sha256:"), "{built}");

    let tested = outside.good("cost-labels", &["test"]);
    for line in ["golden annotated ... ok", "golden too-long ... ok", "3 passed; 0 failed"] {
        assert!(tested.contains(line), "{line}: {tested}");
    }

    let plugins = repository("dist/plugins");
    assert!(plugins.join("spilo.wasm").exists(), "there are no plugins; build them: make plugins");
    let conformance = ["conformance", "dist/cost-labels.wasm", "--report", "conformance.yaml", "--pipeline"];
    let proven = outside.binary("cost-labels", &conformance).arg(plugins.join("pipeline.yaml")).output().unwrap();
    let printed = String::from_utf8(proven.stdout).unwrap();
    assert!(proven.status.success() && printed.ends_with("cost-labels 0.1.0: passed\n"), "{printed}");
    let report = std::fs::read_to_string(outside.path("cost-labels/conformance.yaml")).unwrap();
    assert!(report.contains("result: passed"), "{report}");

    let rights = outside.rights_of("cost-labels");
    let tutorial = std::fs::read_to_string(repository("plugins/kit/README.md")).unwrap();
    let rule = blocks(tutorial.split_once("## 7. Rights").unwrap().1, "yaml").remove(0).replace("motto", "cost-labels");
    assert!(rule.contains("cost-labels") && rights.contains(&rule), "not in the output:\n{rule}\n{rights}");

    let measured = outside.good("cost-labels", &["bench", "--calls", "3"]);
    let line = measured.lines().find(|line| line.starts_with("annotated")).unwrap();
    let numbers: Vec<u64> = line.split_whitespace().skip(1).map(|number| number.parse().unwrap()).collect();
    assert!(numbers.len() == 4 && numbers[0] > 1000 && numbers[3] > 50, "{measured}");

    let pipeline = plugins.join("pipeline.yaml");
    let manifest = "golden/annotated/manifest.yaml";
    let rendered = outside.good("cost-labels", &["run", "--pipeline", pipeline.to_str().unwrap(), manifest]);
    assert!(rendered.contains("name: acid-orders-cost-labels") && rendered.contains("kind: StatefulSet"), "{rendered}");

    // What the component answers is no longer as expected: the place is named, and `--update` writes it.
    let expected = outside.path("cost-labels/golden/annotated/expected.yaml");
    let text = std::fs::read_to_string(&expected).unwrap();
    std::fs::write(&expected, text.replace("on time", "too late")).unwrap();
    let said = outside.bad("cost-labels", &["test"]);
    assert!(said.contains("golden/annotated/expected.yaml:") && said.contains("the component answers"), "{said}");
    let native = outside.command("cargo", "cost-labels").arg("test").output().unwrap();
    let printed = String::from_utf8(native.stdout).unwrap();
    let problem = "golden/annotated: ConfigMap acid-orders-cost-labels: data.text: expected \"too late\", the native plugin \
                   answers \"on time\"";
    assert!(!native.status.success() && printed.contains(problem), "{printed}");
    outside.good("cost-labels", &["test", "--update"]);
    assert_eq!(std::fs::read_to_string(&expected).unwrap(), text);

    // A permission that is forgotten fails the native test, with the line to add.
    let lib = outside.path("cost-labels/src/lib.rs");
    let source = std::fs::read_to_string(&lib).unwrap();
    let line = r#".creates(kind("v1", "ConfigMap"), &["{cluster}-cost-labels"])"#;
    assert!(source.contains(line));
    std::fs::write(&lib, source.replace(line, "").replace("invalid, kind, register", "invalid, register")).unwrap();
    let output = outside.run("cost-labels", &["test"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains(&format!("add to describe: {line}")), "{printed}");
}

#[test]
fn a_command_whose_reader_has_gone_ends_as_it_would_otherwise() {
    let outside = new_outside();
    outside.good("", &["new", "motto", "--sdk", repository(".").to_str().unwrap()]);
    let closed = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = outside.binary("motto", &[&["plugin"][..], arguments].concat());
        let output = command.stdout(writer).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for arguments in [&["build"][..], &["test"], &["bench", "--calls", "1"]] {
        let (code, said) = closed(arguments);
        assert!(code == Some(0) && !said.contains("panicked") && !said.contains("error"), "{arguments:?}: {said}");
    }
    std::fs::write(outside.path("motto/golden/annotated/expected.yaml"), "{}\n").unwrap();
    let (code, said) = closed(&["test"]);
    assert!(code == Some(1) && said.contains("the component answers") && !said.contains("panicked"), "{said}");
}

#[test]
fn a_plugin_for_wasm32_wasip2_answers_the_same() {
    let outside = new_outside();
    outside.good("", &["new", "punctual", "--sdk", repository(".").to_str().unwrap()]);
    outside.good("punctual", &["build", "--target", "wasm32-wasip2", "--output", "dist/wasip2.wasm"]);
    // The cases are those that the component of the other target answers.
    let tested = outside.good("punctual", &["test", "--target", "wasm32-wasip2"]);
    assert!(tested.contains("golden annotated ... ok") && tested.contains("golden too-long ... ok"), "{tested}");
    let imports = std::fs::read(outside.path("punctual/dist/wasip2.wasm")).unwrap();
    assert!(
        imports.windows(8).any(|bytes| bytes == b"wasi:cli"),
        "it imports WASI, of which the host links an empty one"
    );
    let of_wasip2 = outside.good("punctual", &["inspect", "--grants", "dist/wasip2.wasm"]);
    outside.good("punctual", &["build"]);
    assert_eq!(of_wasip2, outside.good("punctual", &["inspect", "--grants", "dist/punctual.wasm"]));
}

#[test]
fn a_plugin_with_the_sdk_from_a_git_repository_is_checked() {
    let outside = new_outside();
    let sdk = outside.path("sdk");
    // What the SDK consists of, in a repository of its own.
    for file in ["Cargo.toml", "common", "plugins/kit", "wit/0.2"] {
        copy(&repository(file), &sdk.join(file));
    }
    let manifest = std::fs::read_to_string(sdk.join("Cargo.toml")).unwrap();
    let (before, rest) = manifest.split_once("members = [").unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    std::fs::write(sdk.join("Cargo.toml"), format!("{before}members = [\"common\", \"plugins/kit\"]{after}")).unwrap();
    for arguments in [
        &["init", "--quiet"][..],
        &["add", "."],
        &["-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--message", "The SDK"],
    ] {
        let output = outside.command("git", "sdk").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let url = format!("file://{}", sdk.display());
    outside.good("", &["new", "motto", "--sdk", &url]);
    let manifest = std::fs::read_to_string(outside.path("motto/Cargo.toml")).unwrap();
    assert!(manifest.contains(&format!("pgloom-kit = {{ git = \"{url}\" }}")), "{manifest}");
    // Offline, cargo fetches no repository. A crate without dependencies has it fetched, and asks no registry.
    let home = cargo_home();
    std::fs::create_dir_all(outside.path("fetch/src")).unwrap();
    std::fs::write(outside.path("fetch/src/lib.rs"), "").unwrap();
    let fetch = format!(
        "[package]\nname = \"fetch\"\nedition = \"2024\"\n[dependencies]\npgloom-common = {{ git = \"{url}\" }}\n[workspace]\n"
    );
    std::fs::write(outside.path("fetch/Cargo.toml"), fetch).unwrap();
    for (folder, arguments, offline) in [("fetch", &["fetch"][..], "false"), ("motto", &["check", "--tests"], "true")] {
        let mut command = outside.command("cargo", folder);
        let output =
            command.args(arguments).env("CARGO_HOME", &home).env("CARGO_NET_OFFLINE", offline).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_plugin_with_the_sdk_as_it_is_packaged_is_checked() {
    let outside = new_outside();
    let mut package = outside.command("cargo", "");
    package.current_dir(repository(".")).args(["package", "--quiet", "--no-verify", "--allow-dirty"]);
    let output = package.args(["--package", "pgloom-common", "--package", "pgloom-kit"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["pgloom-common", "pgloom-kit"] {
        let archive = target().join(format!("package/{name}-{}.crate", env!("CARGO_PKG_VERSION")));
        let output = outside.command("tar", "").arg("xzf").arg(&archive).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let folder = |name: &str| outside.path(&format!("{name}-{}", env!("CARGO_PKG_VERSION")));
    outside.good("", &["new", "motto", "--sdk", folder("pgloom-kit").to_str().unwrap()]);
    // A package names the other by its version, as if it were in a registry.
    let manifest = outside.path("motto/Cargo.toml");
    let patch = format!("\n[patch.crates-io]\npgloom-common = {{ path = {:?} }}\n", folder("pgloom-common"));
    let with_patch = std::fs::read_to_string(&manifest).unwrap() + &patch;
    std::fs::write(&manifest, with_patch).unwrap();
    let output = outside.command("cargo", "motto").args(["check", "--tests"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Copies a file, or a folder with what is in it; links are followed but for those of a folder.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    if from.is_symlink() {
        std::os::unix::fs::symlink(std::fs::read_link(from).unwrap(), to).unwrap();
    } else if from.is_dir() {
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

#[test]
fn what_cannot_be_begun_is_refused_with_the_remedy() {
    let outside = new_outside();
    let sdk = repository(".");
    let sdk = sdk.to_str().unwrap();
    std::fs::create_dir(outside.path("taken")).unwrap();
    std::fs::write(outside.path("taken/notes.txt"), "mine").unwrap();
    std::fs::create_dir(outside.path("empty")).unwrap();
    for (arguments, expected) in [
        (&["new", "Motto", "--sdk", sdk][..], "\"Motto\" is not a name of a plugin"),
        (&["new", "spilo", "--sdk", sdk], "spilo is the name of a shipped plugin; choose another name"),
        (&["new", "motto"], "add --sdk with a checkout of pgloom"),
        (&["new", "motto", "--sdk", "/nowhere"], "/nowhere: is neither a checkout of pgloom nor"),
        (&["new", "taken", "--sdk", sdk], "taken: exists and is not empty; choose another name"),
        (&["new", "motto", "--sdk", sdk, "--language", "cobol"], "[possible values: rust, python, javascript, go, c]"),
        (&["build", "nowhere"], "nowhere: is not a folder"),
        (
            &["build", "empty"],
            "has none of Cargo.toml, app.py, plugin.js, go.mod, plugin.c; name the folder of a plugin, or begin one: \
             pgloom plugin new NAME",
        ),
        (&["build", "taken/notes.txt"], "add --output"),
        (&["build", "taken/notes.txt", "--output", "it.wasm"], "the file is not WebAssembly"),
    ] {
        let said = outside.bad("", arguments);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert_eq!(std::fs::read_dir(outside.path("taken")).unwrap().count(), 1);
    outside.good("", &["new", "empty", "--sdk", sdk]);
}

#[test]
fn a_plugin_in_another_language_is_begun_and_a_missing_toolchain_is_named() {
    let outside = new_outside();
    for (language, source, missing) in [
        ("python", "app.py", "componentize-py is not installed; in "),
        ("javascript", "plugin.js", "run: npm install"),
        ("go", "plugin.go", "go is not installed; get Go 1.24"),
        ("c", "plugin.c", "clang is not installed; run: apt-get install clang lld wasi-libc"),
    ] {
        let name = format!("cost-labels-{language}");
        let begun = outside.good("", &["new", &name, "--language", language]);
        assert!(begun.contains("&& pgloom plugin build && pgloom plugin test"), "{begun}");
        let folder = outside.path(&name);
        let text = std::fs::read_to_string(folder.join(source)).unwrap();
        assert!(text.contains(&format!("\"{name}\"")) && text.contains(&format!("-{name}")), "{text}");
        let golden = std::fs::read_to_string(folder.join("golden/labelled/expected.yaml")).unwrap();
        assert!(golden.contains(&format!("name: acid-orders-{name}")), "{golden}");

        let mut build = outside.binary(&name, &["plugin", "build"]);
        let output = build.env("PATH", outside.path("no-programs")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains(missing), "{said}");
        assert!(folder.join("dist/wit/world.wit").is_file());

        let said = outside.bad(&name, &["build", "--target", "wasm32-wasip2"]);
        assert!(said.contains("--target is for plugins in Rust, and this one is in "), "{said}");
    }
}

#[test]
fn a_missing_part_of_a_toolchain_is_named() {
    let outside = new_outside();
    for (language, program, script, missing) in [
        (
            "c",
            "bin/clang",
            "echo 'clang: error: unable to execute command: Executable \"wasm-ld\" doesn'\\''t exist!' >&2; exit 1",
            "wasm-ld, which clang starts, is not installed; run: apt-get install lld",
        ),
        (
            "javascript",
            "node_modules/.bin/componentize-qjs",
            "exec /usr/bin/env program-that-is-absent-node",
            "node, which componentize-qjs starts, is not installed; get Node.js from https://nodejs.org",
        ),
        ("go", "bin/go", "echo no node >&2; exit 1", "go failed with exit status: 1; it has printed why"),
    ] {
        let name = format!("parts-{language}");
        outside.good("", &["new", &name, "--language", language]);
        let program = outside.path(&name).join(program);
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut build = outside.binary(&name, &["plugin", "build"]);
        let output = build.env("PATH", outside.path(&name).join("bin")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains(missing), "{said}");
    }
}

#[test]
fn the_step_of_a_plugin_is_read_as_by_the_operator() {
    let outside = new_outside();
    outside.good("", &["new", "stepwise", "--sdk", repository(".").to_str().unwrap()]);
    let (file, lib) = (outside.path("stepwise/step.yaml"), outside.path("stepwise/src/lib.rs"));
    let step = std::fs::read_to_string(&file).unwrap();
    for (changed, sentence) in [
        (step.replace("grants:", "grant:"), "step.yaml: grant: "),
        (step.replace("  config: [cluster_domain]\n", ""), "cluster_domain"),
        (step.replace("maxLength: 80", "maxLength: long"), "maxLength"),
    ] {
        assert_ne!(changed, step);
        std::fs::write(&file, changed).unwrap();
        let said = outside.bad("stepwise", &["test"]);
        assert!(said.contains(sentence) && !said.contains("--update"), "{said}");
    }
    // The last change is one that only the pipeline finds.
    let pipeline = repository("dist/plugins/pipeline.yaml");
    let run = ["run", "--pipeline", pipeline.to_str().unwrap(), "golden/annotated/manifest.yaml"];
    let said = outside.bad("stepwise", &run);
    assert!(said.contains("step.yaml: step stepwise: ") && !said.contains("pipeline.yaml"), "{said}");
    std::fs::remove_file(&file).unwrap();
    let said = outside.bad("stepwise", &["test"]);
    assert!(said.contains("stepwise/step.yaml: does not exist; write the step of the plugin to it"), "{said}");

    // A step of the pipeline with the plugin's name is replaced.
    std::fs::write(&file, step.replace("name: stepwise", "name: patches")).unwrap();
    let rendered = outside.good("stepwise", &run);
    assert!(rendered.contains("name: acid-orders-stepwise"), "{rendered}");

    // A call that fails is never what is expected.
    std::fs::write(&file, &step).unwrap();
    let source = std::fs::read_to_string(&lib).unwrap();
    let (before, after) = source.split_once("fn mutate(").unwrap();
    let (signature, body) = after.split_once("{\n").unwrap();
    let panic = "#[cfg(target_arch = \"wasm32\")]\npanic!(\"by purpose\");\n#[allow(unreachable_code)]\n";
    let traps = format!("{before}fn mutate({signature}{{\n{panic}{body}");
    std::fs::write(&lib, traps).unwrap();
    let expected = outside.path("stepwise/golden/annotated/expected.yaml");
    let text = std::fs::read_to_string(&expected).unwrap();
    for arguments in [&["test"][..], &["test", "--update"], &["bench", "--calls", "1"]] {
        let said = outside.bad("stepwise", arguments);
        assert!(said.contains("golden/annotated: ") && said.contains("by purpose"), "{said}");
        assert!(!said.contains("if the answers are as you mean them"), "{said}");
    }
    assert_eq!(std::fs::read_to_string(&expected).unwrap(), text);
}

#[test]
fn every_code_block_of_the_tutorial_is_in_a_plugin_that_is_built() {
    let readme = std::fs::read_to_string(repository("plugins/kit/README.md")).unwrap();
    let files = [
        "host/cli/templates/rust/src/lib.rs",
        "host/cli/templates/rust/src/tests.rs",
        "host/cli/templates/rust/step.yaml",
        "plugins/kit/tests/motto/lib.rs",
    ];
    let files = files.map(|file| std::fs::read_to_string(repository(file)).unwrap());
    let (rust, yaml) = (blocks(&readme, "rust"), blocks(&readme, "yaml"));
    assert_eq!(rust.len(), 5);
    for block in rust.iter().chain(yaml.first()) {
        assert!(files.iter().any(|file| file.contains(block)), "in no plugin that is built:\n{block}");
    }
}
