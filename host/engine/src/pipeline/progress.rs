//! What the last run of a cluster had come to after each step: the next run goes on behind the steps for which all is as
//! it was.
//!
//! What a run has come to after a step depends on what it had come to before, on the step, and on what the step sees. All
//! of that is in the keys, so no decision depends on what is kept: an answer that is not kept is asked for, checked and
//! merged again.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::answers::{AnswerCache, size};
use crate::decision::Decision;
use crate::hash::Sha;
use crate::input::Input;
use crate::merge::Merger;
use crate::model::{ActionState, ObservedObject, Response};

/// About how much memory the clusters of one pipeline may take, in bytes. One takes some 500 KB, and reconciles of one
/// cluster follow each other closely.
const CAPACITY: usize = 16 << 20;

/// What runs of one pipeline reuse.
#[derive(Debug, Default)]
pub(super) struct Reused {
    pub(super) answers: AnswerCache,
    pub(super) progress: Progress,
}

/// What a step sees beside the manifest, the configuration and the desired objects.
#[derive(Hash)]
pub(super) struct Sees {
    pub(super) observed: Vec<ObservedObject>,
    pub(super) actions: Vec<ActionState>,
}

/// What a run has come to: the objects so far, and all else that was decided.
#[derive(Clone)]
pub(super) struct State {
    pub(super) merger: Merger,
    pub(super) decision: Decision,
}

/// A SHA-256.
type Digest = [u8; 32];

/// What a run had come to after a step.
struct Stage {
    /// Of what the run had come to before, the step, and what the step sees.
    asked: Digest,
    /// Of what the run had come to after the step.
    after: Digest,
    state: State,
    /// About how much memory it takes beyond the stage before.
    size: usize,
}

/// The stages of one run, as far as they can be kept.
pub(super) struct Stages {
    begun: Digest,
    known: Arc<[Arc<Stage>]>,
    stages: Vec<Arc<Stage>>,
    /// The size of all answers so far: each stage has its own copy of what they say beside objects.
    answers: usize,
    /// Whether a step failed: what the run comes to then depends on more than the keys.
    is_broken: bool,
}

impl Stages {
    /// The digest of what a step is asked.
    pub(super) fn asked(&self, step: &str, sees: &Sees) -> Digest {
        digest(&(self.after(), step, sees))
    }

    /// Goes on behind the step, if the last run asked it the same at the same place.
    pub(super) fn skip(&mut self, asked: &Digest) -> bool {
        let stage = self.known.get(self.stages.len()).filter(|stage| !self.is_broken && stage.asked == *asked);
        self.stages.extend(stage.cloned());
        stage.is_some()
    }

    /// What the run had come to after the last step that is kept.
    pub(super) fn state(&self) -> Option<&State> {
        self.stages.last().map(|stage| &stage.state)
    }

    /// Keeps what a step's answer has led to.
    pub(super) fn push(&mut self, asked: Digest, step: &str, answer: &Response, state: &State) {
        if self.is_broken {
            return;
        }
        let state = state.clone();
        self.answers += size(answer);
        let size = self.answers + state.merger.size_beyond(self.state().map(|before| &before.merger));
        self.stages.push(Arc::new(Stage { asked, after: digest(&(self.after(), step, answer)), state, size }));
    }

    /// Keeps nothing of what follows.
    pub(super) fn end(&mut self) {
        self.is_broken = true;
    }

    fn after(&self) -> Digest {
        self.stages.last().map_or(self.begun, |stage| stage.after)
    }
}

fn digest(value: &impl Hash) -> Digest {
    let mut sha = Sha::default();
    value.hash(&mut sha);
    sha.finalize()
}

/// What the last runs had come to, by cluster. The cluster that was not decided for the longest time gives way.
pub(super) struct Progress {
    kept: Mutex<Kept>,
    capacity: usize,
}

#[derive(Default)]
struct Kept {
    /// A counter of uses, which replaces a clock.
    now: u64,
    size: usize,
    /// By namespace and name.
    clusters: HashMap<(String, String), Cluster>,
}

struct Cluster {
    /// The configuration, which is large and the same for all clusters, is compared instead of hashed.
    config: Arc<Value>,
    stages: Arc<[Arc<Stage>]>,
    size: usize,
    used: u64,
}

impl Default for Progress {
    fn default() -> Self {
        Self { kept: Mutex::default(), capacity: CAPACITY }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

impl Progress {
    /// Begins the stages of a run.
    pub(super) fn begin(&self, cluster: &(String, String), input: &Input) -> Stages {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.now += 1;
        let now = kept.now;
        let known = kept.clusters.get_mut(cluster).filter(|cluster| Arc::ptr_eq(&cluster.config, &input.config));
        let known = known.map(|cluster| {
            cluster.used = now;
            Arc::clone(&cluster.stages)
        });
        drop(kept);
        Stages {
            begun: begun(input),
            known: known.unwrap_or_else(|| Arc::from([])),
            stages: Vec::new(),
            answers: 0,
            is_broken: false,
        }
    }

    /// Keeps the stages of a run.
    pub(super) fn keep(&self, cluster: (String, String), input: &Input, stages: Stages) {
        let is_same = |(new, old): (&Arc<Stage>, &Arc<Stage>)| Arc::ptr_eq(new, old);
        if stages.stages.len() <= stages.known.len() && stages.stages.iter().zip(&*stages.known).all(is_same) {
            return;
        }
        let size = stages.stages.iter().map(|stage| stage.size).sum();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&cluster);
        if size > self.capacity {
            return;
        }
        while kept.size + size > self.capacity {
            let oldest = kept.clusters.iter().min_by_key(|(_, cluster)| cluster.used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { break };
            kept.remove(&oldest);
        }
        kept.size += size;
        let (config, used) = (Arc::clone(&input.config), kept.now);
        kept.clusters.insert(cluster, Cluster { config, stages: stages.stages.into(), size, used });
    }
}

impl Kept {
    fn remove(&mut self, cluster: &(String, String)) {
        if let Some(removed) = self.clusters.remove(cluster) {
            self.size -= removed.size;
        }
    }
}

/// The digest of all that a run depends on, but for the configuration and for what single steps see.
fn begun(input: &Input) -> Digest {
    // Every field by name, so that a new one cannot be forgotten.
    let Input {
        cluster,
        config: _,
        secrets,
        labels,
        members,
        role_label,
        credentials,
        // What a step sees of these is in the digest of what it is asked.
        observed: _,
        actions: _,
        // With these a step fails, and what follows is not kept.
        unreadable: _,
        last: _,
    } = input;
    let mut sha = Sha::default();
    (cluster, &secrets.names, &secrets.template).hash(&mut sha);
    (labels, members, role_label, credentials).hash(&mut sha);
    sha.finalize()
}

#[cfg(test)]
mod tests;
