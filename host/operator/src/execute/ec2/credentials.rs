//! The credentials of the operator's pod: where they come from, and that they are in no message.

use std::error::Error as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response};
use pgloom_common::error::one_line;
use reqsign_aws_v4::{
    AssumeRoleWithWebIdentityCredentialProvider, Credential, ECSCredentialProvider, EnvCredentialProvider,
    IMDSv2CredentialProvider, ProfileCredentialProvider,
};
use reqsign_core::{Context, Env, Error, FileRead, HttpSend, ProvideCredential};
use tokio::time::timeout;

use super::{MAX_ANSWER, MAX_MESSAGE};
use crate::observe::web_client::WebClient;

/// How long a request for credentials may take. Where there is no metadata service nothing answers.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Headers with credentials.
const SECRET: [&str; 3] = ["authorization", "x-amz-security-token", "x-aws-ec2-metadata-token"];

/// What credentials are got with.
pub fn context(environment: impl Env, web: &WebClient) -> Context {
    Context::new().with_env(environment).with_file_read(Files).with_http_send(Web(web.clone()))
}

/// Why there are no credentials. The sources of other crates are left out: that of a parser may quote the answer.
pub fn reason(error: &Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(source) = next.and_then(|source| source.downcast_ref::<Error>()) {
        parts.push(source.to_string());
        next = source.source();
    }
    one_line(&parts.join(": "), MAX_MESSAGE)
}

/// The credentials that a request carries. A server that refuses it may repeat them in its reason, as EC2 does where the
/// signature is wrong.
pub struct Carried(Vec<String>);

impl Carried {
    /// Those of a request with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let values = SECRET.iter().flat_map(|name| headers.get_all(*name)).filter_map(|value| value.to_str().ok());
        Self(values.filter(|value| !value.is_empty()).map(str::to_owned).collect())
    }

    /// A text without them.
    pub fn hidden_in(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "(hidden)"))
    }
}

/// The credentials of the pod: of the first source that it is given, in the
/// [order of the SDKs](https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html). A source that fails is
/// an error; the next one, as the role of the node, may have other rights.
#[derive(Debug)]
pub struct OfPod;

impl ProvideCredential for OfPod {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> reqsign_core::Result<Option<Credential>> {
        let has = |names: &[&str]| names.iter().any(|name| context.env_var(name).is_some_and(|text| !text.is_empty()));
        if has(&["AWS_ACCESS_KEY_ID"]) {
            EnvCredentialProvider::new().provide_credential(context).await
        } else if has(&["AWS_WEB_IDENTITY_TOKEN_FILE"]) {
            AssumeRoleWithWebIdentityCredentialProvider::new().provide_credential(context).await
        } else if has(&["AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"]) {
            ProfileCredentialProvider::new().provide_credential(context).await
        } else if has(&["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]) {
            ECSCredentialProvider::new().provide_credential(context).await
        } else {
            IMDSv2CredentialProvider::new().provide_credential(context).await
        }
    }
}

/// Requests for credentials.
#[derive(Debug)]
struct Web(WebClient);

impl HttpSend for Web {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        let server = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let failed = |reason: String| Error::unexpected(format!("{server} does not answer: {reason}"));
        let carried = Carried::of(request.headers());
        let answer = match timeout(TIMEOUT, self.0.send(request.map(Body::from), MAX_ANSWER)).await {
            Ok(answer) => answer.map_err(|error| failed(error.to_string()))?,
            Err(elapsed) => return Err(failed(elapsed.to_string())),
        };
        if answer.status().is_success() {
            return Ok(answer);
        }
        // It becomes a part of the reason.
        Ok(answer.map(|body| Bytes::from(carried.hidden_in(&String::from_utf8_lossy(&body)))))
    }
}

/// The files with tokens and profiles.
#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        let failed = |error| Error::config_invalid(format!("{path}: {error}"));
        tokio::fs::read(path).await.map_err(failed)
    }
}
