//! The components stay small: every pod loads them, and each call starts a fresh instance of one.

use golden::{pipeline, repository};

/// The largest size of a shipped component, in bytes.
const MOST: u64 = 240 << 10;

#[test]
fn every_shipped_component_has_at_most_two_hundred_and_forty_kibibytes() {
    let size = |step: &str| repository(&format!("dist/plugins/{step}.wasm")).metadata().unwrap().len();
    let sizes = pipeline().steps().iter().map(|step| (step.name.as_str(), size(&step.name)));
    let (sizes, large): (Vec<_>, Vec<_>) = sizes.partition(|(_, size)| *size <= MOST);
    assert_eq!(large, [], "larger than {MOST} bytes");
    assert!(sizes.len() > 10, "{sizes:?}");
}
