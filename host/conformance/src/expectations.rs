//! Known failures: checks that are expected to fail, each with a reason.

use serde::{Deserialize, Serialize};

use crate::checks::ALL;
use crate::report::{Report, State};

/// A file of expectations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectations {
    /// The checks that fail.
    pub expected_failures: Vec<Expectation>,
}

/// A check that fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The id of the check.
    pub check: String,
    /// Why that is accepted.
    pub reason: String,
}

/// Why expectations cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file has another form.
    #[error("{0}; a file of expectations is as in docs/conformance.md")]
    Read(#[from] serde_yaml_ng::Error),
    /// There is no such check.
    #[error("there is no check {0:?}; name one of {known}", known = known())]
    Check(String),
    /// There is no reason.
    #[error("the expected failure of {0} has no reason; say why it is accepted")]
    Reason(String),
}

fn known() -> String {
    ALL.iter().map(|check| check.id).collect::<Vec<_>>().join(", ")
}

impl Expectations {
    /// Reads a file.
    ///
    /// # Errors
    /// If it has another form, names an unknown check, or gives no reason.
    pub fn read(text: &str) -> Result<Self, Error> {
        let read: Self = serde_yaml_ng::from_str(text)?;
        for Expectation { check, reason } in &read.expected_failures {
            if !ALL.iter().any(|known| known.id == *check) {
                return Err(Error::Check(check.clone()));
            }
            if reason.trim().is_empty() {
                return Err(Error::Reason(check.clone()));
            }
        }
        Ok(read)
    }

    /// Marks what is expected in a report, and what is expected and did not happen.
    pub fn apply(&self, report: &mut Report) {
        for Expectation { check, reason } in &self.expected_failures {
            let Some(row) = report.checks.iter_mut().find(|row| row.id == *check) else { continue };
            match row.result {
                State::Failed => {
                    row.result = State::ExpectedFailure;
                    row.detail = format!("{} (expected: {reason})", row.detail);
                    row.remedy.clear();
                }
                State::Passed => {
                    row.result = State::UnexpectedPass;
                    row.detail = format!("{}, but a failure is expected: {reason}", row.detail);
                    "Remove the expectation.".clone_into(&mut row.remedy);
                }
                State::Skipped | State::ExpectedFailure | State::UnexpectedPass => {}
            }
        }
        report.conclude();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
mod tests {
    use super::*;
    use crate::checks::Profile;

    fn expecting(check: &str) -> Report {
        let mut report = Report::not_loaded("sha256:0".to_owned(), Profile::Full, "description", "no name");
        let text = format!("expectedFailures:\n- {{check: {check}, reason: an old fault}}\n");
        Expectations::read(&text).unwrap().apply(&mut report);
        report
    }

    #[test]
    fn an_expected_failure_does_not_fail_the_run_and_keeps_its_reason() {
        let report = expecting("description");
        assert!(report.is_passed());
        let row = report.row("description").unwrap();
        assert_eq!((row.result, row.detail.as_str()), (State::ExpectedFailure, "no name (expected: an old fault)"));
    }

    #[test]
    fn an_expected_failure_that_passes_fails_the_run() {
        let report = expecting("load");
        assert!(!report.is_passed());
        assert_eq!(report.row("load").unwrap().result, State::UnexpectedPass);
    }

    #[test]
    fn an_expectation_of_an_unknown_check_or_without_a_reason_is_refused() {
        let error = |text: &str| Expectations::read(text).unwrap_err().to_string();
        assert!(error("expectedFailures: [{check: speed, reason: a}]").contains("there is no check \"speed\""));
        assert!(error("expectedFailures: [{check: load, reason: ' '}]").contains("has no reason"));
        assert!(error("failures: []").contains("unknown field"));
    }
}
