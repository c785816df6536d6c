//! `scope`: with all that it asks for, and nothing else, the plugin is never refused for want of a permission.

use super::{Check, Outcome};
use crate::bench::{Bench, decided};
use crate::verdict::{Verdict, verdict};

/// The check.
pub const CHECK: Check = Check {
    id: "scope",
    proves: "Granted exactly what its description asks for, the plugin writes nothing else: no object, field, action \
             or credential of it is refused in any case.",
    remedy: "Add the permission to the description, or do not write the field; the failure names it.",
    with_others: false,
    run,
};

fn run(bench: &Bench) -> Outcome {
    let (pipeline, calls) = match bench.pipeline() {
        Ok(made) => made,
        Err(reason) => return Outcome::Skipped(reason),
    };
    let mut called = 0;
    for case in &bench.cases {
        let result = decided(case, &pipeline, &[]);
        called += calls.take().len();
        if let Verdict::Overreached(reason) = verdict(&result, &bench.step) {
            return Outcome::Failed(format!("case {}: {reason}", case.name));
        }
    }
    Outcome::Passed(format!("{called} calls"))
}
