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
