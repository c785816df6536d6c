//! A certificate for client connections.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A certificate for client connections, from a Secret of the cluster's namespace. It is read again when it changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// The Secret. Empty means that the section counts as not given. Example: `pg-tls`.
    pub secret_name: String,
    /// The certificate in the Secret, or an absolute path in the container. Default: `tls.crt`. Example: `tls.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<String>,
    /// The private key in the Secret, or an absolute path in the container. Default: `tls.key`. Example: `tls.key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key_file: Option<String>,
    /// The certificate of the authority in the Secret, or an absolute path in the container. Default: none. Example: `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Another Secret that holds `caFile`. Default: `secretName`. Example: `pg-tls-ca`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_name: Option<String>,
}
