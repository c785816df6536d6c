//! `pgloom plugin run`: renders manifests with a pipeline and the plugin of a folder as its last step.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use tempfile::TempDir;

use super::project::{Project, Target, write};
use super::step;
use super::test::load;
use crate::file::{component, read_one};
use crate::{pipeline, render};

/// The flags of `pgloom plugin run`.
#[derive(Args)]
#[command(after_help = "\
Example:
  pgloom plugin run golden/annotated/manifest.yaml   the objects of the shipped pipeline, with this plugin as its last step

A step of the pipeline with the same name is replaced.

Exit codes: 0 the objects are on standard output; 1 they are not, with the reason; 2 invalid command line")]
pub struct Arguments {
    /// The folder of the plugin
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// What the crate of a plugin in Rust is compiled for; without it wasm32-unknown-unknown
    #[arg(long, value_name = "TARGET")]
    target: Option<Target>,
    #[command(flatten)]
    render: render::Arguments,
}

/// Builds the plugin and renders the manifests.
pub fn run(mut arguments: Arguments) -> Result<()> {
    let project = Project::of(&arguments.folder)?;
    let (plugin, built) = load(&project, arguments.target)?;
    let flags = arguments.render.pipeline_mut();
    let folder = tempfile::tempdir()?;
    let own = "plugin-of-this-folder.wasm";
    write(&folder.path().join(own), &built.bytes)?;
    let document = with_step(flags, step::of(&project, &plugin, own)?, &folder)?;
    let path = folder.path().join("pipeline.yaml");
    write(&path, pgloom_api::document::write(&document)?.as_bytes())?;
    flags.set(path, folder.path().to_owned());
    render::render(&arguments.render)
}

/// The pipeline of the flags with one more step, in the place of one with the same name, or else the last; the components
/// of the others are copied to `folder`.
fn with_step(flags: &pipeline::Arguments, step: Value, folder: &TempDir) -> Result<Value> {
    let (path, plugins) = flags.place()?;
    let mut document = read_one(&path)?;
    let Some(steps) = document.pointer_mut("/spec/steps").and_then(Value::as_array_mut) else {
        bail!("{}: spec.steps: is missing; name a Pipeline", path.display());
    };
    let same = steps.iter().position(|other| other["name"] == step["name"]);
    let place = same.unwrap_or(steps.len());
    same.map(|index| steps.remove(index));
    for file in steps.iter().filter_map(|step| step.pointer("/source/file")?.as_str()) {
        let is_inside = Path::new(file).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if is_inside {
            let bytes = component(&plugins.join(file)).with_context(|| path.display().to_string())?;
            write(&folder.path().join(file), &bytes)?;
        }
    }
    steps.insert(place, step);
    Ok(document)
}
