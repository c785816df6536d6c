//! Builds components from core modules. `wit-bindgen` writes the types of the world to a custom section of the module.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wit_component::ComponentEncoder;

/// Builds a component from every plugin or guest in `from`, and prints its size.
pub fn build_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("failed to create {}", to.display()))?;
    let mut modules: Vec<_> = fs::read_dir(from)
        .with_context(|| format!("failed to read {}; build the plugins first: make plugins", from.display()))?
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    modules.sort();
    for module in modules {
        let stem = module.file_stem().unwrap_or_default().to_string_lossy();
        // Of an example cargo writes a second file, with a hash in its name.
        if stem.contains('-') {
            continue;
        }
        let Some(name) = stem.strip_prefix("plugin_").or_else(|| stem.strip_prefix("guest_")) else { continue };
        let target = to.join(format!("{}.wasm", name.replace('_', "-")));
        let component =
            build(&module).with_context(|| format!("failed to build a component from {}", module.display()))?;
        println!("{:>8} bytes  {}", component.len(), target.display());
        fs::write(&target, component).with_context(|| format!("failed to write {}", target.display()))?;
    }
    Ok(())
}

fn build(module: &Path) -> Result<Vec<u8>> {
    let module = fs::read(module)?;
    Ok(without_notes(&ComponentEncoder::default().module(&module)?.validate(true).encode()?))
}

/// The bytes of magic, version and layer, before the first section.
const PREAMBLE: usize = 8;
/// The section with what nothing reads that runs the component: names of its parts, and the tools that made it.
const CUSTOM: u8 = 0;

/// The component without its own custom sections.
fn without_notes(component: &[u8]) -> Vec<u8> {
    let (preamble, mut rest) = component.split_at_checked(PREAMBLE).unwrap_or((component, &[]));
    let mut result = preamble.to_vec();
    while let Some(&id) = rest.first() {
        let digits = rest.iter().skip(1).take_while(|&&byte| byte & 0x80 != 0).count() + 1;
        let number = rest.iter().skip(1).take(digits).rev();
        let size = number.fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
        let (section, behind) = rest.split_at_checked(1 + digits + size).unwrap_or((rest, &[]));
        if id != CUSTOM {
            result.extend_from_slice(section);
        }
        rest = behind;
    }
    result
}
