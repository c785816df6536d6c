//! Known failures: checks that are expected to fail, each with a reason.

use serde_json::Value;

use crate::checks::ALL;
use crate::report::{Report, State};

/// A file of expectations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    /// The checks that fail.
    pub expected_failures: Vec<Expectation>,
}

/// A check that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The id of the check.
    pub check: String,
    /// Why that is accepted.
    pub reason: String,
}

/// Why expectations cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is no YAML.
    #[error("{0}; a file of expectations is as in docs/conformance.md")]
    Parse(String),
    /// The file has another form.
    #[error("{place}: {problem}; a file of expectations is as in docs/conformance.md")]
    Form {
        /// The field.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such check.
    #[error("{LIST}[{entry}]: there is no check {check:?}; name one of {known}", known = known())]
    Check {
        /// The index of the entry.
        entry: usize,
        /// The name.
        check: String,
    },
    /// There is no reason.
    #[error("{LIST}[{entry}]: the expected failure of {check} has no reason; say why it is accepted")]
    Reason {
        /// The index of the entry.
        entry: usize,
        /// The check.
        check: String,
    },
    /// The same check is there before.
    #[error("{LIST}[{entry}]: the check {check} is there a second time; keep one of the entries")]
    Twice {
        /// The index of the entry.
        entry: usize,
        /// The check.
        check: String,
    },
    /// The check is skipped, so nothing shows whether it would fail.
    #[error("{LIST}[{entry}]: the check {check} is skipped, not failed: {reason}; remove the entry")]
    Skipped {
        /// The index of the entry.
        entry: usize,
        /// The check.
        check: String,
        /// Why it is skipped.
        reason: String,
    },
}

/// The list of a file.
const LIST: &str = "expectedFailures";

fn known() -> String {
    ALL.iter().map(|check| check.id).collect::<Vec<_>>().join(", ")
}

impl Expectations {
    /// Reads a file.
    ///
    /// # Errors
    /// If it has another form, names an unknown check or one twice, or gives no reason.
    pub fn read(text: &str) -> Result<Self, Error> {
        let document: Value = serde_yaml_ng::from_str(text).map_err(|error| Error::Parse(error.to_string()))?;
        let form = |place: &str, problem: &str| Error::Form { place: place.to_owned(), problem: problem.to_owned() };
        let fields = document.as_object().ok_or_else(|| form(LIST, "is missing"))?;
        if let Some(unknown) = fields.keys().find(|field| *field != LIST) {
            return Err(form(unknown, &format!("is unknown, only {LIST} is known")));
        }
        let entries = fields.get(LIST).and_then(Value::as_array).ok_or_else(|| form(LIST, "is no list"))?;
        let mut expected_failures: Vec<Expectation> = Vec::new();
        for (entry, value) in entries.iter().enumerate() {
            let place = format!("{LIST}[{entry}]");
            let fields = value.as_object().ok_or_else(|| form(&place, "is no map"))?;
            if let Some(unknown) = fields.keys().find(|field| !["check", "reason"].contains(&field.as_str())) {
                return Err(form(&place, &format!("{unknown} is unknown, an entry has check and reason")));
            }
            let text = |field: &str| fields.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (check, reason) = (text("check"), text("reason"));
            if !ALL.iter().any(|known| known.id == check) {
                return Err(Error::Check { entry, check });
            }
            if reason.trim().is_empty() {
                return Err(Error::Reason { entry, check });
            }
            if expected_failures.iter().any(|other| other.check == check) {
                return Err(Error::Twice { entry, check });
            }
            expected_failures.push(Expectation { check, reason });
        }
        Ok(Self { expected_failures })
    }

    /// Marks what is expected in a report, and what is expected and did not happen.
    ///
    /// # Errors
    /// If the failure of a check is expected that is skipped. Of a plugin that cannot be used all of them are.
    pub fn apply(&self, report: &mut Report) -> Result<(), Error> {
        let is_usable =
            !report.cases.is_empty() && report.row("compatibility").is_none_or(|row| row.result == State::Passed);
        for (entry, Expectation { check, reason }) in self.expected_failures.iter().enumerate() {
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
                State::Skipped if is_usable => {
                    let (check, reason) = (check.clone(), row.detail.clone());
                    return Err(Error::Skipped { entry, check, reason });
                }
                State::Skipped | State::ExpectedFailure | State::UnexpectedPass => {}
            }
        }
        report.conclude();
        Ok(())
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
        Expectations::read(&text).unwrap().apply(&mut report).unwrap();
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
        for (text, sentence) in [
            ("failures: []", "failures: is unknown, only expectedFailures is known; a file of expectations is as in"),
            ("", "expectedFailures: is missing"),
            ("text", "expectedFailures: is missing"),
            ("expectedFailures: 3", "expectedFailures: is no list"),
            ("expectedFailures: [3]", "expectedFailures[0]: is no map"),
            ("expectedFailures: [{chek: load}]", "expectedFailures[0]: chek is unknown, an entry has check and reason"),
            (
                "expectedFailures: [{check: load, reason: a}, {check: load, reason: b}]",
                "expectedFailures[1]: the check load is there a second time; keep one of the entries",
            ),
        ] {
            let said = error(text);
            assert!(said.starts_with(sentence) && !said.contains("struct"), "{said}");
        }
    }

    #[test]
    fn an_expected_failure_of_a_skipped_check_is_refused_unless_the_plugin_cannot_be_used() {
        let expected = Expectations::read("expectedFailures: [{check: actions, reason: a}]").unwrap();
        let mut report = Report::not_loaded("sha256:0".to_owned(), Profile::Full, "description", "no name");
        assert!(expected.apply(&mut report).is_ok());
        report.cases.push("minimal".to_owned());
        report.checks.iter_mut().filter(|row| row.id == "compatibility").for_each(|row| row.result = State::Passed);
        let said = expected.apply(&mut report).unwrap_err().to_string();
        assert!(said.starts_with("expectedFailures[0]: the check actions is skipped, not failed: "), "{said}");
    }
}
