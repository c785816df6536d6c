//! Vault backup: a CronJob that sends a dump of all databases to a vault, with a credential of the operator configuration.

use pgloom_kit::common::name::{cron_job_name, secret_name};
use pgloom_kit::k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use pgloom_kit::k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, PodSpec, PodTemplateSpec, SecretKeySelector,
};
use pgloom_kit::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pgloom_kit::{Description, Plugin, Request, Response, Result, kind, register};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The key of the operator configuration with the credential.
const KEY: &str = "logical_backup_s3_secret_access_key";
/// What the job runs. `printf` is a part of the shell, so that no command line has the credential.
const SCRIPT: &str = r#"set -o pipefail
pg_dumpall | curl --fail --upload-file - --netrc-file <(printf 'default login backup password %s' "$VAULT_KEY") "$VAULT_URL"
"#;

/// The plugin.
pub struct VaultBackup;

/// The keys of the operator configuration that the plugin reads.
#[derive(Deserialize)]
pub struct Config {
    secret_name_template: String,
    super_username: String,
    /// A placeholder: the host fills in the value when it applies the variable.
    logical_backup_s3_secret_access_key: Option<String>,
}

/// The configuration of the step.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The folder in the vault; the namespace and the name of the cluster are added.
    pub url: String,
    /// When the backup runs, as in cron.
    pub schedule: String,
    /// An image with `bash`, `pg_dumpall` and `curl`.
    pub image: String,
}

impl Default for Settings {
    fn default() -> Self {
        let [url, schedule, image] = ["https://vault.example.com/dumps", "30 1 * * *", "example.com/pg-tools:18"];
        Self { url: url.to_owned(), schedule: schedule.to_owned(), image: image.to_owned() }
    }
}

impl Plugin for VaultBackup {
    type Spec = IgnoredAny;
    type Config = Config;
    type Settings = Settings;

    fn describe() -> Description {
        Description::of::<Self>("vault-backup", "0.1.0", "Sends a dump of all databases to a vault.")
            .when_config(KEY)
            .credential_of_config(KEY)
            .creates(kind("batch/v1", "CronJob"), &["vault-*"])
    }

    fn mutate(request: &Request<Self>) -> Result<Response> {
        let (cluster, config, settings) = (&request.cluster, &request.config, &request.settings);
        let key = config.logical_backup_s3_secret_access_key.clone().filter(|key| !key.is_empty());
        let Some(key) = key else { return Ok(Response::new()) };
        let user = &config.super_username;
        let secret = secret_name(&config.secret_name_template, user, &cluster.name, &cluster.team);
        let password = SecretKeySelector { name: secret, key: "password".to_owned(), ..Default::default() };
        let container = Container {
            name: "dump".to_owned(),
            image: Some(settings.image.clone()),
            command: Some(["bash", "-c", SCRIPT].map(str::to_owned).into()),
            env: Some(vec![
                variable("VAULT_URL", format!("{}/{}/{}.sql", settings.url, cluster.namespace, cluster.name)),
                variable("VAULT_KEY", key),
                variable("PGHOST", cluster.name.clone()),
                variable("PGSSLMODE", "require".to_owned()),
                variable("PGUSER", user.clone()),
                EnvVar {
                    name: "PGPASSWORD".to_owned(),
                    value_from: Some(EnvVarSource { secret_key_ref: Some(password), ..Default::default() }),
                    ..Default::default()
                },
            ]),
            ..Default::default()
        };
        let pod =
            PodSpec { containers: vec![container], restart_policy: Some("Never".to_owned()), ..Default::default() };
        let template = PodTemplateSpec { spec: Some(pod), ..Default::default() };
        let job = JobTemplateSpec { spec: Some(JobSpec { template, ..Default::default() }), ..Default::default() };
        Ok(Response::new().apply(&CronJob {
            metadata: ObjectMeta { name: Some(cron_job_name("vault-", &cluster.name)), ..Default::default() },
            spec: CronJobSpec {
                schedule: settings.schedule.clone(),
                concurrency_policy: Some("Forbid".to_owned()),
                job_template: job,
                ..Default::default()
            },
            ..Default::default()
        }))
    }
}

fn variable(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value), ..Default::default() }
}

register!(VaultBackup);
