//! The names of the variables that the sections `clone` and `standby` set. The clone and the standby plugin set them; the
//! base leaves out those of the platform with the same names, because the manifest wins.

use serde_json::Value;

use crate::json::is_set;

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

/// The platform's archive, as far as a clone from it needs variables. Empty means not configured; the first bucket counts.
#[derive(Clone, Copy, Default)]
pub struct Archive<'a> {
    /// `wal_s3_bucket`.
    pub s3_bucket: &'a str,
    /// `wal_gs_bucket`.
    pub gs_bucket: &'a str,
    /// `gcp_credentials`, for `wal_gs_bucket`.
    pub gcp_credentials: &'a str,
    /// `wal_az_storage_account`.
    pub az_storage_account: &'a str,
}

/// The variables that the section `clone` sets; none if it names no cluster.
#[must_use]
pub fn of_clone(section: &Value, archive: &Archive) -> Vec<&'static str> {
    if !is_set(section, "cluster") {
        return Vec::new();
    }
    let mut names = of(section, &CLONE);
    match (is_set(section, "timestamp"), is_set(section, "s3_wal_path")) {
        (false, _) => names.extend(LEADER),
        (true, false) => names.extend(bucket(archive)),
        (true, true) => {}
    }
    names
}

/// The variables that the section `standby` sets.
#[must_use]
pub fn of_standby(section: &Value) -> Vec<&'static str> {
    of(section, &STANDBY)
}

fn of(section: &Value, fields: &[(&str, &[&'static str])]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (field, variables) in fields {
        if is_set(section, field) {
            names.extend_from_slice(variables);
        }
    }
    names
}

/// The variables of a source whose archive is in the platform's bucket.
fn bucket(archive: &Archive) -> Vec<&'static str> {
    let mut names = vec!["CLONE_WAL_BUCKET_SCOPE_SUFFIX"];
    if !archive.s3_bucket.is_empty() {
        names.push("CLONE_WAL_S3_BUCKET");
    } else if !archive.gs_bucket.is_empty() {
        names.push("CLONE_WAL_GS_BUCKET");
        if !archive.gcp_credentials.is_empty() {
            names.push("CLONE_GOOGLE_APPLICATION_CREDENTIALS");
        }
    } else if !archive.az_storage_account.is_empty() {
        names.push("CLONE_AZURE_STORAGE_ACCOUNT");
    }
    names
}
