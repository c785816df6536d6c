//! Amounts of resources: that they can be read, and that no limit is below its request.

use pgloom_common::quantity::Quantity;
use serde_json::Value;

use super::{entries, members};
use crate::problem::{Problem, member};

pub fn check(spec: &Value, problems: &mut Vec<Problem>) {
    check_size(spec, problems);
    check_resources(&spec["resources"], "spec.resources", problems);
    for section in ["connectionPooler", "connectionPool"] {
        check_resources(&spec[section]["resources"], &format!("spec.{section}.resources"), problems);
    }
    for section in ["sidecars", "initContainers", "init_containers"] {
        for (index, container) in entries(&spec[section]) {
            check_resources(&container["resources"], &format!("spec.{section}[{index}].resources"), problems);
        }
    }
}

fn check_size(spec: &Value, problems: &mut Vec<Problem>) {
    let path = "spec.volume.size";
    let Some(text) = spec["volume"]["size"].as_str() else { return };
    match Quantity::parse(text) {
        Ok(size) if size.is_zero() || size.is_negative() => {
            problems.push(Problem::error(path, format!("{text:?} is no size")).remedy("give it some room, as in 5Gi"));
        }
        Ok(_) => {}
        Err(error) => problems.push(Problem::error(path, error.to_string()).remedy("write it as in 5Gi")),
    }
}

fn check_resources(resources: &Value, path: &str, problems: &mut Vec<Problem>) {
    for (name, _) in members(&resources["requests"]).filter(|(name, _)| resources["limits"].get(*name).is_none()) {
        amount(&resources["requests"][name], &member(&format!("{path}.requests"), name), problems);
    }
    for (name, limit) in members(&resources["limits"]) {
        let path_of = |half: &str| member(&format!("{path}.{half}"), name);
        let limit = amount(limit, &path_of("limits"), problems);
        let request = resources["requests"].get(name).and_then(|value| amount(value, &path_of("requests"), problems));
        if let (Some(limit), Some(request)) = (limit, request)
            && limit < request
        {
            let problem =
                Problem::error(path_of("limits"), format!("the limit {limit} is below the request {request}"));
            problems.push(problem.remedy(format!("raise the limit to {request}, or lower the request")));
        }
    }
}

/// The amount; empty counts as not given, as upstream has it.
fn amount(value: &Value, path: &str, problems: &mut Vec<Problem>) -> Option<Quantity> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) if !text.is_empty() => text.clone(),
        _ => return None,
    };
    match Quantity::parse(&text) {
        Ok(amount) if amount.is_negative() => {
            problems.push(Problem::error(path, format!("{text:?} is less than nothing")).remedy("use 0 or more"));
            None
        }
        Ok(amount) => Some(amount),
        Err(error) => {
            let problem = Problem::error(path, format!("could not generate resource requirements: {error}"));
            problems.push(problem.remedy("write it as in 500m or 1Gi"));
            None
        }
    }
}
