//! A cluster without the section: if it was a standby, it is promoted once.

use pgloom_kit::container::name_of;
use pgloom_kit::{Action, ActionPhase, ConditionStatus, Response, Result, Value, bootstrap};

use crate::source::VARIABLES;
use crate::{Request, STATEFULSET, report};

/// The prefix of this action's keys.
const KEY: &str = "promote/";

/// The cluster's existing StatefulSet.
pub struct Existing {
    /// Whether it has the variable of a standby's source.
    pub is_standby: bool,
    /// Its uid and generation, so that every promotion of a cluster has another key.
    state: String,
}

/// The cluster's StatefulSet, if there is one.
///
/// # Errors
/// If the host sent an object that cannot be read.
pub fn existing(request: &Request) -> Result<Option<Existing>> {
    let found = request.observed::<Value>(STATEFULSET)?;
    Ok(found.iter().find(|(name, _)| *name == request.cluster.name).map(|(_, object)| Existing {
        is_standby: is_standby(object),
        state: format!(
            "{}/{}",
            object["metadata"]["uid"].as_str().unwrap_or_default(),
            object["metadata"]["generation"].as_i64().unwrap_or_default()
        ),
    }))
}

fn is_standby(object: &Value) -> bool {
    bootstrap::variables(object).iter().any(|entry| VARIABLES.contains(&name_of(entry)))
}

/// Requests the promotion of a standby, until it is done.
///
/// # Errors
/// If the host sent an object that cannot be read.
pub fn promote(request: &Request) -> Result<Response> {
    // When this response is applied, the StatefulSet is no longer that of a standby. Afterwards only the state of the
    // action shows that a promotion is needed.
    let requested =
        request.actions().iter().find(|action| action.key.starts_with(KEY) && action.phase != ActionPhase::Done);
    let key = match (existing(request)?, requested) {
        (Some(existing), _) if existing.is_standby => format!("{KEY}{}", existing.state),
        (_, Some(requested)) => requested.key.clone(),
        _ => return Ok(Response::new()),
    };
    let state = request.action(&key);
    let message = state.map(|state| state.message.as_str()).unwrap_or_default();
    let (status, reason, words) = match state.map(|state| state.phase) {
        Some(ActionPhase::Done) => (ConditionStatus::False, "Promoted", "the cluster was promoted"),
        Some(ActionPhase::Failed) => (ConditionStatus::True, "PromotionFailed", "the cluster is not promoted yet: "),
        Some(ActionPhase::Refused) => (ConditionStatus::True, "PromotionRefused", "the cluster is not promoted: "),
        Some(ActionPhase::Pending | ActionPhase::Running) | None => {
            (ConditionStatus::True, "Promoting", "the cluster is being promoted")
        }
    };
    let message = if words.ends_with(' ') { format!("{words}{message}") } else { words.to_owned() };
    Ok(report(Response::new().act(key, Action::Promote), status, reason, &message))
}
