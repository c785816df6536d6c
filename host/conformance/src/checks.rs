//! The checks, one file each, in the order in which they are run and printed.

mod actions;
mod compatibility;
mod composition;
mod configuration;
mod description;
mod fixpoint;
mod load;
mod purity;
mod relevance;
mod removal;
mod robustness;
mod scope;

use crate::bench::Bench;

/// One promise that a plugin keeps, or not.
pub struct Check {
    /// The stable id, as in `purity`. It is never given to another check.
    pub id: &'static str,
    /// What a passed check proves, in one sentence.
    pub proves: &'static str,
    /// How a failure is mended, in one sentence.
    pub remedy: &'static str,
    /// Whether other plugins take part: then the profile `core` leaves the check out.
    pub with_others: bool,
    run: fn(&Bench) -> Outcome,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The promise is kept: what was tried.
    Passed(String),
    /// The promise is broken: where, and how.
    Failed(String),
    /// Nothing could be tried: the reason, and what would make it possible.
    Skipped(String),
}

impl Check {
    /// Runs the check.
    #[must_use]
    pub fn run(&self, bench: &Bench) -> Outcome {
        match (bench.unfit(), self.needs_pipeline()) {
            (Some(_), true) => Outcome::Skipped("the step cannot be configured, see compatibility".to_owned()),
            _ => (self.run)(bench),
        }
    }

    fn needs_pipeline(&self) -> bool {
        !["load", "description", "compatibility"].contains(&self.id)
    }
}

/// Every check, in order.
pub const ALL: [Check; 12] = [
    load::CHECK,
    description::CHECK,
    compatibility::CHECK,
    configuration::CHECK,
    scope::CHECK,
    purity::CHECK,
    robustness::CHECK,
    relevance::CHECK,
    actions::CHECK,
    fixpoint::CHECK,
    removal::CHECK,
    composition::CHECK,
];

/// A selection of checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// What the plugin does by itself.
    Core,
    /// Every check.
    #[default]
    Full,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 2] = [Self::Core, Self::Full];

    /// The name in commands and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Full => "full",
        }
    }

    /// The profile of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The checks of the profile, in order.
    pub fn checks(self) -> impl Iterator<Item = &'static Check> {
        static CHECKS: [Check; 12] = ALL;
        CHECKS.iter().filter(move |check| self == Self::Full || !check.with_others)
    }
}
