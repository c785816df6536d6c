//! The faults that can be injected at a write.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use stand_in::{Answer, Gate, State, Verdict, Write};

use crate::operation::{self, NAMESPACE};
use crate::operator::LEASE;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The operator is killed before the write is sent.
    Killed,
    /// The operator is killed after the write was executed and before its answer arrives.
    AnswerLost,
    /// The operator is killed, and for three seconds the lists of the next one are two writes behind.
    StaleList,
    /// The write is answered with 409.
    Conflict,
    /// The write is answered with 429 and `Retry-After`.
    Throttled,
    /// The write is answered with 500.
    Failing,
    /// The write is executed, and every watch gets 410.
    Expired,
    /// The write is neither executed nor answered.
    Hanging,
    /// Another operator acquires the lease and does not renew it.
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

    /// The name of the fault in `CRASH_ONLY` and in the output.
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

/// A gate that injects a fault at one write.
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

    /// Whether the fault was injected.
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

/// Acquires the lease for an operator that never renews it.
fn take_lease(state: &mut State) {
    state.put(&json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE, "namespace": NAMESPACE},
        "spec": {"holderIdentity": "another", "leaseDurationSeconds": 15},
    }));
}
