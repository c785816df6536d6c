//! The names of the variables that the clone and the standby plugin set. Variables with these names in the platform's
//! Secret and ConfigMap are left out, because the manifest is preferred.

use pgloom_kit::Value;
use pgloom_kit::json::is_set;

use crate::config::Archive;
use crate::spec::Spec;

/// Fields of `clone` and the variables that they set.
const CLONE: [(&str, &[&str]); 7] = [
    ("cluster", &["CLONE_SCOPE", "CLONE_METHOD"]),
    ("timestamp", &["CLONE_TARGET_TIME", "CLONE_WAL_BUCKET_SCOPE_PREFIX"]),
    ("s3_wal_path", &["CLONE_WALE_S3_PREFIX"]),
    ("s3_endpoint", &["CLONE_AWS_ENDPOINT", "CLONE_WALE_S3_ENDPOINT"]),
    ("s3_access_key_id", &["CLONE_AWS_ACCESS_KEY_ID"]),
    ("s3_secret_access_key", &["CLONE_AWS_SECRET_ACCESS_KEY"]),
    ("s3_force_path_style", &["CLONE_AWS_S3_FORCE_PATH_STYLE"]),
];
/// The variables of a clone of a running leader.
const LEADER: [&str; 4] = ["CLONE_HOST", "CLONE_PORT", "CLONE_USER", "CLONE_PASSWORD"];
/// Fields of `standby` and the variables that they set.
const STANDBY: [(&str, &[&str]); 5] = [
    ("s3_wal_path", &["STANDBY_WALE_S3_PREFIX", "STANDBY_METHOD", "STANDBY_WAL_BUCKET_SCOPE_PREFIX"]),
    ("gs_wal_path", &["STANDBY_WALE_GS_PREFIX", "STANDBY_METHOD", "STANDBY_WAL_BUCKET_SCOPE_PREFIX"]),
    ("standby_host", &["STANDBY_HOST"]),
    ("standby_port", &["STANDBY_PORT"]),
    ("standby_primary_slot_name", &["STANDBY_PRIMARY_SLOT_NAME"]),
];

/// The names of the variables.
pub fn variables(spec: &Spec, archive: &Archive) -> Vec<&'static str> {
    let mut names = Vec::new();
    if is_set(&spec.clone, "cluster") {
        of(&spec.clone, &CLONE, &mut names);
        match (is_set(&spec.clone, "timestamp"), is_set(&spec.clone, "s3_wal_path")) {
            (false, _) => names.extend(LEADER),
            (true, false) => names.extend(bucket(archive)),
            (true, true) => {}
        }
    }
    of(&spec.standby, &STANDBY, &mut names);
    names
}

fn of(section: &Value, fields: &[(&str, &[&'static str])], names: &mut Vec<&'static str>) {
    for (field, variables) in fields {
        if is_set(section, field) {
            names.extend_from_slice(variables);
        }
    }
}

/// The variables of a source whose archive is in the platform's bucket.
fn bucket(archive: &Archive) -> Vec<&'static str> {
    let mut names = vec!["CLONE_WAL_BUCKET_SCOPE_SUFFIX"];
    if !archive.wal_s3_bucket.is_empty() {
        names.push("CLONE_WAL_S3_BUCKET");
    } else if !archive.wal_gs_bucket.is_empty() {
        names.push("CLONE_WAL_GS_BUCKET");
        if !archive.gcp_credentials.is_empty() {
            names.push("CLONE_GOOGLE_APPLICATION_CREDENTIALS");
        }
    } else if !archive.wal_az_storage_account.is_empty() {
        names.push("CLONE_AZURE_STORAGE_ACCOUNT");
    }
    names
}
