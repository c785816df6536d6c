//! `pgloom conformance`: whether a plugin keeps what the contract promises, as a report that can be committed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use pgloom_common::error::error_chain;
use pgloom_common::golden;
use pgloom_conformance::cost::{Budget, exceeded};
use pgloom_conformance::expectations::Expectations;
use pgloom_conformance::{Companion, Profile, Report, Setup, corpus, junit, run};
use pgloom_engine::{Description, Engine, Pipeline, Plugin, Response};
use serde_json::{Map, Value};

use crate::usage::usage;
use crate::{file, pipeline};

/// The longest file of expectations or of a budget, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The files of a case in a golden folder.
const CASE: [&str; 3] = [golden::MANIFEST, golden::OPERATOR, golden::EXISTING];

/// The exit code of a run that failed.
const FAILED: u8 = 1;
/// The exit code if the checks could not be run.
const NOT_RUN: u8 = 2;

const HELP: &str = "\
Example:
  pgloom conformance motto.wasm --report conformance.yaml --junit conformance.xml

Exit codes:
  0  every check passed, was skipped, or failed as expected
  1  a check failed, an expected failure passed, or a case is too dear
  2  the checks could not be run: a file or a flag is wrong

docs/conformance.md says what each check proves and how a failure is mended.";

/// The flags of `pgloom conformance`.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: pipeline::Arguments,
    /// Which checks are run: `core`, those of the plugin alone, or `full`
    #[arg(long, value_name = "NAME", default_value = "full", value_parser = profile)]
    profile: Profile,
    /// The step's configuration, a map; without it the example of the plugin's description
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One more cluster to try the plugin on: a file with a manifest, the operator configuration and existing objects,
    /// or a case of a golden folder; may be repeated
    #[arg(long = "case", value_name = "FILE")]
    cases: Vec<PathBuf>,
    /// Write the report, as YAML
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Leave the digest out of the report: for a component that is not the same bytes on each machine that builds it
    #[arg(long)]
    no_digest: bool,
    /// Write the result for a CI server, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Known failures, each with a reason: a check that fails without one, or passes with one, fails the run
    #[arg(long, value_name = "FILE")]
    expectations: Option<PathBuf>,
    /// What a call of each case may cost, as in an earlier report: one that is 1.5 times dearer fails the run
    #[arg(long, value_name = "FILE")]
    budget: Option<PathBuf>,
    /// The component
    #[arg(value_name = "PLUGIN")]
    plugin: PathBuf,
}

fn profile(name: &str) -> Result<Profile, String> {
    let names = || Profile::ALL.map(Profile::name).join(" or ");
    Profile::from_name(name).ok_or_else(|| format!("there is no such profile; give {}", names()))
}

/// Runs the checks, prints a line for each, and writes the files.
pub fn conformance(arguments: &Arguments) -> ExitCode {
    match checked(arguments) {
        Ok(report) => {
            if let Err(error) = crate::output::print(&report.lines()) {
                crate::log::say(format_args!("error: {}", error_chain(&*error)));
                return ExitCode::from(NOT_RUN);
            }
            if report.is_passed() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
        }
        Err(error) => {
            crate::log::say(format_args!("error: {}", error_chain(&*error)));
            ExitCode::from(NOT_RUN)
        }
    }
}

fn checked(arguments: &Arguments) -> Result<Report> {
    check_outputs(arguments)?;
    // What is wrong with a file is found before the checks are run.
    let expectations = arguments.expectations.as_deref().map(expectations).transpose()?;
    let budget = arguments.budget.as_deref().map(budget).transpose()?;
    let bytes = file::component(&arguments.plugin, arguments.pipeline.limits())?;
    let config = arguments.config.as_deref().map(config).transpose()?;
    let cases = arguments.cases.iter().map(|path| case(path)).collect::<Result<_>>()?;
    let loaded = pipeline::load_with_document(&arguments.pipeline)?;
    if let (Some(path), Some(config)) = (&arguments.config, &config) {
        check_config(&loaded.engine, &bytes, config).with_context(|| path.display().to_string())?;
    }
    let steps = loaded.document.steps.into_iter().zip(loaded.pipeline.steps());
    let companions = steps.map(|(step, loaded)| Companion { step, plugin: loaded.plugin.clone() }).collect();
    let mut report = run(&loaded.engine, &bytes, arguments.profile, Setup { companions, config, cases });
    if let (Some(budget), Some(path)) = (&budget, &arguments.budget) {
        budget.check(&report).with_context(|| path.display().to_string())?;
    }
    let too_dear = budget.map(|budget| exceeded(&budget, &report.cost)).unwrap_or_default();
    for sentence in too_dear {
        report.add_failure("budget", sentence, "Make the call cheaper, or commit the report with the new costs.");
    }
    if let (Some(expectations), Some(path)) = (expectations, &arguments.expectations) {
        expectations.apply(&mut report).with_context(|| path.display().to_string())?;
    }
    if arguments.no_digest {
        report.plugin.digest.clear();
    }
    report.command = command(arguments);
    if let Some(path) = &arguments.report {
        write(path, &report.yaml()?)?;
    }
    if let Some(path) = &arguments.junit {
        write(path, &junit::xml(&report))?;
    }
    Ok(report)
}

/// Refuses a file that would be written over another one. A report may replace the one that was the budget.
fn check_outputs(arguments: &Arguments) -> Result<()> {
    let Arguments { plugin, config, cases, report, junit, expectations, budget, .. } = arguments;
    let read = [("--config", config), ("--expectations", expectations)];
    let read = read.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?)));
    let read: Vec<(&str, &PathBuf)> =
        read.chain(cases.iter().map(|path| ("--case", path))).chain([("the component", plugin)]).collect();
    let with_budget = budget.iter().map(|path| ("--budget", path)).chain(report.iter().map(|path| ("--report", path)));
    let with_budget: Vec<(&str, &PathBuf)> = with_budget.chain(read.iter().copied()).collect();
    for (flag, output, others) in [("--report", report, &read), ("--junit", junit, &with_budget)] {
        let Some(output) = output else { continue };
        if let Some((other, _)) = others.iter().find(|(_, other)| is_same_file(output, other)) {
            let place = output.display();
            return Err(usage(format!("{place}: is the file of {flag} and of {other}; give {flag} another file")));
        }
    }
    Ok(())
}

/// Whether two paths are of one file, which need not exist.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_default();
    real(one) == real(other)
}

fn expectations(path: &Path) -> Result<Expectations> {
    Expectations::read(&file::text(path, MAX_FILE)?).with_context(|| path.display().to_string())
}

fn budget(path: &Path) -> Result<Budget> {
    Budget::read(&file::text(path, MAX_FILE)?).with_context(|| path.display().to_string())
}

fn config(path: &Path) -> Result<Map<String, Value>> {
    match file::read_one(path)? {
        Value::Object(config) => Ok(config),
        _ => bail!("{}: the configuration of a step is a map; write KEY: VALUE", path.display()),
    }
}

/// Whether the plugin's schema accepts the configuration. A plugin that cannot be loaded fails a check, which says why.
fn check_config(engine: &Arc<Engine>, bytes: &[u8], config: &Map<String, Value>) -> Result<()> {
    let Ok(plugin) = Plugin::load(engine, bytes, None) else { return Ok(()) };
    let alone = Description { requires: Vec::new(), ..plugin.description };
    let alone = Plugin::native(alone, |_request| Ok(Response::default()));
    let configured = Pipeline::of_configured(vec![(Arc::new(alone), config.clone())]);
    configured.map(drop).map_err(|error| anyhow!(error.reason))
}

fn case(path: &Path) -> Result<corpus::Case> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let files: Vec<PathBuf> = match path.is_dir() {
        true => CASE.iter().map(|file| path.join(file)).filter(|file| file.exists()).collect(),
        false => vec![path.to_owned()],
    };
    if files.is_empty() {
        bail!("{}: has no manifest.yaml; name a case of a golden folder, as in golden/CASE", path.display());
    }
    let texts = files.iter().map(|file| file::text(file, MAX_FILE)).collect::<Result<Vec<_>>>()?;
    corpus::read(&name, &texts.join("\n---\n")).with_context(|| path.display().to_string())
}

fn write(path: &Path, text: &str) -> Result<()> {
    file::replace(path, text.as_bytes())
        .with_context(|| format!("{}: cannot be written; check the path", path.display()))
}

/// The command that gives the report again. Of a file that is named with its whole path only the name is in it: the
/// path is one of this machine.
fn command(arguments: &Arguments) -> String {
    let mut words = vec!["pgloom conformance".to_owned(), shown(&arguments.plugin)];
    if arguments.profile != Profile::default() {
        words.push(format!("--profile {}", arguments.profile.name()));
    }
    if arguments.no_digest {
        words.push("--no-digest".to_owned());
    }
    let files = [
        ("--config", &arguments.config),
        ("--expectations", &arguments.expectations),
        ("--budget", &arguments.budget),
        ("--report", &arguments.report),
    ];
    let files = files.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?)));
    let cases = arguments.cases.iter().map(|path| ("--case", path));
    words.extend(cases.chain(files).map(|(flag, path)| format!("{flag} {}", shown(path))));
    words.join(" ")
}

fn shown(path: &Path) -> String {
    let name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if path.is_absolute() { name() } else { path.display().to_string() }
}
