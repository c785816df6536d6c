//! Promises about the webhook: questions over TLS on loopback, against a fake API server.

use std::net::SocketAddr;
use std::path::Path;

use pgloom_api::Severity;
use pgloom_engine::{Description, Failure, Pipeline, Plugin, Response, call, model};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use super::certificate::Pair;
use super::*;
use crate::args::Named;
use crate::reconcile::tests::{manifest, operator};
use crate::settings::{Candidate, Settings};
use crate::testing::FakeApiServer;

const HOST: &str = "pgloom-webhook.ns.svc";

/// A webhook that is served, and how a client reaches it.
struct Door {
    address: SocketAddr,
    connector: TlsConnector,
    context: Arc<Context>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// A webhook of an operator with these objects and plugins.
async fn door_of(context: Context) -> Door {
    let pair = Pair::make(HOST, jiff::Timestamp::now()).unwrap();
    let served = Arc::new(Served::of(&pair));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let context = Arc::new(context);
    let named = Named { namespace: None, name: "config".into() };
    let admission = Admission::new(context.clone(), &Source::Object(named));
    let server = tokio::spawn(server::serve(listener, server::acceptor(served).unwrap(), admission)).abort_handle();
    Door { address, connector: connector(&pair.certificate), context, tasks: vec![server] }
}

/// A client that trusts these certificates.
fn connector(bundle: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn door(plugin: Plugin) -> Door {
    door_of(with_plugin(operator(&FakeApiServer::new(), &[manifest()]), plugin)).await
}

fn with_plugin(mut context: Context, plugin: Plugin) -> Context {
    let settings = Settings::of(Arc::new(Config::defaults()), pipeline(plugin));
    context.settings = watch::channel(settings).1;
    context
}

fn pipeline(plugin: Plugin) -> Arc<Pipeline> {
    Arc::new(Pipeline::of(vec![Arc::new(plugin)]).unwrap())
}

/// A plugin that answers with these findings, or refuses by them.
fn finds(findings: &[(Severity, &str, &str)]) -> Plugin {
    let findings: Vec<model::Finding> = findings
        .iter()
        .map(|(severity, path, message)| model::Finding {
            severity: *severity,
            object: None,
            path: Some((*path).to_owned()),
            message: (*message).to_owned(),
            remedy: Some("write another".to_owned()),
        })
        .collect();
    let description = Description { name: "finding".into(), ..Description::default() };
    Plugin::native(description, move |_| match findings.iter().any(|found| found.severity == Severity::Error) {
        true => Err(call::Error::Refuse(Failure::InvalidManifest(findings.clone()))),
        false => Ok(Response { findings: findings.clone(), ..Response::default() }),
    })
}

fn nothing() -> Plugin {
    finds(&[])
}

impl Door {
    /// The answer to a request with this body: status code and body.
    async fn post(&self, body: &[u8]) -> (u16, String) {
        let head =
            format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        self.send(&[head.as_bytes(), body].concat()).await
    }

    async fn send(&self, bytes: &[u8]) -> (u16, String) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut stream = self.connector.connect(ServerName::try_from(HOST).unwrap(), stream).await.unwrap();
        // The server may answer and close before it has read all.
        _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        (code, body.to_owned())
    }

    /// The answer to a review.
    async fn review(&self, operation: &str, object: &Value, old: &Value) -> Value {
        let review = review(operation, object, old);
        let (code, body) = self.post(review.to_string().as_bytes()).await;
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn create(&self, object: &Value) -> Value {
        self.review("CREATE", object, &Value::Null).await
    }
}

fn review(operation: &str, object: &Value, old: &Value) -> Value {
    let (group, version) = object["apiVersion"].as_str().unwrap().split_once('/').unwrap();
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": operation, "dryRun": false,
            "kind": {"group": group, "version": version, "kind": object["kind"]},
            "namespace": "ns", "name": object["metadata"]["name"], "object": object, "oldObject": old,
            "userInfo": {"username": "ada"}, "options": {"kind": "CreateOptions"},
        }
    })
}

fn bad() -> Value {
    let mut bad = manifest();
    bad["spec"]["volume"]["size"] = json!("large");
    bad
}

fn is_allowed(answer: &Value) -> bool {
    answer["response"]["allowed"].as_bool().unwrap()
}

fn warnings(answer: &Value) -> Vec<&str> {
    let warnings = answer["response"]["warnings"].as_array().into_iter().flatten();
    warnings.map(|warning| warning.as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_manifest_that_a_reconcile_would_refuse_is_refused_with_the_field_and_the_remedy() {
    let answer = door(nothing()).await.create(&bad()).await;
    let text = serde_json::to_string_pretty(&answer).unwrap() + "\n";
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/admission.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&golden).unwrap(), "UPDATE=1 writes {}", golden.display());
}

#[tokio::test]
async fn what_a_plugin_finds_refuses_a_manifest_or_comes_as_a_warning() {
    let refusing = door(finds(&[(Severity::Error, "spec.sidecars[0].image", "is missing")])).await;
    let answer = refusing.create(&manifest()).await;
    assert!(!is_allowed(&answer));
    let cause = &answer["response"]["status"]["details"]["causes"][0];
    assert_eq!(
        (&cause["field"], &cause["message"]),
        (&json!("spec.sidecars[0].image"), &json!("is missing; write another"))
    );
    let warning = door(finds(&[(Severity::Warning, "spec.env", "is unusual"), (Severity::Info, "", "is so")])).await;
    let answer = warning.create(&manifest()).await;
    assert!(is_allowed(&answer));
    assert_eq!(warnings(&answer), ["spec.env: is unusual; write another"]);
}

#[tokio::test]
async fn a_manifest_that_is_invalid_already_may_be_changed_in_all_but_its_content() {
    let door = door(nothing()).await;
    let (mut labelled, mut worse) = (bad(), bad());
    labelled["metadata"]["labels"] = json!({"team": "acid"});
    worse["spec"]["volume"]["size"] = json!("larger");
    assert!(is_allowed(&door.review("UPDATE", &labelled, &bad()).await));
    assert!(!is_allowed(&door.review("UPDATE", &worse, &bad()).await));
    worse["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(is_allowed(&door.review("UPDATE", &worse, &bad()).await));
}

#[tokio::test]
async fn a_manifest_of_another_operator_or_another_namespace_is_not_judged() {
    let mut theirs = bad();
    theirs["metadata"]["annotations"] = json!({"acid.zalan.do/controller": "two"});
    let answer = door(nothing()).await.create(&theirs).await;
    assert_eq!((is_allowed(&answer), warnings(&answer).len()), (true, 0));
    let mut context = operator(&FakeApiServer::new(), &[]);
    context.store = Arc::default();
    let answer = door_of(context).await.create(&bad()).await;
    assert_eq!((is_allowed(&answer), warnings(&answer).len()), (true, 0));
}

#[tokio::test]
async fn a_failure_that_is_not_the_manifests_fault_allows_it_with_a_warning() {
    let description = Description { name: "trapping".into(), ..Description::default() };
    let traps = Plugin::native(description, |_| Err(call::Error::Trap("text of the plugin".into())));
    let answer = door(traps).await.create(&manifest()).await;
    assert!(is_allowed(&answer));
    assert_eq!(
        warnings(&answer),
        ["not checked by pgloom: step trapping failed (Trapped); its status says more when it is reconciled"]
    );
    let mut context = operator(&FakeApiServer::new(), &[]);
    let pipeline = Arc::new(Pipeline::unavailable("no file").unwrap());
    context.settings = watch::channel(Settings::of(Arc::new(Config::defaults()), pipeline)).1;
    let door = door_of(context).await;
    let answer = door.create(&manifest()).await;
    assert!(is_allowed(&answer));
    assert!(warnings(&answer)[0].contains("there is no decision (PipelineNotLoaded)"), "{answer}");
    assert!(!is_allowed(&door.create(&bad()).await), "the host's own rules need no pipeline");
}

#[tokio::test]
async fn a_replica_that_does_not_know_the_clusters_pipeline_refuses_only_by_the_hosts_own_rules() {
    let refuses = || finds(&[(Severity::Error, "spec.teamId", "is none of ours")]);
    let mut context = operator(&FakeApiServer::new(), &[manifest()]);
    let candidate = Candidate { pipeline: Some(pipeline(refuses())), ..Candidate::unknown() };
    let settings = Settings::of(Arc::new(Config::defaults()), pipeline(refuses()));
    context.settings = watch::channel(Settings { candidate: Some(candidate), ..settings }).1;
    let door = door_of(context).await;
    let answer = door.create(&manifest()).await;
    assert!(is_allowed(&answer));
    assert_eq!(
        warnings(&answer),
        [
            "not checked by pgloom: which pipeline the cluster has is not known to this replica; only the host's own rules \
          were checked"
        ]
    );
    assert!(!is_allowed(&door.create(&bad()).await));
}

#[tokio::test]
async fn a_manifest_of_a_namespace_that_is_not_listed_yet_is_allowed_with_a_warning() {
    let context = operator(&FakeApiServer::new(), &[]);
    let unlisted = crate::cache::Watch {
        kind: Kind::new("v1", "Service"),
        namespace: Some("ns".into()),
        label: None,
        whole: false,
        own: vec![],
    };
    context.store.open(unlisted);
    let answer = door_of(context).await.create(&bad()).await;
    assert!(is_allowed(&answer));
    assert_eq!(warnings(&answer), ["not checked by pgloom: not everything of the namespace is known yet"]);
}

#[tokio::test]
async fn a_check_that_takes_too_long_allows_the_manifest_with_a_warning() {
    let api_server = FakeApiServer::new().hanging("/api/v1/namespaces/ns/secrets/roles");
    let mut context = with_plugin(operator(&api_server, &[]), nothing());
    let document =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"infrastructure_roles_secret_name": "roles"}});
    let config = Arc::new(Config::read(&document).unwrap().config);
    let pipeline = context.settings.borrow().pipeline.clone();
    context.settings = watch::channel(Settings::of(config, pipeline)).1;
    let admission = Admission::new(Arc::new(context), &Source::Defaults);
    let body = Bytes::from(review("CREATE", &manifest(), &Value::Null).to_string());
    let (verdict, _) = admission.answer_until(body.clone(), Instant::now() + Duration::from_millis(50)).await.unwrap();
    assert_eq!((verdict.result(), verdict.findings.len()), ("unchecked", 0));
    // What has begun holds its place, and the next question is answered nevertheless.
    admission.answer_until(body.clone(), Instant::now() + Duration::from_millis(50)).await.unwrap();
    let busy = admission.answer_until(body, Instant::now() + Duration::from_millis(50)).await;
    assert!(matches!(busy, Err(Error::Busy)));
    // A write that changes nothing that is checked waits for no other.
    let body = Bytes::from(review("UPDATE", &manifest(), &manifest()).to_string());
    let (verdict, _) = admission.answer_until(body, Instant::now() + Duration::from_millis(50)).await.unwrap();
    assert_eq!((verdict.result(), verdict.findings.len()), ("allowed", 0));
}

#[tokio::test]
async fn pipelines_and_the_operator_configuration_in_use_are_checked_as_they_would_be_read() {
    let door = door(nothing()).await;
    let pipeline = |step: Value| {
        json!({"apiVersion": "pgloom.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "default"},
            "spec": {"steps": [step]}})
    };
    let good = json!({"name": "spilo", "source": {"file": "spilo.wasm"}});
    assert!(is_allowed(&door.create(&pipeline(good)).await));
    let answer = door.create(&pipeline(json!({"name": "spilo", "sauce": {}}))).await;
    assert!(!is_allowed(&answer));
    assert!(answer["response"]["status"]["message"].as_str().unwrap().contains("spec.steps[0]"), "{answer}");
    let configuration = |name: &str| {
        json!({"apiVersion": "acid.zalan.do/v1", "kind": "OperatorConfiguration", "metadata": {"name": name},
            "configuration": {"resync_period": "often"}})
    };
    let answer = door.create(&configuration("config")).await;
    assert!(!is_allowed(&answer));
    assert!(answer["response"]["status"]["message"].as_str().unwrap().contains("resync_period"), "{answer}");
    assert!(is_allowed(&door.create(&configuration("of-the-zalando-operator")).await));
}

#[tokio::test]
async fn a_question_writes_nothing_and_leaves_nothing_behind() {
    let api_server = FakeApiServer::new();
    let context = with_plugin(operator(&api_server, &[]), nothing());
    let door = door_of(context).await;
    let mut other = manifest();
    other["metadata"]["name"] = json!("acid-other");
    assert!(is_allowed(&door.create(&other).await));
    assert_eq!(api_server.writes().len(), 0);
    assert!(!door.context.states.any_in("ns"));
}

#[tokio::test]
async fn what_is_no_question_gets_an_error_and_the_next_question_its_answer() {
    let door = door(nothing()).await;
    let large = vec![b' '; (4 << 20) + 1];
    assert_eq!(door.post(&large).await.0, 413);
    assert_eq!(door.post(b"{\"kind\":").await.0, 400);
    assert_eq!(door.post(br#"{"apiVersion": "v1", "request": {}}"#).await.0, 400);
    assert_eq!(door.post(&b"[".repeat(100_000)).await.0, 400);
    let get = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    assert_eq!(door.send(get.as_bytes()).await.0, 405);
    assert_eq!(door.send(b"\0\0\0\0\r\n\r\n").await.0, 400);
    assert!(is_allowed(&door.create(&manifest()).await));
    let result = |result: &str| ResultLabel { result: result.to_owned() };
    let count = |label| door.context.metrics.admission_requests.get_or_create(&label).get();
    assert_eq!((count(result("malformed")), count(result("allowed"))), (3, 1));
}

#[tokio::test]
async fn clients_that_send_nothing_are_cut_off_and_keep_no_one_out() {
    let door = door(nothing()).await;
    let mut silent = Vec::new();
    // More than may be open: some without TLS, some without a request, and one in the middle of its body.
    for number in 0..20 {
        let stream = TcpStream::connect(door.address).await.unwrap();
        match number % 2 {
            0 => silent.push(tokio::spawn(read_to_end(stream))),
            _ => {
                let name = ServerName::try_from(HOST).unwrap();
                let connector = door.connector.clone();
                silent.push(tokio::spawn(async move {
                    let Ok(mut stream) = connector.connect(name, stream).await else { return };
                    _ = stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{").await;
                    read_to_end(stream).await;
                }));
            }
        }
    }
    let answered = tokio::time::timeout(Duration::from_secs(30), door.create(&manifest())).await;
    assert!(is_allowed(&answered.unwrap()));
    for client in silent {
        tokio::time::timeout(Duration::from_secs(30), client).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_api_server_that_trusts_what_the_leader_wrote_is_answered() {
    let api_server = rotation::tests::api_server();
    let context = Arc::new(with_plugin(operator(&api_server, &[]), nothing()));
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let webhook = Webhook { listen: address, name: "pgloom-webhook".into() };
    let started = start(webhook, context.clone(), &Source::Defaults, watch::channel(true).1).await.unwrap();
    let tasks = started.map(|task| tokio::spawn(task).abort_handle()).into();
    while rotation::tests::bundle(&api_server).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let door = Door { address, connector: connector(&rotation::tests::bundle(&api_server)), context, tasks };
    assert!(is_allowed(&door.create(&manifest()).await));
    assert!(!is_allowed(&door.create(&bad()).await));
}

#[test]
fn the_shipped_configuration_asks_this_webhook_and_waits_longer_than_an_answer_takes() {
    use serde::Deserialize as _;
    let documents = serde_yaml_ng::Deserializer::from_str(include_str!("../../../../manifests/webhook.yaml"));
    let documents: Vec<Value> = documents.map(|document| Value::deserialize(document).unwrap()).collect();
    let of_kind = |kind: &str| documents.iter().find(|document| document["kind"] == kind).unwrap();
    let webhook = &of_kind("ValidatingWebhookConfiguration")["webhooks"][0];
    let (service, called) = (&of_kind("Service")["metadata"], &webhook["clientConfig"]["service"]);
    assert_eq!((&service["name"], &service["namespace"]), (&called["name"], &called["namespace"]));
    assert_eq!(called["path"], server::PATH);
    assert_eq!((&webhook["failurePolicy"], &webhook["sideEffects"]), (&json!("Ignore"), &json!("None")));
    assert!(webhook["timeoutSeconds"].as_u64().unwrap() > DEADLINE.as_secs());
}

async fn read_to_end(mut stream: impl tokio::io::AsyncRead + Unpin) {
    _ = stream.read_to_end(&mut Vec::new()).await;
}
