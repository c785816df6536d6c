//! Work that a reconcile starts and does not wait for: one job per cluster at a time, with a deadline of its own.
//!
//! A database that hangs holds its own job and nothing else. When a job ends its cluster is reconciled.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use crate::cache::ClusterKey;

/// The status of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobStatus<T> {
    /// It runs.
    Running,
    /// It ended well, as far as it was last done.
    Done(T),
    /// It failed, and is tried again after a while.
    Failed(Failure),
}

/// Why a job failed.
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
        self.passing && self.times <= MAX_ATTEMPTS
    }
}

/// How often something that passes by itself may fail before people are told: about a minute, as the time between two
/// attempts doubles from one second.
const MAX_ATTEMPTS: u32 = 6;

/// The jobs of all clusters, at most one each. What they yield is `T`.
#[derive(Clone)]
pub struct Jobs<T> {
    jobs: Arc<Mutex<HashMap<ClusterKey, Job<T>>>>,
    changed: UnboundedSender<ClusterKey>,
    deadline: Duration,
}

struct Job<T> {
    /// A hash of what it was started with.
    wanted: u64,
    status: JobStatus<T>,
    since: Instant,
    failures: u32,
    task: Option<AbortHandle>,
}

/// When a job is started again although nothing changed.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After it ended well.
    pub after_success: Duration,
    /// After it failed once; doubled with every further failure.
    pub after_failure: Duration,
    /// The longest time between two attempts.
    pub at_most: Duration,
}

impl Backoff {
    /// The time to the next attempt after so many failures in a row.
    pub fn delay(self, failures: u32) -> Duration {
        self.after_failure.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.at_most)
    }
}

impl<T: Clone + Send + 'static> Jobs<T> {
    /// No job yet; a cluster whose job ended is sent to `changed`.
    pub fn new(changed: UnboundedSender<ClusterKey>, deadline: Duration) -> Self {
        Self { jobs: Arc::default(), changed, deadline }
    }

    /// The status of the job of a cluster. It is started if it never ran for what is `wanted`, or if it is due again.
    pub fn ensure<F>(&self, key: &ClusterKey, wanted: u64, backoff: Backoff, work: impl FnOnce() -> F) -> JobStatus<T>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut jobs = self.lock();
        let failures = match jobs.get(key) {
            Some(job) if job.wanted == wanted && !job.is_due(backoff) => return job.status.clone(),
            Some(job) if job.task.is_some() => return JobStatus::Running,
            Some(job) if job.wanted == wanted => job.failures,
            _ => 0,
        };
        let task = tokio::spawn(self.clone().finish(key.clone(), work())).abort_handle();
        // A repetition neither makes what was done undone nor what failed forgotten.
        let before = jobs.get(key).filter(|job| job.wanted == wanted).map(|job| job.status.clone());
        let status = before.unwrap_or(JobStatus::Running);
        jobs.insert(
            key.clone(),
            Job { wanted, status: status.clone(), since: Instant::now(), failures, task: Some(task) },
        );
        status
    }

    /// Stops and forgets the job of a cluster.
    pub fn forget(&self, key: &ClusterKey) {
        if let Some(task) = self.lock().remove(key).and_then(|job| job.task) {
            task.abort();
        }
    }

    /// Stops all jobs.
    pub fn stop(&self) {
        for (_, job) in self.lock().drain() {
            if let Some(task) = job.task {
                task.abort();
            }
        }
    }

    async fn finish(self, key: ClusterKey, work: impl Future<Output = Result<T, Failure>> + Send) {
        let result = match tokio::time::timeout(self.deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(format!("no answer within {} seconds", self.deadline.as_secs()))),
        };
        if let Some(job) = self.lock().get_mut(&key) {
            job.failures = if result.is_ok() { 0 } else { job.failures.saturating_add(1) };
            let times = job.failures;
            job.status = result.map_or_else(|failure| JobStatus::Failed(Failure { times, ..failure }), JobStatus::Done);
            job.since = Instant::now();
            job.task = None;
        }
        // The receiver is gone only when the operator stops.
        _ = self.changed.unbounded_send(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClusterKey, Job<T>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Job<T> {
    fn is_due(&self, backoff: Backoff) -> bool {
        if self.task.is_some() {
            return false;
        }
        let waited = self.since.elapsed();
        match &self.status {
            JobStatus::Running => false,
            JobStatus::Done(_) => waited >= backoff.after_success,
            JobStatus::Failed(_) => waited >= backoff.delay(self.failures),
        }
    }
}

/// A hash of what a job is started with.
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
    const LATER: Backoff = Backoff { after_success: HOUR, after_failure: HOUR, at_most: HOUR };
    const AT_ONCE: Backoff = Backoff { after_success: HOUR, after_failure: Duration::ZERO, at_most: HOUR };

    fn jobs() -> (Jobs<u32>, UnboundedReceiver<ClusterKey>) {
        let (changed, receiver) = unbounded();
        (Jobs::new(changed, Duration::from_millis(50)), receiver)
    }

    fn key(name: &str) -> ClusterKey {
        ClusterKey::new("ns", name)
    }

    fn reason(status: JobStatus<u32>) -> String {
        match status {
            JobStatus::Failed(failure) => failure.reason,
            other => panic!("{other:?}"),
        }
    }

    async fn answer(result: Result<u32, Failure>) -> Result<u32, Failure> {
        result
    }

    #[tokio::test]
    async fn work_is_done_once_for_what_is_wanted_and_its_cluster_looked_at_when_it_ended() {
        let (jobs, mut ended) = jobs();
        assert_eq!(jobs.ensure(&key("a"), 1, LATER, || answer(Ok(7))), JobStatus::Running);
        assert_eq!(ended.next().await, Some(key("a")));
        assert_eq!(jobs.ensure(&key("a"), 1, LATER, || answer(Ok(8))), JobStatus::Done(7));
        assert_eq!(jobs.ensure(&key("a"), 2, LATER, || answer(Ok(8))), JobStatus::Running);
    }

    #[tokio::test]
    async fn work_that_hangs_fails_by_its_deadline_and_holds_no_other_cluster() {
        let (jobs, mut ended) = jobs();
        jobs.ensure(&key("a"), 1, LATER, std::future::pending);
        jobs.ensure(&key("b"), 1, LATER, || answer(Ok(1)));
        assert_eq!(ended.next().await, Some(key("b")));
        assert_eq!(ended.next().await, Some(key("a")));
        let status = jobs.ensure(&key("a"), 1, LATER, std::future::pending);
        assert_eq!(reason(status), "no answer within 0 seconds");
    }

    #[test]
    fn what_passes_by_itself_is_not_told_at_once() {
        let failed = |times| Failure { times, ..Failure::passing("refused") }.is_early();
        assert!(failed(1) && !failed(7));
        assert!(!Failure { times: 1, ..Failure::new("wrong password") }.is_early());
    }

    #[tokio::test]
    async fn what_failed_is_tried_again_when_it_is_due() {
        let (jobs, mut ended) = jobs();
        jobs.ensure(&key("a"), 1, AT_ONCE, || answer(Err(Failure::new("refused"))));
        ended.next().await;
        assert_eq!(reason(jobs.ensure(&key("a"), 1, LATER, || answer(Ok(1)))), "refused");
        assert_eq!(
            reason(jobs.ensure(&key("a"), 1, AT_ONCE, || answer(Ok(1)))),
            "refused",
            "it is not forgotten while it is tried again"
        );
        ended.next().await;
        assert_eq!(jobs.ensure(&key("a"), 1, AT_ONCE, || answer(Ok(2))), JobStatus::Done(1));
    }
}
