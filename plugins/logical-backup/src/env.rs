//! The variables of the container: the cluster, the connection to it, the storage of the dump.

use pgloom_kit::common::name::secret_name;
use pgloom_kit::container::{env, env_from_field, env_from_secret, name_of};
use pgloom_kit::json::field;
use pgloom_kit::{Result, Value, invalid_config};

use crate::Request;
use crate::config::Store;

/// The id of the selector of the Secret whose keys become variables.
pub const SECRET: &str = "environment";

/// All variables, in order. Those of the platform's Secret are the last ones and replace others of their names.
///
/// # Errors
/// If the provider is unknown or the Secret does not exist.
pub fn variables(request: &Request) -> Result<Vec<Value>> {
    let mut variables = database(request);
    variables.extend(store(request)?);
    let own = platform(request)?;
    variables.retain(|entry| !own.iter().any(|own| name_of(own) == name_of(entry)));
    variables.extend(own);
    Ok(variables)
}

fn database(request: &Request) -> Vec<Value> {
    let (cluster, access) = (&request.cluster, &request.config.access);
    let user = access.super_username.as_str();
    let secret = secret_name(&access.secret_name_template, user, &cluster.name, &cluster.team);
    vec![
        env("SCOPE", cluster.name.as_str()),
        env("CLUSTER_NAME_LABEL", request.config.metadata.cluster_name_label.as_str()),
        env_from_field("POD_NAMESPACE", "metadata.namespace"),
        env("PG_VERSION", cluster.spec.postgresql.version.as_str()),
        env("PGPORT", "5432"),
        env("PGUSER", user),
        env("PGDATABASE", user),
        env("PGSSLMODE", "require"),
        env_from_secret("PGPASSWORD", &secret, "password"),
    ]
}

fn store(request: &Request) -> Result<Vec<Value>> {
    let store = &request.config.store;
    let uid = &request.cluster.uid;
    let suffix = if uid.is_empty() { String::new() } else { format!("/{uid}") };
    let mut variables = vec![
        env("LOGICAL_BACKUP_PROVIDER", store.logical_backup_provider.as_str()),
        env("LOGICAL_BACKUP_S3_BUCKET", store.logical_backup_s3_bucket.as_str()),
        env("LOGICAL_BACKUP_S3_BUCKET_PREFIX", store.logical_backup_s3_bucket_prefix.as_str()),
        env("LOGICAL_BACKUP_S3_BUCKET_SCOPE_SUFFIX", suffix),
    ];
    match store.logical_backup_provider.as_str() {
        "s3" => s3(store, field::text(&request.cluster.spec.retention), &mut variables),
        "gcs" => add(
            &mut variables,
            "LOGICAL_BACKUP_GOOGLE_APPLICATION_CREDENTIALS",
            &store.logical_backup_google_application_credentials,
        ),
        "az" => azure(store, &mut variables),
        other => {
            return Err(invalid_config(format!(
                "logical_backup_provider: \"{other}\" is not a provider; write s3, gcs or az"
            )));
        }
    }
    Ok(variables)
}

fn s3(store: &Store, retention: &str, variables: &mut Vec<Value>) {
    let retention = if retention.is_empty() { &store.logical_backup_s3_retention_time } else { retention };
    variables.push(env("LOGICAL_BACKUP_S3_REGION", store.logical_backup_s3_region.as_str()));
    variables.push(env("LOGICAL_BACKUP_S3_ENDPOINT", store.logical_backup_s3_endpoint.as_str()));
    variables.push(env("LOGICAL_BACKUP_S3_SSE", store.logical_backup_s3_sse.as_str()));
    variables.push(env("LOGICAL_BACKUP_S3_RETENTION_TIME", retention));
    add(variables, "AWS_ACCESS_KEY_ID", &store.logical_backup_s3_access_key_id);
    add(variables, "AWS_SECRET_ACCESS_KEY", &store.logical_backup_s3_secret_access_key);
}

fn azure(store: &Store, variables: &mut Vec<Value>) {
    let account = store.logical_backup_azure_storage_account_name.as_str();
    variables.push(env("LOGICAL_BACKUP_AZURE_STORAGE_ACCOUNT_NAME", account));
    let container = store.logical_backup_azure_storage_container.as_str();
    variables.push(env("LOGICAL_BACKUP_AZURE_STORAGE_CONTAINER", container));
    add(variables, "LOGICAL_BACKUP_AZURE_STORAGE_ACCOUNT_KEY", &store.logical_backup_azure_storage_account_key);
}

/// Adds a variable unless its value is empty.
fn add(variables: &mut Vec<Value>, name: &str, value: &str) {
    if !value.is_empty() {
        variables.push(env(name, value));
    }
}

/// A variable for each key of the platform's Secret, which refers to it.
fn platform(request: &Request) -> Result<Vec<Value>> {
    let name = &request.config.job.logical_backup_cronjob_environment_secret;
    if name.is_empty() {
        return Ok(Vec::new());
    }
    let found = request.observed::<Value>(SECRET)?;
    let Some((name, secret)) = found.first() else {
        return Err(invalid_config(format!(
            "logical_backup_cronjob_environment_secret: the Secret {name} does not exist; create it, or empty the key"
        )));
    };
    let mut variables = Vec::new();
    for key in secret["data"].as_object().into_iter().flat_map(|data| data.keys()) {
        variables.push(env_from_secret(key, name, key));
    }
    Ok(variables)
}
