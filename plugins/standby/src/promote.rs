//! What was a standby cluster becomes one of its own: the host is asked to promote it once.

use pgloom_kit::container::name_of;
use pgloom_kit::{Action, ActionPhase, ConditionStatus, Response, Result, Value, bootstrap};

use crate::{Request, STATEFULSET, report};

/// What the keys of this action start with.
const KEY: &str = "promote/";

/// What is known of the cluster's StatefulSet.
pub struct Existing {
    /// Whether it makes a standby.
    pub is_standby: bool,
    /// A name for this state of it, which it never has again.
    state: String,
}

/// The cluster's StatefulSet, if there is one.
///
/// # Errors
/// If the host sent something that cannot be read.
pub fn existing(request: &Request) -> Result<Option<Existing>> {
    let found = request.observed::<Value>(STATEFULSET)?;
    Ok(found.iter().find(|(name, _)| *name == request.cluster.name).map(|(_, object)| Existing {
        is_standby: is_standby(object),
        state: [
            object["metadata"]["uid"].as_str().unwrap_or_default(),
            "/",
            &object["metadata"]["generation"].as_i64().unwrap_or_default().to_string(),
        ]
        .concat(),
    }))
}

fn is_standby(object: &Value) -> bool {
    bootstrap::variables(object).iter().any(|entry| name_of(entry).starts_with("STANDBY_"))
}

/// Asks for the promotion of what is still a standby, and goes on asking until it is done.
///
/// # Errors
/// If the host sent something that cannot be read.
pub fn promote(request: &Request) -> Result<Response> {
    // The StatefulSet tells it only until this very decision is applied; from then on the record of the action does.
    let asked =
        request.actions().iter().find(|action| action.key.starts_with(KEY) && action.phase != ActionPhase::Done);
    let key = match (existing(request)?, asked) {
        (Some(existing), _) if existing.is_standby => [KEY, &existing.state].concat(),
        (_, Some(asked)) => asked.key.clone(),
        _ => return Ok(Response::new()),
    };
    let state = request.action(&key);
    let message = state.map(|state| state.message.as_str()).unwrap_or_default();
    let (status, reason, words) = match state.map(|state| state.phase) {
        Some(ActionPhase::Done) => (ConditionStatus::No, "Promoted", "the cluster was promoted"),
        Some(ActionPhase::Failed) => (ConditionStatus::Yes, "PromotionFailed", "the cluster is not promoted yet: "),
        Some(ActionPhase::Refused) => (ConditionStatus::Yes, "PromotionRefused", "the cluster is not promoted: "),
        Some(ActionPhase::Pending | ActionPhase::Running) | None => {
            (ConditionStatus::Yes, "Promoting", "the cluster is being promoted")
        }
    };
    let message = if words.ends_with(' ') { [words, message].concat() } else { words.to_owned() };
    Ok(report(Response::new().act(key, Action::Promote), status, reason, &message))
}
