//! `pgloom crd`: the CustomResourceDefinitions, generated from the resource types.

/// Prints every definition as one YAML stream.
pub fn print() -> anyhow::Result<()> {
    let mut text = String::new();
    for definition in pgloom_api::crd::all()? {
        text.push_str("---\n");
        text.push_str(&pgloom_api::crd::yaml(&definition)?);
    }
    crate::output::print(&text)
}
