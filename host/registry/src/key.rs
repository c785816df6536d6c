//! Keys for signatures: ECDSA on the curve P-256, as `cosign generate-key-pair` and `openssl` make them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};

use crate::error::Error;

/// What precedes the 65 bytes of the point in a public key for P-256: `SubjectPublicKeyInfo` of RFC 5480.
const PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const NOT_PUBLIC: &str =
    "give a public key of ECDSA on the curve P-256 in the PEM format, which begins with BEGIN PUBLIC KEY";
const NOT_PRIVATE: &str =
    "give a private key of ECDSA on the curve P-256 in the PEM format, which begins with BEGIN PRIVATE KEY";
const ENCRYPTED: &str = "it is encrypted by cosign; sign with cosign, or make a key by `openssl genpkey -algorithm EC \
                         -pkeyopt ec_paramgen_curve:P-256`, which `cosign import-key-pair` takes, too";
const ENCRYPTED_BY_OPENSSL: &str = "it is encrypted; decrypt it by `openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW`";
const OLD_FORM: &str =
    "it has the form BEGIN EC PRIVATE KEY; convert it by `openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW`";

/// A key by which signatures are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

/// A key that signs. It has no `Debug`.
pub struct PrivateKey(EcdsaKeyPair);

impl PublicKey {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// If it is no such key.
    pub fn read(text: &str) -> Result<Self, Error> {
        let der = pem(text, "PUBLIC KEY").ok_or(Error::Key(NOT_PUBLIC))?;
        match der.strip_prefix(&PREFIX) {
            Some(point) if point.len() == 65 && point.first() == Some(&4) => Ok(Self(point.to_vec())),
            _ => Err(Error::Key(NOT_PUBLIC)),
        }
    }

    /// Whether this key signed these bytes.
    pub(crate) fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(bytes, signature).is_ok()
    }
}

impl PrivateKey {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// If it is no such key.
    pub fn read(text: &str) -> Result<Self, Error> {
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(Error::Key(ENCRYPTED_BY_OPENSSL));
        }
        if text.contains("BEGIN ENCRYPTED") {
            return Err(Error::Key(ENCRYPTED));
        }
        if text.contains("BEGIN EC PRIVATE KEY") {
            return Err(Error::Key(OLD_FORM));
        }
        let der = pem(text, "PRIVATE KEY").ok_or(Error::Key(NOT_PRIVATE))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der, &SystemRandom::new());
        pair.map(Self).map_err(|_| Error::Key(NOT_PRIVATE))
    }

    /// The key that verifies its signatures.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().to_vec())
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.sign(&SystemRandom::new(), bytes);
        signature
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| Error::Key("the system gives no random numbers"))
    }
}

/// The bytes of the first block with this label.
fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` and `openssl pkey -pubout`.
    const PRIVATE: &str = include_str!("../tests/keys/private.pem");
    const PUBLIC: &str = include_str!("../tests/keys/public.pem");

    #[test]
    fn what_a_key_signs_is_verified_by_its_public_key_and_by_no_other() {
        let (private, public) = (PrivateKey::read(PRIVATE).unwrap(), PublicKey::read(PUBLIC).unwrap());
        assert_eq!(private.public(), public);
        let signature = private.sign(b"payload").unwrap();
        assert!(public.verifies(b"payload", &signature));
        assert!(!public.verifies(b"another", &signature));
        let other = PublicKey::read(include_str!("../tests/keys/other.pem")).unwrap();
        assert!(!other.verifies(b"payload", &signature));
    }

    #[test]
    fn a_signature_of_openssl_is_verified() {
        let signature = include_bytes!("../tests/keys/payload.sig");
        assert!(PublicKey::read(PUBLIC).unwrap().verifies(b"payload", signature));
    }

    #[test]
    fn a_key_of_another_kind_gets_a_sentence_and_is_not_printed() {
        let message = |text: &str| PrivateKey::read(text).err().unwrap().to_string();
        assert!(message("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA").contains("encrypted by cosign"));
        assert!(message("-----BEGIN EC PRIVATE KEY-----\nAAAA").contains("openssl pkcs8"));
        assert!(message(PUBLIC).contains("BEGIN PRIVATE KEY"));
        assert!(PublicKey::read(PRIVATE).unwrap_err().to_string().contains("BEGIN PUBLIC KEY"));
    }
}
