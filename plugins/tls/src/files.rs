//! Where certificate, key and authority are in the pod.

use pgloom_kit::Value;
use pgloom_kit::container::{mount, name_of};
use pgloom_kit::object::{object, text};

use crate::Section;

/// Where the Secret is mounted.
const MOUNT: &str = "/tls";
/// Where the authority's own Secret is mounted.
const AUTHORITY_MOUNT: &str = "/tlsca";
/// Owner and group may read: the key is no business of others.
const MODE: u16 = 0o640;

/// The Secrets and the paths of their files.
pub struct Files {
    secret: String,
    authority_secret: String,
    certificate: String,
    key: String,
    /// Empty if there is none.
    authority: String,
}

impl Files {
    /// Nothing if the section names no Secret.
    pub fn of(section: &Section) -> Option<Self> {
        let given = |text: &Option<String>| text.clone().unwrap_or_default();
        let secret = given(&section.secret_name);
        if secret.is_empty() {
            return None;
        }
        let authority = given(&section.ca_file);
        // A Secret of its own means nothing without the name of the file in it.
        let authority_secret = if authority.is_empty() { String::new() } else { given(&section.ca_secret_name) };
        let authority_mount = if authority_secret.is_empty() { MOUNT } else { AUTHORITY_MOUNT };
        Some(Self {
            certificate: path(MOUNT, &given(&section.certificate_file), "tls.crt"),
            key: path(MOUNT, &given(&section.private_key_file), "tls.key"),
            authority: if authority.is_empty() { authority } else { path(authority_mount, &authority, "") },
            secret,
            authority_secret,
        })
    }

    /// The variables by which the image finds the files.
    pub fn paths(&self) -> Vec<(&'static str, &str)> {
        let mut paths = vec![("SSL_CERTIFICATE_FILE", &*self.certificate), ("SSL_PRIVATE_KEY_FILE", &*self.key)];
        if !self.authority.is_empty() {
            paths.push(("SSL_CA_FILE", &self.authority));
        }
        paths
    }

    /// A volume of each Secret, called by its name.
    pub fn volumes(&self) -> Vec<Value> {
        let mut volumes: Vec<Value> = Vec::new();
        for secret in self.secrets() {
            if !volumes.iter().any(|volume| name_of(volume) == secret) {
                let source = object([("secretName", text(secret)), ("defaultMode", MODE.into())]);
                volumes.push(object([("name", text(secret)), ("secret", source)]));
            }
        }
        volumes
    }

    /// Their mounts.
    pub fn mounts(&self) -> Vec<Value> {
        let mut mounts = Vec::new();
        for (secret, path) in self.secrets().zip([MOUNT, AUTHORITY_MOUNT]) {
            mounts.push(mount(secret, path));
        }
        mounts
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        [&*self.secret, &self.authority_secret].into_iter().filter(|secret| !secret.is_empty())
    }
}

/// A file of a mount; an absolute path stays as it is.
fn path(mount: &str, file: &str, default: &str) -> String {
    let file = if file.is_empty() { default } else { file };
    if file.starts_with('/') { file.to_owned() } else { [mount, "/", file].concat() }
}
