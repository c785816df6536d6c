//! Components in OCI registries, in the layout of the
//! [CNCF](https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/): push, pull, signatures, and a cache on
//! disk.
//!
//! A registry is not trusted: what it sends has limits of bytes and time, and each byte of a component is hashed. Of what
//! it says only its host and a code are in a message, so that no credential comes back in one.
//!
//! Why not the crate `oci-client`: it reads answers of any size, follows redirections by the rules of another HTTP client than
//! the operator has, and has the text of a registry in its errors.

mod cache;
mod component;
mod credentials;
mod digest;
mod error;
mod http;
mod key;
mod manifest;
mod pull;
mod push;
mod reference;
mod signature;

use std::path::PathBuf;
use std::time::Duration;

pub use credentials::Credentials;
pub use digest::Digest;
pub use error::Error;
pub use key::{PrivateKey, PublicKey};
pub use pull::Pulled;
pub use reference::Reference;

/// How registries are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A file with the certificate authorities by which registries are verified, in the PEM format; `None`: those of the
    /// system, or of `SSL_CERT_FILE`.
    pub authorities: Option<PathBuf>,
    /// The registries that are asked by plain HTTP, as `host` or `host:port`. One on the loopback interface is asked by
    /// plain HTTP without being named here, unless there are `authorities`.
    pub plain_http: Vec<String>,
    /// The folder in which pulled components are kept; `None`: none are.
    pub cache: Option<PathBuf>,
    /// The largest component, in bytes.
    pub max_component: u64,
    /// The time for one pull or one push.
    pub time: Duration,
}

impl Settings {
    /// The time for one pull or one push, unless it is set.
    pub const TIME: Duration = Duration::from_secs(60);

    /// The settings without authorities, plain HTTP and cache.
    #[must_use]
    pub fn new(max_component: u64) -> Self {
        Self { authorities: None, plain_http: Vec::new(), cache: None, max_component, time: Self::TIME }
    }
}

/// A client of registries.
pub struct Client {
    settings: Settings,
    transport: http::Transport,
    cache: cache::Cache,
}

impl Client {
    /// A client. Nothing is opened before the first request.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let transport = http::Transport::new(settings.authorities.clone(), settings.plain_http.clone());
        let cache = cache::Cache::new(settings.cache.clone());
        Self { settings, transport, cache }
    }

    /// Runs a request to the registry of a reference, as long as the settings allow.
    async fn in_time<T>(
        &self,
        reference: &Reference,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let time = self.settings.time;
        tokio::time::timeout(time, work)
            .await
            .unwrap_or_else(|_| Err(Error::Time { host: reference.host().to_owned(), seconds: time.as_secs() }))
    }

    /// The component with this digest from the cache, if it is kept and not damaged. The network is not used.
    #[must_use]
    pub fn cached(&self, component: &str) -> Option<Vec<u8>> {
        self.cache.blob(&component.parse().ok()?, self.settings.max_component)
    }
}
