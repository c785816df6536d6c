//! Logical backup: a CronJob that dumps every database of a cluster.

use pgloom_kit::metadata::Map;
use pgloom_kit::{Description, NoSettings, Plugin, Response, Result, Value, kind};
use pgloom_kit::{fields, register, spec};

mod config;
mod cronjob;
mod env;
mod pod;
mod resources;

use config::Config;

/// The plugin: it creates a CronJob if `spec.enableLogicalBackup` is true. See
/// [logical backups](https://postgres-operator.readthedocs.io/en/latest/administrator/#logical-backups).
pub struct LogicalBackup;

type Request = pgloom_kit::Request<LogicalBackup>;

spec! {
    /// `spec` of the manifest. An empty string means a missing field.
    pub struct Spec {
        enabled: Option<bool> = "enableLogicalBackup",
        schedule: Option<String> = "logicalBackupSchedule",
        retention: Option<String> = "logicalBackupRetention",
        postgresql: Postgresql = "postgresql",
        pod_annotations: Map = "podAnnotations",
        tolerations: Vec<Value> = "tolerations",
        topology_spread_constraints: Vec<Value> = "topologySpreadConstraints",
        run_as_user: Option<i64> = "spiloRunAsUser",
        run_as_group: Option<i64> = "spiloRunAsGroup",
        fs_group: Option<i64> = "spiloFSGroup",
    }
}

fields! {
    /// `spec.postgresql`.
    struct Postgresql {
        version: String = "version",
    }
}

impl Plugin for LogicalBackup {
    type Spec = Spec;
    type Config = Config;
    type Settings = NoSettings;

    fn describe() -> Description {
        let summary = "Dumps every database of a cluster on a schedule.";
        let secret = "logical_backup_cronjob_environment_secret";
        Description::of::<Self>("logical-backup", env!("CARGO_PKG_VERSION"), summary)
            .when_manifest("/spec/enableLogicalBackup")
            // The schedule is checked even if it is not used.
            .when_manifest("/spec/logicalBackupSchedule")
            .observes_configured(env::SECRET, kind("v1", "Secret"), secret, &["data"])
            .credential_of_config("logical_backup_azure_storage_account_key")
            .credential_of_config("logical_backup_s3_access_key_id")
            .credential_of_config("logical_backup_s3_secret_access_key")
            // `logical_backup_job_prefix` is in front of the cluster's name.
            .creates(kind("batch/v1", "CronJob"), &["*{cluster}"])
            // Where that is too long for the name of a CronJob, its end is cut off.
            .creates(kind("batch/v1", "CronJob"), &["*"])
            .optional()
            // The Secrets of variables and of `additional_secret_mount`.
            .privilege("foreign-secret")
            .privilege("privilege-escalation")
            .privilege("privileged")
            // `spiloRunAsUser` may have any value.
            .privilege("root-user")
            .privilege("service-account")
            // If `cluster_labels` has no `application`.
            .privilege("member-labels")
            .optional()
    }

    fn mutate(request: &Request) -> Result<Response> {
        match request.cluster.spec.enabled {
            Some(true) => Ok(Response::new().apply(cronjob::build(request)?)),
            // The host deletes a CronJob that is no longer in the response.
            _ => cronjob::own_schedule(request).map(|_| Response::new()),
        }
    }
}

register!(LogicalBackup);

#[cfg(test)]
mod tests;
