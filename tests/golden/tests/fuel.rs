//! Every shipped plugin takes the same fuel for the same input, for an answer of the same bytes, and far less than the
//! default limit.

use std::collections::{BTreeMap, BTreeSet};

use golden::{Input, cases, describe, examples, pipeline, yaml};
use pgloom_api::pipeline::DEFAULT_FUEL;

/// How often each input is decided.
const TIMES: usize = 10;

/// By step, the fuel of a call.
type Fuel = BTreeMap<String, u64>;

fn inputs() -> Vec<Input> {
    examples().into_iter().chain(cases()).collect()
}

/// The bytes of a decision, and the fuel of each call.
fn decided(input: &Input) -> (String, Fuel) {
    let decision = input.decision(pipeline());
    let fuel = match &decision {
        Ok(plan) => plan.fuel.clone(),
        Err(pgloom_decide::Error::Pipeline(error)) => error.fuel.clone(),
        Err(_) => Fuel::new(),
    };
    (yaml(&describe(&decision)), fuel)
}

#[test]
fn every_plugin_takes_the_same_fuel_for_the_same_bytes_ten_times() {
    let mut called = BTreeSet::new();
    for input in inputs() {
        let first = decided(&input);
        for _ in 1..TIMES {
            assert_eq!(decided(&input), first, "{}", input.name);
        }
        called.extend(first.1.into_keys());
    }
    let steps: BTreeSet<String> = pipeline().steps().iter().map(|step| step.name.clone()).collect();
    assert_eq!(called, steps, "every shipped plugin is called for at least one input");
}

#[test]
fn the_default_limit_is_a_hundred_times_what_a_shipped_plugin_takes() {
    for input in inputs() {
        for (step, fuel) in decided(&input).1 {
            assert!(fuel > 0 && fuel <= DEFAULT_FUEL / 100, "{}: {step} takes {fuel}", input.name);
        }
    }
}
