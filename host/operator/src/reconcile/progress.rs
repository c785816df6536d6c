//! What a step returns beside its result: what is under way, when to reconcile again, what was found before a failure.

use std::time::Duration;

use super::Error;

/// What a step found, and whether it failed. What it found is reported in either case.
pub struct Step<T> {
    /// What was found until the end or the failure.
    pub found: T,
    /// Whether the step failed.
    pub result: Result<(), Error>,
}

impl<T> Step<T> {
    /// Keeps what was found in `kept`.
    ///
    /// # Errors
    /// The step's failure. With `?` it ends the reconcile; a step whose failure must not stop the next ones is added to
    /// the failures of [`Steps`](super::report::Steps) instead.
    pub fn keep(self, kept: &mut Option<T>) -> Result<&T, Error> {
        let found = kept.insert(self.found);
        self.result.map(|()| &*found)
    }
}

/// Something that has begun and is not done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underway {
    /// What is waited for, for the log.
    pub reason: String,
    /// Whether it changes what runs, as a rolling update does; a member that comes back by itself does not.
    pub changing: bool,
}

impl Underway {
    /// Something that changes what runs.
    pub fn changing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), changing: true }
    }

    /// Something that leaves what runs as it is.
    pub fn waiting(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), changing: false }
    }

    /// All of them as one: the last reason, changing if any is.
    pub fn all(underway: impl IntoIterator<Item = Self>) -> Option<Self> {
        let join = |before: Self, after: Self| Self { changing: before.changing || after.changing, ..after };
        underway.into_iter().reduce(join)
    }
}

/// When to reconcile again at the latest; by default only when something changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requeue(Option<Duration>);

impl Requeue {
    /// After this time at the latest.
    pub fn within(time: Duration) -> Self {
        Self(Some(time))
    }

    /// The earlier of both.
    pub fn min(self, other: Self) -> Self {
        Self([self.0, other.0].into_iter().flatten().min())
    }

    /// The time to the next reconcile, at most `period`.
    pub fn at_most(self, period: Duration) -> Duration {
        self.0.map_or(period, |time| time.min(period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_things_under_way_the_last_is_named_and_one_that_changes_what_runs_is_enough() {
        let all = Underway::all([Underway::changing("a pod is replaced"), Underway::waiting("a pod is not ready")]);
        assert_eq!(all, Some(Underway::changing("a pod is not ready")));
        assert_eq!(Underway::all([]), None);
    }

    #[test]
    fn the_earliest_requeue_wins_and_none_is_later_than_the_period() {
        let seconds = Duration::from_secs;
        let both = Requeue::within(seconds(9)).min(Requeue::default()).min(Requeue::within(seconds(4)));
        assert_eq!(both, Requeue::within(seconds(4)));
        assert_eq!((both.at_most(seconds(60)), both.at_most(seconds(2))), (seconds(4), seconds(2)));
        assert_eq!(Requeue::default().at_most(seconds(60)), seconds(60));
    }

    #[test]
    fn what_a_failed_step_had_found_is_kept() {
        let mut kept = None;
        let error = Error::Password(crate::execute::password::Error::Missing("ada".into()));
        assert!(Step { found: 7, result: Err(error) }.keep(&mut kept).is_err());
        assert_eq!(kept, Some(7));
    }
}
