//! Signed requests to EC2, with the credentials of the operator's pod.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, Uri, header};
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::hash::hex_sha256;
use reqsign_core::{Context, Env, Signer};
use tokio::time::timeout;

use super::credentials::{self, Carried, OfPod};
use super::{Change, Error, MAX_ANSWER, Modification, Volume, answer};
use crate::observe::web_client::WebClient;

/// The version of the API.
const VERSION: &str = "2016-11-15";
/// The service's name in signatures and addresses.
const SERVICE: &str = "ec2";
/// The standard variables for the address of the service.
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL"];
/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of EC2.
pub struct Ec2 {
    web: WebClient,
    context: Context,
    /// How long a call may take.
    patience: Duration,
    /// The signer with its region. It keeps the credentials while they are valid.
    signer: Mutex<Option<(String, Signer<Credential>)>>,
}

impl Ec2 {
    /// A client that has not sent anything yet. `environment` has the variables of the operator's pod.
    pub fn new(environment: impl Env) -> Self {
        let web = WebClient::default();
        let context = credentials::context(environment, &web);
        Self { web, context, patience: CALL_TIMEOUT, signer: Mutex::default() }
    }

    /// The volumes with these ids; those that do not exist are left out.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn volumes(&self, region: &str, ids: &[String]) -> Result<Vec<Volume>, Error> {
        answer::volumes(&self.call(region, "DescribeVolumes", &by_id(ids)).await?)
    }

    /// The last modifications of the volumes with these ids. One that was never modified has none.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn modifications(&self, region: &str, ids: &[String]) -> Result<Vec<Modification>, Error> {
        answer::modifications(&self.call(region, "DescribeVolumesModifications", &by_id(ids)).await?)
    }

    /// Changes a volume.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn modify(&self, region: &str, change: &Change) -> Result<Modification, Error> {
        let Change { volume, size, iops, throughput, volume_type } = change;
        let parameters = [
            ("VolumeId", Some(volume.clone())),
            ("Size", size.map(|size| size.to_string())),
            ("Iops", iops.map(|iops| iops.to_string())),
            ("Throughput", throughput.map(|throughput| throughput.to_string())),
            ("VolumeType", volume_type.clone()),
        ];
        let given = parameters.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        answer::modified(&self.call(region, "ModifyVolume", &given.collect::<Vec<_>>()).await?)
    }

    /// One call: the text of a good answer.
    ///
    /// # Errors
    /// If there is none.
    pub async fn call(
        &self,
        region: &str,
        action: &'static str,
        parameters: &[(String, String)],
    ) -> Result<String, Error> {
        let body = form(action, parameters);
        let request = Request::post(self.endpoint(region)?)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")
            .header("x-amz-content-sha256", hex_sha256(body.as_bytes()));
        let (mut parts, ()) = request.body(()).map_err(|error| Error::Reach(error.to_string()))?.into_parts();
        let signed = self.signer(region).sign(&mut parts, None).await;
        signed.map_err(|error| Error::Credentials(credentials::reason(&error)))?;
        let carried = Carried::of(&parts.headers);
        let sent = self.web.send(Request::from_parts(parts, Body::from(body)), MAX_ANSWER);
        let response = match timeout(self.patience, sent).await {
            Ok(response) => response.map_err(|error| Error::Reach(error.to_string()))?,
            Err(_) => return Err(Error::Reach(format!("no answer within {} seconds", self.patience.as_secs_f32()))),
        };
        let text = String::from_utf8_lossy(response.body());
        match response.status() {
            StatusCode::OK => Ok(text.into_owned()),
            status => Err(answer::refusal(action, status.as_u16(), &carried.hidden_in(&text))),
        }
    }

    fn signer(&self, region: &str) -> Signer<Credential> {
        let mut signer = self.signer.lock();
        match &*signer {
            Some((of, signer)) if of == region => signer.clone(),
            _ => {
                let made = Signer::new(self.context.clone(), OfPod, RequestSigner::new(SERVICE, region));
                *signer = Some((region.to_owned(), made.clone()));
                made
            }
        }
    }

    /// The address of the service in a region.
    fn endpoint(&self, region: &str) -> Result<Uri, Error> {
        // It becomes a part of a host's name.
        let is_region = region.starts_with(|first: char| first.is_ascii_lowercase())
            && region.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-');
        if !is_region {
            return Err(Error::Region(region.to_owned()));
        }
        let given = ENDPOINTS.iter().find_map(|name| self.context.env_var(name).filter(|text| !text.is_empty()));
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let text = given.unwrap_or_else(|| format!("https://{SERVICE}.{region}.{suffix}/"));
        let address = text.parse().ok();
        let address = address.filter(|address: &Uri| matches!(address.scheme_str(), Some("http" | "https")));
        address.ok_or(Error::Endpoint(text))
    }
}

/// The filter for volumes. In contrast to a list of ids it is no error if there is no such volume.
fn by_id(ids: &[String]) -> Vec<(String, String)> {
    let values = ids.iter().zip(1..).map(|(id, number)| (format!("Filter.1.Value.{number}"), id.clone()));
    std::iter::once(("Filter.1.Name".to_owned(), "volume-id".to_owned())).chain(values).collect()
}

fn form(action: &str, parameters: &[(String, String)]) -> String {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let mut form = format!("Action={action}&Version={VERSION}");
    for (name, value) in parameters {
        form.push_str(&format!("&{}={}", encode(name), encode(value)));
    }
    form
}

#[cfg(test)]
mod tests;
