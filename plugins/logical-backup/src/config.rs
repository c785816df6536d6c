//! The keys of the operator configuration that the plugin reads.

use pgloom_kit::metadata::Metadata;
use pgloom_kit::pod::{Pods, Users};
use pgloom_kit::resources::PodResources;
use pgloom_kit::{operator_config, operator_config_groups};

operator_config_groups! {
    /// All keys, by topic.
    pub struct Config {
        /// Keys about the CronJob.
        pub job: Job,
        /// Keys about the storage of dumps.
        pub store: Store,
        /// Keys about the connection to the database and the container's security context.
        pub access: Access,
        /// Keys about labels and annotations.
        pub metadata: Metadata,
        /// Keys about pods.
        pub pods: Pods,
        /// Keys about users and groups.
        pub users: Users,
        /// Keys about resources, for what the job's own keys leave empty.
        pub resources: PodResources,
    }
}

operator_config! {
    /// The operator configuration's keys about the CronJob.
    pub struct Job {
        /// CPU limit; empty means that of the database's container.
        pub logical_backup_cpu_limit: String,
        /// CPU request; empty means that of the database's container.
        pub logical_backup_cpu_request: String,
        /// The Secret whose keys become variables; empty means none.
        pub logical_backup_cronjob_environment_secret: String,
        /// The container's image.
        pub logical_backup_docker_image: String,
        /// The number of failed Jobs that are kept.
        pub logical_backup_failed_jobs_history_limit: i64,
        /// The prefix of the CronJob's name.
        pub logical_backup_job_prefix: String,
        /// Memory limit; empty means that of the database's container.
        pub logical_backup_memory_limit: String,
        /// Memory request; empty means that of the database's container.
        pub logical_backup_memory_request: String,
        /// The schedule, if the manifest has none.
        pub logical_backup_schedule: String,
        /// The number of successful Jobs that are kept.
        pub logical_backup_successful_jobs_history_limit: i64,
        /// The seconds for which a finished Job is kept.
        pub logical_backup_ttl_seconds_after_finished: i64,
    }
}

operator_config! {
    /// The operator configuration's keys about the storage of dumps. Credentials are placeholders.
    pub struct Store {
        /// The key of the Azure storage account.
        pub logical_backup_azure_storage_account_key: String,
        /// The Azure storage account.
        pub logical_backup_azure_storage_account_name: String,
        /// The container in the storage account.
        pub logical_backup_azure_storage_container: String,
        /// The path of the file with the credentials for Google Cloud.
        pub logical_backup_google_application_credentials: String,
        /// `s3`, `gcs` or `az`.
        pub logical_backup_provider: String,
        /// The id of the access key.
        pub logical_backup_s3_access_key_id: String,
        /// The bucket.
        pub logical_backup_s3_bucket: String,
        /// The folder in the bucket.
        pub logical_backup_s3_bucket_prefix: String,
        /// The URL of a storage service with the API of S3.
        pub logical_backup_s3_endpoint: String,
        /// The region of the bucket.
        pub logical_backup_s3_region: String,
        /// How long dumps are kept, if the manifest does not say.
        pub logical_backup_s3_retention_time: String,
        /// The access key.
        pub logical_backup_s3_secret_access_key: String,
        /// The server-side encryption.
        pub logical_backup_s3_sse: String,
    }
}

operator_config! {
    /// The operator configuration's keys about the connection to the database and the container's security context.
    pub struct Access {
        /// The Secret that every container mounts; empty means none.
        pub additional_secret_mount: String,
        /// Where it is mounted.
        pub additional_secret_mount_path: String,
        /// The role of AWS that pods get; empty means none.
        pub kube_iam_role: String,
        /// The template of the names of roles' Secrets.
        pub secret_name_template: String,
        /// As in `SecurityContext.allowPrivilegeEscalation`.
        pub spilo_allow_privilege_escalation: bool,
        /// As in `SecurityContext.privileged`.
        pub spilo_privileged: bool,
        /// The superuser role, which makes the dumps.
        pub super_username: String,
    }
}
