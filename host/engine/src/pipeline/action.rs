//! The actions of a response: checked against the permission of the step, and against the actions of earlier steps.

mod patroni;

use std::collections::BTreeMap;

use pgloom_api::{ActionKind, placeholder};
use pgloom_common::name::covers;

use super::json;
use crate::decision::RequestedAction;
use crate::model::{Action, ActionPermission, ActionRequest};
use patroni::{Power, covers_key, is_or_below, keys};

/// Why the actions of a response are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The description does not ask for the action.
    #[error("action {key} is about {subject:?}, and the plugin's description does not ask for {kind} of that")]
    NotAsked {
        /// The action's key.
        key: String,
        /// The action's kind.
        kind: ActionKind,
        /// What the action is about.
        subject: String,
    },
    /// The configuration for Patroni is not usable.
    #[error("action {key}: the configuration for Patroni {reason}")]
    Configuration {
        /// The action's key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A parameter holds a placeholder.
    #[error(
        "action {key} holds the placeholder of a credential, which is filled in only as the value of a container's variable"
    )]
    Placeholder {
        /// The action's key.
        key: String,
    },
    /// Another action wants something else.
    #[error(transparent)]
    Conflict(Box<Conflict>),
}

/// Two actions that want different things of one subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "action {key} of step {step} wants {value} for {subject}, and action {earlier_key} of step {earlier} wants \
     {earlier_value}; remove one of the steps, or give both the same configuration"
)]
pub struct Conflict {
    /// What both are about.
    pub subject: String,
    /// The step of the earlier action.
    pub earlier: String,
    /// The key of the earlier action.
    pub earlier_key: String,
    /// What the earlier action wants.
    pub earlier_value: String,
    /// The step of the later action.
    pub step: String,
    /// The key of the later action.
    pub key: String,
    /// What the later action wants.
    pub value: String,
}

/// What a step may do: what its plugin asks for, and what the pipeline grants.
pub(super) struct Rights<'a> {
    pub step: &'a str,
    pub cluster: &'a str,
    pub asked: &'a [ActionPermission],
    pub granted: &'a [ActionPermission],
}

impl Rights<'_> {
    /// Whether a grant names the Secret of a user list, and not only covers it by a `*`.
    pub(super) fn names_list(&self, secret: &str) -> bool {
        let of_kind = self.granted.iter().filter(|grant| grant.kind == ActionKind::UserList);
        let mut subjects = of_kind.flat_map(|grant| &grant.subjects).filter(|subject| !subject.contains('*'));
        subjects.any(|subject| covers(subject, self.cluster, secret))
    }
}

/// The actions that a response requests, each with the reason if it is not executed.
///
/// # Errors
/// If an action is not one that the description asks for, or wants something else than an action of `earlier` or of
/// the same response.
pub(super) fn check(
    requests: &[ActionRequest],
    rights: &Rights<'_>,
    earlier: &[RequestedAction],
) -> Result<Vec<RequestedAction>, Error> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let mut wants = Wants::default();
    for requested in earlier.iter().filter(|requested| requested.is_granted()) {
        wants.add(requested)?;
    }
    let mut all = Vec::with_capacity(requests.len());
    for request in requests {
        let requested = RequestedAction {
            step: rights.step.to_owned(),
            key: request.key.clone(),
            action: request.action.clone(),
            refusal: refusal(request, rights)?,
        };
        if requested.is_granted() {
            wants.add(&requested)?;
        }
        all.push(requested);
    }
    Ok(all)
}

fn refusal(request: &ActionRequest, rights: &Rights<'_>) -> Result<Option<String>, Error> {
    let (key, kind) = (&request.key, request.action.kind());
    if holds_placeholder(&request.action) {
        return Err(Error::Placeholder { key: key.clone() });
    }
    let subjects = subjects(&request.action).map_err(|reason| Error::Configuration { key: key.clone(), reason })?;
    if let Some(subject) = missing(rights.asked, rights.cluster, kind, &subjects) {
        return Err(Error::NotAsked { key: key.clone(), kind, subject });
    }
    Ok(missing(rights.granted, rights.cluster, kind, &subjects).map(|subject| match subject.as_str() {
        "" => format!("the pipeline does not grant {kind} to the step"),
        subject => format!("the pipeline does not grant {kind} of {subject:?} to the step"),
    }))
}

/// The first subject that no permission covers; empty if there is no permission for the kind at all.
fn missing(
    permissions: &[ActionPermission],
    cluster: &str,
    kind: ActionKind,
    subjects: &[(String, Power)],
) -> Option<String> {
    let of_kind = || permissions.iter().filter(|permission| permission.kind == kind);
    if of_kind().next().is_none() {
        return Some(String::new());
    }
    let patterns = || of_kind().flat_map(|permission| &permission.subjects);
    let is_covered = |(subject, power): &&(String, Power)| match kind {
        ActionKind::ConfigurePatroni => patterns().any(|pattern| covers_key(pattern, subject, *power)),
        _ => patterns().any(|pattern| covers(pattern, cluster, subject)),
    };
    subjects.iter().find(|subject| !is_covered(subject)).map(|(subject, _)| subject.clone())
}

/// What an action is about, as a permission names it: names, or keys of Patroni's configuration, each with its power.
fn subjects(action: &Action) -> Result<Vec<(String, Power)>, String> {
    let name = |name: &String| vec![(name.clone(), Power::None)];
    Ok(match action {
        Action::Credential(credential) => name(&credential.username),
        Action::UserList(list) => name(&list.secret_name),
        Action::PoolerAccess(access) => name(&access.schema),
        Action::ConfigurePatroni(text) => {
            let with_power = |key: String| {
                let power = Power::of(&key);
                (key, power)
            };
            keys(text)?.into_keys().map(with_power).collect()
        }
        Action::Promote => Vec::new(),
        Action::ExpandClaim(claim) => name(&claim.claim),
        Action::ModifyVolume(volume) => name(&volume.claim),
        Action::GrowFilesystem(filesystem) => name(&filesystem.claim),
    })
}

/// What the actions so far want: by subject, the value and the action.
#[derive(Default)]
struct Wants(BTreeMap<(ActionKind, String), Want>);

#[derive(Clone)]
struct Want {
    value: String,
    step: String,
    key: String,
}

impl Wants {
    /// Adds what an action wants.
    ///
    /// # Errors
    /// If an earlier one wants another value.
    fn add(&mut self, requested: &RequestedAction) -> Result<(), Error> {
        let kind = requested.action.kind();
        for (subject, value) in wanted(&requested.action) {
            let want = Want { value, step: requested.step.clone(), key: requested.key.clone() };
            let place = (kind, subject);
            if let Some((subject, earlier)) = self.other(&place, &want.value) {
                return Err(conflict(kind, &subject, earlier, want));
            }
            self.0.insert(place, want);
        }
        Ok(())
    }

    /// An earlier want of another value for the same subject, for one above it or for one below it.
    fn other(&self, place: &(ActionKind, String), value: &str) -> Option<(String, Want)> {
        if let Some(earlier) = self.0.get(place) {
            return (earlier.value != value).then(|| (place.1.clone(), earlier.clone()));
        }
        if place.0 != ActionKind::ConfigurePatroni {
            return None;
        }
        let (kind, key) = place;
        let above = key.match_indices('.').map(|(end, _)| (*kind, key[..end].to_owned()));
        let above = above.filter_map(|above| self.0.get_key_value(&above)).next();
        // In order, the keys below this one follow it and a dot.
        let below = || self.0.range((*kind, format!("{key}."))..).next();
        let below = || below().filter(|((other, found), _)| other == kind && is_or_below(found, key));
        above.or_else(below).map(|((_, key), earlier)| (key.clone(), earlier.clone()))
    }
}

fn conflict(kind: ActionKind, subject: &str, earlier: Want, want: Want) -> Error {
    let what = match kind {
        ActionKind::Credential => "the role",
        ActionKind::UserList => "the Secret",
        ActionKind::PoolerAccess => "the schema",
        ActionKind::ConfigurePatroni => "the key of Patroni's configuration",
        ActionKind::Promote => "the cluster",
        ActionKind::ExpandClaim | ActionKind::ModifyVolume | ActionKind::GrowFilesystem => "the claim",
    };
    Error::Conflict(Box::new(Conflict {
        subject: format!("{what} {subject:?}"),
        earlier: earlier.step,
        earlier_key: earlier.key,
        earlier_value: earlier.value,
        step: want.step,
        key: want.key,
        value: want.value,
    }))
}

/// What an action wants of each of its subjects, for messages too.
fn wanted(action: &Action) -> Vec<(String, String)> {
    match action {
        Action::Credential(credential) => vec![(credential.username.clone(), labels(&credential.labels))],
        Action::UserList(list) => {
            vec![(list.secret_name.clone(), format!("the role {:?} with {}", list.username, labels(&list.labels)))]
        }
        Action::PoolerAccess(access) => vec![(access.schema.clone(), format!("the role {:?}", access.username))],
        Action::ConfigurePatroni(text) => {
            keys(text).unwrap_or_default().into_iter().map(|(key, value)| (key, value.to_string())).collect()
        }
        Action::Promote => Vec::new(),
        Action::ExpandClaim(claim) => vec![(claim.claim.clone(), claim.size.clone())],
        Action::ModifyVolume(volume) => vec![(
            volume.claim.clone(),
            format!(
                "size {}, iops {}, throughput {}, type {}",
                shown(volume.size.as_ref()),
                shown(volume.iops),
                shown(volume.throughput),
                shown(volume.volume_type.as_ref())
            ),
        )],
        Action::GrowFilesystem(filesystem) => {
            vec![(filesystem.claim.clone(), format!("the pod {}", filesystem.pod))]
        }
    }
}

fn labels(labels: &[(String, String)]) -> String {
    let labels: BTreeMap<&str, &str> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("the labels {}", pairs.join(","))
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "unchanged".to_owned(), |value| value.to_string())
}

fn holds_placeholder(action: &Action) -> bool {
    let has = |text: &str| text.contains(placeholder::PREFIX);
    let in_labels = |labels: &[(String, String)]| labels.iter().any(|(key, value)| has(key) || has(value));
    match action {
        Action::Credential(credential) => has(&credential.username) || in_labels(&credential.labels),
        Action::UserList(list) => has(&list.secret_name) || has(&list.username) || in_labels(&list.labels),
        Action::PoolerAccess(access) => has(&access.username) || has(&access.schema),
        // In JSON a letter can be written as its number.
        Action::ConfigurePatroni(text) => {
            let parsed = || json::Parser::default().parse(text);
            has(text)
                || placeholder::may_be_in(text) && parsed().is_ok_and(|value| placeholder::forged(&value).is_some())
        }
        Action::Promote => false,
        Action::ExpandClaim(claim) => has(&claim.claim) || has(&claim.size),
        Action::ModifyVolume(volume) => [Some(&volume.claim), volume.size.as_ref(), volume.volume_type.as_ref()]
            .into_iter()
            .flatten()
            .any(|text| has(text)),
        Action::GrowFilesystem(filesystem) => has(&filesystem.claim) || has(&filesystem.pod),
    }
}

#[cfg(test)]
mod tests;
