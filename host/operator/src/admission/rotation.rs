//! Takes care of the certificate: every replica serves what the Secret has, the leader renews it and has the API server
//! trust it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use parking_lot::RwLock;
use pgloom_common::error::error_chain;
use pgloom_decide::Kind;
use pgloom_decide::field_manager::MANAGER;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::{info, warn};

use super::certificate::{self, Pair};
use super::kept::Kept;
use crate::cache::api_resource;

/// The time between two reads of the Secret.
const PERIOD: Duration = Duration::from_secs(10);

/// The certificate that is served; none before the Secret has one.
#[derive(Debug, Default)]
pub struct Served(RwLock<Option<Arc<CertifiedKey>>>);

impl Served {
    fn serve(&self, pair: Option<&Pair>) {
        *self.0.write() = pair.map(Pair::certified);
    }

    /// This certificate.
    #[cfg(test)]
    pub fn of(pair: &Pair) -> Self {
        let served = Self::default();
        served.serve(Some(pair));
        served
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().clone()
    }
}

/// Takes care of the certificate of a webhook.
pub struct Rotation {
    /// Writes only while this operator leads.
    pub client: Client,
    /// The operator's own namespace.
    pub namespace: String,
    /// The name of the Service, the Secret and the ValidatingWebhookConfiguration.
    pub name: String,
    /// What the server serves.
    pub served: Arc<Served>,
    /// Whether this operator is the leader.
    pub leading: watch::Receiver<bool>,
}

/// Why the certificate is not as it should be.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to {verb} {kind} {name}; manifests/webhook.yaml has it, and manifests/rbac.yaml the rights")]
    Request {
        verb: &'static str,
        kind: &'static str,
        name: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error(
        "the ValidatingWebhookConfiguration {0} has no webhook with the Service {1}/{0}; manifests/webhook.yaml has one"
    )]
    NoWebhook(String, String),
    #[error(transparent)]
    Certificate(#[from] certificate::Error),
}

impl Rotation {
    /// Takes care of it until the operator stops.
    pub async fn run(self) {
        let mut before = None;
        loop {
            let failed = self.pass(Timestamp::now()).await.err().map(|error| error_chain(&error));
            if let Some(error) = failed.as_ref().filter(|_| failed != before) {
                warn!(%error, "the admission webhook is not ready");
            }
            before = failed;
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Serves what the Secret has; as the leader renews it before, and has the API server trust it after.
    async fn pass(&self, now: Timestamp) -> Result<(), Error> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let secret = secrets.get(&self.name).await.map_err(self.failed("read", "Secret"))?;
        let host = format!("{}.{}.svc", self.name, self.namespace);
        let kept = Kept::read(&secret.data.unwrap_or_default(), &host);
        if !*self.leading.borrow() {
            self.served.serve(kept.current.as_ref());
            return Ok(());
        }
        let configuration = self.configurations().get(&self.name).await;
        let trusted = configuration.as_ref().map(|found| self.trusted(found)).unwrap_or_default();
        let renewed = kept.renewed(&trusted, now, || Pair::make(&host, now))?;
        if let Some(renewed) = &renewed {
            let patch = json!({
                "metadata": {"resourceVersion": secret.metadata.resource_version},
                "data": renewed.data(),
            });
            let written = secrets.patch(&self.name, &params(), &Patch::Merge(patch)).await;
            written.map_err(self.failed("write", "Secret"))?;
            info!("new certificates of the admission webhook are in its Secret");
        }
        let kept = renewed.unwrap_or(kept);
        self.served.serve(kept.current.as_ref());
        let configuration = configuration.map_err(self.failed("read", "ValidatingWebhookConfiguration"))?;
        self.trust(configuration, &kept.bundle()).await
    }

    /// Writes the bundle into the webhooks of this operator's Service, if they have another one.
    async fn trust(&self, mut configuration: DynamicObject, bundle: &str) -> Result<(), Error> {
        let bundle = json!(STANDARD.encode(bundle));
        let (mut found, mut changed) = (false, false);
        for client in self.clients(&mut configuration.data) {
            found = true;
            changed |= client["caBundle"] != bundle;
            client["caBundle"] = bundle.clone();
        }
        if !found {
            return Err(Error::NoWebhook(self.name.clone(), self.namespace.clone()));
        }
        if changed {
            let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
            let written = self.configurations().replace(&self.name, &params, &configuration).await;
            written.map_err(self.failed("write", "ValidatingWebhookConfiguration"))?;
            info!("the API server trusts the new certificates of the admission webhook");
        }
        Ok(())
    }

    /// The bundle that the API server has, if all webhooks of this operator's Service have the same.
    fn trusted(&self, configuration: &DynamicObject) -> String {
        let mut data = configuration.data.clone();
        let mut bundles = self.clients(&mut data).map(|client| client["caBundle"].clone());
        let first = bundles.next().unwrap_or_default();
        let bundle = bundles.all(|bundle| bundle == first).then(|| STANDARD.decode(first.as_str()?).ok()).flatten();
        bundle.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The `clientConfig` of each webhook of this operator's Service.
    fn clients<'a>(&self, configuration: &'a mut Value) -> impl Iterator<Item = &'a mut Value> {
        let service = json!({"namespace": self.namespace, "name": self.name});
        let webhooks = configuration.get_mut("webhooks").and_then(Value::as_array_mut);
        let clients = webhooks.into_iter().flatten().filter_map(|webhook| webhook.get_mut("clientConfig"));
        clients
            .filter(move |client| ["namespace", "name"].iter().all(|field| client["service"][field] == service[field]))
    }

    fn configurations(&self) -> Api<DynamicObject> {
        let kind = Kind::new("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration");
        Api::all_with(self.client.clone(), &api_resource(&kind))
    }

    fn failed(&self, verb: &'static str, kind: &'static str) -> impl Fn(kube::Error) -> Error {
        let name = self.name.clone();
        move |source| Error::Request { verb, kind, name: name.clone(), source: Box::new(source) }
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() }
}

#[cfg(test)]
pub mod tests;
