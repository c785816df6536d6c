//! Builds components from core modules: those of the repository's plugins and guests.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

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
        let component = pgloom_package::component(&fs::read(&module)?)
            .with_context(|| format!("failed to build a component from {}", module.display()))?;
        println!("{:>8} bytes  {}", component.len(), target.display());
        fs::write(&target, component).with_context(|| format!("failed to write {}", target.display()))?;
    }
    Ok(())
}
