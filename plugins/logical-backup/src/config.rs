//! What the plugin reads of the operator configuration.

use pgloom_kit::metadata::Metadata;
use pgloom_kit::pod::Pods;
use pgloom_kit::resources::PodResources;
use pgloom_kit::{operator_config, operator_config_groups};

operator_config_groups! {
    /// All that it reads.
    pub struct Config {
        /// When, and by which job.
        pub job: Job,
        /// Where dumps go.
        pub store: Store,
        /// How the database is reached, and what the job's container may do.
        pub access: Access,
        /// About labels and annotations.
        pub metadata: Metadata,
        /// About pods.
        pub pods: Pods,
        /// About resources where the job's own keys are silent.
        pub resources: PodResources,
    }
}

operator_config! {
    /// When, and by which job.
    pub struct Job {
        /// CPU limit; empty: as the database's container.
        pub logical_backup_cpu_limit: String,
        /// CPU request; empty: as the database's container.
        pub logical_backup_cpu_request: String,
        /// A Secret whose keys become variables.
        pub logical_backup_cronjob_environment_secret: String,
        /// The image.
        pub logical_backup_docker_image: String,
        /// How many failed jobs are kept.
        pub logical_backup_failed_jobs_history_limit: i64,
        /// What the CronJob's name starts with.
        pub logical_backup_job_prefix: String,
        /// Memory limit; empty: as the database's container.
        pub logical_backup_memory_limit: String,
        /// Memory request; empty: as the database's container.
        pub logical_backup_memory_request: String,
        /// When dumps are made, where the manifest says nothing.
        pub logical_backup_schedule: String,
        /// How many finished jobs are kept.
        pub logical_backup_successful_jobs_history_limit: i64,
        /// For how long a finished job is kept.
        pub logical_backup_ttl_seconds_after_finished: i64,
    }
}

operator_config! {
    /// Where dumps go. Credentials are sealed.
    pub struct Store {
        /// The key of the Azure storage account.
        pub logical_backup_azure_storage_account_key: String,
        /// The Azure storage account.
        pub logical_backup_azure_storage_account_name: String,
        /// The container in it.
        pub logical_backup_azure_storage_container: String,
        /// The file with the credentials for Google Cloud.
        pub logical_backup_google_application_credentials: String,
        /// `s3`, `gcs` or `az`.
        pub logical_backup_provider: String,
        /// The access key's name.
        pub logical_backup_s3_access_key_id: String,
        /// The bucket.
        pub logical_backup_s3_bucket: String,
        /// The folder in it.
        pub logical_backup_s3_bucket_prefix: String,
        /// The URL of a service like S3.
        pub logical_backup_s3_endpoint: String,
        /// The bucket's region.
        pub logical_backup_s3_region: String,
        /// How long dumps are kept, where the manifest says nothing.
        pub logical_backup_s3_retention_time: String,
        /// The access key.
        pub logical_backup_s3_secret_access_key: String,
        /// The encryption on the server's side.
        pub logical_backup_s3_sse: String,
    }
}

operator_config! {
    /// How the database is reached, and what the job's container may do.
    pub struct Access {
        /// A Secret that every container mounts.
        pub additional_secret_mount: String,
        /// Where it is mounted.
        pub additional_secret_mount_path: String,
        /// The AWS role of pods.
        pub kube_iam_role: String,
        /// How Secrets of roles are called.
        pub secret_name_template: String,
        /// Whether processes may get more rights than their parent.
        pub spilo_allow_privilege_escalation: bool,
        /// Whether containers are privileged.
        pub spilo_privileged: bool,
        /// The superuser, who dumps.
        pub super_username: String,
    }
}
