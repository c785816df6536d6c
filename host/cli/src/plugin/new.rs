//! `pgloom plugin new`: the folder of a plugin, from the templates that are compiled in.
//!
//! In Rust it is the plugin `motto`, which the tutorial describes; in another language it is the example `badge`. The name is
//! replaced.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::language::Language;
use super::project::write;
use crate::usage::usage;

/// The flags of `pgloom plugin new`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  pgloom plugin new motto --sdk ~/pgloom           a plugin in Rust
  pgloom plugin new badge --language javascript    a plugin in JavaScript, which needs no SDK
  cd motto && pgloom plugin build && pgloom plugin test

Exit codes: 0 the folder is written; 1 it is not, with the reason; 2 invalid command line")]
pub struct Arguments {
    /// The plugin's name, and that of its folder: lower case letters, digits and hyphens
    #[arg(value_name = "NAME", value_parser = check_name)]
    name: String,
    /// The language of the plugin
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    language: Language,
    /// The SDK of a plugin in Rust: a checkout of pgloom, or the URL of its git repository
    #[arg(long, env = "PGLOOM_SDK", value_name = "PATH|URL")]
    sdk: Option<String>,
    /// The folder that is written; without it NAME
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// The files of a plugin: name and content.
type Files = &'static [(&'static str, &'static str)];

/// A plugin in Rust.
const RUST: Files = &[
    (".gitignore", include_str!("../../templates/rust/gitignore")),
    ("Cargo.toml", include_str!("../../templates/rust/Cargo.toml.template")),
    ("README.md", include_str!("../../templates/rust/README.md")),
    ("golden/annotated/expected.yaml", include_str!("../../templates/rust/golden/annotated/expected.yaml")),
    ("golden/annotated/manifest.yaml", include_str!("../../templates/rust/golden/annotated/manifest.yaml")),
    ("golden/too-long/config.yaml", include_str!("../../templates/rust/golden/too-long/config.yaml")),
    ("golden/too-long/expected.yaml", include_str!("../../templates/rust/golden/too-long/expected.yaml")),
    ("golden/too-long/manifest.yaml", include_str!("../../templates/rust/golden/too-long/manifest.yaml")),
    ("src/lib.rs", include_str!("../../templates/rust/src/lib.rs")),
    ("src/tests.rs", include_str!("../../templates/rust/src/tests.rs")),
    ("step.yaml", include_str!("../../templates/rust/step.yaml")),
    ("rustfmt.toml", include_str!("../../templates/rust/rustfmt.toml")),
];

/// A file of the examples.
macro_rules! example {
    ($file:literal) => {
        include_str!(concat!("../../../../plugins/examples/", $file))
    };
}

/// What the examples have in common.
const COMMON: Files = &[
    ("golden/labelled/desired.yaml", example!("golden/labelled/desired.yaml")),
    ("golden/labelled/expected.yaml", example!("golden/labelled/expected.yaml")),
    ("golden/labelled/manifest.yaml", example!("golden/labelled/manifest.yaml")),
    ("golden/other-value/desired.yaml", example!("golden/other-value/desired.yaml")),
    ("golden/other-value/expected.yaml", example!("golden/other-value/expected.yaml")),
    ("golden/other-value/manifest.yaml", example!("golden/other-value/manifest.yaml")),
    ("golden/without-labels/config.yaml", example!("golden/without-labels/config.yaml")),
    ("golden/without-labels/expected.yaml", example!("golden/without-labels/expected.yaml")),
    ("golden/without-labels/manifest.yaml", example!("golden/without-labels/manifest.yaml")),
    ("COMMANDS.md", example!("COMMANDS.md")),
    ("step.yaml", example!("step.yaml")),
];

const PYTHON: Files = &[
    (".gitignore", example!("python/.gitignore")),
    ("README.md", example!("python/README.md")),
    ("app.py", example!("python/app.py")),
    ("requirements.txt", example!("python/requirements.txt")),
];

const JAVASCRIPT: Files = &[
    (".gitignore", example!("javascript/.gitignore")),
    ("README.md", example!("javascript/README.md")),
    ("package.json", example!("javascript/package.json")),
    ("plugin.js", example!("javascript/plugin.js")),
];

const GO: Files = &[
    (".gitignore", example!("go/.gitignore")),
    ("README.md", example!("go/README.md")),
    ("contract.go", example!("go/contract.go")),
    ("go.mod", example!("go/go.mod")),
    ("plugin.go", example!("go/plugin.go")),
    ("schema.json", example!("go/schema.json")),
];

const C: Files = &[
    (".gitignore", example!("c/.gitignore")),
    ("README.md", example!("c/README.md")),
    ("bindings.c", example!("c/bindings.c")),
    ("bindings.h", example!("c/bindings.h")),
    ("json.c", example!("c/json.c")),
    ("json.h", example!("c/json.h")),
    ("plugin.c", example!("c/plugin.c")),
];

/// The files of a language: its own, and those of all examples.
fn files(language: Language) -> [Files; 2] {
    match language {
        Language::Rust => [RUST, &[]],
        Language::Python => [PYTHON, COMMON],
        Language::JavaScript => [JAVASCRIPT, COMMON],
        Language::Go => [GO, COMMON],
        Language::C => [C, COMMON],
    }
}

/// The longest name: it becomes part of the names of objects, which have at most 63 characters.
const LONGEST: usize = 40;

/// Writes the folder.
pub fn new(arguments: &Arguments) -> Result<()> {
    let Arguments { name, language, sdk, folder } = arguments;
    let sdk = if *language == Language::Rust { dependency(sdk.as_deref())? } else { String::new() };
    let folder = folder.clone().unwrap_or_else(|| PathBuf::from(name));
    check_empty(&folder)?;
    for (file, content) in files(*language).into_iter().flatten() {
        write(&folder.join(file), filled(content, template(*language), name, &sdk).as_bytes())?;
    }
    let place = folder.display();
    let first = language.install().map(|install| format!(" && {install}")).unwrap_or_default();
    crate::output::line(format_args!(
        "{place}: a plugin in {}; next: cd {place}{first} && pgloom plugin build && pgloom plugin test",
        language.title()
    ))
}

fn check_name(name: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase());
    if !starts || name.ends_with('-') || name.contains("--") || name.len() > LONGEST || !name.bytes().all(fits) {
        return Err(format!(
            "{name:?} is not a name of a plugin; begin with a letter, and use lower case letters, digits and single \
             hyphens, at most {LONGEST}, as in cost-labels"
        ));
    }
    if shipped().any(|shipped| shipped == name) {
        return Err(format!("{name} is the name of a shipped plugin; choose another name"));
    }
    Ok(name.to_owned())
}

/// The names of the shipped plugins, each the name of its step.
fn shipped() -> impl Iterator<Item = &'static str> {
    include_str!("../../../../manifests/pipeline.yaml").lines().filter_map(|line| line.strip_prefix("  - name: "))
}

fn check_empty(folder: &Path) -> Result<()> {
    let place = folder.display();
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => bail!("{place}: exists and is not empty; choose another name, or another folder with --folder"),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{place}: cannot be used; choose another one with --folder")),
    }
}

/// The source of the dependency on the SDK, as Cargo.toml has it.
fn dependency(sdk: Option<&str>) -> Result<String> {
    let Some(sdk) = sdk else {
        return Err(usage(
            "it is not known where the SDK is; add --sdk with a checkout of pgloom, or with the URL of its git repository",
        ));
    };
    if sdk.contains("://") || sdk.starts_with("git@") {
        return Ok(format!("git = {sdk:?}"));
    }
    let given = Path::new(sdk);
    let is_sdk = |folder: &PathBuf| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|line| line == "name = \"pgloom-kit\"")
    };
    let Some(folder) = [given.join("plugins/kit"), given.to_owned()].into_iter().find(is_sdk) else {
        bail!("{sdk}: is neither a checkout of pgloom nor its folder plugins/kit; give one of them with --sdk");
    };
    let folder = folder.canonicalize().with_context(|| format!("{sdk}: cannot be read; check the path"))?;
    Ok(format!("path = {:?}", folder.display().to_string()))
}

/// The name of the plugin in the files of a language.
fn template(language: Language) -> &'static str {
    if language == Language::Rust { "motto" } else { "badge" }
}

/// The content of a file of a template for a plugin of this name.
fn filled(content: &str, template: &str, name: &str, sdk: &str) -> String {
    let capital = |part: &str| {
        let mut letters = part.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    // Its type ends with `Plugin`, so that none of the template's own names, as `Settings`, is the same.
    let type_name: String = name.split('-').map(capital).collect();
    let content = content.replace("{ SDK }", &format!("{{ {sdk} }}"));
    content.replace(template, name).replace(&capital(template), &type_name)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn the_name_is_in_every_place_of_the_template() {
        let lib = RUST.iter().find(|(file, _)| *file == "src/lib.rs").unwrap().1;
        let made = filled(lib, "motto", "cost-labels-2", "path = \"/sdk\"");
        for part in [
            "pub struct CostLabels2Plugin;",
            "register!(CostLabels2Plugin);",
            "const NAME: &str = \"cost-labels-2\";",
            "example.com/cost-labels-2",
            "{cluster}-cost-labels-2",
        ] {
            assert!(made.contains(part), "{part}: {made}");
        }
        for language in Language::value_variants() {
            for (file, content) in files(*language).into_iter().flatten() {
                let made = filled(content, template(*language), "x", "y").to_lowercase();
                assert!(!made.contains("motto") && !made.contains("badge"), "{file}");
            }
        }
    }

    /// The parts of names that the template itself uses, and names of every length.
    #[test]
    fn a_new_plugin_in_rust_is_formatted_and_has_every_type_once_whatever_its_name() {
        let names = ["settings", "response", "self", "config", "spec", "plugin", "request", "result", "config-map"];
        let more = ["a", "ok", "option", "default", "description", "object-meta", "team-cost", "zz", "serialize"];
        let lengths = (1..=LONGEST).step_by(3).map(|length| "x".repeat(length));
        let folder = tempfile::tempdir().unwrap();
        for name in names.into_iter().chain(more).map(str::to_owned).chain(lengths) {
            assert!(check_name(&name).is_ok(), "{name}");
            for (file, content) in RUST {
                write(&folder.path().join(file), filled(content, "motto", &name, "path = \"/sdk\"").as_bytes())
                    .unwrap();
            }
            let lib = std::fs::read_to_string(folder.path().join("src/lib.rs")).unwrap();
            let own = lib.lines().find_map(|line| line.strip_suffix("Plugin;")?.strip_prefix("pub struct ")).unwrap();
            assert_eq!(lib.matches(&format!("struct {own}Plugin;")).count(), 1);
            let imports: String = lib.lines().filter(|line| line.starts_with("use ")).collect();
            assert!(!imports.contains(&format!("{own}Plugin")), "{name}: {imports}");
            let mut rustfmt = std::process::Command::new("rustfmt");
            let output =
                rustfmt.args(["--check", "--edition", "2024", "src/lib.rs"]).current_dir(&folder).output().unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }

    #[test]
    fn a_name_that_cannot_be_that_of_a_plugin_is_refused() {
        for name in ["", "Motto", "2fast", "a_b", "a--b", "a-", "-a", "a/b", "..", &"a".repeat(41)] {
            let said = check_name(name).unwrap_err().to_string();
            assert!(said.contains("as in cost-labels"), "{said}");
        }
        for name in ["spilo", "tls", "patches"] {
            let said = check_name(name).unwrap_err().to_string();
            assert_eq!(said, format!("{name} is the name of a shipped plugin; choose another name"));
        }
        assert!(["a", "cost-labels", "v2"].iter().all(|name| check_name(name).is_ok()));
    }
}
