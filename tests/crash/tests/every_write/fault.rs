//! What goes wrong at one write.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use stand_in::{Answer, Gate, State, Verdict, Write};

use crate::operation::{self, NAMESPACE};
use crate::operator::LEASE;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The operator is killed before the write is sent.
    Killed,
    /// The operator is killed when the write was carried out and its answer did not arrive.
    AnswerLost,
    /// The operator is killed, and what the next one lists is two writes behind for three seconds.
    StaleList,
    /// The write is answered with 409.
    Conflict,
    /// The write is answered with 429 and `Retry-After`.
    Throttled,
    /// The write is answered with 500.
    Failing,
    /// The write is carried out, and every watch gets 410.
    Expired,
    /// The write is swallowed and never answered.
    Hanging,
    /// Another operator takes the lease and does not renew it.
    LeaseLost,
    /// The user deletes the manifest right before the write.
    Deleted,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 10] = [
        Self::Killed,
        Self::AnswerLost,
        Self::StaleList,
        Self::Conflict,
        Self::Throttled,
        Self::Failing,
        Self::Expired,
        Self::Hanging,
        Self::LeaseLost,
        Self::Deleted,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::AnswerLost => "answer lost",
            Self::StaleList => "stale list",
            Self::Conflict => "409",
            Self::Throttled => "429",
            Self::Failing => "500",
            Self::Expired => "410",
            Self::Hanging => "hang",
            Self::LeaseLost => "lease lost",
            Self::Deleted => "deleted",
        }
    }

    fn verdict(self) -> Verdict {
        let refused = |code, after| Verdict { execute: false, answer: Answer::Refused(code, after), dead: false };
        match self {
            Self::Killed | Self::StaleList => Verdict { execute: false, answer: Answer::Never, dead: true },
            Self::AnswerLost => Verdict { execute: true, answer: Answer::Never, dead: true },
            Self::Conflict => refused(409, None),
            Self::Throttled => refused(429, Some(2)),
            Self::Failing => refused(500, None),
            Self::Hanging => Verdict { execute: false, answer: Answer::Never, dead: false },
            Self::Expired | Self::LeaseLost | Self::Deleted => Verdict::PASS,
        }
    }
}

/// The gate that lets one write go wrong.
#[derive(Clone, Debug)]
pub struct Strike {
    fault: Fault,
    at: usize,
    seen: Arc<Mutex<usize>>,
}

impl Strike {
    /// The fault at a write, counted from one.
    pub fn new(fault: Fault, at: usize) -> Self {
        Self { fault, at, seen: Arc::default() }
    }

    /// Whether there was such a write.
    pub fn has_struck(&self) -> bool {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) >= self.at
    }
}

impl Gate for Strike {
    fn verdict(&mut self, _: &Write, state: &mut State) -> Verdict {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen += 1;
        if *seen != self.at {
            return Verdict::PASS;
        }
        match self.fault {
            Fault::Expired => state.objects.expire(),
            Fault::LeaseLost => take_lease(state),
            Fault::Deleted => operation::delete(state),
            _ => {}
        }
        self.fault.verdict()
    }
}

/// Takes the lease in the name of an operator that never renews it.
fn take_lease(state: &mut State) {
    state.put(&json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE, "namespace": NAMESPACE},
        "spec": {"holderIdentity": "another", "leaseDurationSeconds": 15},
    }));
}
