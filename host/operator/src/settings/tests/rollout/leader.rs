//! Promises about a rollout with which another leader goes on.

use super::*;

#[tokio::test]
async fn a_new_leader_goes_on_at_the_stage_and_decides_nothing_before_it_knows_it() {
    let api_server = api_server();
    let first = at_the_canary(&api_server, FakeFleet::new()).await;
    let mut second = Replica::new(&api_server, &first.fleet);
    second.takes(2, 2, staged());
    assert_eq!((second.with_the_new_one(), second.waiting()), (vec![], 3));
    second.runs(5).await;
    assert_eq!(second.waiting(), 3, "it does not lead");
    let since = second.status()["rollout"]["since"].clone();
    let mut second = second.leads().await;
    assert_eq!((second.with_the_new_one(), second.waiting()), (vec!["acid-canary".to_owned()], 0));
    assert_eq!(second.rollout(), at("Progressing", json!("canary"), "1/3"));
    assert_eq!(second.status()["rollout"]["since"], since);
    second.runs(70).await;
    assert_eq!(second.rollout(), at("Progressing", json!("10%"), "2/3"));
}

#[tokio::test]
async fn while_a_new_leader_has_not_loaded_the_new_pipeline_the_clusters_that_have_it_stay_as_they_are() {
    let api_server = api_server();
    let first = at_the_canary(&api_server, FakeFleet::new()).await;
    let mut second = Replica::new(&api_server, &first.fleet);
    second.progress.begun(Some(document(2, 2, staged())), Timestamp::now());
    let mut second = second.leads().await;
    assert_eq!((second.with_the_new_one(), second.waiting()), (vec![], 1));
    second.takes(2, 2, staged());
    assert_eq!((second.with_the_new_one(), second.waiting()), (vec!["acid-canary".to_owned()], 0));
}

#[tokio::test]
async fn a_replica_that_becomes_the_leader_after_a_rollout_uses_what_all_clusters_have() {
    let api_server = api_server();
    let mut first = at_the_canary(&api_server, FakeFleet::new()).await;
    let mut second = Replica::new(&api_server, &first.fleet);
    second.takes(2, 2, staged());
    first.runs(200).await;
    assert_eq!(first.rollout().0, "Complete");
    let second = second.leads().await;
    assert_eq!(second.rollout(), at("Complete", json!(null), "3/3"));
    assert_eq!((second.waiting(), second.settings.borrow().candidate.is_none()), (0, true));
    assert_eq!(second.progress.last_loaded.as_ref().unwrap().generation, Some(2));
}

#[tokio::test]
async fn after_a_restart_in_the_middle_the_clusters_of_the_stage_go_on_and_the_others_stay_as_they_are() {
    let api_server = api_server();
    let first = at_the_canary(&api_server, FakeFleet::new()).await;
    // No component of the pipeline before is found any more.
    let mut second = Replica::new(&api_server, &first.fleet);
    second.progress = Progress::default();
    let found = second.loader.wanted().await.unwrap();
    let placed = second.loader.to_be_rolled_out(&found, &pipeline(), &mut second.progress).await.unwrap();
    let (before, candidate) = placed.unwrap();
    assert!(!before.is_available());
    second.settings.send_modify(|settings| (settings.pipeline, settings.candidate) = (before, Some(candidate)));
    assert_eq!(second.waiting(), 3);
    let second = second.leads().await;
    assert_eq!((second.with_the_new_one(), second.waiting()), (vec!["acid-canary".to_owned()], 0));
    assert_eq!(second.rollout(), at("Progressing", json!("canary"), "1/3"));
    assert_eq!(second.status()["lastLoaded"]["generation"], 1);
}

#[tokio::test]
async fn a_new_leader_that_cannot_load_what_all_clusters_have_leaves_them_as_they_are() {
    let api_server = api_server();
    let mut first = at_the_canary(&api_server, FakeFleet::new()).await;
    let mut second = Replica::new(&api_server, &first.fleet);
    cannot_be_loaded(&mut second, document(2, 2, staged()));
    first.runs(250).await;
    assert_eq!(first.rollout().0, "Complete");
    let mut second = second.leads().await;
    assert!(!second.settings.borrow().pipeline.is_available(), "not the one that it had");
    assert_eq!(second.status()["lastLoaded"]["generation"], 2);
    assert!(second.condition().1.ends_with("all clusters stay as they are"), "{:?}", second.condition());
    second.takes(2, 2, staged());
    assert!(second.settings.borrow().pipeline.is_available() && second.settings.borrow().candidate.is_none());
    assert_eq!(second.rollout().0, "Complete");
}

#[tokio::test]
async fn a_new_leader_knows_how_the_clusters_were_before_they_got_the_pipeline() {
    let api_server = api_server();
    let fleet = FakeFleet::new();
    fleet.was("acid-canary", Before { ready: 1, wanted: 2, failing: false });
    let first = at_the_canary(&api_server, fleet).await;
    let before = "ns/acid-canary=1/2";
    assert_eq!(first.status()["rollout"]["before"], before);
    let mut second = Replica::new(&api_server, &first.fleet);
    second.takes(2, 2, staged());
    let mut second = second.leads().await;
    assert_eq!(second.status()["rollout"]["before"], before);
    second.fleet.before.lock().clear();
    second.is("acid-canary", Seen { ready: 1, ..well() });
    second.runs(70).await;
    assert_eq!(second.rollout(), at("Progressing", json!("10%"), "2/3"));
    second.is("acid-b", Seen { ready: 1, ..well() });
    second.runs(70).await;
    assert_eq!(second.rollout().0, "RolledBack");
    assert_eq!(second.status()["rollout"]["before"], Value::Null);
}

/// The pipeline by which a replica answers a question about a manifest: 0 is the one before, 1 the new one; `None` if it is
/// not known.
fn asked(replica: &mut Replica, name: &str) -> Option<usize> {
    replica.progress.told = replica.status();
    replica.loader.be_told(&replica.progress, &replica.settings);
    let settings = replica.settings.borrow();
    let (_, cluster) = replica.fleet.clusters.iter().find(|(_, cluster)| cluster.name == name).unwrap();
    settings.for_question(cluster).map(|settings| usize::from(settings.is_on_trial()))
}

#[tokio::test]
async fn a_replica_that_does_not_lead_answers_questions_by_the_pipeline_that_the_status_says() {
    let api_server = api_server();
    let mut first = Replica::new(&api_server, &Arc::new(FakeFleet::new())).leads().await;
    let mut second = Replica::new(&api_server, &first.fleet);
    assert_eq!(["acid-canary", "acid-a"].map(|name| asked(&mut second, name)), [Some(0), Some(0)]);
    first.takes(2, 2, staged());
    first.runs(4).await;
    // It has not loaded the new one yet.
    assert_eq!(["acid-canary", "acid-a"].map(|name| asked(&mut second, name)), [None, None]);
    second.takes(2, 2, staged());
    assert_eq!(["acid-canary", "acid-a"].map(|name| asked(&mut second, name)), [Some(1), Some(0)]);
    assert_eq!(second.waiting(), 3, "it reconciles nothing");
    first.runs(250).await;
    assert_eq!(["acid-canary", "acid-a"].map(|name| asked(&mut second, name)), [Some(1), Some(1)]);
    // A newer one that all clusters get at once, but for the leader has not compared it yet.
    second.takes(3, 3, json!(null));
    assert_eq!(asked(&mut second, "acid-a"), None);
    first.takes(3, 3, json!(null));
    first.runs(4).await;
    assert_eq!(asked(&mut second, "acid-a"), Some(0));
}
