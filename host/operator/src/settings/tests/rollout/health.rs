//! Promises about clusters that get worse during a rollout, or are waited for.

use super::*;

#[tokio::test]
async fn a_step_that_fails_for_the_canary_takes_the_pipeline_back_and_it_is_not_tried_again() {
    let api_server = api_server();
    let mut replica = at_the_canary(&api_server, FakeFleet::new()).await;
    replica.fails("ns/acid-canary", "step one failed: it trapped");
    replica.runs(4).await;
    assert_eq!(replica.rollout(), at("RolledBack", json!("canary"), "0/3"));
    let message = "ns/acid-canary: step one failed: it trapped; the pipeline of generation 1 stays in use";
    assert_eq!(replica.condition(), ("RolledBack".to_owned(), message.to_owned()));
    assert_eq!((replica.with_the_new_one(), replica.waiting()), (vec![], 0));
    assert_eq!(replica.loader.metrics.rollbacks.get(), 1);
    // The same components are loaded again, as after a poll, and by another replica.
    replica.fleet.seen.lock().clear();
    replica.takes(2, 2, staged());
    replica.runs(100).await;
    assert_eq!(replica.rollout(), at("RolledBack", json!("canary"), "0/3"));
    let mut other = Replica::new(&api_server, &replica.fleet);
    other.takes(2, 2, staged());
    let mut other = other.leads().await;
    other.runs(100).await;
    assert_eq!(other.rollout(), at("RolledBack", json!("canary"), "0/3"));
    // A changed document is another one.
    other.takes(3, 3, staged());
    other.runs(4).await;
    assert_eq!(other.rollout(), at("Progressing", json!("canary"), "1/3"));
}

#[tokio::test]
async fn a_cluster_that_stays_less_ready_than_it_was_takes_the_pipeline_back() {
    let mut replica = at_the_canary(&api_server(), FakeFleet::new()).await;
    replica.is("acid-canary", Seen { ready: 1, ..well() });
    replica.runs(50).await;
    replica.fleet.seen.lock().clear();
    replica.runs(4).await;
    assert_eq!(replica.rollout().0, "Progressing", "a member that restarts is no problem");
    replica.is("acid-canary", Seen { ready: 1, ..well() });
    replica.runs(70).await;
    assert_eq!(replica.rollout().0, "RolledBack");
    assert!(
        replica.condition().1.starts_with("ns/acid-canary: 1 members have been ready"),
        "{:?}",
        replica.condition()
    );
}

#[tokio::test]
async fn a_cluster_that_was_not_well_before_takes_nothing_back_and_stops_nothing() {
    let fleet = FakeFleet::new();
    fleet.was("acid-canary", Before { ready: 1, wanted: 2, failing: true });
    let mut replica = at_the_canary(&api_server(), fleet).await;
    replica.fails("ns/acid-canary", "it fails as before");
    replica.runs(70).await;
    assert_eq!(replica.rollout(), at("Progressing", json!("10%"), "2/3"));
}

#[tokio::test]
async fn a_cluster_is_compared_with_what_it_was_when_its_stage_began() {
    let mut replica = at_the_canary(&api_server(), FakeFleet::new()).await;
    // While the canary has the pipeline, another cluster loses a member, and the canary is scaled up slowly.
    replica.fleet.was("acid-b", Before { ready: 1, wanted: 2, failing: false });
    replica.is("acid-b", Seen { ready: 1, ..well() });
    replica.is("acid-canary", Seen { wanted: 5, ..well() });
    replica.runs(70).await;
    assert_eq!(replica.rollout(), at("Progressing", json!("10%"), "2/3"));
    assert_eq!(
        replica.status()["rollout"]["unwell"],
        json!([{"cluster": "ns/acid-b", "ready": 1, "wanted": 2, "failing": false}])
    );
    replica.runs(130).await;
    assert_eq!(replica.rollout().0, "Complete");
}

#[tokio::test]
async fn a_cluster_that_is_waited_for_too_long_pauses_the_rollout_which_goes_on_once_it_is_well() {
    for (seen, reason) in [
        (Seen { reconciled: false, settled: false, ..well() }, "ns/acid-canary was not reconciled yet; it was waited"),
        (
            Seen { settled: false, obstacle: Some("a resource quota refuses it".into()), ..well() },
            "ns/acid-canary does not run all that is wanted yet: a resource quota refuses it; it was waited",
        ),
    ] {
        let mut replica = at_the_canary(&api_server(), FakeFleet::new()).await;
        replica.is("acid-canary", seen);
        replica.runs(100).await;
        assert_eq!(replica.rollout(), at("Progressing", json!("canary"), "1/3"));
        replica.runs(30).await;
        assert_eq!(replica.rollout(), at("Paused", json!("canary"), "1/3"));
        assert!(replica.condition().1.contains(reason), "{:?}", replica.condition());
        assert!(replica.events().iter().any(|note| note.starts_with("Paused, canary") && note.contains(reason)));
        replica.fleet.seen.lock().clear();
        replica.runs(4).await;
        assert_eq!(replica.rollout(), at("Progressing", json!("10%"), "2/3"));
    }
}

#[tokio::test]
async fn namespaces_that_are_never_listed_pause_a_rollout_after_its_deadline_and_no_cluster_gets_the_pipeline() {
    let missing = "not all clusters are known: namespace b not listed yet";
    let fleet = FakeFleet::new();
    *fleet.unlisted.lock() = Some(missing.to_owned());
    let mut replica = Replica::new(&api_server(), &Arc::new(fleet)).leads().await;
    replica.takes(2, 2, staged());
    replica.runs(60).await;
    assert_eq!(replica.rollout().0, "Judging");
    replica.runs(5).await;
    assert_eq!((replica.rollout().0, replica.with_the_new_one()), ("Paused".to_owned(), vec![]));
    let (reason, message) = replica.condition();
    assert_eq!((&*reason, message), ("Paused", format!("{missing}; the pipeline of generation 1 stays in use")));
    *replica.fleet.unlisted.lock() = None;
    replica.runs(6).await;
    assert_eq!(replica.rollout(), at("Progressing", json!("canary"), "1/3"));
}

#[tokio::test]
async fn without_stages_namespaces_that_are_never_listed_are_waited_for_until_the_deadline() {
    let fleet = FakeFleet::new();
    *fleet.unlisted.lock() = Some("not all clusters are known".to_owned());
    let mut replica = Replica::new(&api_server(), &Arc::new(fleet)).leads().await;
    replica.takes(2, 2, json!(null));
    replica.runs(300).await;
    assert_eq!((replica.rollout().0, replica.with_the_new_one()), ("Judging".to_owned(), vec![]));
    replica.runs(8).await;
    assert_eq!(replica.rollout().0, "Complete");
}

#[tokio::test]
async fn a_look_that_takes_long_holds_nothing_else_and_is_made_once() {
    let mut replica = at_the_canary(&api_server(), FakeFleet::new()).await;
    *replica.fleet.hangs.lock() = true;
    let runs = replica.runs(50);
    tokio::time::timeout(Duration::from_secs(30), runs).await.unwrap();
    assert_eq!(*replica.fleet.looks.lock(), 1);
    assert_eq!(replica.rollout(), at("Progressing", json!("canary"), "1/3"));
}

#[tokio::test]
async fn the_status_names_twenty_clusters_that_were_not_well_and_how_many_there_are() {
    let fleet = FakeFleet::of((0..50).map(|number| format!("acid-{number:02}")));
    for (key, _) in &fleet.clusters {
        fleet.was(&key.name, Before { ready: 0, wanted: 2, failing: true });
    }
    let mut replica = Replica::new(&api_server(), &Arc::new(fleet)).leads().await;
    replica.takes(2, 2, json!({"soak": "60s"}));
    replica.runs(4).await;
    let rollout = replica.status()["rollout"].clone();
    assert_eq!(rollout["unwell"].as_array().unwrap().len(), 20);
    assert_eq!(rollout["unwellClusters"], 50);
}

#[tokio::test]
async fn an_event_of_a_stage_is_about_the_pipeline_that_is_rolled_out_although_a_newer_one_is_wanted() {
    let mut replica = at_the_canary(&api_server(), FakeFleet::new()).await;
    replica.progress.begun(Some(document(7, 3, staged())), Timestamp::now());
    replica.runs(4).await;
    let events = replica.events();
    assert!(events.last().unwrap().starts_with("Paused, canary, 1/3 clusters, generation 2: a newer"), "{events:?}");
}
