//! Background jobs: a reconcile starts a job and does not wait for it. A cluster has at most one job of a kind at a
//! time.
//!
//! The number of concurrent jobs of a kind is limited, so that their memory is limited. A database that hangs blocks
//! only its own job, until the deadline. When a job ends, its cluster is reconciled, unless it ended as the run before.
//!
//! Why not the crate `backon`: it repeats a call in a loop of its own. Here every reconcile decides whether a job
//! is started: after a delay, or at once if what it is started with has changed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use parking_lot::Mutex;
use pgloom_common::duration::doubled;
use pgloom_common::error::cut;
pub use pgloom_common::fingerprint::fingerprint;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tracing::Instrument as _;

use crate::cache::ClusterKey;

/// The status of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobStatus<T> {
    /// The job runs.
    Running,
    /// The last run succeeded.
    Done(T),
    /// The last run failed, and the job is retried later.
    Failed(Failure),
}

/// The maximum length of the reason of a failure, in bytes.
const MAX_REASON: usize = 4096;

/// The failure of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The reason, for the status and events.
    pub reason: String,
    /// Whether a retry may succeed without a change, for example while a database starts.
    pub passing: bool,
    /// The number of consecutive failures.
    pub times: u32,
}

impl Failure {
    /// A failure that a retry alone does not solve. A long reason is shortened: it may contain what a server sent.
    pub fn new(reason: impl AsRef<str>) -> Self {
        Self { reason: cut(reason.as_ref(), MAX_REASON), ..Self::default() }
    }

    /// A failure that a retry may solve.
    pub fn passing(reason: impl AsRef<str>) -> Self {
        Self { passing: true, ..Self::new(reason) }
    }

    /// Whether the failure is not reported yet, because a retry may solve it.
    pub fn is_early(&self) -> bool {
        self.passing && self.times <= MAX_ATTEMPTS
    }
}

/// The number of attempts before a failure that a retry may solve is reported: about a minute, because the delay
/// doubles from one second.
const MAX_ATTEMPTS: u32 = 6;

/// The job of one cluster. Its result is a `T`.
pub struct Job<T> {
    last: Arc<Mutex<Option<Run<T>>>>,
    key: ClusterKey,
    changed: UnboundedSender<ClusterKey>,
    slots: Arc<Semaphore>,
}

/// One run of a job.
struct Run<T> {
    /// The number of the run. A stopped run must not record its end in a later run.
    number: u64,
    /// The hash of its input.
    wanted: u64,
    status: JobStatus<T>,
    /// When the run began or, if it failed, when it ended.
    since: Instant,
    failures: u32,
    task: Option<AbortHandle>,
}

/// The delays after which a job is started again although its input has not changed.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The time from the begin of a run that succeeds to the begin of the next.
    pub after_success: Duration,
    /// The delay after the end of the first run that fails. It doubles with every further failure.
    pub after_failure: Duration,
    /// The longest delay.
    pub at_most: Duration,
}

impl Backoff {
    /// The delay after this number of consecutive failures.
    pub fn delay(self, failures: u32) -> Duration {
        doubled(self.after_failure, failures.saturating_sub(1), self.at_most)
    }
}

impl<T> Job<T> {
    /// A job without a run. A run begins when it gets a permit of `slots`. When it ends, `key` is sent to `changed`.
    pub fn new(key: &ClusterKey, changed: &UnboundedSender<ClusterKey>, slots: &Arc<Semaphore>) -> Self {
        Self { last: Arc::default(), key: key.clone(), changed: changed.clone(), slots: slots.clone() }
    }

    /// Whether the job runs.
    pub fn is_running(&self) -> bool {
        self.last.lock().as_ref().is_some_and(|run| run.task.is_some())
    }

    /// Stops the job and forgets its last result.
    pub fn stop(&self) {
        if let Some(task) = self.last.lock().take().and_then(|run| run.task) {
            task.abort();
        }
    }
}

impl<T: Clone + PartialEq + Send + 'static> Job<T> {
    /// How it went last; `None` if it never ran.
    pub fn last(&self) -> Option<JobStatus<T>> {
        self.last.lock().as_ref().map(|run| run.status.clone())
    }

    /// Returns the status of the job, and starts it if its last run had another input than `wanted`, or if the delay is
    /// over. The run fails after `deadline`, which begins when it gets its permit.
    pub fn ensure<F>(&self, wanted: u64, deadline: Duration, backoff: Backoff, work: impl FnOnce() -> F) -> JobStatus<T>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut last = self.last.lock();
        let failures = match &*last {
            Some(run) if run.wanted == wanted && !run.is_due(backoff) => return run.status.clone(),
            Some(run) if run.task.is_some() => return JobStatus::Running,
            Some(run) if run.wanted == wanted => run.failures,
            _ => 0,
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let ending = Ending {
            last: Arc::downgrade(&self.last),
            changed: self.changed.clone(),
            key: self.key.clone(),
            number,
            result: None,
        };
        let (slots, work) = (self.slots.clone(), work());
        let run = async move {
            // The semaphore is never closed.
            let slot = slots.acquire().await;
            ending.record(within(deadline, work).await);
            drop(slot);
        };
        // What the work logs names its cluster.
        let task = tokio::spawn(run.in_current_span());
        // While a repeated run is in progress, the last result stays the status.
        let before = last.as_ref().filter(|run| run.wanted == wanted).map(|run| run.status.clone());
        let status = before.unwrap_or(JobStatus::Running);
        let task = Some(task.abort_handle());
        *last = Some(Run { number, wanted, status: status.clone(), since: Instant::now(), failures, task });
        status
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The number of the next run.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Records the end of a run when it is dropped, so that a run that panicked does not count as running.
struct Ending<T: PartialEq> {
    /// A weak reference, because the task must not keep the job alive that stops it.
    last: Weak<Mutex<Option<Run<T>>>>,
    changed: UnboundedSender<ClusterKey>,
    key: ClusterKey,
    number: u64,
    result: Option<Result<T, Failure>>,
}

impl<T: PartialEq> Ending<T> {
    fn record(mut self, result: Result<T, Failure>) {
        self.result = Some(result);
    }
}

impl<T: PartialEq> Drop for Ending<T> {
    fn drop(&mut self) {
        let Some(last) = self.last.upgrade() else { return };
        let result =
            self.result.take().unwrap_or_else(|| Err(Failure::new("the work ended by a fault of the operator")));
        let is_news = match &mut *last.lock() {
            Some(run) if run.number == self.number => run.finish(result),
            _ => false,
        };
        if is_news {
            // The receiver is gone only when the operator stops.
            _ = self.changed.unbounded_send(self.key.clone());
        }
    }
}

async fn within<T>(deadline: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::time::timeout(deadline, work).await {
        Ok(result) => result,
        Err(_) => Err(Failure::new(format!("no answer within {} seconds", deadline.as_secs()))),
    }
}

impl<T: PartialEq> Run<T> {
    /// Records the end of the run. Returns whether the status of the job differs from that before.
    fn finish(&mut self, result: Result<T, Failure>) -> bool {
        self.task = None;
        let status = match result {
            Ok(result) => {
                self.failures = 0;
                JobStatus::Done(result)
            }
            Err(failure) => {
                self.failures = self.failures.saturating_add(1);
                self.since = Instant::now();
                JobStatus::Failed(Failure { times: self.failures, ..failure })
            }
        };
        let before = std::mem::replace(&mut self.status, status);
        before != self.status
    }
}

impl<T> Run<T> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use futures::channel::mpsc::{UnboundedReceiver, unbounded};

    const HOUR: Duration = Duration::from_secs(3600);
    const LATER: Backoff = Backoff { after_success: HOUR, after_failure: HOUR, at_most: HOUR };
    const AT_ONCE: Backoff = Backoff { after_success: HOUR, after_failure: Duration::ZERO, at_most: HOUR };

    const DEADLINE: Duration = Duration::from_millis(50);

    #[test]
    fn a_failure_keeps_a_few_kilobytes_of_its_reason() {
        let failure = Failure::passing("ä".repeat(1 << 20));
        assert!(failure.reason.len() <= 4096 && failure.reason.ends_with("ä..."), "{}", failure.reason.len());
    }

    fn jobs() -> ([Job<u32>; 2], UnboundedReceiver<ClusterKey>) {
        let (changed, receiver) = unbounded();
        let slots = Arc::new(Semaphore::new(2));
        (["a", "b"].map(|name| Job::new(&key(name), &changed, &slots)), receiver)
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
        let ([a, _], mut ended) = jobs();
        assert_eq!(a.last(), None);
        assert_eq!(a.ensure(1, DEADLINE, LATER, || answer(Ok(7))), JobStatus::Running);
        assert!(a.is_running());
        assert_eq!(ended.next().await, Some(key("a")));
        assert!(!a.is_running());
        assert_eq!(a.last(), Some(JobStatus::Done(7)));
        assert_eq!(a.ensure(1, DEADLINE, LATER, || answer(Ok(8))), JobStatus::Done(7));
        assert_eq!(a.ensure(2, DEADLINE, LATER, || answer(Ok(8))), JobStatus::Running);
    }

    #[tokio::test]
    async fn work_that_hangs_fails_by_its_deadline_and_holds_no_other_cluster() {
        let ([a, b], mut ended) = jobs();
        a.ensure(1, DEADLINE, LATER, std::future::pending);
        b.ensure(1, DEADLINE, LATER, || answer(Ok(1)));
        assert_eq!(ended.next().await, Some(key("b")));
        assert_eq!(ended.next().await, Some(key("a")));
        let status = a.ensure(1, DEADLINE, LATER, std::future::pending);
        assert_eq!(reason(status), "no answer within 0 seconds");
    }

    #[tokio::test]
    async fn a_job_that_is_stopped_or_dropped_does_not_go_on() {
        let ([a, b], mut ended) = jobs();
        a.ensure(1, DEADLINE, LATER, std::future::pending);
        b.ensure(1, DEADLINE, LATER, std::future::pending);
        a.stop();
        drop(b);
        tokio::time::sleep(DEADLINE * 2).await;
        assert!(ended.try_recv().is_err(), "no job has ended by its deadline");
        assert_eq!(a.ensure(1, DEADLINE, LATER, std::future::pending), JobStatus::Running);
    }

    #[test]
    fn what_passes_by_itself_is_not_told_at_once() {
        let failed = |times| Failure { times, ..Failure::passing("refused") }.is_early();
        assert!(failed(1) && !failed(7));
        assert!(!Failure { times: 1, ..Failure::new("wrong password") }.is_early());
    }

    #[tokio::test]
    async fn what_failed_is_tried_again_when_it_is_due() {
        let ([a, _], mut ended) = jobs();
        a.ensure(1, DEADLINE, AT_ONCE, || answer(Err(Failure::new("refused"))));
        ended.next().await;
        assert_eq!(reason(a.ensure(1, DEADLINE, LATER, || answer(Ok(1)))), "refused");
        assert_eq!(
            reason(a.ensure(1, DEADLINE, AT_ONCE, || answer(Ok(1)))),
            "refused",
            "it is not forgotten while it is tried again"
        );
        ended.next().await;
        assert_eq!(a.ensure(1, DEADLINE, AT_ONCE, || answer(Ok(2))), JobStatus::Done(1));
    }

    #[tokio::test]
    async fn a_run_that_ends_as_the_one_before_wakes_no_reconcile() {
        const NO_DELAY: Backoff =
            Backoff { after_success: Duration::ZERO, after_failure: Duration::ZERO, at_most: HOUR };
        let ([a, _], mut ended) = jobs();
        let refused = || Err(Failure::new("refused"));
        for (result, wakes) in [(Ok(7), true), (Ok(7), false), (Ok(8), true), (refused(), true), (refused(), true)] {
            a.ensure(1, DEADLINE, NO_DELAY, || answer(result.clone()));
            while a.is_running() {
                tokio::task::yield_now().await;
            }
            assert_eq!(ended.try_recv().is_ok(), wakes, "{result:?}");
        }
    }

    #[tokio::test]
    async fn work_that_panics_has_failed_and_is_tried_again() {
        let ([a, _], mut ended) = jobs();
        a.ensure(1, DEADLINE, AT_ONCE, || async { answer(Ok(*Vec::new().first().unwrap())).await });
        assert_eq!(ended.next().await, Some(key("a")));
        let status = a.ensure(1, DEADLINE, LATER, || answer(Ok(1)));
        assert_eq!(reason(status), "the work ended by a fault of the operator");
        a.ensure(1, DEADLINE, AT_ONCE, || answer(Ok(2)));
        assert_eq!(ended.next().await, Some(key("a")));
        assert_eq!(a.ensure(1, DEADLINE, LATER, || answer(Ok(3))), JobStatus::Done(2));
    }

    #[tokio::test]
    async fn a_run_that_was_stopped_does_not_end_the_one_after_it() {
        let ([a, _], mut ended) = jobs();
        a.ensure(1, DEADLINE, LATER, std::future::pending);
        tokio::task::yield_now().await;
        a.stop();
        a.ensure(1, DEADLINE, LATER, || answer(Ok(1)));
        assert_eq!(ended.next().await, Some(key("a")));
        assert_eq!(a.ensure(1, DEADLINE, LATER, || answer(Ok(2))), JobStatus::Done(1));
    }

    #[tokio::test]
    async fn only_so_many_jobs_run_at_the_same_time_and_the_deadline_of_one_that_waits_has_not_begun() {
        let (changed, mut ended) = unbounded();
        let slots = Arc::new(Semaphore::new(1));
        let jobs: Vec<Job<u32>> =
            ["a", "b", "c", "d"].iter().map(|name| Job::new(&key(name), &changed, &slots)).collect();
        let running = Arc::new(Semaphore::new(1));
        let patient = Duration::from_millis(200);
        for job in &jobs {
            let running = running.clone();
            job.ensure(1, patient, LATER, || async move {
                let alone = running.try_acquire().map_err(|_| Failure::new("another one runs"))?;
                tokio::time::sleep(patient / 2).await;
                drop(alone);
                Ok(1)
            });
        }
        for job in &jobs {
            assert_eq!(ended.next().await.as_ref(), Some(&job.key));
            assert_eq!(job.ensure(1, patient, LATER, || answer(Ok(2))), JobStatus::Done(1));
        }
    }
}
