//! What the result of a decision says about one of its steps.

use pgloom_api::Finding;
use pgloom_decide::{Error, Plan};

/// What a decision says about a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is a plan.
    Planned,
    /// The step refused the manifest or the configuration, in this sentence.
    Refused(String),
    /// The step did not answer, or not as the contract says.
    Broken(String),
    /// The step answered with more than it asks for.
    Overreached(String),
    /// The step and another one want different values.
    Conflict(String),
    /// The host or another step has refused the cluster.
    Elsewhere(String),
}

/// The verdict on a step by its name.
#[must_use]
pub fn verdict(result: &Result<Plan, Error>, step: &str) -> Verdict {
    let error = match result {
        Ok(_) => return Verdict::Planned,
        Err(error) => error,
    };
    match error {
        Error::Manifest(findings) => of_findings(findings, step),
        Error::Pipeline(failed) if failed.step == step => of_category(failed.category(), failed.to_string()),
        Error::Placeholder { .. } => Verdict::Overreached(error.to_string()),
        Error::Pipeline(_) | Error::Configuration(_) | Error::Adoption(_) => Verdict::Elsewhere(error.to_string()),
    }
}

/// The verdict for the category of the failure of a call or of a run.
#[must_use]
pub fn of_category(category: &str, sentence: String) -> Verdict {
    match category {
        "InvalidManifest" | "InvalidConfig" => Verdict::Refused(sentence),
        "Conflict" => Verdict::Conflict(sentence),
        "ContributionRefused" | "ActionRefused" | "InvalidPlaceholder" => Verdict::Overreached(sentence),
        // The host did not call the step: what it reads could not be read.
        "RightsMissing" | "KindUnknown" | "PipelineNotLoaded" => Verdict::Elsewhere(sentence),
        _ => Verdict::Broken(sentence),
    }
}

fn of_findings(findings: &[Finding], step: &str) -> Verdict {
    let mut own = findings.iter().filter(|finding| finding.is_error() && finding.step.as_deref() == Some(step));
    match own.next() {
        Some(finding) if finding.message.trim().is_empty() => {
            Verdict::Broken("it refused the manifest without a sentence".to_owned())
        }
        Some(finding) => Verdict::Refused(finding.to_string()),
        None => Verdict::Elsewhere(findings.first().map(ToString::to_string).unwrap_or_default()),
    }
}
