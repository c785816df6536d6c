//! The health of the operator: whether it is ready, and whether it is the leader. Readers can wait for a change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

/// How much longer than its deadline a reconcile may run before the operator counts as stuck: at its deadline it is
/// dropped, unless nothing drives it any more.
const GRACE: Duration = Duration::from_secs(60);

/// The reconciles that run. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Liveness(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    next: u64,
    /// When each has to have ended.
    ends: BTreeMap<u64, Instant>,
}

/// A reconcile runs until this is dropped.
#[derive(Debug)]
pub struct RunningGuard {
    liveness: Liveness,
    number: u64,
}

impl Liveness {
    /// A reconcile begins that has to end within `deadline`.
    pub fn begin(&self, deadline: Duration) -> RunningGuard {
        self.begin_at(Instant::now(), deadline)
    }

    /// The same of a reconcile that began at a time.
    pub(super) fn begin_at(&self, begun: Instant, deadline: Duration) -> RunningGuard {
        let mut running = self.0.lock();
        let number = running.next;
        running.next += 1;
        running.ends.insert(number, begun + deadline);
        RunningGuard { liveness: self.clone(), number }
    }

    /// How many reconciles run.
    pub fn running(&self) -> usize {
        self.0.lock().ends.len()
    }

    /// Whether a reconcile runs that should have ended long ago. Only a restart of the operator helps.
    pub fn is_stuck(&self) -> bool {
        self.is_stuck_at(Instant::now())
    }

    fn is_stuck_at(&self, now: Instant) -> bool {
        self.0.lock().ends.values().any(|end| now.saturating_duration_since(*end) > GRACE)
    }
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.liveness.0.lock().ends.remove(&self.number);
    }
}

/// The receivers of the health. A clone shares the same values.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether the caches have been listed and the settings loaded once.
    pub ready: watch::Receiver<bool>,
    /// Whether this operator is the leader, which writes.
    pub leading: watch::Receiver<bool>,
    /// The reconciles that run.
    pub liveness: Liveness,
}

/// The senders of the health.
#[derive(Debug)]
pub struct HealthSender {
    ready: watch::Sender<bool>,
    leading: watch::Sender<bool>,
    liveness: Liveness,
}

impl HealthSender {
    /// Neither ready nor leading.
    pub fn new() -> Self {
        Self { ready: watch::channel(false).0, leading: watch::channel(false).0, liveness: Liveness::default() }
    }

    /// Receivers of this sender.
    pub fn subscribe(&self) -> Health {
        Health { ready: self.ready.subscribe(), leading: self.leading.subscribe(), liveness: self.liveness.clone() }
    }

    /// Sets the operator ready, for good.
    pub fn set_ready(&self) {
        self.ready.send_replace(true);
    }

    /// Sets whether this operator is the leader.
    pub fn set_leading(&self, leading: bool) {
        self.leading.send_replace(leading);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reconcile_that_runs_long_after_its_deadline_makes_the_operator_stuck_until_it_ends() {
        let (liveness, deadline, begun) = (Liveness::default(), Duration::from_secs(300), Instant::now());
        let reconcile = liveness.begin(deadline);
        _ = liveness.begin(deadline);
        assert!(!liveness.is_stuck_at(begun + deadline + GRACE / 2));
        assert!(liveness.is_stuck_at(begun + deadline + GRACE * 2));
        drop(reconcile);
        assert!(!liveness.is_stuck_at(begun + deadline + GRACE * 2));
    }
}
