//! Components out of core modules: the world's types, which `wit-bindgen` left in a custom section, become the component's.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wit_component::ComponentEncoder;

/// Makes a component of every plugin in `from`, and says how large each is.
pub fn build_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    let mut modules: Vec<_> = fs::read_dir(from)
        .with_context(|| format!("read {}; build the plugins first: make plugins", from.display()))?
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    modules.sort();
    for module in modules {
        let stem = module.file_stem().unwrap_or_default().to_string_lossy();
        // Cargo leaves a second copy of an example, with a hash in its name.
        if stem.contains('-') {
            continue;
        }
        let Some(name) = stem.strip_prefix("plugin_").or_else(|| stem.strip_prefix("guest_")) else { continue };
        let target = to.join(format!("{}.wasm", name.replace('_', "-")));
        let component = build(&module).with_context(|| format!("make a component of {}", module.display()))?;
        println!("{:>8} bytes  {}", component.len(), target.display());
        fs::write(&target, component).with_context(|| format!("write {}", target.display()))?;
    }
    Ok(())
}

fn build(module: &Path) -> Result<Vec<u8>> {
    let module = fs::read(module)?;
    ComponentEncoder::default().module(&module)?.validate(true).encode()
}
