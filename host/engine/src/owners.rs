//! The steps that set a leaf.

/// A step, as an index into the list of the steps that have contributed.
pub(crate) type StepId = u16;

/// The number of steps that a set distinguishes. A pipeline document has at most as many.
const STEPS: u16 = 64;

/// A set of steps. The first one set the leaf first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owners(u64);

impl Owners {
    /// One step.
    pub(crate) fn of(step: StepId) -> Self {
        Self(1 << step.min(STEPS - 1))
    }

    /// Adds steps that set the leaf to the same value.
    pub(crate) fn add(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// The first step other than this one.
    pub(crate) fn other_than(self, step: StepId) -> Option<StepId> {
        Self(self.0 & !Self::of(step).0).iter().next()
    }

    /// The steps, in the order in which they contributed first.
    pub(crate) fn iter(self) -> impl Iterator<Item = StepId> {
        (0..STEPS).filter(move |step| self.0 & Self::of(*step).0 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_a_set_in_the_order_of_the_steps() {
        let mut owners = Owners::of(5);
        owners.add(Owners::of(2));
        owners.add(Owners::of(5));
        assert_eq!(owners.iter().collect::<Vec<_>>(), [2, 5]);
        assert_eq!(owners.other_than(2), Some(5));
        assert_eq!(Owners::of(2).other_than(2), None);
    }

    #[test]
    fn a_step_beyond_the_last_one_that_is_distinguished_counts_as_the_last() {
        assert_eq!(Owners::of(StepId::MAX), Owners::of(STEPS - 1));
    }
}
