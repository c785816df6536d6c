//! The search for secret values in texts, in every usual encoding.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A secret value that must not be found, and its origin, which a report may name.
#[derive(Clone)]
pub struct Canary {
    /// Where the value entered, as in `the Secret of postgres`.
    pub origin: String,
    secret: String,
}

impl Canary {
    /// A value of an origin.
    pub fn new(origin: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { origin: origin.into(), secret: secret.into() }
    }

    /// The encodings in which a text holds the value; the text itself is not returned.
    pub fn found_in(&self, text: &str) -> Vec<&'static str> {
        let found = encodings(&self.secret).into_iter().filter(|(_, encoded)| text.contains(encoded));
        let mut names: Vec<&'static str> = found.map(|(name, _)| name).collect();
        names.dedup();
        names
    }
}

/// A value that no other text holds, with characters that each encoding writes in another way.
pub fn value(name: &str) -> String {
    format!("canary+of/{name}?=7\"\\")
}

/// The forms of a value in a text.
fn encodings(secret: &str) -> Vec<(&'static str, String)> {
    let bytes = secret.as_bytes();
    let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let json = serde_json::Value::from(secret).to_string();
    let mut forms = vec![
        ("plain", secret.to_owned()),
        ("JSON", json.trim_matches('"').to_owned()),
        ("JSON in JSON", serde_json::Value::from(json.trim_matches('"')).to_string().trim_matches('"').to_owned()),
        ("hex", hexadecimal.to_uppercase()),
        ("hex", hexadecimal),
        ("URL", percent(bytes, |byte| format!("%{byte:02X}"))),
        ("URL", percent(bytes, |byte| format!("%{byte:02x}"))),
    ];
    // A longer text may hold the value at any offset from the groups of three bytes that base64 encodes.
    for offset in 0..3 {
        let shifted = [&vec![0; offset][..], bytes].concat();
        let whole = shifted.len() / 3 * 3;
        let start = [0, 2, 3][offset];
        forms.push(("base64", STANDARD_NO_PAD.encode(&shifted[..whole])[start..].to_owned()));
        forms.push(("base64", URL_SAFE_NO_PAD.encode(&shifted[..whole])[start..].to_owned()));
    }
    forms
}

/// All but letters, digits and the marks that need no encoding (RFC 3986).
fn percent(bytes: &[u8], encode: impl Fn(u8) -> String) -> String {
    let form = |byte: &u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => encode(*byte),
    };
    bytes.iter().map(form).collect()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    #[test]
    fn a_value_is_found_in_every_encoding_and_at_every_place() {
        let secret = value("test");
        let canary = Canary::new("a test", &secret);
        for before in ["", "a", "ab", "abc"] {
            let text = format!("{before}{secret} and more");
            let url = percent(text.as_bytes(), |byte| format!("%{byte:02X}"));
            let hexadecimal: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(canary.found_in(&text), ["plain"]);
            assert_eq!(canary.found_in(&serde_json::json!({"key": text}).to_string()), ["JSON"]);
            assert_eq!(canary.found_in(&STANDARD.encode(&text)), ["base64"]);
            assert_eq!(canary.found_in(&URL_SAFE.encode(&text)), ["base64"]);
            assert_eq!(canary.found_in(&hexadecimal), ["hex"]);
            assert_eq!(canary.found_in(&hexadecimal.to_uppercase()), ["hex"]);
            assert_eq!(canary.found_in(&url), ["URL"]);
        }
        assert!(canary.found_in(&value("another")).is_empty());
    }
}
