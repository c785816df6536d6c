//! The points that are known to fail, and what happens there. The list only gets shorter.

use crate::fault::Fault;

/// Points that are known to fail.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The operation; `*` for all.
    pub operation: &'static str,
    /// The fault.
    pub fault: Fault,
    /// What the write begins with, as in `PATCH apps/v1/statefulsets/acid-crash #1`.
    pub write: &'static str,
    /// What happens.
    pub what: &'static str,
}

impl Known {
    /// Whether it is about a point.
    pub fn covers(&self, operation: &str, fault: Fault, write: &str) -> bool {
        (self.operation == "*" || self.operation == operation) && self.fault == fault && write.starts_with(self.write)
    }
}

/// All of them.
pub const KNOWN: &[Known] = &[];
