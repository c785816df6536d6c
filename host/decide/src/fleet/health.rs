//! How a cluster of a stage is, compared with how it was before it got the new pipeline.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pgloom_api::pipeline::Rollout;

use super::passed;

/// The longest text of what clusters were before, in bytes: it is a part of the status, which has to fit into an object.
const MAX_TEXT: usize = 128 << 10;

/// How a cluster was before it got the new pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// How many members were ready.
    pub ready: usize,
    /// How many members were wanted.
    pub wanted: usize,
    /// Whether its reconcile failed.
    pub failing: bool,
}

impl Before {
    /// Whether all was well.
    #[must_use]
    pub fn is_well(&self) -> bool {
        !self.failing && self.ready >= self.wanted
    }

    /// Reads `2/3`, or `2/3!` of one whose reconcile failed.
    fn parse(text: &str) -> Option<Self> {
        let (numbers, failing) = match text.strip_suffix('!') {
            Some(numbers) => (numbers, true),
            None => (text, false),
        };
        let (ready, wanted) = numbers.split_once('/')?;
        Some(Self { ready: ready.parse().ok()?, wanted: wanted.parse().ok()?, failing })
    }
}

/// How a cluster is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many members are ready.
    pub ready: usize,
    /// How many are wanted.
    pub wanted: usize,
    /// When its manifest was created.
    pub created: i64,
    /// Whether it was reconciled with the new pipeline.
    pub reconciled: bool,
    /// Whether every pod runs what is wanted, and the last reconcile did not fail.
    pub settled: bool,
    /// What fails with the new pipeline and not with the one before.
    pub failure: Option<String>,
    /// What fails for a reason that is not the pipeline, as a quota.
    pub obstacle: Option<String>,
}

/// What is remembered of the clusters while a pipeline is rolled out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// How each cluster was when the first stage that has it began, by `namespace/name`.
    pub before: BTreeMap<String, Before>,
    /// Whether `before` lacks clusters, as they were too many to be kept for another leader.
    pub is_partial: bool,
    /// Since when a cluster is less ready than it was.
    pub(super) unready: BTreeMap<String, i64>,
    /// When a cluster was well last.
    pub(super) well: BTreeMap<String, i64>,
    /// When this operator asked first.
    pub(super) begun: Option<i64>,
}

/// What a cluster means for its stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is as it was before.
    Well,
    /// It is waited for: why.
    Waiting(String),
    /// It was waited for too long: why, and the remedy.
    Stuck(String),
    /// The pipeline is taken back: why.
    Problem(String),
}

impl Memory {
    /// How a cluster of the stage is. `since` is the beginning of the stage: what goes wrong at a cluster that is newer is
    /// not taken for the pipeline's fault.
    pub fn health(&mut self, rollout: &Rollout, since: i64, cluster: &str, seen: &Seen, now: i64) -> Health {
        let begun = *self.begun.get_or_insert(now);
        let before = self.before(since, cluster, seen);
        let failing = before.is_some_and(|before| before.failing);
        if let Some(failure) = seen.failure.as_ref().filter(|_| before.is_some() && !failing) {
            return Health::Problem(failure.clone());
        }
        let limit = rollout.ready_deadline.as_secs();
        let least = before.map_or(0, |before| before.ready.min(seen.wanted));
        if seen.ready >= least {
            self.unready.remove(cluster);
        } else if seen.reconciled {
            let unready = *self.unready.entry(cluster.to_owned()).or_insert(now);
            if passed(unready, now) > limit {
                let ready = seen.ready;
                return Health::Problem(format!(
                    "{ready} members have been ready for more than {limit} s, and {least} were before"
                ));
            }
        }
        let reason = match () {
            () if !seen.reconciled => "was not reconciled yet",
            () if seen.ready < least => "has fewer ready members than before",
            () if !seen.settled && !failing => "does not run all that is wanted yet",
            () => {
                self.well.insert(cluster.to_owned(), now);
                return Health::Well;
            }
        };
        let why = seen.failure.as_ref().or(seen.obstacle.as_ref());
        let reason = why.map_or_else(|| reason.to_owned(), |why| format!("{reason}: {why}"));
        // One member after the other may restart.
        let limit = limit.saturating_mul(u64::try_from(seen.wanted.max(1)).unwrap_or(u64::MAX));
        let waits = self.well.get(cluster).copied().unwrap_or(since).max(since).max(begun);
        match passed(waits, now) > limit {
            false => Health::Waiting(reason),
            true => Health::Stuck(format!(
                "{reason}; it was waited for longer than {limit} s: repair the cluster, and the rollout goes on by itself"
            )),
        }
    }

    /// How a cluster was before it got the new pipeline; `None` if it is newer than that.
    fn before(&mut self, since: i64, cluster: &str, seen: &Seen) -> Option<Before> {
        if seen.created > since {
            self.before.remove(cluster);
            return None;
        }
        // One that is known too late has come into the stage by its labels, or was not kept for this leader.
        let ready = if self.is_partial { seen.wanted } else { seen.ready };
        let late = Before { ready, wanted: seen.wanted, failing: false };
        Some(*self.before.entry(cluster.to_owned()).or_insert(late))
    }

    /// What clusters were before, for another leader: those first that were not well.
    #[must_use]
    pub fn text(&self) -> String {
        let (well, unwell): (Vec<_>, Vec<_>) = self.before.iter().partition(|(_, before)| before.is_well());
        let (mut text, mut cut) = (String::new(), 0_usize);
        for (cluster, Before { ready, wanted, failing }) in unwell.into_iter().chain(well) {
            if text.len() + cluster.len() > MAX_TEXT {
                cut += 1;
                continue;
            }
            let failing = if *failing { "!" } else { "" };
            // Writing to a string does not fail.
            _ = write!(text, "{cluster}={ready}/{wanted}{failing} ");
        }
        if cut > 0 || self.is_partial {
            _ = write!(text, "+{cut}");
        }
        text.trim_end().to_owned()
    }

    /// What is remembered by a text of another leader; without one, it is not known how the clusters were.
    #[must_use]
    pub fn of(text: Option<&str>) -> Self {
        let words = || text.into_iter().flat_map(str::split_whitespace);
        let entry = |word: &str| {
            let (cluster, before) = word.split_once('=')?;
            Some((cluster.to_owned(), Before::parse(before)?))
        };
        let before: BTreeMap<_, _> = words().filter_map(entry).collect();
        Self { is_partial: before.len() < words().count() || text.is_none(), before, ..Self::default() }
    }
}
