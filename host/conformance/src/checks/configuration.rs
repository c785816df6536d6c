//! `configuration`: every configuration of the step is used, or refused with a sentence.

use serde_json::{Map, Value};

use super::{Check, Outcome};
use crate::bench::{Bench, decided};
use crate::corpus::MINIMAL;
use crate::fuzz::Random;
use crate::verdict::{Verdict, verdict};

/// How many configurations are made.
const COUNT: usize = 200;
const SEED: u64 = 0x636f_6e66;
/// The longest configuration in a sentence, in bytes.
const MAX_SHOWN: usize = 300;

/// The check.
pub const CHECK: Check = Check {
    id: "configuration",
    proves: "The example of the description is accepted, and each configuration that is made from the plugin's own \
             schema is used or refused with a sentence: none makes the plugin trap, fail or exceed a limit.",
    remedy: "If the failure names what the description lacks, add that. Otherwise narrow the schema, or check the value \
             and answer with invalid-config, which names the field.",
    with_others: false,
    run,
};

fn run(bench: &Bench) -> Outcome {
    let schema: Value = serde_json::from_str(&bench.plugin.description.config_schema).unwrap_or_default();
    let example: Value = serde_json::from_str(&bench.plugin.description.config_example).unwrap_or_default();
    let mut random = Random::new(SEED);
    let made = std::iter::repeat_with(|| random.of_schema(&schema)).take(COUNT);
    let (mut used, mut refused) = (0, 0);
    for (index, value) in std::iter::once(example).chain(made).enumerate() {
        let Value::Object(config) = value else { continue };
        let is_example = index == 0;
        match tried(bench, &config) {
            Ok(true) => used += 1,
            Ok(false) if is_example => {
                return Outcome::Failed("the example of the description is refused".to_owned());
            }
            Ok(false) => refused += 1,
            Err(reason) => {
                let text: String = Value::Object(config).to_string().chars().take(MAX_SHOWN).collect();
                return Outcome::Failed(format!("with the configuration {text}: {reason}"));
            }
        }
    }
    Outcome::Passed(format!("{used} used, {refused} refused with a sentence"))
}

/// Whether a configuration is used.
///
/// # Errors
/// What the plugin did instead.
fn tried(bench: &Bench, config: &Map<String, Value>) -> Result<bool, String> {
    let pipeline = match bench.pipeline_with(config) {
        Ok((pipeline, _)) => pipeline,
        // The engine refuses it by the schema.
        Err(reason) if !reason.is_empty() => return Ok(false),
        Err(_) => return Err("it is refused without a sentence".to_owned()),
    };
    let mut is_used = true;
    for case in bench.cases.iter().filter(|case| case.name == MINIMAL || case.name == "complete") {
        match verdict(&decided(case, &pipeline, &[]), &bench.step) {
            Verdict::Broken(reason) => return Err(reason),
            Verdict::Refused(_) => is_used = false,
            // With an unusual configuration it may want an unusual object, and the host says so.
            Verdict::Planned | Verdict::Overreached(_) | Verdict::Conflict(_) | Verdict::Elsewhere(_) => {}
        }
    }
    Ok(is_used)
}
