//! The cluster's own certificate, `spec.tls`: the Secrets that hold it, and the paths of its files in a container.
//!
//! The database's container and the pooler's mount the same files at the same paths.

use pgloom_common::tls::{AUTHORITY_MOUNT, MOUNT, authority, path};
use serde_json::Value;

use crate::container::{mount_secret, secret_volume};
use crate::json::field::text;

/// The mode of the files: PostgreSQL refuses a private key that others than its owner and group can read.
const MODE: u16 = 0o640;

crate::fields! {
    /// `spec.tls`. An empty string means a missing field.
    pub struct Tls {
        secret_name: Option<String> = "secretName",
        certificate_file: Option<String> = "certificateFile",
        private_key_file: Option<String> = "privateKeyFile",
        ca_file: Option<String> = "caFile",
        ca_secret_name: Option<String> = "caSecretName",
    }
}

/// The files of a certificate, and the Secrets that they are mounted from.
pub struct Files {
    /// The path of the certificate.
    pub certificate: String,
    /// The path of its private key.
    pub key: String,
    /// The path of the certificate authority's certificate, if `caFile` names one.
    pub ca: Option<String>,
    secret: String,
    ca_secret: Option<String>,
}

impl Tls {
    /// The files; none without `secretName`.
    pub fn files(&self) -> Option<Files> {
        let secret = text(&self.secret_name);
        if secret.is_empty() {
            return None;
        }
        let ca_file = text(&self.ca_file);
        // Without the name of a file in it, the authority's Secret is of no use.
        let ca_secret = if ca_file.is_empty() { "" } else { text(&self.ca_secret_name) };
        let (_, ca_mount) = authority(secret, ca_secret);
        Some(Files {
            certificate: path(MOUNT, or(text(&self.certificate_file), "tls.crt")),
            key: path(MOUNT, or(text(&self.private_key_file), "tls.key")),
            ca: some(ca_file).map(|file| path(ca_mount, &file)),
            secret: secret.to_owned(),
            ca_secret: some(ca_secret),
        })
    }
}

impl Files {
    /// A volume for each Secret.
    pub fn volumes(&self) -> Vec<Value> {
        let mut volumes: Vec<Value> = Vec::new();
        for secret in self.secrets() {
            let volume = secret_volume(secret, Some(MODE));
            if !volumes.contains(&volume) {
                volumes.push(volume);
            }
        }
        volumes
    }

    /// The mounts of the volumes.
    pub fn mounts(&self) -> Vec<Value> {
        let mut mounts = Vec::new();
        for (secret, path) in self.secrets().zip([MOUNT, AUTHORITY_MOUNT]) {
            mounts.push(mount_secret(secret, path));
        }
        mounts
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        [Some(&*self.secret), self.ca_secret.as_deref()].into_iter().flatten()
    }
}

fn some(text: &str) -> Option<String> {
    if text.is_empty() { None } else { Some(text.to_owned()) }
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::json::field::Field;

    fn files(section: Value) -> Option<Files> {
        Tls::take(&section).unwrap().files()
    }

    #[test]
    fn without_a_secret_there_are_no_files() {
        assert!(files(json!({})).is_none());
        assert!(files(json!({"secretName": "", "caFile": "ca.crt"})).is_none());
    }

    #[test]
    fn files_have_the_names_of_kubernetes_tls_secrets_unless_the_manifest_names_others() {
        let files = files(json!({"secretName": "cert", "privateKeyFile": "my.key"})).unwrap();
        assert_eq!((&*files.certificate, &*files.key, files.ca.as_deref()), ("/tls/tls.crt", "/tls/my.key", None));
        assert_eq!(files.mounts(), [json!({"name": "cert", "mountPath": "/tls"})]);
        assert_eq!(files.volumes(), [json!({"name": "cert", "secret": {"secretName": "cert", "defaultMode": 0o640}})]);
    }

    #[test]
    fn the_authority_is_in_the_same_secret_in_its_own_or_at_an_absolute_path() {
        for (section, ca, mounts) in [
            (json!({"secretName": "cert", "caFile": "ca.crt"}), "/tls/ca.crt", 1),
            (json!({"secretName": "cert", "caFile": "ca.crt", "caSecretName": "ca"}), "/tlsca/ca.crt", 2),
            (json!({"secretName": "cert", "caFile": "/etc/ca.crt", "caSecretName": "ca"}), "/etc/ca.crt", 2),
        ] {
            let files = files(section.clone()).unwrap();
            assert_eq!((files.ca.as_deref(), files.mounts().len()), (Some(ca), mounts), "{section}");
        }
    }

    #[test]
    fn a_secret_whose_name_is_no_name_of_a_volume_is_mounted_from_one_with_a_valid_name() {
        let files = files(json!({"secretName": "db.example.com"})).unwrap();
        let name = &files.volumes()[0]["name"];
        assert_eq!((name, &files.mounts()[0]["name"]), (&json!("db-example-com-0eda8a90"), name));
        assert_eq!(files.volumes()[0]["secret"]["secretName"], "db.example.com");
    }

    #[test]
    fn a_secret_that_is_both_the_certificates_and_the_authoritys_is_one_volume_with_two_mounts() {
        let files = files(json!({"secretName": "cert", "caFile": "ca.crt", "caSecretName": "cert"})).unwrap();
        assert_eq!((files.volumes().len(), files.mounts().len()), (1, 2));
    }
}
