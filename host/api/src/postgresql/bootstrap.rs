//! The source of a new cluster's data: `spec.clone` and `spec.standby`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pattern;

/// Another cluster to start from. With `timestamp` it is restored from its archive, else copied from its running
/// leader.
#[derive(std::clone::Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.timestamp) || self.timestamp == '' || (has(self.uid) && self.uid != '') || (has(self.s3_wal_path) && self.s3_wal_path != '')",
     "message": "a clone to a point in time needs the source's uid, or s3_wal_path, to find its archive"},
    {"rule": "self.cluster == '' || (has(self.timestamp) && self.timestamp != '') || (self.cluster.size() <= 63 && self.cluster.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$'))",
     "message": "clone cluster name must confirm to DNS-1035, regex used for validation is \"^[a-z]([-a-z0-9]*[a-z0-9])?$\", and be no longer than 63 characters"}
]))]
pub struct Clone {
    /// The source cluster's name. Empty means that the section counts as not given. Example: `acid-batman`.
    #[schemars(length(max = 253))]
    pub cluster: String,
    /// The source object's `metadata.uid`, which is part of the archive's path. Needed with `timestamp`, unless
    /// `s3_wal_path` is given. Default: none. Example: `efd12e58-5786-11e8-b5a7-06148230260c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub uid: Option<String>,
    /// The point in time up to which the archive is replayed, with its time zone. Default: none, then the running
    /// source is copied. Example: `2017-12-19T12:40:33+01:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = pattern::TIMESTAMP))]
    pub timestamp: Option<String>,
    /// The source's archive. Default: made of `wal_s3_bucket` of the operator configuration and `uid`. Example:
    /// `s3://bucket/spilo/acid-batman/wal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub s3_wal_path: Option<String>,
    /// The URL of an S3 server other than that of AWS. Default: AWS. Example: `https://s3.acme.org`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_endpoint: Option<String>,
    /// The access key for the archive. Default: what the pods have anyway. Example: `0123456789abcdef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "password"))]
    pub s3_access_key_id: Option<Credential>,
    /// The secret key for the archive. Default: what the pods have anyway. Example: `0123456789abcdef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "password"))]
    pub s3_secret_access_key: Option<Credential>,
    /// Whether the bucket is part of the path, not of the host's name. Default: `false`. Example: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_force_path_style: Option<bool>,
}

/// The cluster that this one follows: its archive, or its leader, or its leader with the archive behind it.
#[derive(std::clone::Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "(has(self.s3_wal_path) && self.s3_wal_path != '') || (has(self.gs_wal_path) && self.gs_wal_path != '') || (has(self.standby_host) && self.standby_host != '')",
     "message": "s3_wal_path is empty for standby cluster; give s3_wal_path, gs_wal_path or standby_host"},
    {"rule": "!(has(self.s3_wal_path) && self.s3_wal_path != '' && has(self.gs_wal_path) && self.gs_wal_path != '')",
     "message": "a standby has one archive; give either s3_wal_path or gs_wal_path"}
]))]
pub struct Standby {
    /// The archive of the source in S3. Default: none. Example: `s3://bucket/spilo/acid-batman/efd12e58/wal/17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub s3_wal_path: Option<String>,
    /// The archive of the source in Google Cloud Storage. Default: none. Example:
    /// `gs://bucket/spilo/acid-batman/efd12e58/wal/17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub gs_wal_path: Option<String>,
    /// The host of the source's leader. Default: none, then the archive alone is read. Example: `acid-batman.default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub standby_host: Option<String>,
    /// The port of the source's leader, in quotes. Default: `"5432"`. Example: `"5432"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby_port: Option<String>,
    /// The replication slot on the source. Default: none. Example: `acid_standby`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby_primary_slot_name: Option<String>,
}

/// A string that is never shown: its `Debug` output is hidden.
#[derive(std::clone::Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Credential(String);

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}
