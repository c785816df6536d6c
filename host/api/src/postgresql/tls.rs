//! A certificate for client connections: `spec.tls`.

use pgloom_common::tls;
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
    /// The certificate of the authority in the Secret, or an absolute path in the container. Default: none. Example:
    /// `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Another Secret that holds `caFile`. Default: `secretName`. Example: `pg-tls-ca`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_name: Option<String>,
}

/// The place of a certificate authority's certificate: a Secret in the cluster's namespace, and a key of its data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    /// The Secret's name.
    pub secret: String,
    /// The key of its data.
    pub key: String,
}

impl Tls {
    /// The certificate of the authority, if `caFile` names one in a Secret. An absolute path counts where it is one of
    /// the folders in which the Secrets are mounted.
    #[must_use]
    pub fn authority(&self) -> Option<Authority> {
        if self.secret_name.is_empty() {
            return None;
        }
        let (secret, mount) = tls::authority(&self.secret_name, self.ca_secret_name.as_deref().unwrap_or_default());
        let key = tls::key(mount, self.ca_file.as_deref()?)?;
        Some(Authority { secret: secret.to_owned(), key: key.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(secret: &str, ca_file: &str, ca_secret: &str) -> Option<(String, String)> {
        let tls = Tls {
            secret_name: secret.into(),
            ca_file: Some(ca_file.into()),
            ca_secret_name: Some(ca_secret.into()),
            ..Tls::default()
        };
        tls.authority().map(|authority| (authority.secret, authority.key))
    }

    #[test]
    fn the_authority_is_a_key_of_the_secret_or_of_its_own() {
        let found = |secret: &str, key: &str| Some((secret.to_owned(), key.to_owned()));
        assert_eq!(authority("pg-tls", "ca.crt", ""), found("pg-tls", "ca.crt"));
        assert_eq!(authority("pg-tls", "ca.crt", "pg-ca"), found("pg-ca", "ca.crt"));
        assert_eq!(authority("pg-tls", "/tls/ca.crt", ""), found("pg-tls", "ca.crt"));
        assert_eq!(authority("pg-tls", "/tlsca/ca.crt", "pg-ca"), found("pg-ca", "ca.crt"));
    }

    #[test]
    fn a_file_that_is_in_no_secret_is_no_authority_and_neither_is_none() {
        assert_eq!(authority("pg-tls", "/etc/ssl/ca.crt", ""), None);
        assert_eq!(authority("pg-tls", "", "pg-ca"), None);
        assert_eq!(authority("", "ca.crt", ""), None);
        assert_eq!(Tls { secret_name: "pg-tls".into(), ..Tls::default() }.authority(), None);
    }
}
