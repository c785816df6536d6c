//! `pgloom plugin run`: renders manifests with a pipeline and the plugin of a folder as its last step.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail};
use clap::Args;
use pgloom_common::golden;
use pgloom_engine::LoadError;
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
pub fn run(arguments: &Arguments) -> Result<()> {
    let project = Project::of(&arguments.folder)?;
    let (plugin, built) = load(&project, arguments.target, arguments.render.pipeline().limits())?;
    let flags = arguments.render.pipeline();
    let folder = tempfile::tempdir()?;
    let own = "plugin-of-this-folder.wasm";
    write(&folder.path().join(own), &built.bytes)?;
    let step = step::of(&project, &plugin, own)?;
    let name = step["name"].as_str().unwrap_or_default().to_owned();
    let document = with_step(flags, step, &folder)?;
    let (path, _) = flags.place()?;
    let loaded = pipeline::load_document(flags, &document, &path, folder.path());
    let loaded = loaded.map_err(|error| match error.downcast::<LoadError>() {
        // The plugin's own step is not in the pipeline's file.
        Ok(failed) if failed.step == name => Error::new(failed).context(place(&project, &built.path)),
        Ok(failed) => Error::new(failed).context(path.display().to_string()),
        Err(other) => other,
    })?;
    render::render_with(&arguments.render, &loaded.pipeline)
}

/// The file that has the plugin's step; the component without one.
fn place(project: &Project, component: &Path) -> String {
    let file = project.file(golden::STEP);
    if file.exists() { file.display().to_string() } else { component.display().to_string() }
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
            let bytes = component(&plugins.join(file), flags.limits()).with_context(|| path.display().to_string())?;
            write(&folder.path().join(file), &bytes)?;
        }
    }
    steps.insert(place, step);
    Ok(document)
}
