//! The values of the operator configuration that are types of Kubernetes: sidecars and a probe, for the pods of every
//! cluster.

use std::sync::LazyLock;

use serde_json::Value;

use super::ValueType;
use crate::finding::{Finding, Severity};
use crate::postgresql::{platform_probe, platform_sidecars};
use crate::schema::{self, Rule};

/// Checks such a value, and removes the unknown fields that the findings name. Other values have no findings.
pub fn check(value_type: ValueType, value: &mut Value, path: &str) -> Vec<Finding> {
    static SIDECARS: LazyLock<Value> = LazyLock::new(platform_sidecars);
    static PROBE: LazyLock<Value> = LazyLock::new(platform_probe);
    let schema = match value_type {
        ValueType::Containers => &*SIDECARS,
        ValueType::Probe if !value.is_null() => &*PROBE,
        _ => return Vec::new(),
    };
    let faults = schema::check(schema, value, path).into_iter();
    faults
        .map(|fault| match fault.rule {
            // Clusters that run have pods, and newer releases of Kubernetes may accept it.
            Rule::Choice => Finding { severity: Severity::Warning, ..fault.finding },
            _ => fault.finding,
        })
        .collect()
}
