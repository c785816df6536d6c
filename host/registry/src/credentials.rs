//! Credentials for registries, in the format of Docker's `config.json`, which Secrets of the type
//! `kubernetes.io/dockerconfigjson` have, too.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::error::Error;
use crate::reference::Reference;

/// The key of Docker Hub in these files.
const DOCKER_HUB: &str = "index.docker.io";

/// Users and passwords by registry. No output has the passwords.
#[derive(Clone, Default)]
pub struct Credentials(BTreeMap<String, Entry>);

#[derive(Clone)]
enum Entry {
    /// The value of the header `Authorization`.
    Basic(String),
    /// The password is in another program.
    Helper,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

impl Credentials {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// If the text is none; the message has no part of the text.
    pub fn read(text: &[u8]) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Credentials(reason);
        // serde's message may have a part of the text.
        let file: File = serde_json::from_slice(text)
            .map_err(|error| refuse(format!("not a config.json of Docker (line {})", error.line())))?;
        let mut entries = BTreeMap::new();
        for (key, auth) in file.auths {
            let entry = match auth {
                Auth { auth, .. } if !auth.is_empty() => {
                    let decoded = STANDARD.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                    let user = decoded.filter(|text| text.contains(':'));
                    let user = user
                        .ok_or_else(|| refuse(format!("the field auth of {key:?} is not user:password in base64")))?;
                    Entry::Basic(basic(&user))
                }
                Auth { username, password, .. } if !username.is_empty() => {
                    Entry::Basic(basic(&format!("{username}:{password}")))
                }
                _ if file.creds_store.is_some() => Entry::Helper,
                _ => continue,
            };
            entries.insert(normal(&key), entry);
        }
        for key in file.cred_helpers.keys() {
            entries.entry(normal(key)).or_insert(Entry::Helper);
        }
        Ok(Self(entries))
    }

    /// These, and those of another file for other registries.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        for (key, entry) in others.0 {
            self.0.entry(key).or_insert(entry);
        }
        self
    }

    /// The value of the header `Authorization` for a reference: that of the longest key that its name begins with.
    pub(crate) fn basic(&self, reference: &Reference) -> Result<Option<&str>, Error> {
        let host = match reference.host() {
            "docker.io" => DOCKER_HUB,
            host => host,
        };
        let name = format!("{host}/{}", reference.repository());
        let fits = |key: &str| name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match self.0.iter().filter(|(key, _)| fits(key)).max_by_key(|(key, _)| key.len()) {
            None => Ok(None),
            Some((_, Entry::Basic(value))) => Ok(Some(value)),
            Some((key, Entry::Helper)) => Err(Error::Credentials(format!(
                "those for {key} are in a credential helper, which is not asked; log in without one, or name another file"
            ))),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

fn basic(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(user))
}

/// The key without scheme and the path of the API.
fn normal(key: &str) -> String {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    match key {
        "docker.io" => DOCKER_HUB.to_owned(),
        key => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(credentials: &Credentials, reference: &str) -> Option<String> {
        credentials.basic(&reference.parse().unwrap()).unwrap().map(str::to_owned)
    }

    #[test]
    fn the_longest_key_that_a_name_begins_with_has_its_credentials() {
        let file =
            br#"{"auths": {"ghcr.io": {"auth": "YTpi"}, "https://ghcr.io/example": {"username": "c", "password": "d"},
            "https://index.docker.io/v1/": {"auth": "ZTpm"}, "other.io": {}}}"#;
        let credentials = Credentials::read(file).unwrap();
        assert_eq!(value(&credentials, "ghcr.io/x/y:1").as_deref(), Some("Basic YTpi"));
        assert_eq!(value(&credentials, "ghcr.io/example/y:1").as_deref(), Some("Basic Yzpk"));
        assert_eq!(value(&credentials, "ghcr.io/examples/y:1").as_deref(), Some("Basic YTpi"));
        assert_eq!(value(&credentials, "docker.io/x:1").as_deref(), Some("Basic ZTpm"));
        assert_eq!(value(&credentials, "ghcr.io.example.com/y:1"), None);
        assert_eq!(value(&credentials, "other.io/y:1"), None);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_refused_without_a_part_of_it() {
        for text in
            [r#"{"auths": {"ghcr.io": {"auth": ["hunter2"]}}}"#, r#"{"auths": {"ghcr.io": {"auth": "aHVudGVyMg=="}}}"#]
        {
            let error = Credentials::read(text.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("hunter2") && !error.contains("aHVudGVyMg"), "{error}");
        }
        let credentials = Credentials::read(br#"{"auths": {"ghcr.io": {"auth": "YTpodW50ZXIy"}}}"#).unwrap();
        assert_eq!(format!("{credentials:?}"), r#"{"ghcr.io"}"#);
    }

    #[test]
    fn a_credential_helper_is_not_asked_and_named() {
        let credentials = Credentials::read(br#"{"credHelpers": {"ghcr.io": "pass"}}"#).unwrap();
        let error = credentials.basic(&"ghcr.io/x:1".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("those for ghcr.io are in a credential helper"), "{error}");
        assert_eq!(value(&credentials, "quay.io/x:1"), None);
    }
}
