//! `pgloom explain`: which step set a field, and what its value depends on; of a manifest or of a cluster that runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use pgloom_decide::explain::{Explanation, Field, Source, Target, Tried, Unknown, explain};
use pgloom_decide::kind::ObjectKey;
use pgloom_engine::{HOST, Pipeline};
use serde_json::Value;

use crate::live::{Live, Unreadable, Wanted};
use crate::manifests::Inputs;
use crate::usage::usage;
use crate::{api_server, live, manifests, pipeline};

const HELP: &str = "\
Examples:
  pgloom explain -f manifest.yaml StatefulSet/acid-minimal-cluster '.spec.template.spec.containers[0].image'
  pgloom explain -n shop StatefulSet/acid-orders .spec.replicas   a cluster that runs

The value is decided again without each field of the manifest, key of a configuration and existing object, so that what it
depends on is exact, for every plugin.

Of a cluster that runs the manifest, the operator configuration, the Pipeline object in use, the existing objects, the schemas
of custom resources and the answers that steps with onFailure: keepLast kept are read from the API server, with your rights. Values of Secrets are never printed. Where the operator has its pipeline in a file of
its image, name that with --pipeline and --plugins.

Exit codes: 0 success; 1 failure, as an object or field that does not exist; 2 invalid command line.";

/// What is explained: manifests, and what a decision about them depends on.
struct Subject {
    /// Where the manifests come from.
    place: String,
    manifests: Vec<Value>,
    inputs: Inputs,
    pipeline: Pipeline,
}

impl Subject {
    fn of_file(arguments: &Arguments, path: &Path) -> Result<Self> {
        let inputs = arguments.inputs.read()?;
        let manifests = inputs.manifests(path)?;
        let pipeline = pipeline::load(&arguments.pipeline)?;
        Ok(Self { place: path.display().to_string(), manifests, inputs, pipeline })
    }

    /// The clusters that run. That one comes first with whose name the object's begins.
    fn running(arguments: &Arguments, object: &str) -> Result<Self> {
        let Arguments { inputs, connection, configuration, .. } = arguments;
        inputs.refuse_observed()?;
        let live = Live::connect(connection, inputs.namespace.as_deref(), inputs.operator_namespace.as_deref());
        let live = live.map_err(api_server::or_manifest)?;
        let (_, config) = live.configuration(configuration, inputs.config.as_deref())?;
        let pipeline = live.pipeline(&arguments.pipeline, &arguments.pipeline.folder(None))?;
        let mut manifests = live.clusters()?;
        manifests.sort_by_key(|manifest| {
            let name = ObjectKey::of(manifest).name;
            std::cmp::Reverse(if object.starts_with(name) { name.len() } else { 0 })
        });
        let mut wanted = Wanted::of_every_cluster(&config, live.own());
        manifests.iter().for_each(|manifest| wanted.add(&pipeline, manifest, &config));
        let existing = live.existing(&wanted, &config, None, Unreadable::Warns)?;
        let mut inputs = Inputs::of_running(config, live.own(), existing);
        for manifest in &manifests {
            inputs.add_last_answers(manifest, live.last_answers(manifest, &[&pipeline], Unreadable::Warns)?);
        }
        Ok(Self { place: "the API server".to_owned(), manifests, inputs, pipeline })
    }
}

/// The flags of `pgloom explain`.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    #[command(flatten)]
    connection: api_server::Connection,
    #[command(flatten)]
    configuration: live::Configuration,
    #[command(flatten)]
    inputs: manifests::Arguments,
    #[command(flatten)]
    pipeline: pipeline::Arguments,
    /// The manifest of kind postgresql; `-` is standard input. Without it the clusters of the namespace are read from the
    /// API server
    #[arg(long = "filename", short = 'f', value_name = "MANIFEST")]
    manifest: Option<PathBuf>,
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
        return Err(usage(format!(
            "{}: is no object; write it as in StatefulSet/acid-minimal-cluster",
            arguments.object
        )));
    };
    let target = Target { kind: kind.to_owned(), name: name.to_owned(), path: arguments.path.clone() };
    let Subject { place, manifests, inputs, pipeline } = match &arguments.manifest {
        Some(path) => Subject::of_file(arguments, path)?,
        None => Subject::running(arguments, name)?,
    };
    let explained =
        |manifest: &Value| explain(manifest, &inputs.config, &inputs.observed(manifest, &pipeline), &pipeline, &target);
    // Of several manifests that one is meant which has the object.
    let mut results = manifests
        .iter()
        .map(|manifest| explained(manifest).with_context(|| format!("{place}: {}", ObjectKey::of(manifest).name)));
    let first = results.next().ok_or_else(|| anyhow!("{place}: has no manifest"))?;
    let explanation = first.or_else(|error| results.find_map(Result::ok).ok_or(error))?;
    let text = match arguments.output {
        Format::Json => serde_json::to_string_pretty(&explanation)? + "\n",
        Format::Text => text(&explanation),
    };
    crate::output::print(&text)
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
    let _ = writeln!(text, "\n{}:", if path.is_empty() { "Its existence depends on" } else { "Depends on" });
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
    if path.is_empty() {
        let mut values = fields.iter().filter(|field| field.value.is_some()).map(|field| field.path.as_str());
        let field = values.find(|path| path.starts_with("spec.")).unwrap_or("spec");
        let _ = writeln!(
            text,
            "\nOnly the existence of the object is explained here. For a value, name its field: pgloom explain … {}/{} '.{field}'",
            object.kind, object.name
        );
    }
    text + &not_tested(unknown)
}

/// What could not be tried, by what is invalid without it.
fn not_tested(unknown: &[Unknown]) -> String {
    let mut needed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Unknown { source, .. } in unknown {
        let (invalid, place) = match source {
            Source::Manifest(path) => ("the manifest".to_owned(), path.clone()),
            Source::Step { step, path } => (format!("the configuration of step {step}"), path.clone()),
            Source::Configuration(key) => ("the operator configuration".to_owned(), key.clone()),
            Source::Existing(_) => ("the cluster".to_owned(), source.to_string()),
        };
        needed.entry(invalid).or_default().push(place);
    }
    let line = |(invalid, places): (String, Vec<String>)| {
        format!("\nNot tested, because {invalid} is invalid without them: {}\n", places.join(", "))
    };
    needed.into_iter().map(line).collect()
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
