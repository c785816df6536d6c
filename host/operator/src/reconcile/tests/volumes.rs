//! Cloud volumes: their job, what the status says of it, and that the operator's credentials are nowhere.

use pgloom_engine::{Action as Asked, ModifyVolume};

use super::*;
use crate::execute::ec2::testing::{Call, Cloud};

/// The claim of the first member, as it exists, and its volume.
fn claim_and_volume() -> [Value; 2] {
    let labels = json!({"application": "spilo", "cluster-name": "acid-orders", "team": "acid"});
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "pgdata-acid-orders-0", "namespace": "ns", "uid": "claim", "labels": labels},
        "spec": {"volumeName": "pv", "resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Bound"},
    });
    let csi = json!({"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"});
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"},
        "spec": {"csi": csi, "claimRef": {"uid": "claim"}},
    });
    [claim, volume]
}

/// An operator with a cluster, a step of which wants a larger volume of that cloud.
fn with_cloud(cloud: &Cloud) -> (FakeApiServer, Context) {
    let change = ModifyVolume {
        claim: "pgdata-acid-orders-0".into(),
        size: Some("2Gi".into()),
        iops: None,
        throughput: None,
        volume_type: None,
    };
    let pipeline = asks_for(&[("modify", Asked::ModifyVolume(change))]);
    let [claim, volume] = claim_and_volume();
    let api_server = FakeApiServer::new()
        .with(MANIFEST, manifest())
        .with("/api/v1/namespaces/ns/persistentvolumeclaims/pgdata-acid-orders-0", claim.clone())
        .with("/api/v1/persistentvolumes/pv", volume);
    let secrets = super::owed::secrets();
    for object in &secrets {
        api_server.put(&secret(object["metadata"]["name"].as_str().unwrap()), object.clone());
    }
    let mut operator = operator(&api_server, &[vec![manifest(), claim], secrets].concat());
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "cloud-canary-key"),
        ("AWS_SESSION_TOKEN", "cloud-canary-session"),
        ("AWS_ENDPOINT_URL", &*cloud.url),
    ];
    let envs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    operator.ec2 = Arc::new(Ec2::new(StaticEnv { home_dir: None, envs }));
    let config = operator.settings.borrow().config.clone();
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
    (api_server, operator)
}

/// Reconciles, waits for the job, and reconciles again as its end asks for.
async fn until_the_job_ended(operator: &Context) {
    reconcile(operator, &key()).await.unwrap();
    let state = operator.states.of(&key());
    while state.volumes.is_running() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    reconcile(operator, &key()).await.unwrap();
}

/// Phase and message of the action.
fn action(api_server: &FakeApiServer) -> (String, String) {
    let action = last_status(api_server)["actions"][0].clone();
    let text = |field: &str| action[field].as_str().unwrap_or_default().to_owned();
    (text("phase"), text("message"))
}

#[tokio::test]
async fn a_cloud_volume_is_changed_in_a_job_and_not_again_once_the_status_says_that_it_is_done() {
    let cloud = Cloud::start(|_, form| {
        let body = match form.split('&').next().unwrap() {
            "Action=DescribeVolumes" => "<R><volumeSet><item><volumeId>vol-1</volumeId><size>1</size></item></volumeSet></R>",
            "Action=ModifyVolume" => {
                "<R><volumeModification><volumeId>vol-1</volumeId><modificationState>optimizing</modificationState></volumeModification></R>"
            }
            _ => "<R></R>",
        };
        (200, body.to_owned())
    })
    .await;
    let (api_server, operator) = with_cloud(&cloud);
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(action(&api_server), ("running".into(), "the volume is being changed".into()));
    until_the_job_ended(&operator).await;
    assert_eq!(action(&api_server), ("done".into(), "AWS volume vol-1 is changed and is being optimized".into()));
    // What the watch would report, in an operator that has started again.
    let mut seen = manifest();
    seen["metadata"]["finalizers"] = json!([FINALIZER]);
    seen["metadata"]["resourceVersion"] = json!("9");
    seen["status"] = last_status(&api_server);
    operator.store.record_write(seen);
    operator.states.forget(&key());
    let calls = cloud.calls().len();
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(action(&api_server).0, "done");
    assert!(!operator.states.of(&key()).volumes.is_running());
    assert_eq!(cloud.calls().len(), calls);
}

#[tokio::test]
async fn a_reconcile_before_the_next_call_is_due_calls_nothing() {
    let refusal = "<Response><Errors><Error><Code>UnauthorizedOperation</Code></Error></Errors></Response>";
    let cloud = Cloud::start(|_, _| (403, refusal.to_owned())).await;
    let (api_server, operator) = with_cloud(&cloud);
    until_the_job_ended(&operator).await;
    let expected = "AWS refuses DescribeVolumes: UnauthorizedOperation: ";
    assert_eq!(action(&api_server), ("failed".into(), expected.into()));
    let calls = cloud.calls().len();
    for _ in 0..3 {
        until_the_job_ended(&operator).await;
    }
    assert_eq!((calls, cloud.calls().len()), (1, 1));
}

#[tokio::test]
async fn no_credential_of_the_cloud_is_in_the_status_an_event_or_the_log() {
    let lines = super::log::lines();
    let repeats = |_: &str, call: &Call| {
        let message = format!("the canonical string should have been {:?}", call.headers);
        let error = format!("<Error><Code>SignatureDoesNotMatch</Code><Message>{message}</Message></Error>");
        (403, format!("<Response><Errors>{error}</Errors></Response>"))
    };
    let cloud = Cloud::start_with(repeats).await;
    let (api_server, operator) = with_cloud(&cloud);
    until_the_job_ended(&operator).await;
    let (phase, message) = action(&api_server);
    assert!(phase == "failed" && message.contains("SignatureDoesNotMatch"), "{phase}: {message}");
    assert!(cloud.calls()[0].header("x-amz-security-token") == "cloud-canary-session");
    let writes: Vec<String> = api_server.writes().iter().map(|write| write.body.to_string()).collect();
    let events = writes.iter().filter(|body| body.contains("SignatureDoesNotMatch") && body.contains("\"Event\""));
    assert!(events.count() > 0, "the failure is an event, too");
    assert!(!writes.concat().contains("cloud-canary"), "{writes:?}");
    assert!(!lines.text().contains("cloud-canary"));
}
