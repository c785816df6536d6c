//! The cluster's own certificate, as the pooler shows it to clients.

use pgloom_kit::container::{env, mount};
use pgloom_kit::object::{object, text};
use pgloom_kit::{Value, fields};

fields! {
    /// `spec.tls`. Without a Secret there is no own certificate.
    pub struct Tls {
        secret: Option<String> = "secretName",
        certificate_file: Option<String> = "certificateFile",
        private_key_file: Option<String> = "privateKeyFile",
        ca_file: Option<String> = "caFile",
        ca_secret: Option<String> = "caSecretName",
    }
}

fn given(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

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
        let [secret, ca_file, ca_secret] = [&tls.secret, &tls.ca_file, &tls.ca_secret].map(given);
        if secret.is_empty() {
            return parts;
        }
        parts.secret(secret, PATH);
        parts.file("CONNECTION_POOLER_CLIENT_TLS_CRT", PATH, given(&tls.certificate_file), "tls.crt");
        parts.file("CONNECTION_POOLER_CLIENT_TLS_KEY", PATH, given(&tls.private_key_file), "tls.key");
        if ca_file.is_empty() {
            return parts;
        }
        parts.file("CONNECTION_POOLER_CLIENT_CA_FILE", if ca_secret.is_empty() { PATH } else { CA_PATH }, ca_file, "");
        if !ca_secret.is_empty() {
            parts.secret(ca_secret, CA_PATH);
        }
        parts
    }

    fn secret(&mut self, name: &str, path: &str) {
        let source = object([("secretName", text(name)), ("defaultMode", 0o640.into())]);
        self.volumes.push(object([("name", text(name)), ("secret", source)]));
        self.mounts.push(mount(name, path));
    }

    /// A file given by an absolute path is taken as it is.
    fn file(&mut self, variable: &str, folder: &str, given: &str, usual: &str) {
        let file = if given.is_empty() { usual } else { given };
        let path = if file.starts_with('/') { file.to_owned() } else { [folder, "/", file].concat() };
        self.env.push(env(variable, path));
    }
}
