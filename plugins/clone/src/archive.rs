//! A clone from the source's archive, up to a point in time.

use pgloom_kit::bootstrap::variables::of_role;
use pgloom_kit::common::timestamp;
use pgloom_kit::container::env;
use pgloom_kit::{Result, Value, Warnings, invalid};

use crate::source::Source;
use crate::{Config, Found};

/// The variables of the database's container. Credentials are placeholders, which are copied unchanged.
pub fn variables(source: &Source, config: &Config, found: &mut Found) -> Result<Vec<Value>> {
    let timestamp = check(source, found)?;
    let mut variables = vec![env("CLONE_SCOPE", source.cluster())];
    if source.s3_wal_path().is_empty() {
        variables.extend(bucket(config, &mut found.warnings));
        let suffix = if source.uid().is_empty() { String::new() } else { format!("/{}", source.uid()) };
        variables.push(env("CLONE_WAL_BUCKET_SCOPE_SUFFIX", suffix));
    } else {
        variables.push(env("CLONE_WALE_S3_PREFIX", source.s3_wal_path()));
    }
    variables.push(env("CLONE_METHOD", "CLONE_WITH_WALE"));
    variables.push(env("CLONE_TARGET_TIME", timestamp));
    variables.push(env("CLONE_WAL_BUCKET_SCOPE_PREFIX", ""));
    let [endpoint, key_id, key] = source.service();
    for (name, value) in [
        ("CLONE_AWS_ENDPOINT", endpoint),
        ("CLONE_WALE_S3_ENDPOINT", endpoint),
        ("CLONE_AWS_ACCESS_KEY_ID", key_id),
        ("CLONE_AWS_SECRET_ACCESS_KEY", key),
    ] {
        if !value.is_empty() {
            variables.push(env(name, value));
        }
    }
    if let Some(path_style) = source.s3_force_path_style {
        variables.push(env("CLONE_AWS_S3_FORCE_PATH_STYLE", if path_style { "1" } else { "0" }));
    }
    variables.extend(of_role("CLONE", &config.irsa_role_arn));
    Ok(variables)
}

/// The bucket of the platform's archives: the first one that is configured.
fn bucket(config: &Config, warnings: &mut Warnings) -> Vec<Value> {
    if !config.wal_s3_bucket.is_empty() {
        return vec![env("CLONE_WAL_S3_BUCKET", config.wal_s3_bucket.as_str())];
    }
    if !config.wal_gs_bucket.is_empty() {
        let mut variables = vec![env("CLONE_WAL_GS_BUCKET", config.wal_gs_bucket.as_str())];
        if !config.gcp_credentials.is_empty() {
            variables.push(env("CLONE_GOOGLE_APPLICATION_CREDENTIALS", config.gcp_credentials.as_str()));
        }
        return variables;
    }
    if !config.wal_az_storage_account.is_empty() {
        return vec![env("CLONE_AZURE_STORAGE_ACCOUNT", config.wal_az_storage_account.as_str())];
    }
    warnings.warn(
        "spec.clone",
        "the operator configuration has no bucket of archives, so the image has to know it",
        "set spec.clone.s3_wal_path, or wal_s3_bucket, wal_gs_bucket or wal_az_storage_account",
    );
    Vec::new()
}

/// The point in time, as PostgreSQL takes it.
fn check(source: &Source, found: &mut Found) -> Result<String> {
    if source.uid().is_empty() && source.s3_wal_path().is_empty() {
        found.refuse_new(
            "spec.clone.uid",
            "the uid is missing; it is part of the path of the source's archive",
            "copy metadata.uid of the source cluster, or set spec.clone.s3_wal_path",
        )?;
    }
    let timestamp = source.timestamp();
    let (message, remedy) = match timestamp::with_offset(timestamp) {
        Ok(timestamp) => return Ok(timestamp),
        Err(timestamp::Error::NoZone) => {
            (format!("\"{timestamp}\" has no time zone"), format!("add it, as in {timestamp}+00:00 for UTC"))
        }
        Err(timestamp::Error::Malformed) => {
            let remedy = "write date, time and time zone, as in 2017-12-19T12:40:33+01:00";
            (format!("\"{timestamp}\" is not a point in time"), remedy.to_owned())
        }
    };
    Err(invalid("spec.clone.timestamp", message, remedy))
}
