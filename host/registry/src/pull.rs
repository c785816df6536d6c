//! Pull: the manifest, the component, and the signatures, each checked by its digest.

use http::Method;

use crate::digest::Digest;
use crate::error::Error;
use crate::http::{Ask, Session};
use crate::manifest::{self, MANIFEST, MAX_MANIFEST};
use crate::{Client, Credentials, PublicKey, Reference, signature};

/// A component from a registry.
#[derive(Debug)]
pub struct Pulled {
    /// The digest of the manifest, by which the component is pinned in a reference.
    pub digest: Digest,
    /// The bytes of the component.
    pub component: Vec<u8>,
}

impl Client {
    /// Pulls a component. With keys, it must have a signature by one of them. A reference with a digest whose component is
    /// in the cache is not asked for.
    ///
    /// # Errors
    /// If it cannot be fetched, or is not what the reference and the keys say, see [`Error::is_verification`].
    pub async fn pull(
        &self,
        reference: &Reference,
        credentials: &Credentials,
        keys: &[PublicKey],
    ) -> Result<Pulled, Error> {
        let mut session = Session::new(&self.transport, reference, credentials, "pull")?;
        self.in_time(reference, async {
            let bytes = self.manifest(&mut session, reference).await?;
            let digest = Digest::of(&bytes);
            // Before the component: what is not signed is not even fetched.
            if !keys.is_empty() {
                self.verify(&mut session, reference, &digest, keys).await?;
            }
            let (layer, size) = manifest::component(&bytes, &reference.to_string())?;
            let most = self.settings.max_component;
            if size > most {
                let (host, what) = (reference.host().to_owned(), "the component".to_owned());
                let remedy = "make it smaller, or raise --max-component";
                return Err(Error::Large { host, what, most, remedy });
            }
            let component = self.blob(&mut session, &layer, size, "component").await?;
            Ok(Pulled { digest, component })
        })
        .await
    }

    /// Pulls the component of a reference as a text, with keys in the PEM format.
    ///
    /// # Errors
    /// As [`pull`](Self::pull), and if the texts are no reference or no keys.
    pub async fn pull_named(
        &self,
        reference: &str,
        credentials: &Credentials,
        keys: &[String],
    ) -> Result<(Reference, Pulled), Error> {
        let reference: Reference = reference.parse()?;
        let keys: Vec<PublicKey> = keys.iter().map(|key| PublicKey::read(key)).collect::<Result<_, _>>()?;
        let pulled = self.pull(&reference, credentials, &keys).await?;
        Ok((reference, pulled))
    }

    /// The digest of the manifest that a tag leads to now. Of a reference with a digest it is that one, without a request.
    ///
    /// # Errors
    /// If the registry does not say it.
    pub async fn resolve(&self, reference: &Reference, credentials: &Credentials) -> Result<Digest, Error> {
        if let Some(digest) = reference.digest() {
            return Ok(digest.clone());
        }
        let mut session = Session::new(&self.transport, reference, credentials, "pull")?;
        self.in_time(reference, async {
            let ask = Ask { method: Method::HEAD, ..ask_manifest(&session, &reference.version(), reference) };
            let answer = session.ask(&ask).await?;
            let digest =
                answer.headers.get("docker-content-digest").and_then(|value| value.to_str().ok()?.parse().ok());
            match digest {
                Some(digest) => Ok(digest),
                None => Ok(Digest::of(&self.manifest(&mut session, reference).await?)),
            }
        })
        .await
    }

    /// The bytes of a manifest, with the digest of the reference if it has one.
    async fn manifest(&self, session: &mut Session<'_>, reference: &Reference) -> Result<Vec<u8>, Error> {
        if let Some(bytes) = reference.digest().and_then(|digest| self.cache.blob(digest, MAX_MANIFEST)) {
            return Ok(bytes);
        }
        let bytes = session.ask(&ask_manifest(session, &reference.version(), reference)).await?.body;
        if let Some(wanted) = reference.digest() {
            check(session, "manifest", wanted, &bytes)?;
            self.cache.keep(&bytes);
        }
        Ok(bytes)
    }

    /// A blob, from the cache or the registry, with this digest and size.
    async fn blob(
        &self,
        session: &mut Session<'_>,
        digest: &Digest,
        size: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, Error> {
        if let Some(bytes) = self.cache.blob(digest, size) {
            return Ok(bytes);
        }
        let ask = Ask {
            most: size,
            remedy: "what it has is damaged or forged: push it again",
            ..Ask::get(session.path(&format!("blobs/{digest}")), format!("the {what} {digest}"))
        };
        let bytes = session.ask(&ask).await?.body;
        check(session, what, digest, &bytes)?;
        self.cache.keep(&bytes);
        Ok(bytes)
    }

    /// Checks that one of the keys signed a manifest. The kept signatures are verified like those of the registry.
    async fn verify(
        &self,
        session: &mut Session<'_>,
        reference: &Reference,
        digest: &Digest,
        keys: &[PublicKey],
    ) -> Result<(), Error> {
        if let Some(kept) = self.cache.signatures(digest, MAX_MANIFEST)
            && self.verify_by(session, reference, digest, keys, &kept).await.is_ok()
        {
            return Ok(());
        }
        let found = match session.ask(&ask_manifest(session, &signature::tag(digest), reference)).await {
            Err(Error::Missing { .. }) => {
                Err(Error::VerifyUnsigned { reference: reference.to_string(), digest: digest.clone() })
            }
            answer => answer,
        };
        let bytes = found?.body;
        self.verify_by(session, reference, digest, keys, &bytes).await?;
        self.cache.keep_signatures(digest, &bytes);
        Ok(())
    }

    async fn verify_by(
        &self,
        session: &mut Session<'_>,
        reference: &Reference,
        digest: &Digest,
        keys: &[PublicKey],
        manifest: &[u8],
    ) -> Result<(), Error> {
        let found = signature::of_manifest(manifest, reference)?;
        let (signatures, mut reason) = (found.len(), "it has none");
        for signature in found {
            let payload = self.blob(session, &signature.payload, signature.size, "signature").await?;
            match signature.verify(&payload, digest, keys) {
                Ok(()) => return Ok(()),
                Err(problem) => reason = problem,
            }
        }
        let (reference, digest) = (reference.to_string(), digest.clone());
        Err(Error::VerifySignature { reference, digest, signatures, reason })
    }
}

fn ask_manifest(session: &Session<'_>, version: &str, reference: &Reference) -> Ask {
    Ask {
        accept: MANIFEST,
        most: MAX_MANIFEST,
        ..Ask::get(
            session.path(&format!("manifests/{version}")),
            format!("manifest {version} of {}", reference.repository()),
        )
    }
}

fn check(session: &Session<'_>, what: &'static str, wanted: &Digest, bytes: &[u8]) -> Result<(), Error> {
    let actual = Digest::of(bytes);
    if actual == *wanted {
        return Ok(());
    }
    Err(Error::VerifyDigest { host: session.host(), what, wanted: wanted.clone(), actual })
}

/// The manifest of the signatures of a digest, if there is one; for those who add one.
pub(crate) async fn signatures(
    session: &mut Session<'_>,
    reference: &Reference,
    digest: &Digest,
) -> Result<Option<Vec<u8>>, Error> {
    match session.ask(&ask_manifest(session, &signature::tag(digest), reference)).await {
        Ok(answer) => Ok(Some(answer.body)),
        Err(Error::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
