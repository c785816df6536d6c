//! The result of a run, as a document that can be committed: nothing in it depends on the machine, the time or the
//! place.

use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::checks::{ALL, Check, Outcome, Profile};
use crate::cost::{self, Cost};

/// `apiVersion` of a report.
pub const API_VERSION: &str = "pgloom.dev/v1alpha1";
/// `kind` of a report.
pub const KIND: &str = "ConformanceReport";

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Report {
    /// `pgloom.dev/v1alpha1`.
    pub api_version: String,
    /// `ConformanceReport`.
    pub kind: String,
    /// The plugin.
    pub plugin: Subject,
    /// The version of the host that ran the checks.
    pub host: String,
    /// The name of the profile.
    pub profile: String,
    /// The plugins that took part, with their versions, in the order of their pipeline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<String>,
    /// `passed` or `failed`.
    pub result: State,
    /// By check, in order.
    pub checks: Vec<Row>,
    /// What the calls of each case cost, in the order of the cases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cost: Vec<Cost>,
    /// The command that gives this report again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// The names of the cases that were tried; they are not written.
    #[serde(skip)]
    pub cases: Vec<String>,
}

/// The plugin of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its name; empty if it could not be loaded.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of the component; empty where it is left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// The version of the contract.
    pub contract: String,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The check.
    pub id: String,
    /// Its result.
    pub result: State,
    /// What was tried, or what failed.
    pub detail: String,
    /// How a failure is mended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

/// A result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The promise is kept.
    Passed,
    /// The promise is broken.
    Failed,
    /// Nothing could be tried.
    Skipped,
    /// The promise is broken, as the expectations say.
    ExpectedFailure,
    /// The promise is kept, although the expectations say that it is broken.
    UnexpectedPass,
}

impl State {
    /// The word in reports and on the terminal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::ExpectedFailure => "expected-failure",
            Self::UnexpectedPass => "unexpected-pass",
        }
    }

    /// Whether the whole run fails with it.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::UnexpectedPass)
    }
}

impl Row {
    fn of(check: &Check, outcome: Outcome) -> Self {
        let (result, detail, remedy) = match outcome {
            Outcome::Passed(detail) => (State::Passed, detail, ""),
            Outcome::Failed(detail) => (State::Failed, detail, check.remedy),
            Outcome::Skipped(detail) => (State::Skipped, detail, ""),
        };
        Self { id: check.id.to_owned(), result, detail, remedy: remedy.to_owned() }
    }
}

impl Report {
    pub(crate) fn of(bench: &Bench, profile: Profile, outcomes: Vec<(&'static Check, Outcome)>) -> Self {
        let description = &bench.plugin.description;
        let beside = bench.companions.iter().map(|companion| {
            let description = &companion.plugin.description;
            format!("{} {}", description.name, description.version)
        });
        let plugin = Subject {
            name: description.name.clone(),
            version: description.version.clone(),
            digest: bench.plugin.digest.clone(),
            contract: bench.plugin.contract.clone(),
        };
        let rows = outcomes.into_iter().map(|(check, outcome)| Row::of(check, outcome)).collect();
        let cases = bench.cases.iter().map(|case| case.name.clone()).collect();
        Self { beside: beside.collect(), cost: cost::table(bench), cases, ..Self::with(plugin, profile, rows) }
    }

    pub(crate) fn not_loaded(digest: String, profile: Profile, failed: &str, reason: &str) -> Self {
        let outcome = |check: &Check| match check.id {
            "load" if failed != "load" => Outcome::Passed("verified and compiled".to_owned()),
            id if id == failed => Outcome::Failed(reason.to_owned()),
            _ => Outcome::Skipped(format!("the plugin cannot be used, see {failed}")),
        };
        let rows = profile.checks().map(|check| Row::of(check, outcome(check))).collect();
        Self::with(Subject { digest, ..Subject::default() }, profile, rows)
    }

    fn with(plugin: Subject, profile: Profile, checks: Vec<Row>) -> Self {
        let mut report = Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            plugin,
            host: env!("CARGO_PKG_VERSION").to_owned(),
            profile: profile.name().to_owned(),
            beside: Vec::new(),
            result: State::Passed,
            checks,
            cost: Vec::new(),
            command: String::new(),
            cases: Vec::new(),
        };
        report.conclude();
        report
    }

    /// Adds a failure of a check: a case that is dearer than its budget.
    pub fn add_failure(&mut self, id: &str, detail: String, remedy: &str) {
        let row = Row { id: id.to_owned(), result: State::Failed, detail, remedy: remedy.to_owned() };
        self.checks.push(row);
        self.conclude();
    }

    /// Sets the result of the whole from the rows.
    pub(crate) fn conclude(&mut self) {
        let fails = self.checks.iter().any(|row| row.result.is_failure());
        self.result = if fails { State::Failed } else { State::Passed };
    }

    /// Whether every check passed, was skipped or failed as expected.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.result == State::Passed
    }

    /// The row of a check.
    #[must_use]
    pub fn row(&self, id: &str) -> Option<&Row> {
        self.checks.iter().find(|row| row.id == id)
    }

    /// The document, with a comment that says what it is.
    ///
    /// # Errors
    /// If a text cannot be written as YAML.
    pub fn yaml(&self) -> Result<String, serde_yaml_ng::Error> {
        Ok(format!(
            "# Written by `pgloom conformance`; docs/conformance.md says what each check proves.\n{}",
            serde_yaml_ng::to_string(self)?
        ))
    }

    /// A line for each check, and one for the whole.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut text = String::new();
        let width = ALL.iter().map(|check| check.id.len()).max().unwrap_or_default();
        for Row { id, result, detail, remedy } in &self.checks {
            let remedy = if remedy.is_empty() { String::new() } else { format!(" | to mend it: {remedy}") };
            text.push_str(&format!("{:<16} {id:<width$}  {detail}{remedy}\n", result.name()));
        }
        let Subject { name, version, .. } = &self.plugin;
        let whose = if name.is_empty() { "the plugin".to_owned() } else { format!("{name} {version}") };
        text.push_str(&format!("{whose}: {}\n", self.result.name()));
        text
    }
}
