use std::collections::HashMap;

use reqsign_core::StaticEnv;

use super::super::testing::Cloud;
use super::*;

const REGION: &str = "eu-central-1";

fn environment(variables: &[(&str, &str)]) -> StaticEnv {
    let envs: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    StaticEnv { home_dir: None, envs }
}

fn client(variables: &[(&str, &str)]) -> Ec2 {
    Ec2::new(environment(variables))
}

#[test]
fn a_form_is_encoded_once() {
    let parameters = [("Filter.1.Name".to_owned(), "a b&c=d".to_owned())];
    assert_eq!(form("Do", &parameters), "Action=Do&Version=2016-11-15&Filter.1.Name=a%20b%26c%3Dd");
}

#[test]
fn the_address_is_that_of_the_region_or_of_the_environment() {
    let address = |variables: &[(&str, &str)], region: &str| {
        client(variables).endpoint(region).map(|uri| uri.to_string()).map_err(|error| error.to_string())
    };
    assert_eq!(address(&[], REGION).unwrap(), "https://ec2.eu-central-1.amazonaws.com/");
    assert_eq!(address(&[], "cn-north-1").unwrap(), "https://ec2.cn-north-1.amazonaws.com.cn/");
    let both = [("AWS_ENDPOINT_URL", "http://one"), ("AWS_ENDPOINT_URL_EC2", "http://two")];
    assert_eq!(address(&both, REGION).unwrap(), "http://two/");
    assert_eq!(address(&both[..1], REGION).unwrap(), "http://one/");
    for region in ["", "evil.com/?", "EU", "1-eu"] {
        assert!(address(&[], region).unwrap_err().starts_with("aws_region: "), "{region}");
    }
    let message = address(&[("AWS_ENDPOINT_URL", "ftp://one")], REGION).unwrap_err();
    assert!(message.starts_with("\"ftp://one\" is no address"), "{message}");
}

#[tokio::test]
async fn a_call_is_signed_with_the_credentials_of_the_environment() {
    let cloud = Cloud::start(|_, _| (200, "<R><volumeSet/></R>".to_owned())).await;
    let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_SESSION_TOKEN", "session")];
    let client = client(&[&keys[..], &[("AWS_ENDPOINT_URL_EC2", cloud.url.as_str())]].concat());
    assert_eq!(client.volumes(REGION, &["vol-1".to_owned()]).await, Ok(vec![]));
    let calls = cloud.calls();
    let [call] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(call.body, "Action=DescribeVolumes&Version=2016-11-15&Filter.1.Name=volume-id&Filter.1.Value.1=vol-1");
    assert!(call.authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{}", call.authorization);
    assert!(call.authorization.contains("/eu-central-1/ec2/aws4_request, "), "{}", call.authorization);
    assert!(call.authorization.contains("x-amz-security-token"), "{}", call.authorization);
}

#[tokio::test]
async fn the_role_of_the_service_account_is_used_and_its_failure_is_told() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "").unwrap();
    let role = [
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.path().to_str().unwrap()),
        // Another source, which is not asked.
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9"),
    ];
    let message = client(&role).volumes(REGION, &[]).await.unwrap_err().to_string();
    assert!(message.starts_with("there are no credentials for AWS: subject token is empty; give the"), "{message}");
}

#[tokio::test]
async fn the_role_of_the_node_comes_from_the_metadata_service() {
    let cloud = Cloud::start(|path, _| {
        let body = match path {
            "/latest/api/token" => "token",
            "/latest/meta-data/iam/security-credentials/" => "node",
            "/latest/meta-data/iam/security-credentials/node" => {
                r#"{"Code": "Success", "LastUpdated": "2031-05-17T01:00:00Z", "Type": "AWS-HMAC", "AccessKeyId": "NODE",
                    "SecretAccessKey": "secret", "Token": "session", "Expiration": "2099-01-01T00:00:00Z"}"#
            }
            _ => "<R><volumeSet/></R>",
        };
        (200, body.to_owned())
    })
    .await;
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*cloud.url), ("AWS_ENDPOINT_URL", &*cloud.url)];
    let client = client(&variables);
    assert_eq!(client.volumes(REGION, &[]).await, Ok(vec![]));
    assert_eq!(client.volumes(REGION, &[]).await, Ok(vec![]));
    let calls = cloud.calls();
    assert!(calls.last().unwrap().authorization.contains("Credential=NODE/"));
    assert_eq!(calls.len(), 5, "the credentials are kept while they are valid");
}

#[tokio::test]
async fn without_an_answer_the_reason_is_told_and_may_pass() {
    let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let client = client(&[&keys[..], &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9")]].concat());
    let error = client.modifications(REGION, &[]).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
}
