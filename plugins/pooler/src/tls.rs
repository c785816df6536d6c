//! The cluster's own certificate, as the pooler shows it to clients.

use pgloom_kit::container::{env, mount};
use pgloom_kit::{Value, json};

use crate::spec::Tls;

/// Where the certificate and its key are mounted.
const PATH: &str = "/tls";
/// Where the certificate authority is mounted if it has a Secret of its own.
const CA_PATH: &str = "/tlsca";

/// What a pod and its container get for the certificate.
#[derive(Default)]
pub struct Parts {
    /// Variables that name the files.
    pub env: Vec<Value>,
    /// The Secrets.
    pub volumes: Vec<Value>,
    /// Where they are mounted.
    pub mounts: Vec<Value>,
}

impl Parts {
    /// Nothing if the cluster has no certificate of its own.
    pub fn of(tls: &Tls) -> Self {
        let mut parts = Self::default();
        if tls.secret_name.is_empty() {
            return parts;
        }
        parts.secret(&tls.secret_name, PATH);
        parts.file("CONNECTION_POOLER_CLIENT_TLS_CRT", PATH, &tls.certificate_file, "tls.crt");
        parts.file("CONNECTION_POOLER_CLIENT_TLS_KEY", PATH, &tls.private_key_file, "tls.key");
        if tls.ca_file.is_empty() {
            return parts;
        }
        let has_own_secret = !tls.ca_secret_name.is_empty();
        parts.file("CONNECTION_POOLER_CLIENT_CA_FILE", if has_own_secret { CA_PATH } else { PATH }, &tls.ca_file, "");
        if has_own_secret {
            parts.secret(&tls.ca_secret_name, CA_PATH);
        }
        parts
    }

    fn secret(&mut self, name: &str, path: &str) {
        self.volumes.push(json!({"name": name, "secret": {"secretName": name, "defaultMode": 0o640}}));
        self.mounts.push(mount(name, path));
    }

    /// A file given by an absolute path is taken as it is.
    fn file(&mut self, variable: &str, folder: &str, given: &str, usual: &str) {
        let file = if given.is_empty() { usual } else { given };
        let path = if file.starts_with('/') { file.to_owned() } else { [folder, "/", file].concat() };
        self.env.push(env(variable, path));
    }
}
