//! The names of the variables that the sections `clone` and `standby` set. The clone and the standby plugin set them; the
//! base leaves out those of the platform with the same names, because the manifest wins.

use serde_json::Value;

use crate::container::env;
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
    /// `irsa_role_arn`: the role of the pods' service account.
    pub role: &'a str,
    /// `wal_s3_bucket`.
    pub s3_bucket: &'a str,
    /// `wal_gs_bucket`.
    pub gs_bucket: &'a str,
    /// `gcp_credentials`, for `wal_gs_bucket`.
    pub gcp_credentials: &'a str,
    /// `wal_az_storage_account`.
    pub az_storage_account: &'a str,
}

/// Where the pod identity webhook of AWS mounts the token of a service account with a role.
///
/// See [IAM roles for service accounts](https://github.com/aws/amazon-eks-pod-identity-webhook).
pub const TOKEN_FILE: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token";

/// The variables by which the image reads a source's archive with the role of its service account, `irsa_role_arn`: without
/// them a restore has none, because it gets only variables of its own `prefix`, `CLONE` or `STANDBY`. None without a role.
#[must_use]
pub fn of_role(prefix: &str, role: &str) -> Vec<Value> {
    if role.is_empty() {
        return Vec::new();
    }
    vec![
        env(&format!("{prefix}_AWS_ROLE_ARN"), role),
        env(&format!("{prefix}_AWS_WEB_IDENTITY_TOKEN_FILE"), TOKEN_FILE),
    ]
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
    if is_set(section, "timestamp") && !archive.role.is_empty() {
        names.extend(["CLONE_AWS_ROLE_ARN", "CLONE_AWS_WEB_IDENTITY_TOKEN_FILE"]);
    }
    names
}

/// The variables that the section `standby` sets; `role` is `irsa_role_arn`.
#[must_use]
pub fn of_standby(section: &Value, role: &str) -> Vec<&'static str> {
    let mut names = of(section, &STANDBY);
    if !role.is_empty() && names.contains(&"STANDBY_METHOD") {
        names.extend(["STANDBY_AWS_ROLE_ARN", "STANDBY_AWS_WEB_IDENTITY_TOKEN_FILE"]);
    }
    names
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
