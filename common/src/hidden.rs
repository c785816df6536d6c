//! What a plugin sees in place of a secret value.

/// The start of the placeholder of a credential.
pub const PLACEHOLDER: &str = "pgloom-placeholder:";
/// The start of the hash of a Secret's value.
pub const HASH: &str = "hmac-sha256:";

/// Whether a text has one of them.
#[must_use]
pub fn has_hidden(text: &str) -> bool {
    text.contains(PLACEHOLDER) || text.contains(HASH)
}
