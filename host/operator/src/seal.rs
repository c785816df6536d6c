//! Sealed values: credentials of the manifest and of the operator configuration never reach a plugin.
//!
//! A plugin sees `pgloom-sealed:config:KEY` or `pgloom-sealed:manifest:POINTER` and copies that text to where the value
//! belongs; it is opened when the object is applied, and nowhere else.

use std::collections::BTreeMap;
use std::fmt;

use pgloom_api::config::{KEYS, Kind};
use serde_json::Value;

/// What every sealed value begins with.
pub const PREFIX: &str = "pgloom-sealed:";

/// Fields of the manifest that carry credentials.
const MANIFEST_POINTERS: [&str; 2] = ["/spec/clone/s3_access_key_id", "/spec/clone/s3_secret_access_key"];

/// What is behind the seals.
#[derive(Clone, Default, PartialEq)]
pub struct Seals(BTreeMap<String, String>);

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Seals {
    /// Replaces the credentials of both documents by sealed values.
    pub fn seal(manifest: &mut Value, config: &mut Value) -> Self {
        let mut seals = BTreeMap::new();
        for key in KEYS.iter().filter(|key| key.kind == Kind::Credential) {
            close(&mut seals, config.get_mut(key.name), format!("{PREFIX}config:{}", key.name));
        }
        for pointer in MANIFEST_POINTERS {
            close(&mut seals, manifest.pointer_mut(pointer), format!("{PREFIX}manifest:{pointer}"));
        }
        Self(seals)
    }

    /// Replaces sealed values by what is behind them. A seal that is not ours stays as it is.
    pub fn open(&self, object: &mut Value) {
        match object {
            Value::String(text) => {
                if let Some(value) = text.starts_with(PREFIX).then(|| self.0.get(text)).flatten() {
                    text.clone_from(value);
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.open(value)),
            Value::Object(map) => map.values_mut().for_each(|value| self.open(value)),
            _ => {}
        }
    }
}

fn close(seals: &mut BTreeMap<String, String>, value: Option<&mut Value>, seal: String) {
    if let Some(Value::String(text)) = value
        && !text.is_empty()
    {
        seals.insert(seal.clone(), std::mem::replace(text, seal));
    }
}

/// Where a document forges a seal, as a JSON pointer: whoever writes one into a manifest wants to see what is behind it.
pub fn forged(document: &Value) -> Option<String> {
    match document {
        Value::String(text) => text.starts_with(PREFIX).then(String::new),
        Value::Array(list) => {
            list.iter().enumerate().find_map(|(index, value)| Some(format!("/{index}{}", forged(value)?)))
        }
        Value::Object(map) => map.iter().find_map(|(key, value)| Some(format!("/{key}{}", forged(value)?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_credential_is_sealed_for_plugins_and_opened_for_the_api_server() {
        let mut manifest = json!({"spec": {"clone": {"s3_secret_access_key": "hunter2", "cluster": "c"}}});
        let mut config = json!({"scalyr_api_key": "", "logical_backup_s3_access_key_id": "AKIA", "docker_image": "i"});
        let seals = Seals::seal(&mut manifest, &mut config);
        assert_eq!(
            manifest["spec"]["clone"],
            json!({"s3_secret_access_key": "pgloom-sealed:manifest:/spec/clone/s3_secret_access_key", "cluster": "c"})
        );
        assert_eq!(config["scalyr_api_key"], "");
        let mut object = json!({"env": [
            {"name": "KEY", "value": config["logical_backup_s3_access_key_id"]},
            {"name": "SECRET", "value": manifest["spec"]["clone"]["s3_secret_access_key"]},
        ]});
        seals.open(&mut object);
        assert_eq!(object, json!({"env": [{"name": "KEY", "value": "AKIA"}, {"name": "SECRET", "value": "hunter2"}]}));
    }

    #[test]
    fn what_is_sealed_is_never_printed() {
        let mut config = json!({"scalyr_api_key": "hunter2"});
        let seals = Seals::seal(&mut json!({}), &mut config);
        assert!(!format!("{seals:?}").contains("hunter2"));
    }

    #[test]
    fn a_forged_seal_is_found() {
        let manifest = json!({"spec": {"sidecars": [{"env": [{"value": "pgloom-sealed:config:scalyr_api_key"}]}]}});
        assert_eq!(forged(&manifest).as_deref(), Some("/spec/sidecars/0/env/0/value"));
        assert_eq!(forged(&json!({"spec": {"a": "pgloom"}})), None);
    }
}
