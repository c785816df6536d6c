//! The CronJob of a cluster's logical backups.

use pgloom_kit::common::cron;
use pgloom_kit::common::name::{BACKUP_APPLICATION, cron_job_name};
use pgloom_kit::json::{field, object, text};
use pgloom_kit::metadata::{object_meta, resource};
use pgloom_kit::{Result, Value, invalid, invalid_config};

use crate::{Request, pod};

/// The CronJob.
///
/// # Errors
/// If the schedule or a quantity is invalid, or the Secret of variables does not exist.
pub fn build(request: &Request) -> Result<Value> {
    let (cluster, config) = (&request.cluster, &request.config);
    let job = &config.job;
    let mut labels = config.metadata.labels(cluster);
    labels.insert("application".to_owned(), BACKUP_APPLICATION.to_owned());
    let of_job = object_meta("", labels.clone(), config.metadata.annotations(cluster));
    let job_spec = object([
        ("ttlSecondsAfterFinished", job.logical_backup_ttl_seconds_after_finished.into()),
        ("template", pod::template(request, &labels)?),
    ]);
    let spec = object([
        ("schedule", text(schedule(request)?)),
        ("concurrencyPolicy", text("Forbid")),
        ("successfulJobsHistoryLimit", job.logical_backup_successful_jobs_history_limit.into()),
        ("failedJobsHistoryLimit", job.logical_backup_failed_jobs_history_limit.into()),
        ("jobTemplate", object([("metadata", of_job), ("spec", job_spec)])),
    ]);
    let name = cron_job_name(&job.logical_backup_job_prefix, &cluster.name);
    Ok(resource("batch/v1", "CronJob", object_meta(&name, labels, pod::annotations(request)), spec))
}

const REMEDY: &str = "write minute, hour, day of month, month and day of week, as in \"30 00 * * *\"";

/// The manifest's schedule or the configured one.
fn schedule(request: &Request) -> Result<&str> {
    if let Some(own) = own_schedule(request)? {
        return Ok(own);
    }
    let configured = request.config.job.logical_backup_schedule.as_str();
    cron::check(configured).map_err(|error| {
        invalid_config(format!("logical_backup_schedule: \"{configured}\" is not a schedule: {error}; {REMEDY}"))
    })?;
    Ok(configured)
}

/// The manifest's schedule.
///
/// # Errors
/// If Kubernetes would refuse it.
pub fn own_schedule(request: &Request) -> Result<Option<&str>> {
    let own = field::text(&request.cluster.spec.schedule);
    if own.is_empty() {
        return Ok(None);
    }
    cron::check(own).map_err(|error| {
        invalid("spec.logicalBackupSchedule", format!("\"{own}\" is not a schedule: {error}"), REMEDY)
    })?;
    Ok(Some(own))
}
