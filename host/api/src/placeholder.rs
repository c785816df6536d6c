//! Placeholders for credentials: plugins see them, and the host replaces them by the credentials.
//!
//! A credential has a *source*: `config:scalyr_api_key` in the operator configuration,
//! `manifest:/spec/clone/s3_secret_access_key` in the manifest. A step sees the placeholder of a credential only if it may
//! pass the credential on, and each step has its own: `pgloom-placeholder:sidecars:config:scalyr_api_key`. It copies the
//! whole text to the value of a container's variable. The host, which keeps the [`Credentials`], fills it in before it
//! applies the object.
//!
//! Nothing is encrypted, and a placeholder can be guessed. What protects a credential is that [`check_contribution`]
//! refuses a placeholder that the step was not shown, and one in any other place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{KEYS, ValueType};
use crate::field::Place;
use crate::finding::Finding;
use crate::pod_template;
use crate::postgresql::credential_fields;
use crate::suggest;

/// The prefix of every placeholder.
pub const PREFIX: &str = pgloom_common::hidden::PLACEHOLDER;
/// The shortest credential that is looked for inside longer texts, in bytes.
const MIN_PART: usize = 8;

/// Credentials by their sources. The credentials are not in the debug output.
#[derive(Clone, Default, PartialEq)]
pub struct Credentials(BTreeMap<Source, String>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys().map(ToString::to_string)).finish()
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

    /// The source with this name, if it is a place that holds a credential.
    ///
    /// # Errors
    /// The remedy, if it is none: the place with the most similar name, or else `otherwise`.
    pub fn named(name: &str, otherwise: &str) -> Result<Self, String> {
        let known: Vec<(String, Self)> = Self::all().map(|source| (source.to_string(), source)).collect();
        let names = known.iter().map(|(name, _)| name.as_str());
        let remedy = || suggest::nearest_or(name, names, otherwise);
        known.iter().find(|(known, _)| known == name).map(|(_, source)| source.clone()).ok_or_else(remedy)
    }

    /// The placeholder that a step sees for the credential.
    #[must_use]
    pub fn placeholder(&self, step: &str) -> String {
        format!("{PREFIX}{step}:{self}")
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

/// The reason why a placeholder is refused.
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
    /// The step was not shown the placeholder.
    #[error(
        "{path} holds the placeholder {placeholder:?}, which this step was not shown; \
         the plugin has to ask for the credential, and the pipeline to grant it"
    )]
    NotShown {
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
    /// The placeholder is not the value of a container's variable.
    #[error(
        "{path} holds the placeholder of a credential, which is filled in only as the value of a container's variable"
    )]
    Misplaced {
        /// The field.
        path: String,
    },
}

/// The manifest without its credentials, and the credentials.
#[must_use]
pub fn take_from_manifest(manifest: &Value) -> (Value, Credentials) {
    let mut rest = manifest.clone();
    let mut credentials = Credentials::default();
    for pointer in credential_fields() {
        let Some((parent, name)) = pointer.rsplit_once('/') else { continue };
        let parent = rest.pointer_mut(parent).and_then(Value::as_object_mut);
        if let Some(value) = parent.and_then(|fields| fields.remove(name)) {
            credentials.insert(Source::Manifest(pointer.clone()), &value);
        }
    }
    (rest, credentials)
}

/// The flat operator configuration with empty credentials, and the credentials.
#[must_use]
pub fn take_from_config(values: &Value) -> (Value, Credentials) {
    let mut rest = values.clone();
    let mut credentials = Credentials::default();
    for key in KEYS.iter().filter(|key| key.value_type == ValueType::Credential) {
        if let Some(field) = rest.get_mut(key.name) {
            credentials.insert(Source::Config(key.name.to_owned()), &field.take());
            *field = Value::String(String::new());
        }
    }
    (rest, credentials)
}

/// The manifest of [`take_from_manifest`] with a step's placeholders for these credentials.
pub fn show_in_manifest<'a>(manifest: &mut Value, step: &str, shown: impl IntoIterator<Item = &'a Source>) {
    for source in shown {
        let Source::Manifest(pointer) = source else { continue };
        let Some((parent, name)) = pointer.rsplit_once('/') else { continue };
        if let Some(Value::Object(fields)) = manifest.pointer_mut(parent) {
            fields.insert(name.to_owned(), source.placeholder(step).into());
        }
    }
}

/// The configuration of [`take_from_config`] with a step's placeholders for these credentials.
pub fn show_in_config<'a>(config: &mut Value, step: &str, shown: impl IntoIterator<Item = &'a Source>) {
    for source in shown {
        let Source::Config(key) = source else { continue };
        if let Some(field) = config.get_mut(key) {
            *field = source.placeholder(step).into();
        }
    }
}

/// Replaces the placeholders by the credentials, in place. After an error the object cannot be used.
///
/// # Errors
/// For a placeholder without a credential, for one inside a longer text, and for one that is not the value of a
/// container's variable.
pub fn fill(object: &mut Value, credentials: &Credentials) -> Result<(), Error> {
    let variables = Variables::of(object);
    fill_at(object, &Place::Start(""), &variables, credentials)
}

fn fill_at(
    value: &mut Value,
    place: &Place<'_>,
    variables: &Variables,
    credentials: &Credentials,
) -> Result<(), Error> {
    match value {
        Value::String(text) if text.contains(PREFIX) => {
            variables.check(text, place)?;
            *text = credentials.get(text, place)?;
            Ok(())
        }
        Value::Array(entries) => {
            let mut entries = entries.iter_mut().enumerate();
            entries.try_for_each(|(index, value)| fill_at(value, &Place::Entry(place, index), variables, credentials))
        }
        Value::Object(fields) => fields.iter_mut().try_for_each(|(name, value)| {
            let place = Place::Member(place, name);
            not_in_name(name, &place)?;
            fill_at(value, &place, variables, credentials)
        }),
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
    check_at(object, &Place::Start(""), &Variables::of(object), &|text, place| credentials.get(text, place).map(drop))
}

/// Whether a JSON text may hold a placeholder: it has the prefix, or a letter that is written as its number.
#[must_use]
pub fn may_be_in(json: &str) -> bool {
    json.contains(PREFIX) || json.contains("\\u")
}

/// Whether a step may contribute an object: each placeholder in it is one of `shown`, which are those that the step
/// was shown, and the value of a container's variable.
///
/// # Errors
/// The first placeholder that is refused.
pub fn check_contribution(object: &Value, shown: &BTreeSet<String>) -> Result<(), Error> {
    check_at(object, &Place::Start(""), &Variables::of(object), &|text, place| match shown.contains(text) {
        true => Ok(()),
        false if text.starts_with(PREFIX) => {
            Err(Error::NotShown { path: place.to_string(), placeholder: text.to_owned() })
        }
        false => Err(Error::Inside { path: place.to_string() }),
    })
}

fn check_at(
    value: &Value,
    place: &Place<'_>,
    variables: &Variables,
    known: &dyn Fn(&str, &Place<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    match value {
        Value::String(text) if text.contains(PREFIX) => {
            variables.check(text, place)?;
            known(text, place)
        }
        Value::Array(entries) => {
            let mut entries = entries.iter().enumerate();
            entries.try_for_each(|(index, value)| check_at(value, &Place::Entry(place, index), variables, known))
        }
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let place = Place::Member(place, name);
            not_in_name(name, &place)?;
            check_at(value, &place, variables, known)
        }),
        _ => Ok(()),
    }
}

fn not_in_name(name: &str, place: &Place<'_>) -> Result<(), Error> {
    match name.contains(PREFIX) {
        true => Err(Error::Misplaced { path: place.to_string() }),
        false => Ok(()),
    }
}

/// Where an object has variables of containers.
struct Variables {
    /// The path of the pod's `spec`; none if objects of the kind have no pods.
    pod: Option<String>,
}

impl Variables {
    fn of(object: &Value) -> Self {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let template = pod_template::path(text("apiVersion"), text("kind"));
        Self { pod: template.map(|path| format!("{}.spec", path.join("."))) }
    }

    /// Refuses a placeholder in another place than the value of a variable.
    fn check(&self, text: &str, place: &Place<'_>) -> Result<(), Error> {
        let path = place.to_string();
        match self.is_value(&path) {
            Some(()) => Ok(()),
            None if text.starts_with(PREFIX) => Err(Error::Misplaced { path }),
            None => Err(Error::Inside { path }),
        }
    }

    fn is_value(&self, path: &str) -> Option<()> {
        let rest = path.strip_prefix(self.pod.as_deref()?)?.strip_prefix('.')?;
        let rest = rest.strip_prefix("containers").or_else(|| rest.strip_prefix("initContainers"))?;
        let rest = behind_entry(behind_entry(rest)?.strip_prefix(".env")?)?;
        (rest == ".value").then_some(())
    }
}

/// What follows the index of a list entry.
fn behind_entry(path: &str) -> Option<&str> {
    let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
    index.parse::<usize>().ok().map(|_| rest)
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

    /// The sources of the credentials, in order.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.0.keys()
    }

    /// Empties each text of an existing object that is one of the credentials, or has one inside.
    pub fn hide_in(&self, value: &mut Value) {
        match value {
            Value::String(text) if self.is_in(text) => text.clear(),
            Value::Array(entries) => entries.iter_mut().for_each(|entry| self.hide_in(entry)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.hide_in(field)),
            _ => {}
        }
    }

    fn is_in(&self, text: &str) -> bool {
        // A short credential would be found in texts that have nothing to do with it.
        self.0.values().any(|value| text == value || value.len() >= MIN_PART && text.contains(value.as_str()))
    }

    fn insert(&mut self, source: Source, value: &Value) {
        if let Value::String(text) = value
            && !text.is_empty()
        {
            self.0.insert(source, text.clone());
        }
    }

    fn get(&self, text: &str, place: &Place<'_>) -> Result<String, Error> {
        let Some(rest) = text.strip_prefix(PREFIX) else { return Err(Error::Inside { path: place.to_string() }) };
        let secret = rest.split_once(':').and_then(|(_, source)| self.0.get(&Source::parse(source)?));
        secret.cloned().ok_or_else(|| Error::Unknown { path: place.to_string(), placeholder: text.to_owned() })
    }
}

#[cfg(test)]
mod tests;
