//! The section of the manifest: whose data it is, and where.

use pgloom_kit::nullable::or_default;
use serde::Deserialize;

/// `spec.clone`. Empty texts count as left out; credentials arrive sealed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Source {
    /// The cluster whose data it is.
    #[serde(deserialize_with = "or_default")]
    pub cluster: String,
    /// Its uid.
    #[serde(deserialize_with = "or_default")]
    pub uid: String,
    /// Up to when; empty means: what the running leader has.
    #[serde(deserialize_with = "or_default")]
    pub timestamp: String,
    /// Its archive, if it is elsewhere than the configured one.
    #[serde(deserialize_with = "or_default")]
    pub s3_wal_path: String,
    /// The URL of a service like S3.
    #[serde(deserialize_with = "or_default")]
    pub s3_endpoint: String,
    /// The access key's name.
    #[serde(deserialize_with = "or_default")]
    pub s3_access_key_id: String,
    /// The access key.
    #[serde(deserialize_with = "or_default")]
    pub s3_secret_access_key: String,
    /// Whether a bucket's name is part of the path.
    pub s3_force_path_style: Option<bool>,
}
