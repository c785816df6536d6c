//! What an answer must keep of the contract beside its objects and the rights of its actions: keys and conditions. It is
//! checked before anything of the answer is used, so that a refused answer leaves nothing behind.

use std::collections::BTreeSet;

use crate::convert::MAX_FINDINGS;
use crate::model::Response;

/// The condition of a failing step that `onFailure` replaces: the host sets it, a plugin cannot.
pub(super) const FAILED: &str = "Failed";
/// The longest type and reason of a condition, in bytes. Kubernetes allows 316 for the type, the step's name included.
const MAX_TYPE: usize = 200;
/// The longest idempotency key of an action, in bytes.
const MAX_KEY: usize = 253;
/// The most changes of objects. The shipped plugins have a few dozen.
const MAX_CONTRIBUTIONS: usize = 1000;
/// The most actions: three for each volume of a large cluster.
const MAX_ACTIONS: usize = 1000;
/// The most conditions.
const MAX_CONDITIONS: usize = 32;

/// Checks the answer of a plugin.
pub(super) fn check(response: &Response) -> Result<(), String> {
    for (list, length, limit) in [
        ("contributions", response.contributions.len(), MAX_CONTRIBUTIONS),
        ("actions", response.actions.len(), MAX_ACTIONS),
        ("findings", response.findings.len(), MAX_FINDINGS),
        ("conditions", response.conditions.len(), MAX_CONDITIONS),
    ] {
        if length > limit {
            return Err(format!("the answer has {length} {list}, the limit is {limit}"));
        }
    }
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
    use crate::model::{Action, ActionRequest, ConditionStatus, PluginCondition};

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
    fn an_action_that_has_no_key_or_that_of_another_is_refused() {
        assert_eq!(refusal(&["a", "a"], &[]), "two actions have the key \"a\"; give each a key of its own");
        assert!(refusal(&[""], &[]).ends_with("use 1 to 253"));
        assert!(refusal(&["a\nb"], &[]).ends_with("has the key \"a\\nb\", which holds a control character"));
    }

    #[test]
    fn the_lists_of_an_answer_are_limited() {
        let keys: Vec<String> = (0..=MAX_ACTIONS).map(|number| number.to_string()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(refusal(&keys, &[]), "the answer has 1001 actions, the limit is 1000");
        assert_eq!(refusal(&[], &[("A", "R"); 33]), "the answer has 33 conditions, the limit is 32");
    }

    #[test]
    fn a_condition_that_the_api_server_would_refuse_is_refused() {
        assert_eq!(refusal(&[], &[("A", "R"), ("A", "S")]), "the condition A is given twice");
        assert!(refusal(&[], &[("other/Ready", "R")]).contains("CamelCase"));
        assert!(refusal(&[], &[("A", "not a word")]).contains("CamelCase"));
        assert!(refusal(&[], &[(FAILED, "R")]).contains("set by the host"));
    }
}
