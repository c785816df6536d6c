//! How much of a node a dump may take: the job's own keys, and where they are silent those of the database's container.

use pgloom_kit::field::Field;
use pgloom_kit::object::{object, text};
use pgloom_kit::resources::{Bounds, CPU, MEMORY, Resources, Rules};
use pgloom_kit::{Failure, Notes, Result, Value, invalid_config};

use crate::config::Config;

/// The container's `resources`.
///
/// # Errors
/// If an amount cannot be used.
pub fn resources(config: &Config) -> Result<Value> {
    let job = &config.job;
    let amounts = |cpu: &str, memory: &str| object([(CPU, text(cpu)), (MEMORY, text(memory))]);
    let own = object([
        ("requests", amounts(&job.logical_backup_cpu_request, &job.logical_backup_memory_request)),
        ("limits", amounts(&job.logical_backup_cpu_limit, &job.logical_backup_memory_limit)),
    ]);
    let own = Resources::take(&own).unwrap_or_default();
    let rules = Rules {
        path: "logical_backup",
        defaults: config.resources.defaults(),
        bounds: Bounds::default(),
        memory_request_to_limit: config.resources.set_memory_request_to_limit,
    };
    rules.requirements(&own, &mut Notes::default()).map_err(|failure| match failure {
        Failure::InvalidManifest(findings) => {
            let wrong = findings.first().map(|finding| finding.message.as_str()).unwrap_or_default();
            invalid_config(["logical_backup_{cpu,memory}_{request,limit}: ", wrong].concat())
        }
        other => other,
    })
}
