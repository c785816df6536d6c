use std::collections::HashMap;

use reqsign_core::StaticEnv;

use super::super::testing::{Call, Cloud};
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
    assert!(message.starts_with("\"ftp://one\" is not an address"), "{message}");
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
    assert!(
        call.header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKID/"),
        "{}",
        call.header("authorization")
    );
    assert!(
        call.header("authorization").contains("/eu-central-1/ec2/aws4_request, "),
        "{}",
        call.header("authorization")
    );
    assert!(call.header("authorization").contains("x-amz-security-token"), "{}", call.header("authorization"));
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
    assert!(calls.last().unwrap().header("authorization").contains("Credential=NODE/"));
    assert_eq!(calls.len(), 5, "the credentials are kept while they are valid");
}

#[tokio::test]
async fn without_an_answer_the_reason_is_told_and_may_pass() {
    let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let client = client(&[&keys[..], &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9")]].concat());
    let error = client.modifications(REGION, &[]).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_late_cut_or_too_long_is_an_error() {
    let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let at = |url: &str| client(&[&keys[..], &[("AWS_ENDPOINT_URL", url)]].concat());
    let message = |error: Error| (error.to_string(), error.is_passing());

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = at(&format!("http://{}", silent.local_addr().unwrap()));
    client.patience = Duration::from_millis(200);
    let late = client.volumes(REGION, &[]).await.unwrap_err();
    assert_eq!(message(late), ("AWS does not answer: no answer within 0.2 seconds".to_owned(), true));

    let cut = Cloud::start(|_, _| (200, "<R><volumeSet><item><volumeId>vol-1".to_owned())).await;
    let cut = message(at(&cut.url).volumes(REGION, &[]).await.unwrap_err());
    assert!(cut.0.starts_with("the answer of AWS to DescribeVolumes cannot be read: ") && !cut.1, "{cut:?}");

    let long = Cloud::start(|_, _| (200, "x".repeat(MAX_ANSWER + 1))).await;
    let long = message(at(&long.url).volumes(REGION, &[]).await.unwrap_err());
    assert!(long.0.starts_with("AWS does not answer: ") && long.1, "{long:?}");

    let proxy = Cloud::start(|_, _| (502, "<html>Bad Gateway</html>".to_owned())).await;
    let proxy = message(at(&proxy.url).volumes(REGION, &[]).await.unwrap_err());
    assert_eq!(proxy, ("AWS refuses DescribeVolumes: ServiceUnavailable: status 502".to_owned(), true));
}

/// Answers with all that the server can know of a request.
fn repeats(call: &Call) -> String {
    let text = format!("The canonical string should have been {:?} {}", call.headers, call.body).replace('&', "&amp;");
    format!(
        "<Response><Errors><Error><Code>SignatureDoesNotMatch</Code><Message>{text}</Message></Error></Errors></Response>"
    )
}

#[tokio::test]
async fn a_credential_is_in_no_message_whatever_a_server_repeats() {
    let cloud = Cloud::start_with(|_, call| (403, repeats(call))).await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "canary-of-file").unwrap();
    let token = token.path().to_str().unwrap();
    let keys =
        [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "canary"), ("AWS_SESSION_TOKEN", "canary/session+=")];
    let of_container = format!("{}/credentials", cloud.url);
    let container = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*of_container),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "canary-of-pod"),
    ];
    let container_file =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*of_container), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)];
    for (variables, expected) in [
        (&keys[..], "AWS refuses DescribeVolumes: SignatureDoesNotMatch: The canonical string"),
        (&container[..], "there are no credentials for AWS: "),
        (&container_file[..], "there are no credentials for AWS: "),
    ] {
        let client = client(&[variables, &[("AWS_ENDPOINT_URL", &*cloud.url)]].concat());
        let error = client.volumes(REGION, &["vol-1".to_owned()]).await.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(error.to_string().contains("(hidden)"), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
    assert!(cloud.calls().iter().all(|call| call.headers.iter().any(|(_, value)| value.contains("canary"))));
}

#[tokio::test]
async fn a_credential_that_cannot_be_read_is_not_quoted() {
    let cloud = Cloud::start(|path, _| {
        let body = match path {
            "/latest/api/token" => "canary-token",
            "/latest/meta-data/iam/security-credentials/" => "node",
            _ => "\"canary\"",
        };
        (200, body.to_owned())
    })
    .await;
    let error = client(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &cloud.url)]).volumes(REGION, &[]).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("failed to parse IMDS credentials response; give the operator's pod a role"), "{message}");
    assert!(!format!("{message} {error:?}").contains("canary"), "{error:?}");
}
