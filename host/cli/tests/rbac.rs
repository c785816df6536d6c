//! `pgloom rbac`: the ClusterRole that a pipeline needs. The one in `manifests/rbac.yaml` is that of the shipped pipeline,
//! and the tutorial for plugin authors prints the rule that its plugin needs; `UPDATE=1` writes the former.
#![cfg(test)]

use std::path::Path;
use std::process::Command;

use golden::{differs, report, repository};

/// What the command prints for a pipeline whose components are in a folder.
fn rbac(pipeline: &Path, plugins: &Path) -> String {
    let cache = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgloom"));
    command.arg("rbac").arg("--pipeline").arg(pipeline).arg("--plugins").arg(plugins);
    let output = command.env("XDG_CACHE_HOME", cache.path()).output().unwrap();
    assert!(output.status.success(), "{}; make plugins guests", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The document of a YAML stream that begins like another one, replaced by that.
fn replaced(stream: &str, document: &str) -> String {
    let head = document.split_once("rules:").unwrap().0;
    let (before, rest) = stream.split_once(head).unwrap();
    let after = rest.split_once("---\n").unwrap().1;
    format!("{before}{document}---\n{after}")
}

#[test]
fn the_shipped_cluster_role_is_the_one_that_the_shipped_pipeline_needs() {
    let file = repository("manifests/rbac.yaml");
    let role = rbac(&repository("manifests/pipeline.yaml"), &repository("dist/plugins"));
    let text = std::fs::read_to_string(&file).unwrap();
    report(&differs(&file, &replaced(&text, &role)).into_iter().collect::<Vec<_>>());
}
