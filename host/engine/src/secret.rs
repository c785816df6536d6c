//! A Secret as plugins see it: with hashes in place of its values.

use hmac::{Hmac, KeyInit, Mac};
use pgloom_common::hidden::HASH;
use serde_json::Value;
use sha2::Sha256;

/// The fields of a Secret with its values.
const FIELDS: [&str; 2] = ["data", "stringData"];

/// How many bytes of a hash are shown: enough that two values have different hashes.
const SHOWN: usize = 16;

/// Replaces the values of a Secret by hashes, so that a plugin can notice a change and nothing else; `uid` is the uid of
/// the Secret.
///
/// A plain hash would let the plugin test guesses of a weak value, so the hash has a key that no plugin knows. The key
/// must be the same after a restart, and on every replica of the operator: a plugin may write the hash into a pod
/// template to have pods restarted when the value changes. The uid is such a key: the API server makes it of 122 random
/// bits, it stays as long as the Secret, and only who may read the Secret, and so the value, can read it. A plugin
/// cannot: the uid is not among the fields that are shown. A key of the operator's own would have to be kept somewhere,
/// and a decision would depend on more than the manifest, the configuration and the existing objects.
///
/// A Secret of a file may have no uid. Who renders with it has its values.
pub(crate) fn hide_values(secret: &mut Value, uid: &str) {
    for field in FIELDS {
        let Some(Value::Object(values)) = secret.get_mut(field) else { continue };
        for (name, value) in values {
            *value = Value::String(hash(uid, name, value.as_str().unwrap_or_default()));
        }
    }
    if let Some(metadata) = secret.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("uid");
    }
}

/// The hash of the value with this name. Equal values of two names have different hashes, because that they are equal
/// says something about both.
fn hash(uid: &str, name: &str, value: &str) -> String {
    // A key of any length is accepted.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(uid.as_bytes()) else { return String::new() };
    // A name has no zero byte, so that no two pairs are the same bytes.
    for part in [name.as_bytes(), &[0], value.as_bytes()] {
        mac.update(part);
    }
    let digest = mac.finalize().into_bytes();
    digest.iter().take(SHOWN).fold(String::from(HASH), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sha2::Digest;

    use super::*;

    fn shown(uid: &str, data: Value) -> Value {
        let mut secret = json!({"kind": "Secret", "metadata": {"name": "s", "uid": uid}, "data": data});
        hide_values(&mut secret, uid);
        secret
    }

    #[test]
    fn a_hash_changes_with_the_value_and_with_nothing_else() {
        let of = |value: &str| shown("u", json!({"k": value}))["data"]["k"].clone();
        assert_eq!(of("YQ=="), of("YQ=="), "a restart of the operator changes no hash");
        assert_eq!(of("YQ=="), "hmac-sha256:89143cd946aeba60f56fae226e854c12");
        assert_ne!(of("YQ=="), of("Yg=="));
    }

    #[test]
    fn a_guess_of_a_value_cannot_be_tested_against_its_hash() {
        let guess = "aHVudGVyMg==";
        let shown_to = |uid: &str| shown(uid, json!({"k": guess}));
        let one = shown_to("1f1c7b5a-5d0e-4a7e-8f55-d6e3d1f4a1a1");
        let other = shown_to("9d2b6d0c-0d56-4f0e-9f0e-0f6b7f9a2c3d");
        assert_ne!(one["data"]["k"], other["data"]["k"], "the hash depends on what the plugin does not see");
        assert_eq!(one["metadata"], json!({"name": "s"}), "the plugin does not see it");
        let plain: String = Sha256::digest(guess).iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
        assert!(!one.to_string().contains(&plain));
    }

    #[test]
    fn that_two_values_of_a_secret_are_equal_is_not_shown() {
        let secret = shown("u", json!({"a": "YQ==", "b": "YQ=="}));
        assert_ne!(secret["data"]["a"], secret["data"]["b"]);
    }

    #[test]
    fn a_value_that_looks_like_a_hash_is_hidden_as_any_other() {
        let secret = shown("u", json!({"a": "sha256:00"}));
        assert_ne!(secret["data"]["a"], "sha256:00");
    }
}
