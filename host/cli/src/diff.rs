//! `pgloom diff`: what another pipeline would change, cluster by cluster, and which pods it would restart.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use pgloom_decide::impact::{FieldImpact, Impact, ObjectChange, Setting, Verdict, impact};
use pgloom_decide::kind::ObjectKey;
use pgloom_engine::{ObjectRef, Pipeline};
use serde_json::{Value, json};

use crate::live::{Live, Unreadable, Wanted};
use crate::manifests::Inputs;
use crate::{api_server, live, manifests, pipeline};

const HELP: &str = "\
Examples:
  pgloom diff --pipeline-now pipeline.yaml --pipeline new.yaml clusters/*.yaml
  pgloom diff --pipeline new.yaml -A                                           all clusters that run
  pgloom diff --config-then configuration.yaml -n shop                         those of a namespace

Without manifests the clusters, the operator configuration, the Pipeline object in use, the existing objects, the schemas of
custom resources and the answers that steps with onFailure: keepLast kept are read from the API server, with your rights. Where the operator has its pipeline in a file of its image, name that with --pipeline-now
and --plugins-now.

Before an upgrade of the operator, call the new release's pgloom, with --plugins-now as the folder of the plugins in use: pods of
the database for which this release desires something else than what runs are listed, too.

Exit codes: 0 nothing changes; 1 failure, as a cluster that neither pipeline accepts; 2 invalid command line; 3 objects
change; 4 pods restart; 5 a cluster would be held, because the new pipeline refuses it.";

/// The flags of `pgloom diff`.
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
    /// The pipeline in use; without it that of the Pipeline object in use for clusters that run, or else the one in the
    /// folder of the shipped plugins
    #[arg(long, value_name = "FILE")]
    pipeline_now: Option<PathBuf>,
    /// The folder of the plugins of the pipeline in use; without it the pipeline's own
    #[arg(long, value_name = "FOLDER")]
    plugins_now: Option<PathBuf>,
    /// The operator configuration that would be used then; without it that of --config
    #[arg(long, value_name = "FILE")]
    config_then: Option<PathBuf>,
    /// How the changes are printed
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// The clusters of all namespaces are read from the API server
    #[arg(long, short = 'A', conflicts_with_all = ["manifests", "namespace"])]
    all_namespaces: bool,
    /// Manifests of kind postgresql; `-` is standard input. Without one the clusters of the namespace are read from the API
    /// server
    #[arg(value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A block for each cluster that changes
    Text,
    /// A JSON object
    Json,
}

/// Prints what changes, and returns what it comes to.
pub fn diff(arguments: &Arguments) -> Result<ExitCode> {
    let impacts = if arguments.manifests.is_empty() { of_running(arguments)? } else { of_files(arguments)? };
    let verdict = impacts.iter().map(|impact| impact.verdict).max().unwrap_or(Verdict::Same);
    let text = match arguments.output {
        Format::Json => serde_json::to_string_pretty(&report(verdict, &impacts))? + "\n",
        Format::Text => impacts.iter().map(text).collect::<String>() + &summary(&impacts),
    };
    crate::output::print(&text)?;
    Ok(ExitCode::from(code(verdict)))
}

fn of_files(arguments: &Arguments) -> Result<Vec<Impact>> {
    let inputs = arguments.inputs.read()?;
    let then = pipeline::load(&arguments.pipeline)?;
    let now = pipeline::load(&arguments.now())?;
    let (mut manifests, mut places) = (Vec::new(), Vec::new());
    for path in &arguments.manifests {
        let found = inputs.manifests(path)?;
        let is_alone = found.len() == 1;
        for (index, manifest) in found.into_iter().enumerate() {
            places.push(place(path, (!is_alone).then_some(index + 1)));
            manifests.push(manifest);
        }
    }
    let mut impacts = arguments.impacts(&manifests, &inputs, &now, &then)?;
    for ((impact, manifest), place) in impacts.iter_mut().zip(&manifests).zip(places) {
        let ObjectKey { namespace, name, .. } = ObjectKey::of(manifest);
        if namespace.is_empty() || name.is_empty() {
            impact.cluster = place;
        }
    }
    Ok(impacts)
}

/// What a manifest is called that does not name a cluster: its file, and which object of several.
fn place(path: &Path, number: Option<usize>) -> String {
    let file = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    number.map_or_else(|| file.clone(), |number| format!("{file}: object {number}"))
}

fn of_running(arguments: &Arguments) -> Result<Vec<Impact>> {
    let Arguments { inputs, connection, configuration, .. } = arguments;
    inputs.refuse_observed()?;
    let live = Live::connect(connection, inputs.namespace.as_deref(), inputs.operator_namespace.as_deref());
    let live = live.map_err(api_server::or_manifest)?;
    let live = if arguments.all_namespaces { live.everywhere() } else { live };
    let (_, config) = live.configuration(configuration, inputs.config.as_deref())?;
    // What was loaded is known by its digest, so that it may be beside the components of the new pipeline.
    let folder = arguments.now().folder(Some(&arguments.pipeline));
    let now = live.pipeline(&arguments.now(), &folder)?;
    // Another configuration alone is compared with the same pipeline.
    let then = arguments.pipeline.is_named().then(|| live.load(&arguments.pipeline)).transpose()?;
    let then = then.as_ref().unwrap_or(&now);
    let manifests = live.clusters()?;
    let mut wanted = Wanted::of_every_cluster(&config, live.own());
    for manifest in &manifests {
        [&now, then].into_iter().for_each(|pipeline| wanted.add(pipeline, manifest, &config));
    }
    let existing = live.existing(&wanted, &config, None, Unreadable::Warns)?;
    let mut inputs = Inputs::of_running(config, live.own(), existing);
    for manifest in &manifests {
        inputs.add_last_answers(manifest, live.last_answers(manifest, &[&now, then], Unreadable::Warns)?);
    }
    arguments.impacts(&manifests, &inputs, &now, then)
}

impl Arguments {
    /// The flags of the pipeline in use.
    fn now(&self) -> pipeline::Arguments {
        self.pipeline.of_other(self.pipeline_now.clone(), self.plugins_now.clone())
    }

    fn impacts(&self, manifests: &[Value], inputs: &Inputs, now: &Pipeline, then: &Pipeline) -> Result<Vec<Impact>> {
        let then_config = match &self.config_then {
            Some(path) => manifests::config(path)?,
            None => inputs.config.clone(),
        };
        let of = |manifest: &Value| {
            let seen_now = inputs.observed(manifest, now);
            let seen_then = inputs.observed_with(&then_config, manifest, then);
            let now = Setting { config: &inputs.config, pipeline: now, observed: &seen_now };
            let then = Setting { config: &then_config, pipeline: then, observed: &seen_then };
            let mut impact = impact(manifest, now, then);
            impact.count_outdated();
            impact
        };
        Ok(manifests.iter().map(of).collect())
    }
}

/// The exit code, see the help.
fn code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Same => 0,
        Verdict::Changes => 3,
        Verdict::Restarts => 4,
        Verdict::Held => 5,
        Verdict::Unknown => 1,
    }
}

fn report(verdict: Verdict, impacts: &[Impact]) -> Value {
    json!({ "verdict": verdict, "pods": impacts.iter().map(Impact::pods).sum::<u64>(), "clusters": impacts })
}

fn summary(impacts: &[Impact]) -> String {
    let count = |verdict| impacts.iter().filter(|impact| impact.verdict == verdict).count();
    let changed = impacts.len() - count(Verdict::Same) - count(Verdict::Unknown);
    let pods: u64 = impacts.iter().map(Impact::pods).sum();
    let clusters = |number: usize| if number == 1 { "1 cluster".to_owned() } else { format!("{number} clusters") };
    let restarts = match (count(Verdict::Restarts), pods) {
        (0, _) => "no pod restarts".to_owned(),
        // How many pods an object has is not always known.
        (in_clusters, 0) => format!("pods of {} restart", clusters(in_clusters)),
        (in_clusters, 1) => format!("1 pod of {} restarts", clusters(in_clusters)),
        (in_clusters, pods) => format!("{pods} pods of {} restart", clusters(in_clusters)),
    };
    let change = if changed == 1 { "changes" } else { "change" };
    let mut text = format!("{}: {changed} {change}, {restarts}", clusters(impacts.len()));
    // Writing to a `String` does not fail.
    for (verdict, named) in [(Verdict::Held, "would be held"), (Verdict::Unknown, "cannot be compared")] {
        if count(verdict) > 0 {
            let _ = write!(text, ", {} {named}", count(verdict));
        }
    }
    text + "\n"
}

fn text(impact: &Impact) -> String {
    let mut text = String::new();
    if impact.verdict == Verdict::Same && impact.foreign.is_empty() {
        return text;
    }
    let _ = writeln!(text, "{}:", impact.cluster);
    // A manifest may have several problems, each with a line.
    let indented = |reason: &Option<String>| reason.as_ref().map(|reason| reason.replace('\n', "\n    "));
    match (indented(&impact.refused_now), indented(&impact.refused_then)) {
        (None, Some(reason)) => drop(writeln!(text, "  would be held, the new pipeline refuses it: {reason}")),
        (Some(reason), None) => drop(writeln!(text, "  is held now, and would not be held then: {reason}")),
        (Some(reason), Some(_)) => drop(writeln!(text, "  is refused by both pipelines: {reason}")),
        (None, None) => {}
    }
    for finding in &impact.foreign {
        let _ = writeln!(text, "  not written then: {finding}");
    }
    for restart in &impact.restarts {
        let ObjectRef { kind, name, .. } = &restart.object;
        let pods = match restart.pods {
            Some(1) => "1 pod".to_owned(),
            Some(pods) => format!("{pods} pods"),
            None => "each pod".to_owned(),
        };
        let of = if restart.database { " of the database" } else { "" };
        let by = restart.steps.join(", ");
        let _ = if restart.outdated {
            writeln!(text, "  RESTARTS {pods}{of}, {kind} {name}: what runs has another {}", restart.field)
        } else {
            writeln!(text, "  RESTARTS {pods}{of}, {kind} {name}: {} changes, by {by}", restart.field)
        };
    }
    for object in &impact.objects {
        let ObjectRef { kind, name, .. } = &object.object;
        let _ = match object.change {
            ObjectChange::Created => writeln!(text, "  + {kind} {name}, by {}", object.step),
            ObjectChange::Removed => writeln!(text, "  - {kind} {name}, which {} made", object.step),
            ObjectChange::Changed => writeln!(text, "  ~ {kind} {name}"),
        };
        if object.change == ObjectChange::Changed && object.fields.is_empty() {
            text.push_str("      the order of entries\n");
        }
        object.fields.iter().for_each(|field| text.push_str(&line(field)));
    }
    text
}

fn line(FieldImpact { path, before, after, steps }: &FieldImpact) -> String {
    let by = steps.join(", ");
    match (before, after) {
        (None, Some(after)) => format!("      {path}: {after}, set by {by}\n"),
        (Some(before), None) => format!("      {path}: was {before}, which {by} set, and is removed\n"),
        (before, after) => {
            let shown = |value: &Option<Value>| value.as_ref().map(Value::to_string).unwrap_or_default();
            format!("      {path}: {} -> {}, by {by}\n", shown(before), shown(after))
        }
    }
}
