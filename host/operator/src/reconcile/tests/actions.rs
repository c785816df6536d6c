//! What plugins ask the host to do: executed, waited for or refused.

use super::*;

#[tokio::test]
async fn every_action_is_executed_waited_for_or_refused_by_name() {
    use pgloom_engine::{Action as Asked, Credential, ExpandClaim, GrowFilesystem, ModifyVolume, PoolerAccess};
    let claim = "pgdata-acid-orders-0".to_owned();
    let pipeline = asks_for(&[
        ("credential", Asked::Credential(Credential { username: "pooler".into(), labels: vec![] })),
        ("expand", Asked::ExpandClaim(ExpandClaim { claim: claim.clone(), size: "2Gi".into() })),
        (
            "modify",
            Asked::ModifyVolume(ModifyVolume {
                claim: claim.clone(),
                size: None,
                iops: None,
                throughput: None,
                volume_type: None,
            }),
        ),
        ("grow", Asked::GrowFilesystem(GrowFilesystem { claim, pod: "acid-orders-0".into() })),
        ("patroni", Asked::ConfigurePatroni(r#"{"ttl": 30}"#.into())),
        ("promote", Asked::Promote),
        ("access", Asked::PoolerAccess(PoolerAccess { username: "pooler".into(), schema: "pooler".into() })),
    ]);
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut operator = operator(&api_server, &[manifest()]);
    let config = operator.settings.borrow().config.clone();
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
    let after = reconcile(&operator, &key()).await.unwrap();
    assert!(after != Action::await_change());
    let status = last_status(&api_server);
    let reported: Vec<String> = status["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let text = |key: &str| record[key].as_str().unwrap();
            format!("{} {}: {}", text("key"), text("phase"), text("message").split(':').next().unwrap())
        })
        .collect();
    assert_eq!(
        reported,
        [
            "credential done: ",
            "expand refused: the cluster has no PersistentVolumeClaim pgdata-acid-orders-0",
            "modify refused: the cluster has no PersistentVolumeClaim pgdata-acid-orders-0",
            "grow refused: the cluster has no PersistentVolumeClaim pgdata-acid-orders-0",
            "patroni pending: waits for a leader that is ready, or for the promotion of the cluster",
            "promote pending: waits for a leader that is ready",
            "access pending: roles and databases are not synchronised at the moment",
        ]
    );
    let conditions = status["conditions"].as_array().unwrap();
    let condition = conditions.iter().find(|condition| condition["type"] == "ActionsDone").unwrap();
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("Refused")));
}

#[tokio::test]
async fn a_claim_that_is_not_the_clusters_is_not_grown() {
    use pgloom_engine::{Action as Asked, ExpandClaim};
    const CLAIMS: &str = "/api/v1/namespaces/ns/persistentvolumeclaims";
    let claim = |name: &str, cluster: &str| {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": name, "namespace": "ns", "uid": name,
                "labels": {"application": "spilo", "cluster-name": cluster, "team": "acid"},
            },
            "spec": {"resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Bound"},
        })
    };
    let claims = [claim("pgdata-b-0", "b")];
    let expand = |name: &str| Asked::ExpandClaim(ExpandClaim { claim: name.into(), size: "2Gi".into() });
    let pipeline = asks_for(&[("other", expand("pgdata-b-0")), ("path", expand("../secrets/s"))]);
    let mut api_server = FakeApiServer::new().with(MANIFEST, manifest());
    for claim in &claims {
        api_server =
            api_server.with(&format!("{CLAIMS}/{}", claim["metadata"]["name"].as_str().unwrap()), claim.clone());
    }
    let existing: Vec<Value> = std::iter::once(manifest()).chain(claims).collect();
    let mut operator = operator(&api_server, &existing);
    let config = operator.settings.borrow().config.clone();
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
    reconcile(&operator, &key()).await.unwrap();
    let status = last_status(&api_server);
    let states: Vec<(&str, &str)> = status["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| (record["key"].as_str().unwrap(), record["message"].as_str().unwrap()))
        .collect();
    assert_eq!(
        states,
        [
            ("other", "the cluster has no PersistentVolumeClaim pgdata-b-0"),
            ("path", "\"../secrets/s\" is not a name that an object can have"),
        ]
    );
    let is_claim = |write: &String| write.contains("pgdata");
    assert!(!written(&api_server).iter().any(is_claim), "{:?}", written(&api_server));
}

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

#[tokio::test]
async fn a_cloud_volume_is_changed_in_a_job_and_not_again_once_the_status_says_that_it_is_done() {
    use crate::execute::ec2::Ec2;
    use crate::execute::ec2::testing::Cloud;
    use pgloom_engine::{Action as Asked, ModifyVolume};
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
    let mut operator = operator(&api_server, &[manifest(), claim]);
    let variables = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_ENDPOINT_URL", &*cloud.url)];
    let envs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    operator.ec2 = Arc::new(Ec2::new(StaticEnv { home_dir: None, envs }));
    let config = operator.settings.borrow().config.clone();
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
    let action = || last_status(&api_server)["actions"][0].clone();
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!((&action()["phase"], &action()["message"]), (&json!("running"), &json!("the volume is being changed")));
    let state = operator.states.of(&key());
    while state.volumes.is_running() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    reconcile(&operator, &key()).await.unwrap();
    let message = json!("AWS volume vol-1 is changed and is being optimized");
    assert_eq!((&action()["phase"], &action()["message"]), (&json!("done"), &message));
    // What the watch would report, in an operator that has started again.
    let mut seen = manifest();
    seen["metadata"]["finalizers"] = json!([FINALIZER]);
    seen["metadata"]["resourceVersion"] = json!("9");
    seen["status"] = last_status(&api_server);
    operator.store.record_write(seen);
    operator.states.forget(&key());
    let calls = cloud.calls().len();
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(action()["phase"], json!("done"));
    assert!(!operator.states.of(&key()).volumes.is_running());
    assert_eq!(cloud.calls().len(), calls);
}

#[tokio::test]
async fn a_password_is_not_written_to_a_secret_that_others_have_made() {
    use pgloom_engine::{Action as Asked, Credential, UserList};
    const SECRETS: &str = "/api/v1/namespaces/ns/secrets";
    let theirs =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs", "namespace": "ns", "uid": "s"}});
    let list = |name: &str, username: &str| {
        Asked::UserList(UserList { secret_name: name.into(), username: username.into(), labels: vec![] })
    };
    let pipeline = asks_for(&[
        ("credential", Asked::Credential(Credential { username: "pooler".into(), labels: vec![] })),
        ("theirs", list("theirs", "pooler")),
        ("mine", list("acid-orders-list", "pooler")),
        ("superuser", list("acid-orders-root", "postgres")),
    ]);
    let api_server = FakeApiServer::new().with(MANIFEST, manifest()).with(&format!("{SECRETS}/theirs"), theirs.clone());
    let mut operator = operator(&api_server, &[manifest()]);
    let config = operator.settings.borrow().config.clone();
    operator.settings = watch::channel(Settings::of(config, pipeline)).1;
    reconcile(&operator, &key()).await.unwrap();
    let lists: Vec<String> = api_server
        .writes()
        .iter()
        .filter(|write| write.path.starts_with(SECRETS) && write.body.to_string().contains("userlist.txt"))
        .map(|write| write.body["metadata"]["name"].as_str().unwrap_or("a patch").to_owned())
        .collect();
    assert_eq!(lists, ["acid-orders-list"]);
    let phases: Vec<String> = last_status(&api_server)["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| format!("{} {}", record["key"].as_str().unwrap(), record["phase"].as_str().unwrap()))
        .collect();
    assert_eq!(phases, ["credential done", "theirs refused", "mine done", "superuser refused"]);
    let message = last_status(&api_server)["actions"][1]["message"].as_str().unwrap().to_owned();
    assert_eq!(
        message,
        "Secret theirs exists already and was not made for this cluster; delete it, or use another name"
    );
}
