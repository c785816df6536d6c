//! Drops what plugins report twice: the status holds one condition of a type and one record of an action, and the API
//! server refuses a status with two.

use std::collections::BTreeSet;

use pgloom_api::Finding;
use pgloom_engine::{Condition, RequestedAction};

use crate::status::OWN;

/// The first condition of each type, without those of the operator's own types, and a finding for each that is dropped.
#[must_use]
pub fn conditions(reported: Vec<Condition>) -> (Vec<Condition>, Vec<Finding>) {
    let (mut types, mut findings) = (BTreeSet::new(), Vec::new());
    let mut is_first = |condition: &Condition| {
        let type_name = &condition.type_name;
        if OWN.contains(&type_name.as_str()) {
            findings.push(Finding::warning(format!(
                "a plugin reports the condition {type_name}, which is the operator's own; it is dropped"
            )));
            return false;
        }
        let first = types.insert(type_name.clone());
        if !first {
            findings.push(Finding::warning(format!(
                "plugins report the condition {type_name} more than once; only the first is kept"
            )));
        }
        first
    };
    let kept = reported.into_iter().filter(|condition| is_first(condition)).collect();
    (kept, findings)
}

/// The first action of each key of a step, and a finding for each that is dropped.
#[must_use]
pub fn actions(requested: Vec<RequestedAction>) -> (Vec<RequestedAction>, Vec<Finding>) {
    let (mut keys, mut findings) = (BTreeSet::new(), Vec::new());
    let mut is_first = |action: &RequestedAction| {
        let first = keys.insert((action.step.clone(), action.key.clone()));
        if !first {
            let message = format!("two actions have the key {}; only the first is executed", action.key);
            findings.push(Finding { step: Some(action.step.clone()), ..Finding::warning(message) });
        }
        first
    };
    let kept = requested.into_iter().filter(|action| is_first(action)).collect();
    (kept, findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgloom_engine::{Action, ConditionStatus};

    fn condition(type_name: &str, reason: &str) -> Condition {
        Condition {
            type_name: type_name.into(),
            status: ConditionStatus::True,
            reason: reason.into(),
            message: "m".into(),
        }
    }

    #[test]
    fn a_condition_of_the_operator_or_of_another_plugin_is_dropped_and_reported() {
        let reported = vec![condition("Backup", "First"), condition("Ready", "Mine"), condition("Backup", "Second")];
        let (kept, findings) = conditions(reported);
        assert_eq!(kept, [condition("Backup", "First")]);
        assert_eq!(findings.len(), 2);
        assert!(findings.iter().all(|finding| !finding.is_error()));
    }

    #[test]
    fn of_two_actions_with_one_key_the_first_is_kept_and_steps_do_not_disturb_each_other() {
        let action = |step: &str, key: &str| RequestedAction {
            step: step.into(),
            key: key.into(),
            action: Action::Promote,
            refusal: None,
        };
        let (kept, findings) = actions(vec![action("a", "k"), action("a", "k"), action("b", "k"), action("a", "l")]);
        let kept: Vec<String> = kept.iter().map(|action| format!("{}/{}", action.step, action.key)).collect();
        assert_eq!(kept, ["a/k", "b/k", "a/l"]);
        assert_eq!(findings.len(), 1);
    }
}
