//! Credentials taken out of what plugins see, and put back where a plugin has copied their seals to.
//!
//! A seal is a text that says where the credential came from, as in `pgloom-sealed:config:scalyr_api_key`. A plugin copies it
//! whole; only the host, which holds the [`Secrets`], can open it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::config::{KEYS, Kind};
use crate::problem::Place;

/// What every seal starts with.
pub const PREFIX: &str = "pgloom-sealed:";

/// Where a manifest holds credentials.
const MANIFEST: [&str; 2] = ["/spec/clone/s3_access_key_id", "/spec/clone/s3_secret_access_key"];

/// The credentials behind seals. Shows none of them.
#[derive(Clone, Default, PartialEq)]
pub struct Secrets(BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why an object cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody has sealed it.
    #[error("{path} holds the seal {seal:?}, and nothing was sealed by it")]
    Unknown {
        /// The field.
        path: String,
        /// The text.
        seal: String,
    },
    /// Only a whole text can be opened.
    #[error("{path} holds a seal inside a longer text; a plugin has to copy it whole")]
    Inside {
        /// The field.
        path: String,
    },
}

/// The manifest with its credentials sealed.
#[must_use]
pub fn seal_manifest(manifest: &Value) -> (Value, Secrets) {
    let mut sealed = manifest.clone();
    let mut secrets = Secrets::default();
    for pointer in MANIFEST {
        if let Some(field) = sealed.pointer_mut(pointer) {
            secrets.take(field, format!("{PREFIX}manifest:{pointer}"));
        }
    }
    (sealed, secrets)
}

/// The flat operator configuration with its credentials sealed.
#[must_use]
pub fn seal_config(values: &Value) -> (Value, Secrets) {
    let mut sealed = values.clone();
    let mut secrets = Secrets::default();
    for key in KEYS.iter().filter(|key| key.kind == Kind::Credential) {
        if let Some(field) = sealed.get_mut(key.name) {
            secrets.take(field, format!("{PREFIX}config:{}", key.name));
        }
    }
    (sealed, secrets)
}

/// Puts the credentials back, in place. On an error the object is not to be used.
pub fn open(object: &mut Value, secrets: &Secrets) -> Result<(), Error> {
    open_at(object, &Place::Start(""), secrets)
}

fn open_at(value: &mut Value, place: &Place<'_>, secrets: &Secrets) -> Result<(), Error> {
    match value {
        Value::String(text) if text.contains(PREFIX) => {
            *text = secrets.opened(text, place)?;
            Ok(())
        }
        Value::Array(entries) => {
            let mut entries = entries.iter_mut().enumerate();
            entries.try_for_each(|(index, value)| open_at(value, &Place::Entry(place, index), secrets))
        }
        Value::Object(fields) => {
            let mut fields = fields.iter_mut();
            fields.try_for_each(|(name, value)| open_at(value, &Place::Member(place, name), secrets))
        }
        _ => Ok(()),
    }
}

/// Whether [`open`] would open every seal; changes nothing.
pub fn check(object: &Value, secrets: &Secrets) -> Result<(), Error> {
    check_at(object, &Place::Start(""), secrets)
}

fn check_at(value: &Value, place: &Place<'_>, secrets: &Secrets) -> Result<(), Error> {
    match value {
        Value::String(text) if text.contains(PREFIX) => secrets.opened(text, place).map(drop),
        Value::Array(entries) => {
            let mut entries = entries.iter().enumerate();
            entries.try_for_each(|(index, value)| check_at(value, &Place::Entry(place, index), secrets))
        }
        Value::Object(fields) => {
            fields.iter().try_for_each(|(name, value)| check_at(value, &Place::Member(place, name), secrets))
        }
        _ => Ok(()),
    }
}

/// The first field, name or text, that holds what looks like a seal. Whatever a user may write has to be asked: else a user
/// could have a credential of the operator opened by naming its seal.
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

impl Secrets {
    /// Adds the credentials of another document.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn take(&mut self, field: &mut Value, seal: String) {
        if let Value::String(text) = field
            && !text.is_empty()
        {
            self.0.insert(seal.clone(), std::mem::replace(text, seal));
        }
    }

    fn opened(&self, text: &str, place: &Place<'_>) -> Result<String, Error> {
        match self.0.get(text) {
            Some(secret) => Ok(secret.clone()),
            None if text.starts_with(PREFIX) => Err(Error::Unknown { path: place.to_string(), seal: text.to_owned() }),
            None => Err(Error::Inside { path: place.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_sealed_can_be_copied_and_opened() {
        let manifest =
            json!({"spec": {"clone": {"cluster": "a", "s3_access_key_id": "id", "s3_secret_access_key": "hush"}}});
        let (sealed, mut secrets) = seal_manifest(&manifest);
        assert_eq!(
            sealed["spec"]["clone"]["s3_secret_access_key"],
            "pgloom-sealed:manifest:/spec/clone/s3_secret_access_key"
        );
        assert_eq!(sealed["spec"]["clone"]["cluster"], "a");

        let config = json!({"logical_backup_s3_secret_access_key": "quiet", "scalyr_api_key": "", "docker_image": "x"});
        let (sealed_config, more) = seal_config(&config);
        assert_eq!(
            sealed_config,
            json!({"logical_backup_s3_secret_access_key": "pgloom-sealed:config:logical_backup_s3_secret_access_key", "scalyr_api_key": "", "docker_image": "x"})
        );
        secrets.extend(more);

        let mut object = json!({"env": [
            {"name": "A", "value": sealed["spec"]["clone"]["s3_secret_access_key"]},
            {"name": "B", "value": sealed_config["logical_backup_s3_secret_access_key"]},
            {"name": "C", "value": "plain"},
        ]});
        open(&mut object, &secrets).unwrap();
        assert_eq!(
            object,
            json!({"env": [{"name": "A", "value": "hush"}, {"name": "B", "value": "quiet"}, {"name": "C", "value": "plain"}]})
        );
    }

    #[test]
    fn what_is_sealed_is_never_printed() {
        let (_, secrets) = seal_config(&json!({"scalyr_api_key": "hunter2"}));
        assert_eq!(format!("{secrets:?}"), r#"{"pgloom-sealed:config:scalyr_api_key"}"#);
    }

    #[test]
    fn a_check_says_what_opening_would_say() {
        let (sealed, secrets) = seal_config(&json!({"scalyr_api_key": "hunter2"}));
        let objects =
            [sealed, json!({"a": ["pgloom-sealed:config:nothing"]}), json!({"a": "x pgloom-sealed:config:b"})];
        let results = objects.map(|object| (check(&object, &secrets), open(&mut object.clone(), &secrets)));
        assert!(results[0].0.is_ok() && results[1].0.is_err() && results[2].0.is_err());
        for (checked, opened) in results {
            assert_eq!(checked, opened);
        }
    }

    #[test]
    fn a_seal_that_nobody_made_or_that_is_not_whole_is_refused() {
        let secrets = Secrets::default();
        let mut object = json!({"a": [{"b.c": "pgloom-sealed:config:nothing"}]});
        let error = open(&mut object, &secrets).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"a[0]["b.c"] holds the seal "pgloom-sealed:config:nothing", and nothing was sealed by it"#
        );
        let mut object = json!({"a": "key=pgloom-sealed:config:scalyr_api_key"});
        assert_eq!(open(&mut object, &secrets), Err(Error::Inside { path: "a".to_owned() }));
    }

    #[test]
    fn a_forged_seal_is_found_in_texts_and_in_names() {
        assert_eq!(
            forged(&json!({"spec": {"env": [{"value": "pgloom-sealed:config:scalyr_api_key"}]}})),
            Some("spec.env[0].value".to_owned())
        );
        assert_eq!(
            forged(&json!({"labels": {"pgloom-sealed:x": ""}})),
            Some(r#"labels["pgloom-sealed:x"]"#.to_owned())
        );
        assert_eq!(forged(&json!({"spec": {"teamId": "acid", "n": 1, "list": [null, true]}})), None);
    }
}
