//! `pgloom explain`: which step set a field, and what its value depends on.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use pgloom_decide::explain::{Explanation, Field, Target, Tried, explain};
use pgloom_decide::kind::ObjectKey;
use pgloom_engine::HOST;
use serde_json::Value;

use crate::{manifests, pipeline};

/// The flags of `pgloom explain`.
#[derive(Args)]
#[command(after_help = "Example:\n  pgloom explain -f manifest.yaml StatefulSet/acid-minimal-cluster \
    '.spec.template.spec.containers[0].image'\n\nThe value is decided again without each field of the manifest, key of a \
    configuration and existing object, so that what it depends on is exact, for every plugin.\n\nExit codes: 0 success; 1 \
    failure, as an object or field that does not exist; 2 invalid command line.")]
pub struct Arguments {
    #[command(flatten)]
    inputs: manifests::Arguments,
    #[command(flatten)]
    pipeline: pipeline::Arguments,
    /// The manifest of kind postgresql; `-` is standard input
    #[arg(long = "filename", short = 'f', value_name = "MANIFEST", required = true)]
    manifest: PathBuf,
    /// How the explanation is printed
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// The object, as in StatefulSet/acid-minimal-cluster
    #[arg(value_name = "KIND/NAME")]
    object: String,
    /// The field, as in .spec.replicas or .spec.template.spec.containers[name=postgres].env; without it the whole object
    #[arg(value_name = "PATH", default_value = "", hide_default_value = true)]
    path: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Sentences
    Text,
    /// A JSON object
    Json,
}

/// Prints the explanation.
pub fn print(arguments: &Arguments) -> Result<()> {
    let Some((kind, name)) = arguments.object.split_once('/') else {
        bail!("{}: is no object; write it as in StatefulSet/acid-minimal-cluster", arguments.object);
    };
    let target = Target { kind: kind.to_owned(), name: name.to_owned(), path: arguments.path.clone() };
    let inputs = arguments.inputs.read()?;
    let pipeline = pipeline::load(&arguments.pipeline)?;
    let explained =
        |manifest: &Value| explain(manifest, &inputs.config, &inputs.observed(manifest, &pipeline), &pipeline, &target);
    // Of several manifests that one is meant which has the object.
    let mut results = inputs.manifests(&arguments.manifest)?.into_iter().map(|manifest| {
        let name = ObjectKey::of(&manifest).name.to_owned();
        explained(&manifest).with_context(|| format!("{}: {name}", arguments.manifest.display()))
    });
    let first = results.next().ok_or_else(|| anyhow!("{}: has no manifest", arguments.manifest.display()))?;
    let explanation = first.or_else(|error| results.find_map(Result::ok).ok_or(error))?;
    let text = match arguments.output {
        Format::Json => serde_json::to_string_pretty(&explanation)? + "\n",
        Format::Text => text(&explanation),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn text(explanation: &Explanation) -> String {
    let Explanation { object, path, created_by, fields, origins, unknown, steps } = explanation;
    // Writing to a `String` does not fail.
    let mut text = format!("{} {} {path}", object.kind, object.name).trim_end().to_owned();
    let _ = writeln!(text, "\n  created by {}", by(std::slice::from_ref(created_by)));
    for step in steps {
        let _ = writeln!(text, "  step {}: plugin {} {}, {}", step.step, step.plugin, step.version, step.digest);
    }
    let _ = writeln!(text, "\nSet by:");
    fields.iter().for_each(|field| text.push_str(&line(field)));
    let _ = writeln!(text, "\nDepends on:");
    if origins.is_empty() {
        let _ = writeln!(text, "  nothing that could be removed or changed: it is the plugin's own, or see below");
    }
    for origin in origins {
        let tried = match origin.tried {
            Tried::Without => "without it",
            Tried::Other => "with another value",
        };
        let _ = writeln!(text, "  {}: {tried} {}", origin.source, then(origin.then.as_ref(), path));
    }
    if !unknown.is_empty() {
        let _ = writeln!(text, "\nNot known, because it cannot be removed or changed alone:");
    }
    for unknown in unknown {
        let _ = writeln!(text, "  {}: {}", unknown.source, unknown.reason);
    }
    text
}

/// The longest value that is printed, in characters.
const MOST: usize = 120;

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn then(value: Option<&Value>, path: &str) -> String {
    match value {
        None if path.is_empty() => "the object does not exist".to_owned(),
        None => "the field does not exist".to_owned(),
        Some(_) if path.is_empty() => "the object exists".to_owned(),
        Some(value) => format!("it is {}", short(value)),
    }
}

fn by(steps: &[String]) -> String {
    let name = |step: &String| if step == HOST { "the operator".to_owned() } else { format!("step {step}") };
    steps.iter().map(name).collect::<Vec<_>>().join(" and ")
}

fn line(Field { path, value, set_by, before }: &Field) -> String {
    let mut text = match value {
        Some(value) => format!("  {path}: {}: {}\n", short(value), by(set_by)),
        None => format!("  {path}: removed by {}\n", by(set_by)),
    };
    for past in before {
        let _ = match &past.value {
            Some(value) => writeln!(text, "    before that step {} set {}", past.step, short(value)),
            None => writeln!(text, "    before that step {} removed it", past.step),
        };
    }
    text
}
