//! The contract's WIT, for modules whose toolchain does not write the types of the world, and for other toolchains.

use wit_component::StringEncoding;
use wit_parser::Resolve;

/// The contract: the name and the text of each file.
pub const FILES: [(&str, &str); 3] = [
    ("log.wit", include_str!("../../../wit/0.2/log.wit")),
    ("mutate-resources.wit", include_str!("../../../wit/0.2/mutate-resources.wit")),
    ("world.wit", include_str!("../../../wit/0.2/world.wit")),
];

/// The version of [`FILES`].
pub(crate) const VERSION: &str = "0.2.0";

/// The world of [`FILES`].
pub const WORLD: &str = "plugin";

/// Adds the types of the world to a module that exports its functions by their names.
pub(crate) fn embed(module: &[u8]) -> Result<Vec<u8>, String> {
    let mut module = module.to_vec();
    resolved().and_then(|(resolve, world)| {
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
            .map_err(|error| format!("{error:#}"))
    })?;
    Ok(module)
}

fn resolved() -> Result<(Resolve, wit_parser::WorldId), String> {
    let mut resolve = Resolve::default();
    // The file of the world names the package, so it is the first.
    let text: String = FILES.iter().rev().map(|(_, text)| *text).collect();
    let package = resolve.push_source("contract.wit", &text).map_err(|error| format!("{error:#}"))?;
    let world = resolve.select_world(&[package], Some(WORLD)).map_err(|error| format!("{error:#}"))?;
    Ok((resolve, world))
}
