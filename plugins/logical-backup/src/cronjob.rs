//! The CronJob.

use pgloom_kit::metadata::object_meta;
use pgloom_kit::object::{object, text};
use pgloom_kit::{Result, Value, invalid, invalid_config};

use crate::{Request, pod, schedule};

/// A CronJob's name leaves room for what its jobs' names end with.
const MAX_NAME: usize = 52;

/// Builds it.
///
/// # Errors
/// If the schedule or a resource cannot be used, or the Secret of variables is missing.
pub fn build(request: &Request) -> Result<Value> {
    let (cluster, config) = (&request.cluster, &request.config);
    let job = &config.job;
    let mut labels = config.metadata.labels(cluster);
    labels.insert("application".to_owned(), "spilo-logical-backup".to_owned());
    let meta = |name: &str| object_meta(name, labels.clone(), config.metadata.annotations(cluster));
    let job_spec = object([
        ("ttlSecondsAfterFinished", job.logical_backup_ttl_seconds_after_finished.into()),
        ("template", pod::template(request, &labels)?),
    ]);
    Ok(object([
        ("apiVersion", text("batch/v1")),
        ("kind", text("CronJob")),
        ("metadata", meta(&name(&job.logical_backup_job_prefix, &cluster.name))),
        (
            "spec",
            object([
                ("schedule", text(schedule(request)?)),
                ("concurrencyPolicy", text("Forbid")),
                ("successfulJobsHistoryLimit", job.logical_backup_successful_jobs_history_limit.into()),
                ("failedJobsHistoryLimit", job.logical_backup_failed_jobs_history_limit.into()),
                ("jobTemplate", object([("metadata", meta("")), ("spec", job_spec)])),
            ]),
        ),
    ]))
}

fn name(prefix: &str, cluster: &str) -> String {
    let mut name = [prefix, cluster].concat();
    if name.len() > MAX_NAME {
        name.truncate(name.floor_char_boundary(MAX_NAME));
        name.truncate(name.trim_end_matches('-').len());
    }
    name
}

/// The manifest's schedule or the configured one, checked as Kubernetes checks it.
fn schedule(request: &Request) -> Result<&str> {
    const REMEDY: &str = "write minute, hour, day of month, month and day of week, as in \"30 00 * * *\"";
    match request.cluster.spec.schedule.as_deref().unwrap_or_default() {
        "" => {
            let configured = request.config.job.logical_backup_schedule.as_str();
            schedule::check(configured).map_err(|wrong| {
                invalid_config(["logical_backup_schedule: \"", configured, "\": ", &wrong, "; ", REMEDY].concat())
            })?;
            Ok(configured)
        }
        own => {
            schedule::check(own).map_err(|wrong| {
                let message = ["\"", own, "\" is no schedule: ", &wrong].concat();
                invalid("spec.logicalBackupSchedule", message, REMEDY)
            })?;
            Ok(own)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_name_is_cut_to_what_a_cronjob_may_have_and_ends_with_no_hyphen() {
        let long = "acid-0123456789-0123456789-0123456789-0123456789";
        for (prefix, cluster, expected) in [
            ("logical-backup-", "acid-orders", "logical-backup-acid-orders"),
            ("logical-backup-", long, "logical-backup-acid-0123456789-0123456789-0123456789"),
            ("logical-backup-x-", &long[..37], "logical-backup-x-acid-0123456789-0123456789-01234567"),
            ("0123456789-", &"a-".repeat(30), "0123456789-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a"),
            ("", "acid-orders", "acid-orders"),
        ] {
            assert_eq!(name(prefix, cluster), expected);
        }
    }
}
