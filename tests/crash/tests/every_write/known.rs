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
    /// These, each by its method, its path and the number of its occurrence, as in `PATCH apps/v1/statefulsets/acid-crash #1`.
    These(&'static [&'static str]),
    /// All whose path does not contain this.
    Outside(&'static str),
}

impl Known {
    /// Whether it is about single writes. These are always tried.
    pub fn is_narrow(&self) -> bool {
        matches!(self.writes, Writes::These(_))
    }

    /// Whether it is about a point.
    fn covers(&self, operation: &str, fault: Fault, write: &str) -> bool {
        let is_one = match self.writes {
            Writes::These(writes) => writes.contains(&write),
            Writes::Outside(part) => !write.contains(part),
        };
        is_one && self.fault == fault && (self.operation == "*" || self.operation == operation)
    }
}

/// The known failure that a point is, if it is one.
pub fn known(operation: &str, fault: Fault, write: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.covers(operation, fault, write))
}

/// All of them.
const KNOWN: &[Known] = &[
    Known {
        operation: "create",
        fault: Fault::Deleted,
        writes: Writes::These(&["PATCH acid.zalan.do/v1/postgresqls/acid-crash #1"]),
        what: "the finalizer meets no manifest, which counts as success: the whole cluster is made and stays",
    },
    Known {
        operation: "*",
        fault: Fault::Hanging,
        writes: Writes::Outside("/proxy/"),
        what: "a request to the API server has no time limit: the cluster is not reconciled any more",
    },
];
