//! Manifests: that of a component, and that of signatures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::error::Error;

/// The media types of a manifest, of the description of a component, and of a component.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub const COMPONENT: &str = "application/wasm";
/// The most bytes of a manifest.
pub const MAX_MANIFEST: u64 = 256 << 10;

/// A manifest, see <https://github.com/opencontainers/image-spec/blob/main/manifest.md>.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A reference to a blob.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        let (media_type, digest) = (media_type.to_owned(), Digest::of(bytes).to_string());
        Self { media_type, digest, size: bytes.len() as u64, annotations: BTreeMap::new() }
    }
}

/// The digest and the size of the component that a manifest is about.
pub fn component(bytes: &[u8], reference: &str) -> Result<(Digest, u64), Error> {
    let refuse = |reason: String| Error::Layout { reference: reference.to_owned(), reason };
    let document: Value = serde_json::from_slice(bytes)
        .map_err(|_| refuse("the answer is no JSON; what answers may be a login page, or no registry".to_owned()))?;
    if document.get("manifests").is_some() {
        return Err(refuse("it is an index of several manifests; give the digest of one of them".to_owned()));
    }
    let manifest: Manifest = serde_json::from_value(document)
        .map_err(|_| refuse("the answer is no OCI manifest; push it again by `pgloom plugin push`".to_owned()))?;
    let found = text(&manifest.config.media_type);
    if manifest.config.media_type != CONFIG {
        return Err(refuse(format!(
            "its config has the media type {found}, not {CONFIG}; push it by `pgloom plugin push`, or by `wkg oci push`"
        )));
    }
    let [layer] = &manifest.layers[..] else {
        return Err(refuse(format!(
            "it has {} layers, not one; push the component alone by `pgloom plugin push`",
            manifest.layers.len()
        )));
    };
    if layer.media_type != COMPONENT {
        return Err(refuse(format!("its layer has the media type {}, not {COMPONENT}", text(&layer.media_type))));
    }
    let digest = layer.digest.parse().map_err(|()| refuse("the digest of its layer is not a SHA-256".to_owned()))?;
    Ok((digest, layer.size))
}

/// The text of another in a message: short, in quotes.
fn text(text: &str) -> String {
    format!("{:?}", text.chars().take(100).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_component_gets_a_sentence() {
        let digest = Digest::of(b"x").to_string();
        let descriptor = |media_type: &str| json!({"mediaType": media_type, "digest": digest, "size": 1});
        let manifest =
            |config: &str, layers: Value| json!({"schemaVersion": 2, "config": descriptor(config), "layers": layers});
        let good = manifest(CONFIG, json!([descriptor(COMPONENT)])).to_string();
        assert_eq!(component(good.as_bytes(), "x").unwrap(), (Digest::of(b"x"), 1));
        for (text, reason) in [
            ("<html>".to_owned(), "login page"),
            (json!({"manifests": []}).to_string(), "an index of several"),
            (json!({"schemaVersion": 1}).to_string(), "no OCI manifest"),
            (
                manifest("application/vnd.oci.image.config.v1+json", json!([])).to_string(),
                "its config has the media type",
            ),
            (manifest(CONFIG, json!([])).to_string(), "0 layers"),
            (
                manifest(CONFIG, json!([descriptor("text/html")])).to_string(),
                "its layer has the media type \"text/html\"",
            ),
            (good.replace("sha256:", "sha512:"), "not a SHA-256"),
        ] {
            let error = component(text.as_bytes(), "ghcr.io/x:1").unwrap_err().to_string();
            assert!(error.starts_with("ghcr.io/x:1 is no component: ") && error.contains(reason), "{error}");
        }
    }
}
