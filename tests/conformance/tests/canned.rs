//! Components of every version of the contract, kept as bytes, load and contribute.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::Path;
use std::sync::Arc;

use conformance::{engine, input};
use pgloom_engine::{ActionPermission, Decision, Description, ObjectPermission, Pipeline, Plugin, plugin};

/// The component of a version of the contract, as in `0.2`.
fn canned(version: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("canned").join(format!("{version}.wasm"))).unwrap()
}

/// The component, with another version of the contract in its exports and imports.
fn renamed(version: &str, other: &str) -> Vec<u8> {
    let (from, to) = (format!("@{version}.0").into_bytes(), format!("@{other}").into_bytes());
    assert_eq!(from.len(), to.len());
    let mut bytes = canned(version);
    let mut places: Vec<usize> = (0..bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(&from)).collect();
    assert!(!places.is_empty());
    for at in places.drain(..) {
        bytes[at..at + to.len()].copy_from_slice(&to);
    }
    bytes
}

fn load(bytes: &[u8]) -> Result<Plugin, plugin::Error> {
    Plugin::load(&engine(), bytes, None)
}

fn run(plugin: Plugin) -> Decision {
    Pipeline::of(vec![Arc::new(plugin)]).unwrap().run(&input()).unwrap()
}

#[test]
fn a_component_of_every_version_loads_and_contributes() {
    for (version, name) in [("0.1", "echo"), ("0.2", "acid-orders-contract")] {
        let plugin = load(&canned(version)).unwrap();
        assert_eq!(plugin.contract, format!("{version}.0"));
        let decision = run(plugin);
        assert_eq!(decision.objects[0].object["metadata"]["name"], name);
        assert_eq!(decision.objects[0].object["data"]["config"], r#"{"greeting":"hello"}"#);
    }
}

#[test]
fn a_component_of_another_patch_version_loads_and_contributes() {
    for version in ["0.1", "0.2"] {
        let plugin = load(&renamed(version, &format!("{version}.7"))).unwrap();
        assert_eq!(plugin.contract, format!("{version}.7"));
        assert_eq!(run(plugin).objects.len(), 1);
    }
}

#[test]
fn a_component_of_a_version_to_come_is_refused_with_the_versions_that_the_host_supports() {
    let error = load(&renamed("0.2", "0.3.0")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the component exports `pgloom:plugin/mutate-resources@0.3.0`, this host supports versions 0.1 and 0.2 of the \
         contract; build it against one of them"
    );
}

#[test]
fn a_plugin_of_0_1_asks_for_all_that_its_version_cannot_name() {
    let Description { objects, privileges, actions, credentials, .. } = load(&canned("0.1")).unwrap().description;
    let [required, optional] = objects.as_slice() else { unreachable!("{objects:?}") };
    let kind = required.kind.clone();
    assert_eq!(*required, ObjectPermission::creates(kind.clone(), &["{cluster}", "{cluster}-*"]));
    let all = vec!["*".to_owned()];
    let expected = ObjectPermission {
        overrides: all.clone(),
        removes: all,
        optional: true,
        ..ObjectPermission::creates(kind, &["*"])
    };
    assert_eq!(*optional, expected);
    assert!(!privileges.is_empty() && privileges.iter().all(|privilege| privilege.optional));
    assert_eq!(actions, [] as [ActionPermission; 0]);
    assert!(!credentials.is_empty() && credentials.iter().all(|credential| credential.optional));
}
