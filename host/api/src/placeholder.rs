//! Placeholders for credentials: plugins see them, and the host replaces them by the credentials.
//!
//! A placeholder names the credential's origin, as in `pgloom-placeholder:config:scalyr_api_key`. A plugin copies the whole
//! text; the host, which keeps the [`Credentials`], fills it in before it applies the object. Nothing is encrypted.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{KEYS, ValueType};
use crate::field::Place;
use crate::finding::Finding;
use crate::postgresql::credential_fields;

/// The prefix of every placeholder.
pub const PREFIX: &str = "pgloom-placeholder:";

/// Credentials by their placeholders. The credentials are not in the debug output.
#[derive(Clone, Default, PartialEq)]
pub struct Credentials(BTreeMap<String, String>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Where a credential comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The operator configuration's value at the key.
    Config(String),
    /// The manifest's value at the JSON pointer.
    Manifest(String),
}

impl Source {
    /// Every place in the operator configuration and in a manifest that holds a credential.
    pub fn all() -> impl Iterator<Item = Self> {
        let keys = KEYS.iter().filter(|key| key.value_type == ValueType::Credential);
        let of_manifest = credential_fields().iter().map(|pointer| Self::Manifest(pointer.clone()));
        keys.map(|key| Self::Config(key.name.to_owned())).chain(of_manifest)
    }

    /// Reads a source as a grant names it: `config:KEY` or `manifest:/pointer`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("config", key) => Some(Self::Config(key.to_owned())),
            ("manifest", pointer) => Some(Self::Manifest(pointer.to_owned())),
            _ => None,
        }
    }

    /// The placeholder of the credential.
    #[must_use]
    pub fn placeholder(&self) -> String {
        format!("{PREFIX}{self}")
    }
}

impl fmt::Display for Source {
    /// As a grant names it: `config:KEY` or `manifest:/pointer`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(key) => write!(f, "config:{key}"),
            Self::Manifest(pointer) => write!(f, "manifest:{pointer}"),
        }
    }
}

/// The reason why an object cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such credential.
    #[error("{path} holds the placeholder {placeholder:?}, and there is no such credential")]
    Unknown {
        /// The field.
        path: String,
        /// The text.
        placeholder: String,
    },
    /// The placeholder is a part of the text.
    #[error("{path} holds a placeholder inside a longer text; a plugin has to copy it whole")]
    Inside {
        /// The field.
        path: String,
    },
}

/// The manifest with placeholders for its credentials.
#[must_use]
pub fn take_from_manifest(manifest: &Value) -> (Value, Credentials) {
    let mut shown = manifest.clone();
    let mut credentials = Credentials::default();
    for pointer in credential_fields() {
        if let Some(field) = shown.pointer_mut(pointer) {
            credentials.take(field, Source::Manifest(pointer.clone()).placeholder());
        }
    }
    (shown, credentials)
}

/// The flat operator configuration with placeholders for its credentials.
#[must_use]
pub fn take_from_config(values: &Value) -> (Value, Credentials) {
    let mut shown = values.clone();
    let mut credentials = Credentials::default();
    for key in KEYS.iter().filter(|key| key.value_type == ValueType::Credential) {
        if let Some(field) = shown.get_mut(key.name) {
            credentials.take(field, Source::Config(key.name.to_owned()).placeholder());
        }
    }
    (shown, credentials)
}

/// Replaces the placeholders by the credentials, in place. After an error the object cannot be used.
///
/// # Errors
/// For a placeholder without a credential, and for one inside a longer text.
pub fn fill(object: &mut Value, credentials: &Credentials) -> Result<(), Error> {
    fill_at(object, &Place::Start(""), credentials)
}

fn fill_at(value: &mut Value, place: &Place<'_>, credentials: &Credentials) -> Result<(), Error> {
    match value {
        Value::String(text) if text.contains(PREFIX) => {
            *text = credentials.get(text, place)?;
            Ok(())
        }
        Value::Array(entries) => {
            let mut entries = entries.iter_mut().enumerate();
            entries.try_for_each(|(index, value)| fill_at(value, &Place::Entry(place, index), credentials))
        }
        Value::Object(fields) => {
            let mut fields = fields.iter_mut();
            fields.try_for_each(|(name, value)| fill_at(value, &Place::Member(place, name), credentials))
        }
        _ => Ok(()),
    }
}

/// The finding about a placeholder that a user has written.
#[must_use]
pub fn forgery() -> Finding {
    Finding::error(format!("{PREFIX} is reserved for the operator's placeholders of credentials"))
}

/// Whether [`fill`] would succeed; changes nothing.
///
/// # Errors
/// As [`fill`].
pub fn check(object: &Value, credentials: &Credentials) -> Result<(), Error> {
    check_at(object, &Place::Start(""), credentials)
}

fn check_at(value: &Value, place: &Place<'_>, credentials: &Credentials) -> Result<(), Error> {
    match value {
        Value::String(text) if text.contains(PREFIX) => credentials.get(text, place).map(drop),
        Value::Array(entries) => {
            let mut entries = entries.iter().enumerate();
            entries.try_for_each(|(index, value)| check_at(value, &Place::Entry(place, index), credentials))
        }
        Value::Object(fields) => {
            fields.iter().try_for_each(|(name, value)| check_at(value, &Place::Member(place, name), credentials))
        }
        _ => Ok(()),
    }
}

/// The first field, name or text, that holds a placeholder.
///
/// Every object that a user can write has to be checked: by writing a placeholder, a user could make the operator fill
/// in a credential that the user must not see.
#[must_use]
pub fn forged(value: &Value) -> Option<String> {
    forged_at(value, &Place::Start(""))
}

fn forged_at(value: &Value, place: &Place<'_>) -> Option<String> {
    match value {
        Value::String(text) => text.contains(PREFIX).then(|| place.to_string()),
        Value::Array(entries) => {
            let mut entries = entries.iter().enumerate();
            entries.find_map(|(index, value)| forged_at(value, &Place::Entry(place, index)))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let place = Place::Member(place, name);
            if name.contains(PREFIX) { Some(place.to_string()) } else { forged_at(value, &place) }
        }),
        _ => None,
    }
}

impl Credentials {
    /// Adds the credentials of another document.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn take(&mut self, field: &mut Value, placeholder: String) {
        if let Value::String(text) = field
            && !text.is_empty()
        {
            self.0.insert(placeholder.clone(), std::mem::replace(text, placeholder));
        }
    }

    fn get(&self, text: &str, place: &Place<'_>) -> Result<String, Error> {
        match self.0.get(text) {
            Some(secret) => Ok(secret.clone()),
            None if text.starts_with(PREFIX) => {
                Err(Error::Unknown { path: place.to_string(), placeholder: text.to_owned() })
            }
            None => Err(Error::Inside { path: place.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_copied_placeholder_is_filled_in() {
        let manifest =
            json!({"spec": {"clone": {"cluster": "a", "s3_access_key_id": "id", "s3_secret_access_key": "hush"}}});
        let (shown, mut credentials) = take_from_manifest(&manifest);
        assert_eq!(
            shown["spec"]["clone"]["s3_secret_access_key"],
            "pgloom-placeholder:manifest:/spec/clone/s3_secret_access_key"
        );
        assert_eq!(shown["spec"]["clone"]["cluster"], "a");

        let config = json!({"logical_backup_s3_secret_access_key": "quiet", "scalyr_api_key": "", "docker_image": "x"});
        let (shown_config, more) = take_from_config(&config);
        assert_eq!(
            shown_config,
            json!({"logical_backup_s3_secret_access_key": "pgloom-placeholder:config:logical_backup_s3_secret_access_key", "scalyr_api_key": "", "docker_image": "x"})
        );
        credentials.extend(more);

        let mut object = json!({"env": [
            {"name": "A", "value": shown["spec"]["clone"]["s3_secret_access_key"]},
            {"name": "B", "value": shown_config["logical_backup_s3_secret_access_key"]},
            {"name": "C", "value": "plain"},
        ]});
        fill(&mut object, &credentials).unwrap();
        assert_eq!(
            object,
            json!({"env": [{"name": "A", "value": "hush"}, {"name": "B", "value": "quiet"}, {"name": "C", "value": "plain"}]})
        );
    }

    #[test]
    fn a_credential_is_never_printed() {
        let (_, credentials) = take_from_config(&json!({"scalyr_api_key": "hunter2"}));
        assert_eq!(format!("{credentials:?}"), r#"{"pgloom-placeholder:config:scalyr_api_key"}"#);
    }

    #[test]
    fn a_check_gives_the_error_that_filling_in_would_give() {
        let (shown, credentials) = take_from_config(&json!({"scalyr_api_key": "hunter2"}));
        let objects =
            [shown, json!({"a": ["pgloom-placeholder:config:nothing"]}), json!({"a": "x pgloom-placeholder:config:b"})];
        let results = objects.map(|object| (check(&object, &credentials), fill(&mut object.clone(), &credentials)));
        assert!(results[0].0.is_ok() && results[1].0.is_err() && results[2].0.is_err());
        for (checked, filled) in results {
            assert_eq!(checked, filled);
        }
    }

    #[test]
    fn a_placeholder_without_a_credential_or_inside_a_text_is_refused() {
        let credentials = Credentials::default();
        let mut object = json!({"a": [{"b.c": "pgloom-placeholder:config:nothing"}]});
        let error = fill(&mut object, &credentials).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"a[0]["b.c"] holds the placeholder "pgloom-placeholder:config:nothing", and there is no such credential"#
        );
        let mut object = json!({"a": "key=pgloom-placeholder:config:scalyr_api_key"});
        assert_eq!(fill(&mut object, &credentials), Err(Error::Inside { path: "a".to_owned() }));
    }

    #[test]
    fn a_forged_placeholder_is_found_in_texts_and_in_names() {
        assert_eq!(
            forged(&json!({"spec": {"env": [{"value": "pgloom-placeholder:config:scalyr_api_key"}]}})),
            Some("spec.env[0].value".to_owned())
        );
        assert_eq!(
            forged(&json!({"labels": {"pgloom-placeholder:x": ""}})),
            Some(r#"labels["pgloom-placeholder:x"]"#.to_owned())
        );
        assert_eq!(forged(&json!({"spec": {"teamId": "acid", "n": 1, "list": [null, true]}})), None);
    }
}
