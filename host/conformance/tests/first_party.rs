//! Every shipped plugin passes every check, and its report is committed. `UPDATE=1` rewrites the reports.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

mod common;

use golden::{differs, pipeline, report, repository};
use pgloom_conformance::cost::{Budget, Cost, exceeded};
use pgloom_conformance::{Profile, Report, State, check};
use pgloom_engine::pipeline::Step;

/// The report without what depends on the build: the compiler and the folder with the sources of dependencies are in
/// the bytes of a component, and so in its digest.
fn committed(mut report: Report, step: &str) -> Report {
    report.plugin.digest.clear();
    report.command =
        format!("pgloom conformance dist/plugins/{step}.wasm --no-digest --report plugins/{step}/conformance.yaml");
    report
}

/// Why the costs of a committed report are no longer those of the plugin. Another compiler gives slightly other costs.
fn stale(was: &[Cost], is: &[Cost]) -> Vec<String> {
    let budget = |cost: &[Cost]| Budget { plugin: None, cost: cost.to_vec() };
    let dearer = exceeded(&budget(was), is);
    let cheaper = exceeded(&budget(is), was).into_iter().map(|sentence| format!("the report has too much: {sentence}"));
    dearer.into_iter().chain(cheaper).collect()
}

/// Why a report proves less than it could: a check is skipped, and not that of actions where the plugin asks for none.
fn skips_too_much(report: &Report, step: &Step) -> Option<String> {
    let skipped = report.checks.iter().filter(|row| row.result == State::Skipped).map(|row| row.id.as_str());
    let expected: &[&str] = if step.plugin.description.actions.is_empty() { &["actions"] } else { &[] };
    let skipped: Vec<&str> = skipped.collect();
    (skipped != expected).then(|| format!("{}: skipped are {skipped:?}, and not only {expected:?}", step.name))
}

#[test]
fn every_shipped_plugin_passes_every_check_as_its_committed_report_says() {
    let mut faults = Vec::new();
    for step in pipeline().steps() {
        let file = repository(&format!("plugins/{}/conformance.yaml", step.name));
        let found = check(step.plugin.clone(), Profile::Full, common::setup());
        if !found.is_passed() {
            faults.push(format!("{}\n{}", step.name, found.lines()));
        }
        if let Some(fault) = skips_too_much(&found, step) {
            faults.push(fault);
        }
        let mut found = committed(found, &step.name);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if let (Ok(was), None) = (serde_yaml_ng::from_str::<Report>(&text), std::env::var_os("UPDATE")) {
            faults.extend(stale(&was.cost, &found.cost).into_iter().map(|fault| format!("{}: {fault}", step.name)));
            found.cost = was.cost;
        }
        faults.extend(differs(&file, &found.yaml().unwrap()));
    }
    report(&faults);
}
