//! The points that are known to fail, with a description. A listed point that converges also fails the test, so the
//! list can only get shorter.

use crate::fault::Fault;

/// Points that are known to fail.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The operation; `*` for all.
    pub operation: &'static str,
    /// The fault.
    pub fault: Fault,
    /// The writes at which it fails.
    pub writes: Writes,
    /// The description of the failure.
    pub what: &'static str,
}

/// Some of an operation's writes.
#[derive(Clone, Copy, Debug)]
pub enum Writes {
    /// This write, counted from one.
    #[allow(dead_code, reason = "at times no failure is known that is about a single write")]
    At(usize),
    /// All writes whose path does not contain this text.
    Outside(&'static str),
}

impl Known {
    /// Whether the entry is about a single write. Such a write is part of every sample.
    pub fn is_narrow(&self) -> bool {
        matches!(self.writes, Writes::At(_))
    }

    /// Whether the entry covers a point.
    fn covers(&self, operation: &str, fault: Fault, at: usize, write: &str) -> bool {
        let is_one = match self.writes {
            Writes::At(known) => known == at,
            Writes::Outside(part) => !write.contains(part),
        };
        is_one && self.fault == fault && (self.operation == "*" || self.operation == operation)
    }
}

/// The entry that covers a point.
pub fn known(operation: &str, fault: Fault, at: usize, write: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.covers(operation, fault, at, write))
}

/// All of them.
const KNOWN: &[Known] = &[Known {
    operation: "*",
    fault: Fault::Hanging,
    writes: Writes::Outside("/proxy/"),
    what: "a request to the API server has no time limit: the cluster is not reconciled any more",
}];
