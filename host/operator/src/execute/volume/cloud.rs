//! Changes the cloud volumes behind claims, and grows their filesystems. A fault of one volume holds no other one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::Api;
use pgloom_api::ActionPhase;
use pgloom_common::duration::doubled;
use pgloom_common::error::error_chain;
use pgloom_engine::{Action, GrowFilesystem, ModifyVolume, RequestedAction};
use tokio::time::timeout;

use super::modification::{Next, next};
use super::{Progress, filesystem};
use crate::execute::command::Commands;
use crate::execute::ec2::{Ec2, Error, Modification, State, Volume};

/// The driver of volumes of AWS EBS.
const DRIVER: &str = "ebs.csi.aws.com";
/// When it is looked again at what is waited for; then ever later.
const POLL: Duration = Duration::from_secs(10);
/// The longest delay until then.
const MAX_POLL: Duration = Duration::from_secs(160);
/// When a call that may pass is first sent again.
const RETRY: Duration = Duration::from_secs(5);
/// The longest delay of such a call.
const MAX_RETRY: Duration = Duration::from_secs(600);
/// After how many of them the failure is told.
const MAX_ATTEMPTS: u32 = 6;
/// How long AWS does not change a volume again after a change, see
/// [requirements](https://docs.aws.amazon.com/ebs/latest/userguide/modify-volume-requirements.html).
const COOLDOWN: SignedDuration = SignedDuration::from_hours(6);

/// How the actions go, by step and key.
pub type Outcomes = BTreeMap<(String, String), Outcome>;

/// How an action goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its phase.
    pub progress: Progress,
    /// When it goes on; `None` if it is over.
    pub again: Option<Instant>,
    /// The number of consecutive failures that may pass.
    failures: u32,
    /// How often it was waited for in succession.
    waits: u32,
}

impl Outcome {
    fn over(message: String) -> Self {
        Self { progress: Progress::new(ActionPhase::Done, message), again: None, failures: 0, waits: 0 }
    }

    fn after(phase: ActionPhase, message: impl Into<String>, delay: Duration) -> Self {
        Self { progress: Progress::new(phase, message), again: Some(Instant::now() + delay), failures: 0, waits: 0 }
    }

    /// What is waited for; `before` says for how long already.
    fn wait(phase: ActionPhase, message: impl Into<String>, before: Option<&Self>) -> Self {
        let waits = before.map_or(0, |before| before.waits);
        Self { waits: waits.saturating_add(1), ..Self::after(phase, message, doubled(POLL, waits, MAX_POLL)) }
    }
}

/// What the volumes of a cluster are changed with.
pub struct Volumes {
    /// The client of the API server.
    pub client: kube::Client,
    /// The cluster's namespace.
    pub namespace: String,
    /// The cloud.
    pub ec2: Arc<Ec2>,
    /// `aws_region`.
    pub region: String,
    /// Runs commands in the members.
    pub commands: Arc<dyn Commands>,
    /// When a failure that does not pass by itself is tried again.
    pub repair: Duration,
    /// How long the commands that grow a filesystem may take.
    pub patience: Duration,
    /// The sizes of the volumes of claims in bytes, as far as they are known.
    pub sizes: BTreeMap<String, i64>,
}

/// The key of an action's outcome: its step, and its own.
pub fn key(requested: &RequestedAction) -> (String, String) {
    (requested.step.clone(), requested.key.clone())
}

impl Volumes {
    /// Executes the actions that are due. `before` is how they went last.
    pub async fn run(&self, requested: &[RequestedAction], before: &Outcomes) -> Outcomes {
        let now = Instant::now();
        let mut outcomes = Outcomes::new();
        let (mut changes, mut grows) = (Vec::new(), Vec::new());
        for requested in requested {
            let last = before.get(&key(requested));
            match (last.filter(|last| last.again.is_none_or(|again| again > now)), &requested.action) {
                (Some(last), _) => drop(outcomes.insert(key(requested), last.clone())),
                (None, Action::ModifyVolume(change)) => changes.push((requested, change)),
                (None, Action::GrowFilesystem(grow)) => grows.push((requested, grow)),
                (None, _) => {}
            }
        }
        self.modify(&changes, before, &mut outcomes).await;
        let grown = grows.into_iter().map(|(requested, grow)| async move {
            let key = key(requested);
            let outcome = self.grow(grow, before.get(&key)).await;
            (key, outcome)
        });
        outcomes.extend(join_all(grown).await);
        outcomes
    }

    /// Changes volumes. What AWS says of all of them is asked for once.
    async fn modify(&self, changes: &[(&RequestedAction, &ModifyVolume)], before: &Outcomes, outcomes: &mut Outcomes) {
        let mut known = Vec::new();
        for (requested, change) in changes {
            match self.volume_of(&change.claim, before.get(&key(requested))).await {
                Ok(id) => known.push((*requested, *change, id)),
                Err(outcome) => drop(outcomes.insert(key(requested), outcome)),
            }
        }
        if known.is_empty() {
            return;
        }
        let ids: Vec<String> = known.iter().map(|(.., id)| id.clone()).collect();
        let described = async {
            let volumes = self.ec2.volumes(&self.region, &ids).await?;
            Ok::<_, Error>((volumes, self.ec2.modifications(&self.region, &ids).await?))
        };
        let mut held: Option<Error> = None;
        let (volumes, modifications) = described.await.unwrap_or_else(|error| {
            held = Some(error);
            (Vec::new(), Vec::new())
        });
        for (requested, change, id) in known {
            let before = before.get(&key(requested));
            let outcome = match &held {
                Some(error) => self.failed(error, before, None),
                None => {
                    let (volume, last) = (volumes.iter().find(|volume| volume.id == id), latest(&modifications, &id));
                    let changed = match volume {
                        Some(volume) => self.change(change, volume, last, before).await,
                        None => Ok(self.absent(&id, &change.claim)),
                    };
                    changed.unwrap_or_else(|error| {
                        let outcome = self.failed(&error, before, last);
                        // More calls would be refused as well.
                        held = Some(error).filter(Error::is_passing);
                        outcome
                    })
                }
            };
            outcomes.insert(key(requested), outcome);
        }
    }

    /// The outcome for a volume that AWS does not know.
    fn absent(&self, id: &str, claim: &str) -> Outcome {
        let region = &self.region;
        let message = format!("AWS has no volume {id} of claim {claim} in {region}: set aws_region to its region");
        Outcome::after(ActionPhase::Failed, message, self.repair)
    }

    /// Changes one volume, if it is not as wanted.
    async fn change(
        &self,
        wanted: &ModifyVolume,
        volume: &Volume,
        last: Option<&Modification>,
        before: Option<&Outcome>,
    ) -> Result<Outcome, Error> {
        let id = &volume.id;
        let change = match next(volume, last, wanted) {
            Ok(Next::Done(message)) => return Ok(Outcome::over(message)),
            Ok(Next::Wait(message)) => return Ok(Outcome::wait(ActionPhase::Running, message, before)),
            Ok(Next::Change(change)) => change,
            Err(reason) => return Ok(Outcome::after(ActionPhase::Failed, reason, self.repair)),
        };
        let begun = self.ec2.modify(&self.region, &change).await?;
        Ok(match begun.state {
            State::Modifying => {
                Outcome::wait(ActionPhase::Running, format!("AWS changes volume {id}: {} %", begun.progress), None)
            }
            State::Optimizing => Outcome::over(format!("AWS volume {id} is changed and is being optimized")),
            State::Completed => Outcome::over(format!("AWS volume {id} is changed")),
            State::Failed => {
                let message = format!("AWS failed to change volume {id}: {}", begun.message);
                Outcome::after(ActionPhase::Failed, message, self.repair)
            }
        })
    }

    /// The outcome of a call that failed.
    fn failed(&self, error: &Error, before: Option<&Outcome>, last: Option<&Modification>) -> Outcome {
        if error.is_passing() {
            let failures = before.map_or(0, |before| before.failures);
            let phase = if failures < MAX_ATTEMPTS { ActionPhase::Pending } else { ActionPhase::Failed };
            let delay = doubled(RETRY, failures, MAX_RETRY);
            return Outcome { failures: failures.saturating_add(1), ..Outcome::after(phase, error.to_string(), delay) };
        }
        if error.is_cooldown() {
            let began = last.and_then(|last| last.began.parse::<Timestamp>().ok());
            let over = began.and_then(|began| began.checked_add(COOLDOWN).ok());
            let (message, delay) = cooldown(began, over, Timestamp::now(), self.repair);
            return Outcome::after(ActionPhase::Failed, format!("{message}: {error}"), delay);
        }
        Outcome::after(ActionPhase::Failed, error.to_string(), self.repair)
    }

    /// The id of the cloud volume behind a claim.
    async fn volume_of(&self, name: &str, before: Option<&Outcome>) -> Result<String, Outcome> {
        let unread = |what: &str, error: kube::Error| unread(what, &error, before);
        let failed = |reason: String| Outcome::after(ActionPhase::Failed, reason, self.repair);
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &self.namespace);
        let claim = claims.get_opt(name).await.map_err(|error| unread(&format!("claim {name}"), error))?;
        let claim = claim.ok_or_else(|| failed(format!("there is no claim {name}")))?;
        let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|volume| !volume.is_empty());
        let unbound = || Outcome::wait(ActionPhase::Pending, format!("claim {name} has no volume yet"), before);
        let volume = volume.ok_or_else(unbound)?;
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let found =
            volumes.get_opt(&volume).await.map_err(|error| unread(&format!("persistent volume {volume}"), error))?;
        let found = found.ok_or_else(|| failed(format!("claim {name} has lost its volume {volume}")))?;
        volume_id(&found, &claim).map_err(failed)
    }

    /// Grows the filesystem of a claim.
    async fn grow(&self, grow: &GrowFilesystem, before: Option<&Outcome>) -> Outcome {
        let GrowFilesystem { claim, pod } = grow;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = match pods.get_opt(pod).await {
            Ok(Some(found)) => found,
            Ok(None) => return Outcome::wait(ActionPhase::Pending, format!("there is no pod {pod}"), before),
            Err(error) => return unread(&format!("pod {pod}"), &error, before),
        };
        let size = self.sizes.get(claim).copied();
        let grown = filesystem::grow(&*self.commands, &self.namespace, &found, claim, size);
        match timeout(self.patience, grown).await {
            Ok(Ok(message)) => Outcome::over(message),
            Ok(Err(error @ filesystem::Error::Device { .. })) => {
                Outcome::wait(ActionPhase::Running, error.to_string(), before)
            }
            Ok(Err(error)) => Outcome::after(ActionPhase::Failed, error_chain(&error), self.repair),
            Err(_) => {
                let message = format!("pod {pod} does not answer within {} seconds", self.patience.as_secs_f32());
                Outcome::after(ActionPhase::Failed, message, self.repair)
            }
        }
    }
}

/// The outcome where the API server does not answer.
fn unread(what: &str, error: &kube::Error, before: Option<&Outcome>) -> Outcome {
    Outcome::wait(ActionPhase::Pending, format!("{what} could not be read: {}", error_chain(error)), before)
}

/// The modification of a volume that began last.
fn latest<'a>(modifications: &'a [Modification], id: &str) -> Option<&'a Modification> {
    modifications.iter().filter(|one| one.volume == id).max_by(|one, other| one.began.cmp(&other.began))
}

/// The message about a volume that AWS does not change yet, and when it is tried again.
fn cooldown(began: Option<Timestamp>, over: Option<Timestamp>, now: Timestamp, repair: Duration) -> (String, Duration) {
    let left = over.and_then(|over| Duration::try_from(over.duration_since(now)).ok()).filter(|left| !left.is_zero());
    match (began, over, left) {
        (Some(began), Some(over), Some(left)) => {
            (format!("the volume was changed at {began:.0}, and is changed again after {over:.0}"), left)
        }
        _ => ("the volume was changed a short time ago, and is changed again later".to_owned(), repair),
    }
}

/// The id of the volume of AWS EBS behind a persistent volume, as in `vol-0123456789abcdef0`.
fn volume_id(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Result<String, String> {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let spec = volume.spec.as_ref();
    // The author of a claim may write the name of any volume; the volume says whose it is.
    let owner = spec.and_then(|spec| spec.claim_ref.as_ref());
    if claim.metadata.uid.is_none() || owner.and_then(|owner| owner.uid.as_ref()) != claim.metadata.uid.as_ref() {
        return Err(format!("the volume that claim {name} names is bound to another claim"));
    }
    let csi = spec.and_then(|spec| spec.csi.as_ref()).filter(|csi| csi.driver == DRIVER);
    let in_tree = spec.and_then(|spec| spec.aws_elastic_block_store.as_ref());
    let handle = csi.map(|csi| &csi.volume_handle).or(in_tree.map(|in_tree| &in_tree.volume_id));
    // Those of the in-tree driver are as in `aws://eu-central-1a/vol-0123456789abcdef0`.
    let id = handle.and_then(|handle| handle.rsplit('/').next()).unwrap_or_default();
    let is_id = id.strip_prefix("vol-").is_some_and(|rest| rest.chars().all(|one| one.is_ascii_alphanumeric()));
    match is_id {
        true => Ok(id.to_owned()),
        false => Err(format!("the volume of claim {name} is not one of AWS EBS")),
    }
}

#[cfg(test)]
mod tests;
