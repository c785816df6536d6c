//! The points that are known to fail, and what happens there. The list only gets shorter: a listed point that converges fails the
//! test, too.

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
    /// What happens.
    pub what: &'static str,
}

/// Some of an operation's writes.
#[derive(Clone, Copy, Debug)]
pub enum Writes {
    /// This one, counted from one.
    #[allow(dead_code, reason = "at times no failure is known that is about a single write")]
    At(usize),
    /// All whose path does not contain this.
    Outside(&'static str),
}

impl Known {
    /// Whether it is about a single write. That one is always tried.
    pub fn is_narrow(&self) -> bool {
        matches!(self.writes, Writes::At(_))
    }

    /// Whether it is about a point.
    fn covers(&self, operation: &str, fault: Fault, at: usize, write: &str) -> bool {
        let is_one = match self.writes {
            Writes::At(known) => known == at,
            Writes::Outside(part) => !write.contains(part),
        };
        is_one && self.fault == fault && (self.operation == "*" || self.operation == operation)
    }
}

/// The known failure that a point is, if it is one.
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
