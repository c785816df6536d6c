//! Work that a reconcile starts and does not wait for: one piece per cluster at a time, with a deadline of its own.
//!
//! A database that hangs holds its own piece and nothing else. When a piece ends its cluster is looked at again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use crate::store::ClusterKey;

/// How a piece of work stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing<T> {
    /// It runs.
    Running,
    /// It ended well, as far as it was last done.
    Done(T),
    /// It failed, and is tried again after a while.
    Failed(Failure),
}

/// Why a piece of work failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// For people.
    pub reason: String,
    /// Whether it may well pass by itself, as while a database starts.
    pub passing: bool,
    /// How often it failed in a row.
    pub times: u32,
}

impl Failure {
    /// A failure that somebody has to look at.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::default() }
    }

    /// A failure that may well pass by itself.
    pub fn passing(reason: impl Into<String>) -> Self {
        Self { passing: true, ..Self::new(reason) }
    }

    /// Whether it is too early to speak of a failure.
    pub fn is_early(&self) -> bool {
        self.passing && self.times <= PATIENCE
    }
}

/// How often something that passes by itself may fail before people are told: about a minute, as the time between two
/// attempts doubles from one second.
const PATIENCE: u32 = 6;

/// The pieces of work of all clusters. What they yield is `T`.
#[derive(Clone)]
pub struct Background<T> {
    pieces: Arc<Mutex<HashMap<ClusterKey, Piece<T>>>>,
    changed: UnboundedSender<ClusterKey>,
    deadline: Duration,
}

struct Piece<T> {
    /// A hash of what it was started with.
    wanted: u64,
    standing: Standing<T>,
    since: Instant,
    failures: u32,
    task: Option<AbortHandle>,
}

/// When a piece of work is done again although nothing changed.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    /// After it ended well.
    pub after_success: Duration,
    /// After it failed once; doubled with every further failure.
    pub after_failure: Duration,
    /// The longest time between two attempts.
    pub at_most: Duration,
}

impl Again {
    /// The time to the next attempt after so many failures in a row.
    pub fn delay(self, failures: u32) -> Duration {
        self.after_failure.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.at_most)
    }
}

impl<T: Clone + Send + 'static> Background<T> {
    /// No work yet; a cluster whose work ended is sent to `changed`.
    pub fn new(changed: UnboundedSender<ClusterKey>, deadline: Duration) -> Self {
        Self { pieces: Arc::default(), changed, deadline }
    }

    /// How the work for a cluster stands. It is started if it was never done for what is `wanted`, or if it is due again.
    pub fn keep<F>(&self, key: &ClusterKey, wanted: u64, again: Again, work: impl FnOnce() -> F) -> Standing<T>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut pieces = self.lock();
        let failures = match pieces.get(key) {
            Some(piece) if piece.wanted == wanted && !piece.is_due(again) => return piece.standing.clone(),
            Some(piece) if piece.task.is_some() => return Standing::Running,
            Some(piece) if piece.wanted == wanted => piece.failures,
            _ => 0,
        };
        let task = tokio::spawn(self.clone().finish(key.clone(), work())).abort_handle();
        // A repetition neither makes what was done undone nor what failed forgotten.
        let before = pieces.get(key).filter(|piece| piece.wanted == wanted).map(|piece| piece.standing.clone());
        let standing = before.unwrap_or(Standing::Running);
        pieces.insert(
            key.clone(),
            Piece { wanted, standing: standing.clone(), since: Instant::now(), failures, task: Some(task) },
        );
        standing
    }

    /// Stops and forgets the work for a cluster.
    pub fn forget(&self, key: &ClusterKey) {
        if let Some(task) = self.lock().remove(key).and_then(|piece| piece.task) {
            task.abort();
        }
    }

    /// Stops all work.
    pub fn stop(&self) {
        for (_, piece) in self.lock().drain() {
            if let Some(task) = piece.task {
                task.abort();
            }
        }
    }

    async fn finish(self, key: ClusterKey, work: impl Future<Output = Result<T, Failure>> + Send) {
        let result = match tokio::time::timeout(self.deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(format!("no answer within {} seconds", self.deadline.as_secs()))),
        };
        if let Some(piece) = self.lock().get_mut(&key) {
            piece.failures = if result.is_ok() { 0 } else { piece.failures.saturating_add(1) };
            let times = piece.failures;
            piece.standing =
                result.map_or_else(|failure| Standing::Failed(Failure { times, ..failure }), Standing::Done);
            piece.since = Instant::now();
            piece.task = None;
        }
        // The receiver is gone only when the operator stops.
        _ = self.changed.unbounded_send(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClusterKey, Piece<T>>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Piece<T> {
    fn is_due(&self, again: Again) -> bool {
        if self.task.is_some() {
            return false;
        }
        let waited = self.since.elapsed();
        match &self.standing {
            Standing::Running => false,
            Standing::Done(_) => waited >= again.after_success,
            Standing::Failed(_) => waited >= again.delay(self.failures),
        }
    }
}

/// A hash of what a piece of work is started with.
pub fn fingerprint(what: &impl Hash) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use futures::channel::mpsc::{UnboundedReceiver, unbounded};

    const HOUR: Duration = Duration::from_secs(3600);
    const LATER: Again = Again { after_success: HOUR, after_failure: HOUR, at_most: HOUR };
    const AT_ONCE: Again = Again { after_success: HOUR, after_failure: Duration::ZERO, at_most: HOUR };

    fn background() -> (Background<u32>, UnboundedReceiver<ClusterKey>) {
        let (changed, receiver) = unbounded();
        (Background::new(changed, Duration::from_millis(50)), receiver)
    }

    fn key(name: &str) -> ClusterKey {
        ClusterKey::new("ns", name)
    }

    fn reason(standing: Standing<u32>) -> String {
        match standing {
            Standing::Failed(failure) => failure.reason,
            other => panic!("{other:?}"),
        }
    }

    async fn answer(result: Result<u32, Failure>) -> Result<u32, Failure> {
        result
    }

    #[tokio::test]
    async fn work_is_done_once_for_what_is_wanted_and_its_cluster_looked_at_when_it_ended() {
        let (background, mut ended) = background();
        assert_eq!(background.keep(&key("a"), 1, LATER, || answer(Ok(7))), Standing::Running);
        assert_eq!(ended.next().await, Some(key("a")));
        assert_eq!(background.keep(&key("a"), 1, LATER, || answer(Ok(8))), Standing::Done(7));
        assert_eq!(background.keep(&key("a"), 2, LATER, || answer(Ok(8))), Standing::Running);
    }

    #[tokio::test]
    async fn work_that_hangs_fails_by_its_deadline_and_holds_no_other_cluster() {
        let (background, mut ended) = background();
        background.keep(&key("a"), 1, LATER, std::future::pending);
        background.keep(&key("b"), 1, LATER, || answer(Ok(1)));
        assert_eq!(ended.next().await, Some(key("b")));
        assert_eq!(ended.next().await, Some(key("a")));
        let standing = background.keep(&key("a"), 1, LATER, std::future::pending);
        assert_eq!(reason(standing), "no answer within 0 seconds");
    }

    #[test]
    fn what_passes_by_itself_is_not_told_at_once() {
        let failed = |times| Failure { times, ..Failure::passing("refused") }.is_early();
        assert!(failed(1) && !failed(7));
        assert!(!Failure { times: 1, ..Failure::new("wrong password") }.is_early());
    }

    #[tokio::test]
    async fn what_failed_is_tried_again_when_it_is_due() {
        let (background, mut ended) = background();
        background.keep(&key("a"), 1, AT_ONCE, || answer(Err(Failure::new("refused"))));
        ended.next().await;
        assert_eq!(reason(background.keep(&key("a"), 1, LATER, || answer(Ok(1)))), "refused");
        assert_eq!(
            reason(background.keep(&key("a"), 1, AT_ONCE, || answer(Ok(1)))),
            "refused",
            "it is not forgotten while it is tried again"
        );
        ended.next().await;
        assert_eq!(background.keep(&key("a"), 1, AT_ONCE, || answer(Ok(2))), Standing::Done(1));
    }
}
