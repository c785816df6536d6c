//! What an answer must keep of the contract beside its objects and the rights of its actions: keys and conditions. It is
//! checked before anything of the answer is used, so that a refused answer leaves nothing behind.

use std::collections::BTreeSet;

use crate::convert::MAX_FINDINGS;
use crate::model::{Contribution, Response};

/// The condition of a failing step that `onFailure` replaces: the host sets it, a plugin cannot.
pub(super) const FAILED: &str = "Failed";
/// The longest type and reason of a condition, in bytes. Kubernetes allows 316 for the type, the step's name included.
pub(crate) const MAX_TYPE: usize = 200;
/// The longest idempotency key of an action, in bytes.
pub(crate) const MAX_KEY: usize = 253;

/// The most partial objects of an answer.
pub(crate) const MAX_OBJECTS: usize = 1000;
/// The most removals of an answer.
pub(crate) const MAX_REMOVALS: usize = 1000;
/// The most actions of an answer. A claim has up to three, so that this is enough for hundreds of members.
pub(crate) const MAX_ACTIONS: usize = 1000;
/// The most conditions of an answer.
pub(crate) const MAX_CONDITIONS: usize = 64;

/// A number of an answer that exceeds its limit. What is short in bytes may take much memory and time, and a run uses the
/// answers of all steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// Too many partial objects.
    #[error("the answer has {0} partial objects, and the limit is {MAX_OBJECTS}")]
    Objects(usize),
    /// Too many removals.
    #[error("the answer has {0} removals, and the limit is {MAX_REMOVALS}")]
    Removals(usize),
    /// Too many actions.
    #[error("the answer has {0} actions, and the limit is {MAX_ACTIONS}")]
    Actions(usize),
    /// Too many findings.
    #[error("the answer has {0} findings, and the limit is {MAX_FINDINGS}")]
    Findings(usize),
    /// Too many conditions.
    #[error("the answer has {0} conditions, and the limit is {MAX_CONDITIONS}")]
    Conditions(usize),
}

/// Checks the numbers of what an answer has.
pub(super) fn check_size(response: &Response) -> Result<(), Limit> {
    let is_removal = |contribution: &&Contribution| matches!(contribution, Contribution::Remove(_));
    let removals = response.contributions.iter().filter(is_removal).count();
    let numbers = [
        (response.contributions.len() - removals, MAX_OBJECTS, Limit::Objects as fn(usize) -> Limit),
        (removals, MAX_REMOVALS, Limit::Removals),
        (response.actions.len(), MAX_ACTIONS, Limit::Actions),
        (response.findings.len(), MAX_FINDINGS, Limit::Findings),
        (response.conditions.len(), MAX_CONDITIONS, Limit::Conditions),
    ];
    let exceeded = numbers.into_iter().find(|(number, most, _)| number > most);
    exceeded.map_or(Ok(()), |(number, _, limit)| Err(limit(number)))
}

/// Checks the answer of a plugin.
pub(super) fn check(response: &Response) -> Result<(), String> {
    let mut keys = BTreeSet::new();
    for request in &response.actions {
        let kind = request.action.kind();
        let key = &request.key;
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(format!("an action of kind {kind} has a key of {} bytes; use 1 to {MAX_KEY}", key.len()));
        }
        if key.chars().any(char::is_control) {
            return Err(format!("an action of kind {kind} has the key {key:?}, which holds a control character"));
        }
        if !keys.insert(key) {
            return Err(format!("two actions have the key {key:?}; give each a key of its own"));
        }
    }
    let mut types = BTreeSet::new();
    for condition in &response.conditions {
        let name = &condition.type_name;
        if !is_word(name) || !is_word(&condition.reason) {
            let reason = &condition.reason;
            return Err(format!("condition {name:?} with reason {reason:?}: both must be in CamelCase"));
        }
        if name == FAILED {
            return Err(format!("condition {FAILED} is set by the host; answer with a failure"));
        }
        if !types.insert(name) {
            return Err(format!("the condition {name} is given twice"));
        }
    }
    Ok(())
}

/// A letter, then letters and digits: what the API server accepts as type and as reason of a condition.
fn is_word(text: &str) -> bool {
    text.len() <= MAX_TYPE
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|character| character.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Action, ActionRequest, ConditionStatus, Finding, ObjectRef, PluginCondition, Removal};
    use pgloom_api::Severity;

    fn answer(actions: &[&str], conditions: &[(&str, &str)]) -> Response {
        let action = |key: &&str| ActionRequest { key: (*key).to_owned(), action: Action::Promote };
        let condition = |(name, reason): &(&str, &str)| PluginCondition {
            type_name: (*name).to_owned(),
            status: ConditionStatus::True,
            reason: (*reason).to_owned(),
            message: String::new(),
        };
        Response {
            contributions: Vec::new(),
            actions: actions.iter().map(action).collect(),
            findings: Vec::new(),
            conditions: conditions.iter().map(condition).collect(),
        }
    }

    fn refusal(actions: &[&str], conditions: &[(&str, &str)]) -> String {
        check(&answer(actions, conditions)).unwrap_err()
    }

    #[test]
    fn an_answer_that_keeps_the_contract_passes() {
        let answer = answer(&["a", "b"], &[("Ready", "AsRequested"), ("Resized", "Waiting")]);
        assert_eq!(check(&answer), Ok(()));
    }

    #[test]
    fn an_answer_with_too_many_objects_removals_actions_findings_or_conditions_is_refused() {
        const MANY: usize = 10_000;
        let object = ObjectRef { api_version: "v1".into(), kind: "ConfigMap".into(), name: "a".into() };
        let removal = Contribution::Remove(Removal { object, path: "data.a".into() });
        let (severity, message) = (Severity::Warning, String::new());
        let finding = Finding { severity, message, path: None, object: None, remedy: None };
        let one = answer(&["a"], &[("Ready", "AsRequested")]);
        let with = |change: &dyn Fn(&mut Response)| {
            let mut many = one.clone();
            change(&mut many);
            check_size(&many).unwrap_err()
        };
        let apply = Contribution::Apply("{}".into());
        assert_eq!(with(&|many| many.contributions = vec![apply.clone(); MANY]), Limit::Objects(MANY));
        assert_eq!(with(&|many| many.contributions = vec![removal.clone(); MANY]), Limit::Removals(MANY));
        assert_eq!(with(&|many| many.actions = vec![one.actions[0].clone(); MANY]), Limit::Actions(MANY));
        assert_eq!(with(&|many| many.findings = vec![finding.clone(); MANY]), Limit::Findings(MANY));
        assert_eq!(with(&|many| many.conditions = vec![one.conditions[0].clone(); MANY]), Limit::Conditions(MANY));
        assert_eq!(check_size(&one), Ok(()));
    }

    #[test]
    fn an_action_that_has_no_key_or_that_of_another_is_refused() {
        assert_eq!(refusal(&["a", "a"], &[]), "two actions have the key \"a\"; give each a key of its own");
        assert!(refusal(&[""], &[]).ends_with("use 1 to 253"));
        assert!(refusal(&["a\nb"], &[]).ends_with("has the key \"a\\nb\", which holds a control character"));
    }

    #[test]
    fn a_condition_that_the_api_server_would_refuse_is_refused() {
        assert_eq!(refusal(&[], &[("A", "R"), ("A", "S")]), "the condition A is given twice");
        assert!(refusal(&[], &[("other/Ready", "R")]).contains("CamelCase"));
        assert!(refusal(&[], &[("A", "not a word")]).contains("CamelCase"));
        assert!(refusal(&[], &[(FAILED, "R")]).contains("set by the host"));
    }
}
