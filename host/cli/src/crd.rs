//! `pgloom crd`: the CustomResourceDefinitions, generated from the resource types.

use std::io::Write;

/// Prints every definition as one YAML stream.
pub fn print() -> anyhow::Result<()> {
    let mut text = String::new();
    for definition in pgloom_api::crd::all()? {
        text.push_str("---\n");
        text.push_str(&pgloom_api::crd::yaml(&definition)?);
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
