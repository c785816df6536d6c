//! What the calls of each case cost, and whether that is within a budget.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bench::{Bench, decided};
use crate::report::{API_VERSION, KIND, Report};

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

/// A file of costs. A report is one, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// The name of the plugin, if the file is a report.
    pub plugin: Option<String>,
    /// By case.
    pub cost: Vec<Cost>,
}

/// Why a file is no budget, or none of a run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no YAML.
    #[error("no budget: {0}; give a report that `--report` wrote")]
    Parse(String),
    /// It has another form.
    #[error("no budget: {0}; give a report that `--report` wrote, or its `cost` alone")]
    Form(String),
    /// An entry limits nothing.
    #[error("cost[{entry}]: {problem}")]
    Entry {
        /// The index of the entry.
        entry: usize,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// It is the report of another plugin.
    #[error("plugin.name: it is the budget of {budget}, and the plugin is {plugin}; give a report of {plugin}")]
    Plugin {
        /// The name in the budget.
        budget: String,
        /// The name of the plugin.
        plugin: String,
    },
}

impl Budget {
    /// Reads a budget.
    ///
    /// # Errors
    /// If it has another form, or an entry that limits nothing: a number that is 0, or a case a second time.
    pub fn read(text: &str) -> Result<Self, Error> {
        let document: Value = serde_yaml_ng::from_str(text).map_err(|error| Error::Parse(error.to_string()))?;
        for (field, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            if let Some(found) = document.get(field).filter(|found| *found != expected) {
                return Err(Error::Form(format!("{field} is {found}, not {expected}")));
            }
        }
        let plugin = document.pointer("/plugin/name").and_then(Value::as_str).map(str::to_owned);
        let Some(entries) = document.get("cost").and_then(Value::as_array).filter(|entries| !entries.is_empty()) else {
            return Err(Error::Form("`cost` has no list of cases".to_owned()));
        };
        let mut cost: Vec<Cost> = Vec::new();
        for (entry, value) in entries.iter().enumerate() {
            let read = planned(value).and_then(|planned| match cost.iter().any(|other| other.case == planned.case) {
                true => Err(format!("case {} is there a second time; keep one of the entries", planned.case)),
                false => Ok(planned),
            });
            cost.push(read.map_err(|problem| Error::Entry { entry, problem })?);
        }
        Ok(Self { plugin, cost })
    }

    /// Checks that the budget is one of this run.
    ///
    /// # Errors
    /// If it is of another plugin, or has a case that was not tried. Of a plugin that could not be loaded nothing is known.
    pub fn check(&self, report: &Report) -> Result<(), Error> {
        if report.cases.is_empty() {
            return Ok(());
        }
        let plugin = &report.plugin.name;
        if let Some(budget) = self.plugin.clone().filter(|name| name != plugin) {
            return Err(Error::Plugin { budget, plugin: plugin.clone() });
        }
        match self.cost.iter().position(|planned| !report.cases.contains(&planned.case)) {
            None => Ok(()),
            Some(entry) => {
                let case = self.cost.get(entry).map(|planned| planned.case.as_str()).unwrap_or_default();
                let known = report.cases.join(", ");
                let problem = format!("case {case} is not tried; give it with --case, or name one of {known}");
                Err(Error::Entry { entry, problem })
            }
        }
    }
}

/// An entry of a budget.
fn planned(value: &Value) -> Result<Cost, String> {
    const FIELDS: [&str; 4] = ["case", "fuel", "bytes", "memory"];
    let fields = value.as_object().ok_or("is no map; write {case: NAME, fuel: …, bytes: …, memory: …}")?;
    if let Some(unknown) = fields.keys().find(|field| !FIELDS.contains(&field.as_str())) {
        return Err(format!("{unknown} is unknown; an entry has {}", FIELDS.join(", ")));
    }
    let case = fields.get("case").and_then(Value::as_str).ok_or("case is missing; name the case")?;
    let number = |field: &str| match fields.get(field).map(|value| (value, value.as_u64())) {
        Some((_, Some(number))) if number > 0 => Ok(number),
        Some((value, _)) => Err(format!("{field} of case {case} is {value}; write a whole number greater than 0")),
        None => Err(format!("{field} of case {case} is missing; write a whole number greater than 0")),
    };
    Ok(Cost { case: case.to_owned(), fuel: number("fuel")?, bytes: number("bytes")?, memory: number("memory")? })
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
#[allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
mod tests {
    use super::*;

    fn cost(fuel: u64, bytes: u64, memory: u64) -> Cost {
        Cost { case: "minimal".to_owned(), fuel, bytes, memory }
    }

    #[test]
    fn a_case_that_is_one_and_a_half_times_dearer_than_its_budget_is_named_with_the_numbers() {
        let budget = Budget { plugin: None, cost: vec![cost(100, 100, 100)] };
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
    fn a_budget_that_would_check_nothing_is_refused_with_the_place() {
        let report = "apiVersion: pgloom.dev/v1alpha1\nkind: ConformanceReport\n";
        let one = "{case: a, fuel: 1, bytes: 1, memory: 1}";
        for (text, sentence) in [
            ("text".to_owned(), "`cost` has no list of cases"),
            ("costs: []".to_owned(), "`cost` has no list of cases"),
            ("cost: []".to_owned(), "`cost` has no list of cases"),
            ("cost: 5".to_owned(), "`cost` has no list of cases"),
            ("cost: [1]".to_owned(), "cost[0]: is no map"),
            ("a: [".to_owned(), "no budget: "),
            (report.replace("v1alpha1", "v9") + "cost: []", "apiVersion is \"pgloom.dev/v9\", not pgloom.dev/v1alpha1"),
            (report.replace("ConformanceReport", "Pod") + "cost: []", "kind is \"Pod\", not ConformanceReport"),
            (format!("cost: [{one}, {one}]"), "cost[1]: case a is there a second time"),
            (format!("cost: [{}]", one.replace("fuel: 1", "fuel: 0")), "cost[0]: fuel of case a is 0; write a whole"),
            (format!("cost: [{}]", one.replace("bytes: 1", "bytes: -5")), "cost[0]: bytes of case a is -5"),
            (format!("cost: [{}]", one.replace("memory: 1", "memory: b")), "cost[0]: memory of case a is \"b\""),
            (format!("cost: [{}]", one.replace("fuel", "fuell")), "cost[0]: fuell is unknown"),
            ("cost: [{case: a}]".to_owned(), "cost[0]: fuel of case a is missing"),
        ] {
            let said = Budget::read(&text).unwrap_err().to_string();
            assert!(said.contains(sentence) && !said.contains("struct") && !said.contains("u64"), "{said}");
        }
        assert_eq!(Budget::read(&format!("cost: [{one}]")).unwrap().cost.len(), 1);
    }

    #[test]
    fn a_budget_of_another_plugin_or_of_a_case_that_is_not_tried_is_refused() {
        let mut report = Report::not_loaded(String::new(), crate::Profile::Core, "load", "");
        let other = Budget { plugin: Some("other".to_owned()), cost: vec![cost(1, 1, 1)] };
        assert!(other.check(&report).is_ok(), "nothing is known of a plugin that is not loaded");
        (report.plugin.name, report.cases) = ("motto".to_owned(), vec!["complete".to_owned()]);
        let said = other.check(&report).unwrap_err().to_string();
        assert!(said.contains("it is the budget of other, and the plugin is motto"), "{said}");
        let said = Budget { plugin: None, ..other }.check(&report).unwrap_err().to_string();
        assert_eq!(said, "cost[0]: case minimal is not tried; give it with --case, or name one of complete");
        report.cases.push("minimal".to_owned());
        assert!(Budget { plugin: None, cost: vec![cost(1, 1, 1)] }.check(&report).is_ok());
    }

    #[test]
    fn a_case_without_a_budget_may_cost_anything() {
        assert_eq!(exceeded(&Budget::default(), &[cost(150, 149, 210)]), Vec::<String>::new());
    }
}
