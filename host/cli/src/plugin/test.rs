//! `pgloom plugin test`: the native tests of a plugin, which replay its golden folder, and the same folder against the
//! component.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use pgloom_engine::Plugin;
use pgloom_operator::args::ComponentLimits;

use super::golden::{self, Checked};
use super::project::{Built, Project, Target};

/// The flags of `pgloom plugin test`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  pgloom plugin test            build the plugin in this folder, and test it
  pgloom plugin test --update   write what the component answers to golden/CASE/expected.yaml; review the difference

Exit codes: 0 every test passed; 1 one failed, or the plugin cannot be built; 2 invalid command line")]
pub struct Arguments {
    /// The folder of the plugin
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Write what is expected of the cases in golden/
    #[arg(long)]
    update: bool,
    /// What the crate of a plugin in Rust is compiled for; without it wasm32-unknown-unknown
    #[arg(long, value_name = "TARGET")]
    target: Option<Target>,
    #[command(flatten)]
    limits: ComponentLimits,
}

/// Builds the plugin, runs its native tests, and replays its golden folder.
pub fn test(arguments: &Arguments) -> Result<()> {
    let project = Project::of(&arguments.folder)?;
    let cases = golden::cases(&project)?;
    let (plugin, _) = load(&project, arguments.target, &arguments.limits)?;
    let (mut problems, mut differs) = (Vec::new(), false);
    // Both are said: where the native answer is right and the component's is not, the mistake is not in the plugin's code.
    if !arguments.update {
        problems.extend(native(&project)?);
    }
    for case in &cases {
        let (result, problem) = match case.check(&plugin, arguments.update)? {
            Checked::Written => ("written", None),
            Checked::AsExpected => ("ok", None),
            Checked::Differs(problem) => {
                differs = true;
                ("FAILED", Some(problem))
            }
            Checked::Failed(problem) => ("FAILED", Some(problem)),
        };
        crate::output::line(format_args!("golden {} ... {result}", case.name))?;
        problems.extend(problem);
    }
    // The native tests replay the golden folder, too: what is expected has to be written before.
    if arguments.update {
        problems.extend(native(&project)?);
    }
    if problems.is_empty() {
        return Ok(());
    }
    let advice = if differs { "\nif the answers are as you mean them: pgloom plugin test --update" } else { "" };
    bail!("{}{advice}", problems.join("\nerror: "))
}

/// What is wrong with the native tests, if they fail.
fn native(project: &Project) -> Result<Option<String>> {
    Ok((!project.test()?).then(|| "the native tests failed; cargo test has printed why".to_owned()))
}

/// Builds the component and loads it as the operator does.
pub fn load(project: &Project, target: Option<Target>, limits: &ComponentLimits) -> Result<(Arc<Plugin>, Built)> {
    let built = project.build(target, None)?;
    let bytes = crate::file::component(&built.path, limits)?;
    let engine = crate::pipeline::engine(limits)?;
    let plugin = Plugin::load(&engine, &bytes, None).with_context(|| built.path.display().to_string())?;
    Ok((Arc::new(plugin), built))
}
