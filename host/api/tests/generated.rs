//! The committed CRDs and goldens equal what the types generate. `UPDATE=1` rewrites them.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::PathBuf;

use pgloom_api::crd;

#[test]
fn the_committed_definitions_are_those_of_the_types() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../manifests/crds");
    for definition in crd::all().unwrap() {
        let file = folder.join(format!("{}.yaml", definition.metadata.name.as_deref().unwrap()));
        let wanted = crd::yaml(&definition).unwrap();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &wanted).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == wanted, "{} is out of date; UPDATE=1 rewrites it", file.display());
    }
}
