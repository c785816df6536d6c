//! Why a component is not pulled or pushed. No message has a credential or a part of an address but its host.

use crate::digest::Digest;

/// A failure of a registry, of what it sent, or of what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not a reference.
    #[error("{text:?} is no reference to a component in a registry: {reason}")]
    Reference {
        /// The text.
        text: String,
        /// What is wrong with it, and the remedy.
        reason: &'static str,
    },
    /// The certificate authorities cannot be read.
    #[error(
        "there are no certificate authorities to verify registry {host} by: {reason}; name a file of them, or set SSL_CERT_FILE"
    )]
    Authorities {
        /// The registry.
        host: String,
        /// Why not.
        reason: String,
    },
    /// There is no connection to the registry.
    #[error("registry {host} cannot be reached: {reason}; check the host and the port")]
    Reach {
        /// The host.
        host: String,
        /// The reason.
        reason: String,
    },
    /// What answers does not speak TLS, or has a certificate of an authority that is not known.
    #[error(
        "registry {host} answers, but there is no TLS with it: {reason}; check the certificate authorities (--registry-ca), or \
         name it in --registry-plain-http if it has no TLS"
    )]
    Tls {
        /// The host.
        host: String,
        /// The reason.
        reason: String,
    },
    /// What answers is no HTTP, or ends before its end.
    #[error(
        "registry {host} answers, but not as a registry does: {reason}; check the host, the port, and what is between"
    )]
    Speak {
        /// The host.
        host: String,
        /// The reason.
        reason: String,
    },
    /// The work took too long.
    #[error(
        "registry {host} did not send or take all within {seconds} s; raise --registry-time, or check the connection"
    )]
    Time {
        /// The host.
        host: String,
        /// The limit.
        seconds: u64,
    },
    /// The registry refuses the request.
    #[error(
        "registry {host} refuses access to {repository} ({status}); {}",
        if *.with_credentials {
            "check the credentials for it, and what they may do"
        } else {
            "there are no credentials for it: give some, and check the name"
        }
    )]
    Denied {
        /// The host.
        host: String,
        /// The repository.
        repository: String,
        /// The HTTP status.
        status: u16,
        /// Whether the request had credentials.
        with_credentials: bool,
    },
    /// The registry asks for credentials in a way that is not known or not safe.
    #[error("registry {host} asks for credentials {how}; ask who runs it for another way")]
    Challenge {
        /// The host.
        host: String,
        /// In which way.
        how: &'static str,
    },
    /// What is wanted does not exist.
    #[error("registry {host} has no {what}; check the reference")]
    Missing {
        /// The host.
        host: String,
        /// What is wanted.
        what: String,
    },
    /// The registry limits requests.
    #[error(
        "registry {host} limits requests (429); {}",
        .after.map_or_else(|| "try it again later".to_owned(), |after| format!("it asks to wait {after} s"))
    )]
    Busy {
        /// The host.
        host: String,
        /// The seconds that it asks to wait.
        after: Option<u64>,
    },
    /// The registry answers with another status.
    #[error(
        "registry {host} answers a request for {what} with status {status}{code}; {}",
        match *.status {
            405 => "it does not take this; check the reference, and whether it is a registry that takes pushes",
            413 => "it takes nothing as large as this; make the component smaller, or ask who runs it for a higher limit",
            500.. => "try it again later, or ask who runs it",
            _ => "check the reference",
        }
    )]
    Status {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The code of the error in brackets, if there is one.
        code: String,
    },
    /// A redirection is not followed.
    #[error("registry {host} redirects a request {how}; check the reference, or ask who runs it")]
    Redirect {
        /// The host.
        host: String,
        /// Where to.
        how: String,
    },
    /// An answer is too large.
    #[error("registry {host} sent more than {most} bytes for {what}; {remedy}")]
    Large {
        /// The host.
        host: String,
        /// For what.
        what: String,
        /// The limit.
        most: u64,
        /// What can be done.
        remedy: &'static str,
    },
    /// The answer is no manifest of a component.
    #[error("{reference} is no component: {reason}")]
    Layout {
        /// The reference.
        reference: String,
        /// What it is instead.
        reason: String,
    },
    /// The answer has another digest.
    #[error(
        "registry {host} sent a {what} with digest {actual} in place of {wanted}; what it has is damaged or forged: push it \
         again"
    )]
    VerifyDigest {
        /// The host.
        host: String,
        /// A manifest, a component or a signature.
        what: &'static str,
        /// The digest that was asked for.
        wanted: Digest,
        /// The digest of what was sent.
        actual: Digest,
    },
    /// There is no signature.
    #[error(
        "{reference} with digest {digest} is not signed; sign it by `pgloom plugin push --sign-key`, or by cosign with a key and \
         --new-bundle-format=false (docs/shipping.md)"
    )]
    VerifyUnsigned {
        /// The reference.
        reference: String,
        /// The digest of the manifest.
        digest: Digest,
    },
    /// No signature is by one of the keys.
    #[error(
        "none of the {signatures} signatures of {reference} with digest {digest} is by a key that is trusted here: {reason}; sign it \
         by the private key of one of them, or correct the public keys"
    )]
    VerifySignature {
        /// The reference.
        reference: String,
        /// The digest of the manifest.
        digest: Digest,
        /// How many signatures there are.
        signatures: usize,
        /// Why the last one is not accepted.
        reason: &'static str,
    },
    /// The key cannot be used.
    #[error("the key cannot be used: {0}")]
    Key(&'static str),
    /// The credentials cannot be read.
    #[error("the credentials cannot be read: {0}")]
    Credentials(String),
    /// The component cannot be pushed.
    #[error("the file is no component: {0}")]
    Component(String),
}

impl Error {
    /// Whether what was fetched is not what was wanted, in contrast to a fetch that failed.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        matches!(
            self,
            Self::VerifyDigest { .. } | Self::VerifyUnsigned { .. } | Self::VerifySignature { .. } | Self::Key(_)
        )
    }
}
