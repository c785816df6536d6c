//! Components in registries: fetched while a pipeline is loaded, and the tags of those in use followed.
//!
//! A digest is asked for once. A tag is asked for again and again; if it leads to another component, the pipeline is
//! loaded again. If that fails, what runs stays in use, and the loading is tried again like any other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use parking_lot::Mutex;
use pgloom_api::pipeline::{Artifact, Document, Source};
use pgloom_common::error::error_chain;
use pgloom_engine::pipeline::Phase;
use pgloom_registry::{Client, Credentials, Digest, Reference};
use tokio::runtime::Handle;
use tracing::warn;

use super::Error;
use crate::args::Options;

/// The key of the credentials in a Secret of the type `kubernetes.io/dockerconfigjson`.
const KEY: &str = ".dockerconfigjson";

/// The registries of the pipeline.
pub struct Registry {
    client: Client,
    poll: Option<Duration>,
    /// The tags of the pipeline in use.
    followed: Mutex<Arc<Fetched>>,
}

/// What was fetched for one pipeline.
#[derive(Debug, Default)]
pub struct Fetched {
    credentials: Credentials,
    /// The manifest that each tag led to.
    tags: Mutex<BTreeMap<Reference, Digest>>,
}

impl Registry {
    /// The client of the flags.
    pub fn new(options: &Options) -> Self {
        Self { client: Client::new(options.registry.clone()), poll: options.registry_poll, followed: Mutex::default() }
    }

    /// Fetches and verifies a component, on a thread that may wait.
    pub fn fetch(&self, runtime: &Handle, fetched: &Fetched, artifact: &Artifact) -> Result<Vec<u8>, (Phase, String)> {
        let pull = self.client.pull_named(&artifact.reference, &fetched.credentials, &artifact.public_keys);
        let (reference, pulled) = runtime.block_on(pull).map_err(|error| {
            let phase = if error.is_verification() { Phase::Verify } else { Phase::Fetch };
            (phase, error_chain(&error))
        })?;
        if reference.digest().is_none() {
            fetched.tags.lock().insert(reference, pulled.digest);
        }
        Ok(pulled.component)
    }

    /// A component that was pulled before, by its digest.
    pub fn kept(&self, digest: &str) -> Option<Vec<u8>> {
        self.client.cached(digest)
    }

    /// Follows the tags of the pipeline that is in use now.
    pub fn follow(&self, fetched: Arc<Fetched>) {
        *self.followed.lock() = fetched;
    }

    /// A stream of moved tags: one item after each poll that finds one.
    pub fn moved(&self) -> BoxStream<'_, ()> {
        let Some(poll) = self.poll else { return futures::stream::pending().boxed() };
        futures::stream::unfold((), move |()| async move {
            loop {
                tokio::time::sleep(poll).await;
                if self.is_moved().await {
                    return Some(((), ()));
                }
            }
        })
        .boxed()
    }

    /// Whether a tag leads to another manifest than before.
    pub async fn is_moved(&self) -> bool {
        let fetched = self.followed.lock().clone();
        let tags = fetched.tags.lock().clone();
        for (reference, before) in tags {
            match self.client.resolve(&reference, &fetched.credentials).await {
                Ok(digest) if digest == before => {}
                Ok(_) => return true,
                Err(error) => {
                    warn!(%reference, error = %error_chain(&error), "it is not known whether the tag was moved");
                }
            }
        }
        false
    }
}

/// What is needed to fetch the components of a document: the credentials of its Secrets, if it names a registry.
pub async fn begin(client: &kube::Client, namespace: &str, document: &Document) -> Result<Arc<Fetched>, Error> {
    let mut credentials = Credentials::default();
    let is_remote = document.steps.iter().any(|step| matches!(step.source, Source::Oci(_)));
    for name in document.pull_secrets.iter().filter(|_| is_remote) {
        let title = || format!("Secret {namespace}/{name}");
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let found = secrets.get_opt(name).await.map_err(|error| Error::Read(title(), Box::new(error)))?;
        let data = found.ok_or_else(|| Error::Missing(title()))?.data.unwrap_or_default();
        let text = data.get(KEY).ok_or_else(|| Error::PullSecretKey(title()))?;
        let read = Credentials::read(&text.0).map_err(|source| Error::PullSecret(title(), source))?;
        credentials = credentials.and(read);
    }
    Ok(Arc::new(Fetched { credentials, tags: Mutex::default() }))
}
