//! The admission webhook: answers the API server before an object is stored, by the decision of a reconcile.
//!
//! Every replica answers. Who sends a question is not known, so an answer says nothing but what is wrong with the object
//! that was sent, and a question changes nothing.

mod certificate;
mod kept;
mod review;
mod rotation;
mod server;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures::future::BoxFuture;
use pgloom_api::config::Config;
use pgloom_api::pipeline::Document;
use pgloom_common::error::{error_chain, one_line};
use pgloom_decide as decide;
use pgloom_decide::Kind;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument as _, debug, info, info_span};

use crate::args::{Source, Webhook};
use crate::cache::ClusterKey;
use crate::context::Context;
use crate::reconcile::{self, is_ours, preview};
use crate::serve::metrics::ResultLabel;
use review::{Request, Review, Subject, Verdict};
use rotation::{Rotation, Served};

/// How long an answer may take. It comes before the `timeoutSeconds` of the shipped ValidatingWebhookConfiguration, 5.
const DEADLINE: Duration = Duration::from_secs(4);
/// The objects that are read and checked at the same time.
const CHECKS: usize = 2;

/// Why a replica does not check a manifest with plugins.
const UNKNOWN_PIPELINE: &str =
    "which pipeline the cluster has is not known to this replica; only the host's own rules were checked";

/// The longest name in the log, in bytes, which is that of Kubernetes.
const MAX_NAME: usize = 253;

/// Why there is no webhook, or no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port cannot be opened.
    #[error("cannot listen on {0}; choose another address with --webhook-listen")]
    Listen(std::net::SocketAddr, #[source] std::io::Error),
    /// TLS cannot be set up.
    #[error("failed to set up TLS")]
    Tls(#[source] rustls::Error),
    /// The question cannot be read.
    #[error(transparent)]
    Malformed(#[from] review::Error),
    /// Other questions came first.
    #[error("other objects are being checked")]
    Busy,
}

/// Answers questions of the API server.
#[derive(Clone)]
pub struct Admission {
    context: Arc<Context>,
    /// The namespace and the name of the OperatorConfiguration in use.
    configuration: Option<(String, String)>,
    checks: Arc<Semaphore>,
}

/// What runs until the operator stops.
pub type Task = BoxFuture<'static, ()>;

/// Opens the port of the webhook. Returns what serves it, and what takes care of its certificate.
///
/// # Errors
/// If the port cannot be opened.
pub async fn start(
    webhook: Webhook,
    context: Arc<Context>,
    configuration: &Source,
    leading: watch::Receiver<bool>,
) -> Result<[Task; 2], Error> {
    let listener = TcpListener::bind(webhook.listen).await.map_err(|source| Error::Listen(webhook.listen, source))?;
    info!(address = %webhook.listen, "serving the admission webhook");
    let served = Arc::new(Served::default());
    let acceptor = server::acceptor(served.clone()).map_err(Error::Tls)?;
    let rotation = Rotation {
        client: context.client.clone(),
        namespace: context.namespace.clone(),
        name: webhook.name,
        served,
        leading,
    };
    let admission = Admission::new(context, configuration);
    Ok([Box::pin(server::serve(listener, acceptor, admission)), Box::pin(rotation.run())])
}

impl Admission {
    fn new(context: Arc<Context>, configuration: &Source) -> Self {
        let configuration = match configuration {
            Source::Object(named) => {
                let namespace = named.namespace.clone().unwrap_or_else(|| context.namespace.clone());
                Some((namespace, named.name.clone()))
            }
            Source::Defaults | Source::ConfigMap(_) => None,
        };
        Self { context, configuration, checks: Arc::new(Semaphore::new(CHECKS)) }
    }

    /// Answers a question.
    ///
    /// # Errors
    /// If it is none, or if others take too long.
    async fn answer(&self, body: Bytes) -> Result<Value, Error> {
        let begun = Instant::now();
        let answered = self.answer_until(body, begun + DEADLINE).await;
        let result = match &answered {
            Ok((verdict, _)) => verdict.result(),
            Err(Error::Busy) => "busy",
            Err(_) => "malformed",
        };
        let metrics = &self.context.metrics;
        metrics.admission_requests.get_or_create(&ResultLabel { result: result.to_owned() }).inc();
        metrics.admission_seconds.observe(begun.elapsed().as_secs_f64());
        answered.map(|(verdict, subject)| verdict.answer(&subject))
    }

    async fn answer_until(&self, body: Bytes, deadline: Instant) -> Result<(Verdict, Subject), Error> {
        let Review { request, .. } = Review::read(&body)?;
        // There is nothing to check, as for a write of the status: it waits for no other.
        if !request.changes_content() {
            return Ok((Verdict::default(), Subject::from(&request)));
        }
        let permit = timeout_at(deadline, self.checks.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(Error::Busy) };
        let (subject, admission) = (Subject::from(&request), self.clone());
        let of_client = |text: &str| one_line(text, MAX_NAME);
        let (namespace, name) = (of_client(&request.namespace), of_client(request.name()));
        let span = info_span!("admission", %namespace, %name);
        let check = async move {
            let verdict = admission.check(request).await;
            drop(permit);
            verdict
        };
        // A decision that has begun keeps its thread and its memory until it ends, and so the task keeps its turn.
        let checked = timeout_at(deadline, tokio::spawn(check.instrument(span))).await;
        let verdict = match checked {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => Verdict::unchecked("the check was interrupted"),
            Err(_) => Verdict::unchecked(format!("the check took longer than {} s", DEADLINE.as_secs())),
        };
        Ok((verdict, subject))
    }

    async fn check(&self, request: Request) -> Verdict {
        match request.kind() {
            ("acid.zalan.do", "postgresql") => self.check_manifest(request).await,
            ("acid.zalan.do", "OperatorConfiguration") => self.check_configuration(&request),
            ("pgloom.dev", "Pipeline") => Verdict::of(Document::read(&request.object).err().unwrap_or_default()),
            _ => Verdict::default(),
        }
    }

    async fn check_manifest(&self, request: Request) -> Verdict {
        let (store, namespace) = (&self.context.store, &*request.namespace);
        if !is_ours(&request.object, &self.context.controller_id) || !store.watches(&Kind::cluster(), namespace) {
            return Verdict::default();
        }
        if !store.synced(namespace) {
            return Verdict::unchecked("not everything of the namespace is known yet");
        }
        let key = ClusterKey::new(namespace, request.name());
        let mut manifest = request.object;
        manifest["metadata"]["namespace"] = json!(&*key.namespace);
        match preview(&self.context, &key, manifest).await {
            Ok(Some(plan)) => Verdict::of(plan.findings),
            Ok(None) => Verdict::unchecked(UNKNOWN_PIPELINE),
            Err(reconcile::Error::Decide(decide::Error::Manifest(findings))) => Verdict::of(findings),
            Err(error) => {
                debug!(error = %error_chain(&error), "not checked");
                Verdict::unchecked(format!("{}; its status says more when it is reconciled", reason(&error)))
            }
        }
    }

    /// Another OperatorConfiguration than the one in use may be for the Zalando operator, which has the same kind.
    fn check_configuration(&self, request: &Request) -> Verdict {
        let is_it = |(namespace, name): &(String, String)| *namespace == request.namespace && name == request.name();
        if !self.configuration.as_ref().is_some_and(is_it) {
            return Verdict::default();
        }
        match Config::read(&request.object) {
            Ok(loaded) => Verdict::of(loaded.warnings),
            Err(findings) => Verdict::of(findings),
        }
    }
}

/// Why there is no decision, without what others than the author of the manifest wrote.
fn reason(error: &reconcile::Error) -> String {
    let category = error.category();
    match error {
        reconcile::Error::Decide(decide::Error::Pipeline(run)) if category != "PipelineNotLoaded" => {
            format!("step {} failed ({category})", run.step)
        }
        _ => format!("there is no decision ({category})"),
    }
}

#[cfg(test)]
mod tests;
