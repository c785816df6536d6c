//! Push: the blobs of a component, then its manifest, and its signature.

use std::collections::BTreeMap;

use http::header::LOCATION;
use http::{Method, StatusCode, Uri};
use hyper::body::Bytes;

use crate::digest::Digest;
use crate::error::Error;
use crate::http::{Ask, Session};
use crate::manifest::{COMPONENT, CONFIG, Descriptor, MANIFEST, Manifest};
use crate::{Client, Credentials, PrivateKey, Reference, component, pull, signature};

impl Client {
    /// Pushes a component under the tag of a reference, and signs it. The digest of its manifest, which is the same for
    /// the same component.
    ///
    /// # Errors
    /// If it is no component, or the registry does not take it.
    pub async fn push(
        &self,
        reference: &Reference,
        credentials: &Credentials,
        bytes: Vec<u8>,
        key: Option<&PrivateKey>,
    ) -> Result<Digest, Error> {
        let Some(tag) = reference.tag().filter(|_| reference.digest().is_none()) else {
            let reason = "a component is pushed under a tag, without a digest, as in ghcr.io/example/tls:0.1.0";
            return Err(Error::Reference { text: reference.to_string(), reason });
        };
        let config = component::config(&bytes)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            config: Descriptor::of(CONFIG, &config),
            layers: vec![Descriptor::of(COMPONENT, &bytes)],
            annotations: BTreeMap::new(),
        };
        let mut session = Session::new(&self.transport, reference, credentials, "pull,push")?;
        self.in_time(reference, async {
            upload(&mut session, config).await?;
            upload(&mut session, bytes).await?;
            let digest = put_manifest(&mut session, tag, &manifest).await?;
            if let Some(key) = key {
                sign(&mut session, reference, &digest, key).await?;
            }
            Ok(digest)
        })
        .await
    }
}

/// Adds a signature to those that there are.
async fn sign(
    session: &mut Session<'_>,
    reference: &Reference,
    digest: &Digest,
    key: &PrivateKey,
) -> Result<(), Error> {
    let payload = signature::payload(reference, digest);
    let before = pull::signatures(session, reference, digest).await?;
    let (manifest, config) = signature::add(before.as_deref(), &payload, key, reference)?;
    if let Some(config) = config {
        upload(session, config).await?;
    }
    upload(session, payload).await?;
    put_manifest(session, &signature::tag(digest), &manifest).await?;
    Ok(())
}

async fn put_manifest(session: &mut Session<'_>, tag: &str, manifest: &Manifest) -> Result<Digest, Error> {
    let bytes = serde_json::to_vec(manifest).map_err(|error| Error::Component(error.to_string()))?;
    let digest = Digest::of(&bytes);
    let ask = Ask {
        method: Method::PUT,
        content: Some((MANIFEST, Bytes::from(bytes))),
        ..Ask::get(session.path(&format!("manifests/{tag}")), format!("the new manifest {tag}"))
    };
    session.ask(&ask).await?;
    Ok(digest)
}

/// Uploads a blob, unless the registry has it.
async fn upload(session: &mut Session<'_>, bytes: Vec<u8>) -> Result<(), Error> {
    let digest = Digest::of(&bytes);
    let what = format!("place for blob {digest} in {}", session.repository());
    let head = Ask { method: Method::HEAD, ..Ask::get(session.path(&format!("blobs/{digest}")), what.clone()) };
    match session.ask(&head).await {
        Ok(answer) if answer.status == StatusCode::OK => return Ok(()),
        Ok(_) | Err(Error::Missing { .. }) => {}
        Err(error) => return Err(error),
    }
    let begin = Ask { method: Method::POST, ..Ask::get(session.path("blobs/uploads/"), what.clone()) };
    let answer = session.ask(&begin).await?;
    let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let refuse = |how: &str| Error::Redirect { host: session.host(), how: how.to_owned() };
    let location: Uri = location.parse().map_err(|_| refuse("for an upload to no address"))?;
    if location.authority().is_some_and(|other| !session.is_registry(other)) {
        return Err(refuse("for an upload to another host"));
    }
    let path = location.path_and_query().map(ToString::to_string).unwrap_or_default();
    let separator = if path.contains('?') { '&' } else { '?' };
    let put = Ask {
        method: Method::PUT,
        content: Some(("application/octet-stream", Bytes::from(bytes))),
        ..Ask::get(format!("{path}{separator}digest={digest}"), what)
    };
    session.ask(&put).await.map(|_| ())
}
