//! Cloud volumes against a server in the place of AWS, for what it answers only when something is wrong or slow.

use std::collections::HashMap;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use pgloom_api::ActionPhase::{Done, Failed, Pending, Running};
use pgloom_engine::GrowFilesystem;
use reqsign_core::StaticEnv;
use serde_json::{Value, json};

use super::*;
use crate::execute::command::{self, Container, Exec, Output};
use crate::execute::ec2::Change;
use crate::execute::ec2::testing::Cloud;
use crate::testing::FakeApiServer;

const REPAIR: Duration = Duration::from_secs(300);

/// A claim and its volume.
fn claim(api_server: FakeApiServer, number: u32, source: Value) -> FakeApiServer {
    let (claim, volume) = (format!("pgdata-c-{number}"), format!("pv-{number}"));
    let mut spec = source;
    spec["claimRef"] = json!({"namespace": "ns", "name": claim, "uid": claim});
    api_server
        .with(
            &format!("/api/v1/namespaces/ns/persistentvolumeclaims/{claim}"),
            json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": claim, "namespace": "ns", "uid": claim}, "spec": {"volumeName": volume},
            }),
        )
        .with(
            &format!("/api/v1/persistentvolumes/{volume}"),
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": spec}),
        )
}

fn ebs(id: &str) -> Value {
    json!({"csi": {"driver": "ebs.csi.aws.com", "volumeHandle": id}})
}

/// A cluster of two members with the volumes `vol-0` and `vol-1`.
fn two_members() -> FakeApiServer {
    claim(claim(FakeApiServer::new(), 0, ebs("vol-0")), 1, ebs("vol-1"))
}

fn volumes(api_server: &FakeApiServer, url: &str) -> Volumes {
    let variables = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_ENDPOINT_URL_EC2", url)];
    let envs: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let client = api_server.client();
    Volumes {
        commands: Arc::new(Exec { client: client.clone() }),
        client,
        namespace: "ns".into(),
        ec2: Arc::new(Ec2::new(StaticEnv { home_dir: None, envs })),
        region: "eu-central-1".into(),
        repair: REPAIR,
        patience: Duration::from_secs(10),
        sizes: BTreeMap::new(),
    }
}

fn modify(number: u32, size: &str, iops: Option<u32>) -> RequestedAction {
    let change = ModifyVolume {
        claim: format!("pgdata-c-{number}"),
        size: Some(size.into()),
        iops,
        throughput: None,
        volume_type: iops.map(|_| "gp3".into()),
    };
    let key = format!("modify-{number}");
    RequestedAction { step: "resize".into(), key, action: Action::ModifyVolume(change), refusal: None }
}

/// The phase and the message of an action of a member.
fn phase(outcomes: &Outcomes, number: u32) -> (ActionPhase, &str) {
    let outcome = &outcomes[&("resize".to_owned(), format!("modify-{number}"))];
    (outcome.progress.phase, &outcome.progress.message)
}

/// Makes every action due.
fn due(mut outcomes: Outcomes) -> Outcomes {
    outcomes.values_mut().for_each(|outcome| outcome.again = outcome.again.map(|_| Instant::now()));
    outcomes
}

/// The seconds until the next action is due.
fn delay(outcomes: &Outcomes) -> f32 {
    outcomes.values().map(|outcome| outcome.again.unwrap() - Instant::now()).min().unwrap().as_secs_f32().round()
}

fn described(form: &str, sizes: [u32; 2], modifications: &str) -> Option<(u16, String)> {
    let volume = |number: usize| {
        let size = sizes[number];
        format!("<item><volumeId>vol-{number}</volumeId><size>{size}</size><volumeType>gp2</volumeType></item>")
    };
    if form.contains("Action=DescribeVolumes&") {
        return Some((200, format!("<R><volumeSet>{}{}</volumeSet></R>", volume(0), volume(1))));
    }
    let set = format!("<R><volumeModificationSet>{modifications}</volumeModificationSet></R>");
    form.contains("Action=DescribeVolumesModifications&").then_some((200, set))
}

fn modification(id: &str, state: &str, began: &str) -> String {
    format!(
        "<volumeId>{id}</volumeId><modificationState>{state}</modificationState><progress>1</progress><startTime>{began}</startTime>"
    )
}

fn modified(id: &str, state: &str) -> (u16, String) {
    (200, format!("<R><volumeModification>{}</volumeModification></R>", modification(id, state, "")))
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, format!("<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>"))
}

#[tokio::test]
async fn a_volume_is_modified_and_has_grown_when_it_is_optimized() {
    let (sizes, states) = (Arc::new(Mutex::new([1, 1])), Arc::new(Mutex::new("")));
    let (now, state) = (sizes.clone(), states.clone());
    let cloud = Cloud::start(move |_, form| {
        let modification = match *state.lock() {
            "" => String::new(),
            state => format!("<item>{}</item>", modification("vol-0", state, "2031-05-17T01:00:00Z")),
        };
        described(form, *now.lock(), &modification).unwrap_or_else(|| modified("vol-0", "modifying"))
    })
    .await;
    let api_server = two_members();
    let (volumes, wanted) = (volumes(&api_server, &cloud.url), [modify(0, "2Gi", None)]);
    let first = volumes.run(&wanted, &Outcomes::default()).await;
    assert_eq!(phase(&first, 0), (Running, "AWS changes volume vol-0: 1 %"));
    assert!(cloud.calls().last().unwrap().body.ends_with("&VolumeId=vol-0&Size=2"));

    let calls = cloud.calls().len();
    assert_eq!(volumes.run(&wanted, &first).await, first, "it is not due");
    assert_eq!(cloud.calls().len(), calls);

    *states.lock() = "modifying";
    let second = volumes.run(&wanted, &due(first)).await;
    assert_eq!(phase(&second, 0).0, Running);
    (*states.lock(), *sizes.lock()) = ("optimizing", [2, 1]);
    let third = volumes.run(&wanted, &due(second)).await;
    assert_eq!(phase(&third, 0), (Done, "AWS volume vol-0 has 2 GiB and is being optimized"));
    let modifies = cloud.actions().iter().filter(|action| *action == "ModifyVolume").count();
    assert_eq!(modifies, 1);
}

#[tokio::test]
async fn a_volume_that_was_changed_a_short_time_ago_waits_and_the_other_member_grows() {
    let began = Timestamp::now() - SignedDuration::from_hours(2);
    let cloud = Cloud::start(move |_, form| {
        let last = format!("<item>{}</item>", modification("vol-0", "completed", &began.to_string()));
        described(form, [1, 1], &last).unwrap_or_else(|| match form.contains("vol-0") {
            true => refused(400, "VolumeModificationRateExceeded"),
            false => modified("vol-1", "completed"),
        })
    })
    .await;
    let api_server = two_members();
    let volumes = volumes(&api_server, &cloud.url);
    let outcomes = volumes.run(&[modify(0, "2Gi", None), modify(1, "2Gi", None)], &Outcomes::default()).await;
    let (phase_of_first, message) = phase(&outcomes, 0);
    assert_eq!(phase_of_first, Failed);
    assert!(
        message.starts_with(&format!("the volume was changed at {began:.0}, and is changed again after ")),
        "{message}"
    );
    let again = outcomes[&("resize".to_owned(), "modify-0".to_owned())].again.unwrap();
    let hours = again.saturating_duration_since(Instant::now()).as_secs_f32() / 3600.0;
    assert!((3.9..4.1).contains(&hours), "{hours}");
    assert_eq!(phase(&outcomes, 1), (Done, "AWS volume vol-1 is changed"));
}

#[tokio::test]
async fn too_many_requests_are_followed_by_ever_fewer_and_told_only_when_they_last() {
    let cloud =
        Cloud::start(|_, form| described(form, [1, 1], "").unwrap_or_else(|| refused(503, "RequestLimitExceeded")))
            .await;
    let api_server = two_members();
    let (volumes, wanted) = (volumes(&api_server, &cloud.url), [modify(0, "2Gi", None), modify(1, "2Gi", None)]);
    let mut outcomes = volumes.run(&wanted, &Outcomes::default()).await;
    assert_eq!(phase(&outcomes, 0), (Pending, "AWS refuses ModifyVolume: RequestLimitExceeded: no"));
    assert_eq!(phase(&outcomes, 0), phase(&outcomes, 1));
    assert_eq!(cloud.actions(), ["DescribeVolumes", "DescribeVolumesModifications", "ModifyVolume"]);
    let mut delays = vec![delay(&outcomes)];
    for _ in 0..6 {
        outcomes = volumes.run(&wanted, &due(outcomes)).await;
        delays.push(delay(&outcomes));
    }
    assert_eq!(delays, [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0]);
    assert_eq!(phase(&outcomes, 0).0, Failed);
}

#[tokio::test]
async fn a_modification_that_takes_long_is_asked_for_ever_less_often() {
    let cloud = Cloud::start(|_, form| {
        let modifying = format!("<item>{}</item>", modification("vol-0", "modifying", "2031-05-17T01:00:00Z"));
        described(form, [1, 1], &modifying).unwrap_or_else(|| modified("vol-0", "modifying"))
    })
    .await;
    let api_server = two_members();
    let (volumes, wanted) = (volumes(&api_server, &cloud.url), [modify(0, "2Gi", None)]);
    let (mut outcomes, mut delays) = (Outcomes::default(), Vec::new());
    for _ in 0..6 {
        outcomes = volumes.run(&wanted, &due(outcomes)).await;
        delays.push(delay(&outcomes));
    }
    assert_eq!(delays, [10.0, 20.0, 40.0, 80.0, 160.0, 160.0]);
    assert!(!cloud.actions().contains(&"ModifyVolume".to_owned()));
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_not_made_again() {
    let changed = Arc::new(Mutex::new(false));
    let is_changed = changed.clone();
    let cloud = Cloud::start(move |_, form| {
        let last = format!("<item>{}</item>", modification("vol-0", "optimizing", "2031-05-17T01:00:00Z"));
        let size = if *is_changed.lock() { ([2, 1], &*last) } else { ([1, 1], "") };
        described(form, size.0, size.1).unwrap_or_else(|| {
            *is_changed.lock() = true;
            (504, String::new())
        })
    })
    .await;
    let api_server = two_members();
    let (volumes, wanted) = (volumes(&api_server, &cloud.url), [modify(0, "2Gi", None)]);
    let first = volumes.run(&wanted, &Outcomes::default()).await;
    assert_eq!(phase(&first, 0), (Pending, "AWS refuses ModifyVolume: ServiceUnavailable: status 504"));
    let second = volumes.run(&wanted, &due(first)).await;
    assert_eq!(phase(&second, 0), (Done, "AWS volume vol-0 has 2 GiB and is being optimized"));
    assert_eq!(cloud.actions().iter().filter(|action| *action == "ModifyVolume").count(), 1);
}

#[tokio::test]
async fn a_right_that_is_missing_fails_with_the_reason_of_aws() {
    let cloud = Cloud::start(|_, _| refused(403, "UnauthorizedOperation")).await;
    let api_server = two_members();
    let outcomes = volumes(&api_server, &cloud.url).run(&[modify(0, "2Gi", None)], &Outcomes::default()).await;
    assert_eq!(phase(&outcomes, 0), (Failed, "AWS refuses DescribeVolumes: UnauthorizedOperation: no"));
}

#[tokio::test]
async fn only_the_clusters_own_volumes_of_ebs_are_changed() {
    let cloud =
        Cloud::start(|_, form| described(form, [1, 1], "").unwrap_or_else(|| modified("vol-0", "completed"))).await;
    let mut api_server = claim(FakeApiServer::new(), 0, ebs("vol-9"));
    api_server = claim(api_server, 1, json!({"hostPath": {"path": "/data"}}));
    api_server = claim(api_server, 2, ebs("vol-0"));
    let stolen = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "pgdata-c-2", "namespace": "ns", "uid": "another"}, "spec": {"volumeName": "pv-2"},
    });
    api_server = api_server.with("/api/v1/namespaces/ns/persistentvolumeclaims/pgdata-c-2", stolen);
    let wanted = [0, 1, 2, 3].map(|number| modify(number, "2Gi", None));
    let outcomes = volumes(&api_server, &cloud.url).run(&wanted, &Outcomes::default()).await;
    let message = |number| phase(&outcomes, number);
    let lost = "AWS has no volume vol-9 of claim pgdata-c-0 in eu-central-1: set aws_region to its region";
    assert_eq!(message(0), (Failed, lost));
    let other = "the volume of claim pgdata-c-1 is not one of AWS EBS";
    assert_eq!(message(1), (Failed, other));
    assert_eq!(message(2), (Failed, "the volume that claim pgdata-c-2 names is bound to another claim"));
    assert_eq!(message(3), (Failed, "there is no claim pgdata-c-3"));
    assert!(!cloud.actions().contains(&"ModifyVolume".to_owned()));
}

#[test]
fn volumes_of_both_drivers_have_an_id() {
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({"metadata": {"name": "c", "uid": "u"}})).unwrap();
    let id = |source: Value| {
        let mut spec = source;
        spec["claimRef"] = json!({"uid": "u"});
        volume_id(&serde_json::from_value(json!({"spec": spec})).unwrap(), &claim)
    };
    assert_eq!(id(ebs("vol-0a")), Ok("vol-0a".to_owned()));
    assert_eq!(
        id(json!({"awsElasticBlockStore": {"volumeID": "aws://eu-central-1a/vol-0a"}})),
        Ok("vol-0a".to_owned())
    );
    assert!(id(ebs("vol-0a&Size=1")).is_err());
    assert!(id(json!({"csi": {"driver": "other", "volumeHandle": "vol-0a"}})).is_err());
}

#[tokio::test]
async fn a_filesystem_of_a_pod_that_is_gone_waits() {
    let api_server = two_members();
    let action = Action::GrowFilesystem(GrowFilesystem { claim: "pgdata-c-0".into(), pod: "c-0".into() });
    let grow = RequestedAction { step: "resize".into(), key: "grow".into(), action, refusal: None };
    let outcomes = volumes(&api_server, "http://127.0.0.1:9").run(&[grow], &Outcomes::default()).await;
    let outcome = &outcomes[&("resize".to_owned(), "grow".to_owned())];
    assert_eq!(outcome.progress, Progress::new(Pending, "there is no pod c-0"));
}

/// A member that never answers, and others whose filesystem grows.
struct Silent;

impl Commands for Silent {
    fn run<'a>(
        &'a self,
        container: &'a Container,
        command: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Output, command::Error>> {
        async move {
            if container.pod == "c-0" {
                return std::future::pending().await;
            }
            let text = if command.contains(&"/proc/mounts") { "/dev/sdb /data ext4 rw 0 0\n" } else { "" };
            Ok(Output { text: text.into(), ..Output::default() })
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_member_that_does_not_answer_holds_no_other_one() {
    let mut api_server = FakeApiServer::new();
    for pod in ["c-0", "c-1"] {
        let spec = json!({
            "volumes": [{"name": "pgdata", "persistentVolumeClaim": {"claimName": format!("pgdata-{pod}")}}],
            "containers": [{"name": "postgres", "volumeMounts": [{"name": "pgdata", "mountPath": "/data"}]}],
        });
        let object =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "namespace": "ns"}, "spec": spec});
        api_server = api_server.with(&format!("/api/v1/namespaces/ns/pods/{pod}"), object);
    }
    let mut volumes = volumes(&api_server, "http://127.0.0.1:9");
    (volumes.commands, volumes.patience) = (Arc::new(Silent), Duration::from_millis(200));
    let grow = |number: u32| {
        let (claim, pod) = (format!("pgdata-c-{number}"), format!("c-{number}"));
        let action = Action::GrowFilesystem(GrowFilesystem { claim, pod });
        RequestedAction { step: "resize".into(), key: format!("modify-{number}"), action, refusal: None }
    };
    let outcomes = volumes.run(&[grow(0), grow(1)], &Outcomes::default()).await;
    assert_eq!(phase(&outcomes, 0), (Failed, "pod c-0 does not answer within 0.2 seconds"));
    assert_eq!(phase(&outcomes, 1), (Done, "the ext4 filesystem of claim pgdata-c-1 has the size of its volume"));
}

mod moto;
