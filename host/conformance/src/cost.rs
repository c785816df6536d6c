//! What the calls of each case cost, and whether that is within a budget.

use serde::{Deserialize, Serialize};

use crate::bench::{Bench, decided};

/// What a call of one case costs. The same component has the same costs on every machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cost {
    /// The case.
    pub case: String,
    /// WebAssembly instructions.
    pub fuel: u64,
    /// The bytes of the answer as JSON.
    pub bytes: u64,
    /// The linear memory at the end of the call, in bytes.
    pub memory: u64,
}

/// A file of costs. A report is one, too: its other fields are not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// By case.
    pub cost: Vec<Cost>,
}

/// A case is too dear from this many halves of its budget on.
const HALVES: u64 = 3;

/// The costs of every case that calls the plugin.
#[must_use]
pub fn table(bench: &Bench) -> Vec<Cost> {
    let Ok((pipeline, calls)) = bench.pipeline() else { return Vec::new() };
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let mut costs = Vec::new();
    for case in &bench.cases {
        // Whether there is a plan does not matter to the cost of the call.
        let _ = decided(case, &pipeline, &[]);
        costs.extend(calls.take().into_iter().map(|call| Cost {
            case: case.name.clone(),
            fuel: call.fuel,
            bytes: number(call.text().len()),
            memory: number(call.memory),
        }));
    }
    costs
}

/// The cases that are too dear, as sentences with the numbers.
#[must_use]
pub fn exceeded(budget: &Budget, costs: &[Cost]) -> Vec<String> {
    let mut sentences = Vec::new();
    for cost in costs {
        let Some(planned) = budget.cost.iter().find(|planned| planned.case == cost.case) else { continue };
        for (what, is, was) in [
            ("units of fuel", cost.fuel, planned.fuel),
            ("bytes of answer", cost.bytes, planned.bytes),
            ("bytes of memory", cost.memory, planned.memory),
        ] {
            if was > 0 && is.saturating_mul(2) >= was.saturating_mul(HALVES) {
                let tenths = is.saturating_mul(10) / was;
                let (whole, tenth) = (tenths / 10, tenths % 10);
                sentences.push(format!("case {}: {is} {what}, the budget is {was} ({whole}.{tenth} times)", cost.case));
            }
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(fuel: u64, bytes: u64, memory: u64) -> Cost {
        Cost { case: "minimal".to_owned(), fuel, bytes, memory }
    }

    #[test]
    fn a_case_that_is_one_and_a_half_times_dearer_than_its_budget_is_named_with_the_numbers() {
        let budget = Budget { cost: vec![cost(100, 100, 100)] };
        assert_eq!(exceeded(&budget, &[cost(149, 100, 1)]), Vec::<String>::new());
        assert_eq!(
            exceeded(&budget, &[cost(150, 149, 210)]),
            [
                "case minimal: 150 units of fuel, the budget is 100 (1.5 times)",
                "case minimal: 210 bytes of memory, the budget is 100 (2.1 times)",
            ]
        );
    }

    #[test]
    fn a_case_without_a_budget_may_cost_anything() {
        assert_eq!(exceeded(&Budget { cost: Vec::new() }, &[cost(150, 149, 210)]), Vec::<String>::new());
    }
}
