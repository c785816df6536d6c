//! Signatures as cosign makes them: a signed statement about the digest of a manifest, in the same repository under a tag
//! of that digest. See
//! [its specification](https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md).
//!
//! They are verified by a key and nothing else: no transparency log is asked. As the specification says, the name in the
//! statement is not compared: a component may be copied to another repository together with its signatures.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::digest::Digest;
use crate::error::Error;
use crate::key::{PrivateKey, PublicKey};
use crate::manifest::{Descriptor, MANIFEST, Manifest};
use crate::reference::Reference;

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const TYPE: &str = "cosign container image signature";
/// The most signatures of a manifest that are tried.
const MOST: usize = 16;
/// The most bytes of a statement.
const MAX_PAYLOAD: u64 = 64 << 10;

/// A signature, whose statement is a blob.
#[derive(Debug)]
pub struct Signature {
    /// The digest of the statement.
    pub payload: Digest,
    /// The bytes of the statement.
    pub size: u64,
    signature: Vec<u8>,
}

/// The tag of the signatures of a manifest.
pub fn tag(digest: &Digest) -> String {
    format!("sha256-{}.sig", digest.hex())
}

/// The signatures in a manifest of signatures.
pub fn of_manifest(bytes: &[u8], reference: &Reference) -> Result<Vec<Signature>, Error> {
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|_| refused(reference))?;
    let signatures = manifest.layers.iter().filter(|layer| layer.media_type == PAYLOAD && layer.size <= MAX_PAYLOAD);
    let signatures = signatures.filter_map(|layer| {
        let signature = STANDARD.decode(layer.annotations.get(SIGNATURE)?).ok()?;
        Some(Signature { payload: layer.digest.parse().ok()?, size: layer.size, signature })
    });
    Ok(signatures.take(MOST).collect())
}

fn refused(reference: &Reference) -> Error {
    Error::Layout {
        reference: reference.to_string(),
        reason: "what is under the tag of its signatures is no manifest".to_owned(),
    }
}

impl Signature {
    /// Whether one of the keys signed a statement about this digest.
    pub fn verify(&self, payload: &[u8], digest: &Digest, keys: &[PublicKey]) -> Result<(), &'static str> {
        if !keys.iter().any(|key| key.verifies(payload, &self.signature)) {
            return Err("another key made it, or it is damaged");
        }
        let statement: Value = serde_json::from_slice(payload).map_err(|_| "its statement is no JSON")?;
        let critical = &statement["critical"];
        if critical["type"] != TYPE {
            return Err("its statement is of another type");
        }
        if critical["image"]["docker-manifest-digest"] != digest.to_string() {
            return Err("its statement is about another digest");
        }
        Ok(())
    }
}

/// The statement about a digest.
pub fn payload(reference: &Reference, digest: &Digest) -> Vec<u8> {
    let name = format!("{}/{}", reference.host(), reference.repository());
    let statement = json!({
        "critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": digest.to_string()},
            "type": TYPE,
        },
        "optional": null,
    });
    statement.to_string().into_bytes()
}

/// The manifest with one more signature, and its config if that is new.
pub fn add(
    before: Option<&[u8]>,
    payload: &[u8],
    key: &PrivateKey,
    reference: &Reference,
) -> Result<(Manifest, Option<Vec<u8>>), Error> {
    let mut layers = match before {
        None => Vec::new(),
        Some(bytes) => serde_json::from_slice::<Manifest>(bytes).map_err(|_| refused(reference))?.layers,
    };
    // A signature of the same statement by the same key is replaced.
    let digest = Digest::of(payload).to_string();
    layers.retain(|layer| {
        let signature = layer.annotations.get(SIGNATURE).and_then(|text| STANDARD.decode(text).ok());
        layer.digest != digest || !signature.is_some_and(|signature| key.public().verifies(payload, &signature))
    });
    let signature = STANDARD.encode(key.sign(payload)?);
    let annotations = BTreeMap::from([(SIGNATURE.to_owned(), signature)]);
    layers.push(Descriptor { annotations, ..Descriptor::of(PAYLOAD, payload) });
    let identities: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
    let config = json!({
        "architecture": "", "config": {}, "created": "0001-01-01T00:00:00Z", "os": "",
        "rootfs": {"type": "layers", "diff_ids": identities},
    });
    let config = config.to_string().into_bytes();
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        config: Descriptor::of(CONFIG, &config),
        layers,
        annotations: BTreeMap::new(),
    };
    Ok((manifest, Some(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVATE: &str = include_str!("../tests/keys/private.pem");

    fn signed(statement: &[u8]) -> (Signature, PublicKey) {
        let key = PrivateKey::read(PRIVATE).unwrap();
        let (payload, size) = (Digest::of(statement), statement.len() as u64);
        (Signature { payload, size, signature: key.sign(statement).unwrap() }, key.public())
    }

    #[test]
    fn a_signature_is_of_a_trusted_key_and_about_the_digest() {
        let reference: Reference = "ghcr.io/example/tls:1".parse().unwrap();
        let digest = Digest::of(b"manifest");
        let statement = payload(&reference, &digest);
        let (signature, key) = signed(&statement);
        let other = PublicKey::read(include_str!("../tests/keys/other.pem")).unwrap();
        assert_eq!(signature.verify(&statement, &digest, &[other.clone(), key.clone()]), Ok(()));
        assert!(signature.verify(&statement, &digest, &[other]).unwrap_err().contains("another key"));
        assert!(
            signature
                .verify(&statement, &Digest::of(b"x"), std::slice::from_ref(&key))
                .unwrap_err()
                .contains("another digest")
        );
        let (signature, _) = signed(b"{}");
        assert!(signature.verify(b"{}", &digest, &[key]).unwrap_err().contains("another type"));
    }

    #[test]
    fn a_second_key_adds_a_signature_and_the_same_key_replaces_its_own() {
        let reference: Reference = "ghcr.io/example/tls:1".parse().unwrap();
        let (statement, key) = (payload(&reference, &Digest::of(b"manifest")), PrivateKey::read(PRIVATE).unwrap());
        let (first, _) = add(None, &statement, &key, &reference).unwrap();
        let mut of_other = first.clone();
        of_other.layers[0].annotations.insert(SIGNATURE.into(), "AAAA".into());
        let add_to = |manifest: &Manifest| {
            add(Some(&serde_json::to_vec(manifest).unwrap()), &statement, &key, &reference).unwrap().0
        };
        assert_eq!(add_to(&first).layers.len(), 1);
        assert_eq!(add_to(&of_other).layers.len(), 2);
    }
}
