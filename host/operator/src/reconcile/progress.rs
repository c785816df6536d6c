//! What a step returns beside its result: what is under way, and what was found before a failure.

use super::Error;

/// What a step found, and whether it failed. What it found is reported in either case.
pub struct Step<T> {
    /// What was found until the end or the failure.
    pub found: T,
    /// Whether the step failed.
    pub result: Result<(), Error>,
}

/// Something that has begun and is not done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underway {
    /// What is waited for, for the log.
    pub reason: String,
    /// Whether it changes what runs, as a rolling update does; a member that comes back by itself does not.
    pub changing: bool,
    /// Whether an event reports its end: a change of what is watched, or the end of a job. Otherwise Patroni or the API
    /// server has to be asked again.
    pub watched: bool,
}

impl Underway {
    /// Something that changes what runs.
    pub fn changing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), changing: true, watched: false }
    }

    /// Something that leaves what runs as it is.
    pub fn waiting(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), changing: false, watched: false }
    }

    /// The same, with an event that reports its end.
    #[must_use]
    pub fn watched(self) -> Self {
        Self { watched: true, ..self }
    }

    /// All of them as one: the last reason, changing if any is, watched if all are.
    pub fn all(underway: impl IntoIterator<Item = Self>) -> Option<Self> {
        let join = |before: Self, after: Self| Self {
            changing: before.changing || after.changing,
            watched: before.watched && after.watched,
            ..after
        };
        underway.into_iter().reduce(join)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_things_under_way_the_last_is_named_and_one_that_changes_what_runs_is_enough() {
        let all = Underway::all([Underway::changing("a pod is replaced"), Underway::waiting("a pod is not ready")]);
        assert_eq!(all, Some(Underway::changing("a pod is not ready")));
        let watched = || Underway::waiting("a pod is not ready").watched();
        assert_eq!(Underway::all([watched(), watched()]), Some(watched()));
        assert_eq!(
            Underway::all([Underway::waiting("Patroni is silent"), watched()]).map(|all| all.watched),
            Some(false)
        );
        assert_eq!(Underway::all([]), None);
    }
}
