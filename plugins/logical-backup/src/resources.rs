//! The container's `resources`: the job's own keys, and where they are empty those of the database's container.

use pgloom_kit::json::field::Field;
use pgloom_kit::json::{object, text};
use pgloom_kit::resources::{CPU, MEMORY, PerResource, Resources, Rules};
use pgloom_kit::{Failure, Result, Value, Warnings, invalid_config};

use crate::config::Config;

/// The container's `resources`.
///
/// # Errors
/// If a quantity is invalid.
pub fn resources(config: &Config) -> Result<Value> {
    let job = &config.job;
    let quantities = |cpu: &str, memory: &str| object([(CPU, text(cpu)), (MEMORY, text(memory))]);
    let own = object([
        ("requests", quantities(&job.logical_backup_cpu_request, &job.logical_backup_memory_request)),
        ("limits", quantities(&job.logical_backup_cpu_limit, &job.logical_backup_memory_limit)),
    ]);
    let own = Resources::take(&own).unwrap_or_default();
    let rules = Rules {
        path: "logical_backup",
        defaults: config.resources.defaults(),
        bounds: PerResource::default(),
        memory_request_to_limit: config.resources.set_memory_request_to_limit,
    };
    rules.requirements(&own, &mut Warnings::default()).map_err(|failure| match failure {
        Failure::InvalidManifest(findings) => {
            let message = findings.first().map(|finding| finding.message.as_str()).unwrap_or_default();
            invalid_config(format!("logical_backup_{{cpu,memory}}_{{request,limit}}: {message}"))
        }
        other => other,
    })
}
