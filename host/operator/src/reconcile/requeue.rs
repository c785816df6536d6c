//! When a cluster is reconciled again although no event wakes it.
//!
//! What waits for a watch event or for the end of a job waits for nothing else: the event wakes the reconcile. Only two
//! kinds of waiting have a time. What is due at a known time has that time, as the retry of a job or a maintenance
//! window. What no event reports is asked for again, as whether a database serves: the delay doubles with every
//! reconcile that no event has woken, and an event resets it.

use std::time::Duration;

use pgloom_common::duration::doubled;
use pgloom_common::fingerprint::fingerprint;

use crate::cache::ClusterKey;
use crate::state::Memory;

/// The first delay where Patroni is asked again: what it does next takes one of its loops, of ten seconds by default.
pub const PATRONI: Duration = Duration::from_secs(15);

/// When to reconcile again at the latest; by default only when something changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requeue {
    /// After which time something is due.
    due: Option<Duration>,
    /// The first delay of what no event reports.
    ask: Option<Duration>,
}

impl Requeue {
    /// Something is due after this time.
    pub fn within(time: Duration) -> Self {
        Self { due: Some(time), ask: None }
    }

    /// Something is waited for that no event reports: after `first` it is asked for again, and then ever later.
    pub fn asking(first: Duration) -> Self {
        Self { due: None, ask: Some(first) }
    }

    /// The earlier of both.
    pub fn min(self, other: Self) -> Self {
        let earlier = |one: Option<Duration>, other: Option<Duration>| one.into_iter().chain(other).min();
        Self { due: earlier(self.due, other.due), ask: earlier(self.ask, other.ask) }
    }

    /// The delay until the next reconcile, at most `period`; `longest` is the longest delay of what is asked for. The
    /// attempts of a cluster are counted in `memory`.
    pub fn delay(self, memory: &mut Memory, longest: Duration, period: Duration) -> Duration {
        let ask = self.ask.map(|first| doubled(first, memory.asked, longest));
        memory.asked = if ask.is_some() { memory.asked.saturating_add(1) } else { 0 };
        ask.into_iter().chain(self.due).fold(period, Duration::min)
    }
}

/// A reconcile begins. If an event has woken it, what is asked for again begins with its first delay. An event that comes
/// while the reconcile runs counts for the next one.
pub fn begin(memory: &mut Memory) {
    if std::mem::take(&mut memory.woken) {
        memory.asked = 0;
    }
}

/// Spreads the reconciles of many clusters over time: up to a tenth less than the period.
pub fn spread(period: Duration, key: &ClusterKey) -> Duration {
    let part = u32::try_from(fingerprint(key) % 100).unwrap_or_default();
    period.saturating_sub(period / 1000 * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The delays in seconds of so many reconciles in a row that no event wakes.
    fn delays(requeue: Requeue, memory: &mut Memory, reconciles: usize) -> Vec<u64> {
        let one = |_| {
            begin(memory);
            requeue.delay(memory, 5 * MINUTE, HOUR).as_secs()
        };
        (0..reconciles).map(one).collect()
    }

    #[test]
    fn what_waits_for_an_event_is_reconciled_after_the_period_only() {
        assert_eq!(delays(Requeue::default(), &mut Memory::default(), 3), [3600; 3]);
    }

    #[test]
    fn what_no_event_reports_is_asked_for_ever_later() {
        let mut memory = Memory::default();
        assert_eq!(delays(Requeue::asking(PATRONI), &mut memory, 7), [15, 30, 60, 120, 240, 300, 300]);
        memory.asked = u32::MAX;
        assert_eq!(delays(Requeue::asking(PATRONI), &mut memory, 2), [300; 2]);
    }

    #[test]
    fn an_event_makes_the_next_delay_the_first_one_again() {
        let mut memory = Memory::default();
        delays(Requeue::asking(PATRONI), &mut memory, 4);
        memory.woken = true;
        assert_eq!(delays(Requeue::asking(PATRONI), &mut memory, 2), [15, 30]);
    }

    #[test]
    fn an_event_during_a_reconcile_counts_for_the_next_one() {
        let mut memory = Memory { asked: 3, ..Memory::default() };
        begin(&mut memory);
        memory.woken = true;
        Requeue::asking(PATRONI).delay(&mut memory, 5 * MINUTE, HOUR);
        assert_eq!(delays(Requeue::asking(PATRONI), &mut memory, 1), [15]);
    }

    #[test]
    fn what_is_waited_for_after_a_rest_is_asked_for_soon() {
        let mut memory = Memory::default();
        delays(Requeue::asking(PATRONI), &mut memory, 4);
        delays(Requeue::default(), &mut memory, 1);
        assert_eq!(delays(Requeue::asking(PATRONI), &mut memory, 1), [15]);
    }

    #[test]
    fn the_earliest_of_several_times_wins_and_none_is_later_than_the_period() {
        let both = Requeue::within(seconds(9)).min(Requeue::default()).min(Requeue::within(seconds(4)));
        assert_eq!(both, Requeue::within(seconds(4)));
        let delay = |requeue: Requeue, period| requeue.delay(&mut Memory::default(), 5 * MINUTE, period);
        assert_eq!((delay(both, MINUTE), delay(both, seconds(2))), (seconds(4), seconds(2)));
        assert_eq!(delay(both.min(Requeue::asking(seconds(1))), MINUTE), seconds(1));
        assert_eq!(delay(both.min(Requeue::asking(PATRONI)), MINUTE), seconds(4));
        assert_eq!(delay(Requeue::asking(PATRONI), seconds(10)), seconds(10));
    }

    #[test]
    fn reconciles_of_many_clusters_are_spread_over_the_last_tenth_of_the_period() {
        let after: Vec<Duration> =
            (0..50).map(|number| spread(HOUR, &ClusterKey::new("ns", &format!("c{number}")))).collect();
        assert!(after.iter().all(|after| *after <= HOUR && *after >= HOUR / 10 * 9));
        assert!(after.iter().max() != after.iter().min());
    }
}
