//! Cloud volumes against moto. `hack/test-volumes` starts it, and sets `PGLOOM_TEST_EC2` to its address.

use super::*;

/// Volumes of 1 GiB, one of each type, as those of the members of a cluster; `None` without a server.
async fn made(test: &str, volume_types: &[&str]) -> Option<(Volumes, Vec<String>)> {
    let Ok(url) = std::env::var("PGLOOM_TEST_EC2") else {
        eprintln!("SKIPPED: {test} needs PGLOOM_TEST_EC2; hack/test-volumes sets it");
        return None;
    };
    let ec2 = volumes(&FakeApiServer::new(), &url);
    let (mut api_server, mut ids) = (FakeApiServer::new(), Vec::new());
    for (volume_type, number) in volume_types.iter().zip(0..) {
        let parameters = [("AvailabilityZone", "eu-central-1a"), ("Size", "1"), ("VolumeType", volume_type)];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let xml = ec2.ec2.call(&ec2.region, "CreateVolume", &parameters).await.unwrap();
        let (_, id) = xml.split_once("<volumeId>").unwrap();
        let id = id.split_once('<').unwrap().0;
        api_server = claim(api_server, number, ebs(id));
        ids.push(id.to_owned());
    }
    Some((volumes(&api_server, &url), ids))
}

/// The volumes as the server has them.
async fn found(volumes: &Volumes, ids: &[String]) -> Vec<(i64, Option<u32>, Option<u32>, String)> {
    let found = volumes.ec2.volumes(&volumes.region, ids).await.unwrap();
    let of = |id: &String| found.iter().find(|volume| volume.id == *id).unwrap();
    ids.iter().map(of).map(|it| (it.size, it.iops, it.throughput, it.volume_type.clone())).collect()
}

async fn modifications(volumes: &Volumes, ids: &[String]) -> usize {
    volumes.ec2.modifications(&volumes.region, ids).await.unwrap().len()
}

#[tokio::test]
async fn size_operations_throughput_and_type_are_changed_once() {
    let Some((volumes, ids)) = made("size_operations_throughput_and_type_are_changed_once", &["gp2", "gp3"]).await
    else {
        return;
    };
    let mut first = modify(0, "1025Mi", Some(4000));
    if let Action::ModifyVolume(change) = &mut first.action {
        change.throughput = Some(250);
    }
    let wanted = [first, modify(1, "3Gi", None)];
    let mut outcomes = volumes.run(&wanted, &Outcomes::default()).await;
    for _ in 0..3 {
        outcomes = volumes.run(&wanted, &due(outcomes)).await;
    }
    assert_eq!((phase(&outcomes, 0).0, phase(&outcomes, 1).0), (Done, Done), "{outcomes:?}");
    let volumes_after = found(&volumes, &ids).await;
    assert_eq!(volumes_after[0], (2, Some(4000), Some(250), "gp3".to_owned()));
    assert_eq!((volumes_after[1].0, &*volumes_after[1].3), (3, "gp3"));
    assert_eq!(modifications(&volumes, &ids).await, 2);
    let again = volumes.run(&wanted, &Outcomes::default()).await;
    assert_eq!(phase(&again, 0), (Done, &*format!("AWS volume {} has 2 GiB", ids[0])), "nothing is to be changed");
    assert_eq!(modifications(&volumes, &ids).await, 2);
}

#[tokio::test]
async fn a_volume_that_is_gone_holds_no_other_one_and_a_former_members_stays() {
    let test = "a_volume_that_is_gone_holds_no_other_one_and_a_former_members_stays";
    let Some((volumes, ids)) = made(test, &["gp3", "gp3", "gp3"]).await else { return };
    volumes.ec2.call(&volumes.region, "DeleteVolume", &[("VolumeId".to_owned(), ids[0].clone())]).await.unwrap();
    // Member 2 was scaled away: no step asks for its volume.
    let outcomes = volumes.run(&[modify(0, "2Gi", None), modify(1, "2Gi", None)], &Outcomes::default()).await;
    let absent = format!("AWS has no volume {} of claim pgdata-c-0 in eu-central-1", ids[0]);
    assert!(phase(&outcomes, 0).0 == Failed && phase(&outcomes, 0).1.starts_with(&absent), "{outcomes:?}");
    let after = found(&volumes, &ids[1..]).await;
    assert_eq!((after[0].0, after[1].0), (2, 1), "{outcomes:?}");
}

#[tokio::test]
async fn a_volume_of_another_claim_is_not_touched() {
    let Some((mut volumes, ids)) = made("a_volume_of_another_claim_is_not_touched", &["gp3"]).await else { return };
    let stolen = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "pgdata-c-1", "namespace": "ns", "uid": "another"}, "spec": {"volumeName": "pv-0"},
    });
    let api_server = claim(FakeApiServer::new(), 0, ebs(&ids[0]))
        .with("/api/v1/namespaces/ns/persistentvolumeclaims/pgdata-c-1", stolen);
    volumes.client = api_server.client();
    let outcomes = volumes.run(&[modify(1, "2Gi", None)], &Outcomes::default()).await;
    assert_eq!(phase(&outcomes, 1), (Failed, "the volume that claim pgdata-c-1 names is bound to another claim"));
    assert_eq!((found(&volumes, &ids).await[0].0, modifications(&volumes, &ids).await), (1, 0));
}

#[tokio::test]
async fn what_the_server_refuses_is_told_in_its_words() {
    let Some((mut volumes, ids)) = made("what_the_server_refuses_is_told_in_its_words", &["gp3"]).await else { return };
    let change = Change { volume: "vol-0123456789abcdef0".to_owned(), size: Some(2), ..Change::default() };
    let error = volumes.ec2.modify(&volumes.region, &change).await.unwrap_err().to_string();
    assert!(error.starts_with("AWS refuses ModifyVolume: InvalidVolume.NotFound: "), "{error}");
    // Another region does not have the volume.
    volumes.region = "eu-west-1".to_owned();
    let outcomes = volumes.run(&[modify(0, "2Gi", None)], &Outcomes::default()).await;
    let expected =
        format!("AWS has no volume {} of claim pgdata-c-0 in eu-west-1: set aws_region to its region", ids[0]);
    assert_eq!(phase(&outcomes, 0), (Failed, &*expected));
}
