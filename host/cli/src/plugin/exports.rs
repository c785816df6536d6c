//! What a plugin in JavaScript exports. Its toolchain builds a component whatever the names are, which then traps: so they
//! are checked before, by Node.js, which the toolchain needs itself.
//!
//! The toolchains of the other languages refuse a missing export, or `pgloom_package` does.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use pgloom_api::suggest;

/// The file of a plugin.
const FILE: &str = "plugin.js";
/// The interface of the contract, as JavaScript names it, and its functions.
const INTERFACE: &str = "mutateResources";
const FUNCTIONS: [&str; 2] = ["describe", "mutate"];

/// Prints by the name of each export the names of its functions, as JSON. Modules of the contract are empty.
const LIST: &str = r#"
import { readFileSync } from "node:fs";
import { SourceTextModule, SyntheticModule } from "node:vm";
const plugin = new SourceTextModule(readFileSync(process.argv[1], "utf8"));
const empty = () => new SyntheticModule(["default", "log"], () => {});
await plugin.link(empty);
await plugin.evaluate();
const functions = (value) => {
  const names = new Set();
  for (let at = value; at && at !== Object.prototype && typeof at === "object"; at = Object.getPrototypeOf(at))
    Object.getOwnPropertyNames(at).filter((name) => typeof value[name] === "function").forEach((name) => names.add(name));
  return [...names].filter((name) => name !== "constructor");
};
const found = Object.keys(plugin.namespace).map((name) => [name, functions(plugin.namespace[name])]);
process.stdout.write(JSON.stringify(Object.fromEntries(found)));
"#;

/// Checks that the plugin of a folder exports what the contract asks for.
pub fn check(folder: &Path) -> Result<()> {
    let Some(found) = list(folder) else { return Ok(()) };
    let Some(functions) = found.get(INTERFACE) else {
        let remedy = remedy(INTERFACE, found.keys());
        bail!("{FILE}: exports no `{INTERFACE}` with the functions `describe` and `mutate`; {remedy}");
    };
    for function in FUNCTIONS {
        if !functions.iter().any(|name| name == function) {
            bail!("{FILE}: `{INTERFACE}` has no function `{function}`; {}", remedy(function, functions));
        }
    }
    Ok(())
}

/// What is exported; `None` if Node.js cannot say so: it is missing, or the plugin needs what only its engine has.
fn list(folder: &Path) -> Option<BTreeMap<String, Vec<String>>> {
    let mut node = Command::new("node");
    node.args(["--no-warnings", "--experimental-vm-modules", "--input-type=module", "--eval", LIST, FILE]);
    let output = node.current_dir(folder).output().ok().filter(|output| output.status.success())?;
    serde_json::from_slice(&output.stdout).ok()
}

fn remedy<'a>(expected: &str, found: impl IntoIterator<Item = &'a String>) -> String {
    let found: Vec<&str> = found.into_iter().map(String::as_str).filter(|name| !FUNCTIONS.contains(name)).collect();
    match suggest::nearest(expected, found.iter().copied()) {
        Some(close) => format!("rename `{close}`"),
        None => {
            format!("add it, as in: export const {INTERFACE} = {{ describe(host) {{ … }}, mutate(request) {{ … }} }}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../../plugins/examples/javascript/plugin.js");

    fn said(source: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), source).unwrap();
        check(folder.path()).err().map(|error| error.to_string())
    }

    #[test]
    #[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
    fn a_misspelt_export_is_named_with_the_one_that_is_expected() {
        if Command::new("node").arg("--version").output().is_err() {
            println!("SKIPPED: there is no Node.js");
            return;
        }
        assert_eq!(said(EXAMPLE), None);
        for (was, is, problem) in [
            (
                "const mutateResources",
                "const mutateResource",
                "plugin.js: exports no `mutateResources` with the functions `describe` and `mutate`; rename `mutateResource`",
            ),
            ("  mutate(request) {", "  mutat(request) {", "`mutateResources` has no function `mutate`; rename `mutat`"),
            (
                "  describe(_host)",
                "  descripe(_host)",
                "`mutateResources` has no function `describe`; rename `descripe`",
            ),
            (
                "export const mutateResources",
                "const other",
                "plugin.js: exports no `mutateResources` with the functions",
            ),
        ] {
            assert!(EXAMPLE.contains(was), "{was}");
            let said = said(&EXAMPLE.replacen(was, is, 1)).unwrap_or_default();
            assert!(said.contains(problem), "{problem}: {said}");
        }
        let by_class =
            "class It { describe() {} mutate() {} }\nconst it = new It();\nexport { it as mutateResources };\n";
        assert_eq!(said(by_class), None);
        assert_eq!(
            said(
                "import { log } from \"pgloom:plugin/log@0.2.0\";\nexport const mutateResources = { describe() {}, mutate() {} };\n"
            ),
            None
        );
        assert_eq!(said("export default 1; engineOnly();"), None, "what cannot be known is no problem");
    }
}
