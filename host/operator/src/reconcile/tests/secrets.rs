//! Promises about Secrets that were deleted while the operator has no access to the database, and about those in other
//! namespaces whose users have left the manifest.

use super::*;

const APP: &str = "app.acid-orders.credentials.postgresql.acid.zalan.do";
const ELSEWHERE: &str = "/api/v1/namespaces/theirs/secrets/";

fn without_access(operator: Context) -> Context {
    configured(operator, json!({"enable_database_access": "false"}))
}

/// The manifest with this user.
fn with_user(user: &str) -> Value {
    let mut manifest = manifest();
    manifest["spec"]["users"] = json!({ user: [] });
    manifest
}

fn claim() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "pgdata-acid-orders-0", "namespace": "ns", "labels": {"cluster-name": "acid-orders"}}
    })
}

/// The names of the Secrets that were created.
fn created(api_server: &FakeApiServer) -> Vec<String> {
    let posts = wrote_secrets(api_server).into_iter().filter(|write| write.method == "POST");
    posts.map(|write| write.body["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn condition(api_server: &FakeApiServer, type_name: &str) -> Value {
    let status = last_status(api_server);
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == type_name).cloned().unwrap()
}

#[tokio::test]
async fn without_access_to_the_database_the_secrets_of_a_new_cluster_are_created() {
    let api_server = FakeApiServer::new().with(MANIFEST, with_user("app"));
    reconcile(&without_access(operator(&api_server, &[with_user("app")])), &key()).await.unwrap();
    assert_eq!(created(&api_server), [APP, SUPERUSER, STANDBY]);
}

#[tokio::test]
async fn without_access_to_the_database_no_user_gets_a_new_password_while_members_or_claims_exist() {
    for existing in [leader(), claim()] {
        let system_users = [credential(SUPERUSER, "postgres"), credential(STANDBY, "standby")];
        let mut api_server = FakeApiServer::new().with(MANIFEST, with_user("app"));
        let mut objects = vec![with_user("app"), existing];
        for object in system_users {
            api_server = api_server.with(&secret(object["metadata"]["name"].as_str().unwrap()), object.clone());
            objects.push(object);
        }
        let operator = without_access(operator(&api_server, &objects));
        reconcile(&operator, &key()).await.unwrap();
        assert_eq!(created(&api_server), [] as [&str; 0]);
        let applied = condition(&api_server, "Applied");
        assert_eq!((&applied["status"], &applied["reason"]), (&json!("False"), &json!("PasswordUnknown")));
        let message = applied["message"].as_str().unwrap();
        assert!(message.contains(APP) && message.contains("enable_database_access to true"), "{message}");

        // The way out.
        let theirs = credential(APP, "app");
        api_server.put(&secret(APP), theirs.clone());
        operator.store.record_write(theirs);
        reconcile(&operator, &key()).await.unwrap();
        assert_eq!(condition(&api_server, "Applied")["status"], "True");
    }
}

#[tokio::test]
async fn without_access_to_the_database_a_deleted_secret_of_a_user_comes_back_with_its_password() {
    let api_server = FakeApiServer::new().with(MANIFEST, with_user("app"));
    let operator = without_access(operator(&api_server, &[with_user("app")]));
    reconcile(&operator, &key()).await.unwrap();
    operator.store.record_write(leader());
    let before = [APP, SUPERUSER, STANDBY].map(|name| password_of(&api_server, name));
    for name in [APP, SUPERUSER, STANDBY] {
        api_server.remove(&secret(name));
    }
    operator.states.of(&key()).memory.lock().credentials = None;
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(created(&api_server).len(), 6);
    assert_eq!([APP, SUPERUSER, STANDBY].map(|name| password_of(&api_server, name)), before);
}

#[tokio::test]
async fn without_access_to_the_database_no_system_user_gets_a_new_password_either() {
    for existing in [leader(), claim()] {
        let api_server = FakeApiServer::new().with(MANIFEST, manifest());
        let operator = without_access(operator(&api_server, &[manifest(), existing]));
        let error = reconcile(&operator, &key()).await.unwrap_err();
        assert_eq!(error.category(), "PasswordUnknown");
        assert_eq!(created(&api_server), [] as [&str; 0]);
        let message = condition(&api_server, "Applied")["message"].to_string();
        assert!(message.contains(SUPERUSER) && message.contains("pgloom-recover"), "{message}");
    }
}

/// What is left in the other namespace after a cluster with the Secret of a user or of a prepared database there was
/// reconciled, its manifest no longer names it, `enable_cross_namespace_secret` is switched off and the cluster is deleted.
/// `made`: by the Zalando operator before. Also what was there just before the deletion.
async fn of_former_users(spec: Value, name: &str, made: Option<Value>) -> (bool, bool) {
    let path = format!("{ELSEWHERE}{name}");
    let named = {
        let mut named = manifest();
        named["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        named
    };
    let mut api_server = FakeApiServer::new().with(MANIFEST, named.clone());
    if let Some(made) = made {
        api_server = api_server.with(&path, made);
    }
    let crosses = json!({"enable_cross_namespace_secret": "true"});
    reconcile(&configured(operator(&api_server, &[named]), crosses), &key()).await.unwrap();

    // An operator that has just started and watches the cluster's namespace alone.
    let mut former = api_server.object(MANIFEST).unwrap();
    former["spec"] = manifest()["spec"].clone();
    former["metadata"]["resourceVersion"] = json!("7");
    api_server.put(MANIFEST, former.clone());
    let own: Vec<Value> = [SUPERUSER, STANDBY]
        .iter()
        .filter_map(|name| api_server.object(&secret(name)))
        .chain([former.clone()])
        .collect();
    reconcile(&operator(&api_server, &own), &key()).await.unwrap();
    let stayed = api_server.object(&path).is_some();

    let mut deleted = api_server.object(MANIFEST).unwrap();
    deleted["metadata"]["deletionTimestamp"] = json!("2031-05-14T12:00:00Z");
    deleted["metadata"]["resourceVersion"] = json!("8");
    api_server.put(MANIFEST, deleted.clone());
    let deletes = json!({"enable_secrets_deletion": "true"});
    let operator = configured(operator(&api_server, &[deleted]), deletes);
    for _ in 0..3 {
        reconcile(&operator, &key()).await.unwrap();
    }
    (stayed, api_server.object(&path).is_some())
}

#[tokio::test]
async fn a_secret_elsewhere_stays_when_its_user_leaves_the_manifest_and_goes_with_the_cluster() {
    let user = json!({"users": {"theirs.app": []}});
    let prepared = json!({"preparedDatabases": {"foo": {"defaultUsers": true, "secretNamespace": "theirs"}}});
    for (spec, username) in [(user, "theirs.app"), (prepared, "foo_owner_user")] {
        let name = format!("{}.acid-orders.credentials.postgresql.acid.zalan.do", username.replace('_', "-"));
        let mut of_zalando = credential(&name, username);
        of_zalando["metadata"]["namespace"] = json!("theirs");
        of_zalando["metadata"]["managedFields"] = json!([{"manager": "postgres-operator", "operation": "Update"}]);
        let mut of_another = of_zalando.clone();
        of_another["metadata"]["labels"] = json!({"team": "theirs"});
        for (made, expected) in [
            (None, (true, false)),
            (Some(of_zalando), (true, false)),
            // One that people made in advance is theirs.
            (Some(of_another), (true, true)),
        ] {
            let what = made.as_ref().map(|made| made["metadata"]["labels"].clone());
            assert_eq!(of_former_users(spec.clone(), &name, made).await, expected, "{name} {what:?}");
        }
    }
}

#[tokio::test]
async fn a_deleted_secret_of_a_system_user_comes_back_with_the_password_that_the_database_knows() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let operator = operator(&api_server, &[manifest()]);
    reconcile(&operator, &key()).await.unwrap();
    operator.store.record_write(leader());
    let before = [SUPERUSER, STANDBY].map(|name| password_of(&api_server, name));
    assert_ne!(before[0], before[1]);
    for name in [SUPERUSER, STANDBY] {
        api_server.remove(&secret(name));
    }
    let wrote = api_server.writes().len();
    operator.states.of(&key()).memory.lock().credentials = None;
    reconcile(&operator, &key()).await.unwrap();
    assert!(api_server.writes().len() > wrote);
    assert_eq!([SUPERUSER, STANDBY].map(|name| password_of(&api_server, name)), before);
}

#[tokio::test]
async fn a_password_that_is_not_known_is_not_replaced_while_members_or_claims_exist() {
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "pgdata-acid-orders-0", "namespace": "ns", "labels": {"cluster-name": "acid-orders"}}
    });
    for existing in [leader(), claim] {
        let api_server = FakeApiServer::new().with(MANIFEST, manifest());
        let operator = operator(&api_server, &[manifest(), existing.clone()]);
        let error = reconcile(&operator, &key()).await.unwrap_err();
        assert_eq!(error.category(), "PasswordUnknown");
        assert!(wrote_secrets(&api_server).is_empty(), "{existing}");
        let status = last_status(&api_server).to_string();
        assert!(status.contains(SUPERUSER) && status.contains("pgloom-recover"), "{status}");
        assert!(error.requeue(0, Duration::from_secs(300)) == Action::requeue(Duration::from_secs(1)));
    }
}

#[tokio::test]
async fn the_other_secrets_are_kept_where_the_password_of_a_system_user_is_not_known() {
    let mut with_user = manifest();
    with_user["spec"]["users"] = json!({"app": []});
    let superuser = credential(SUPERUSER, "postgres");
    let api_server = FakeApiServer::new().with(MANIFEST, with_user.clone()).with(&secret(SUPERUSER), superuser.clone());
    let operator = operator(&api_server, &[with_user, leader(), superuser]);
    let error = reconcile(&operator, &key()).await.unwrap_err().to_string();
    assert!(error.contains(STANDBY), "{error}");
    let created: Vec<_> =
        wrote_secrets(&api_server).iter().map(|write| write.body["metadata"]["name"].clone()).collect();
    assert_eq!(created, ["app.acid-orders.credentials.postgresql.acid.zalan.do"]);
}

#[tokio::test]
async fn a_secret_that_is_deleted_while_another_one_is_created_comes_back_too() {
    let existing = [credential(SUPERUSER, "postgres"), credential(STANDBY, "standby")];
    let mut with_user = manifest();
    with_user["spec"]["users"] = json!({"app": []});
    let api_server = FakeApiServer::new()
        .with(MANIFEST, with_user.clone())
        .with(&secret(SUPERUSER), existing[0].clone())
        .with(&secret(STANDBY), existing[1].clone());
    let [superuser, standby] = existing;
    let operator = operator(&api_server, &[with_user, superuser, standby.clone()]);
    // Both the deletion and its event come after the Secret was read and before the reconcile ends.
    let (others, store) = (api_server.clone(), operator.store.clone());
    let secrets = of_every_cluster().iter().position(|kind| kind.is(BuiltIn::Secret)).unwrap() + 1;
    api_server.before_write("/api/v1/namespaces/ns/secrets", move || {
        others.remove(&secret(STANDBY));
        store.apply_watcher_event(secrets, watcher::Event::Delete(standby));
    });
    reconcile(&operator, &key()).await.unwrap();
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(password_of(&api_server, STANDBY), credential(STANDBY, "standby")["data"]["password"]);
}

#[tokio::test]
async fn labels_and_owners_of_existing_secrets_follow_without_their_data() {
    let existing = [credential(SUPERUSER, "postgres"), credential(STANDBY, "standby")];
    let mut api_server = FakeApiServer::new().with(MANIFEST, manifest());
    for object in &existing {
        api_server = api_server.with(&secret(object["metadata"]["name"].as_str().unwrap()), object.clone());
    }
    let [superuser, standby] = existing;
    let mut operator = operator(&api_server, &[manifest(), superuser, standby]);
    reconcile(&operator, &key()).await.unwrap();
    assert!(wrote_secrets(&api_server).is_empty());
    let data = json!({"enable_owner_references": "true", "cluster_labels": "application:spilo,stage:test"});
    let config = Config::read(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data})).unwrap().config;
    let pipeline = operator.settings.borrow().pipeline.clone();
    operator.settings = watch::channel(Settings::of(Arc::new(config), pipeline)).1;
    reconcile(&operator, &key()).await.unwrap();
    let writes = wrote_secrets(&api_server);
    assert_eq!(writes.len(), 2);
    for write in writes {
        assert_eq!((write.method.as_str(), write.body.get("data")), ("PATCH", None));
        assert_eq!(write.body["metadata"]["labels"], json!({"stage": "test"}));
        assert_eq!(write.body["metadata"]["ownerReferences"][0]["uid"], "u");
    }
}

#[tokio::test]
async fn a_user_list_goes_with_its_pooler_if_the_operator_made_it() {
    let list = |name: &str, manager: &str| {
        let fields = json!({"f:data": {"f:userlist.txt": {}}});
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "namespace": "ns", "labels": {"cluster-name": "acid-orders"}, "uid": name,
                "managedFields": [{"manager": manager, "operation": "Update", "fieldsV1": fields}]},
            "data": {"userlist.txt": "eA=="},
        })
    };
    let lists = [list("acid-orders-pooler-u", "pgloom"), list("theirs", "kubectl-create")];
    let role = credential("pooler.acid-orders.credentials.postgresql.acid.zalan.do", "pooler");
    let mut api_server = FakeApiServer::new().with(MANIFEST, manifest());
    let mut existing = vec![manifest(), stateful_set()];
    for object in lists.into_iter().chain([role]) {
        api_server = api_server.with(&secret(object["metadata"]["name"].as_str().unwrap()), object.clone());
        existing.push(object);
    }
    reconcile(&operator(&api_server, &existing), &key()).await.unwrap();
    let deleted: Vec<_> = api_server.writes().into_iter().filter(|write| write.method == "DELETE").collect();
    assert_eq!(deleted.iter().map(|write| write.path.clone()).collect::<Vec<_>>(), [secret("acid-orders-pooler-u")]);
    assert_eq!(deleted[0].body["preconditions"]["uid"], "acid-orders-pooler-u");
}

#[tokio::test]
async fn a_secret_in_another_namespace_comes_back_when_it_is_deleted() {
    const APP: &str = "other.app.acid-orders.credentials.postgresql.acid.zalan.do";
    let mut with_user = manifest();
    with_user["spec"]["users"] = json!({"other.app": []});
    let api_server = FakeApiServer::new().with(MANIFEST, with_user.clone());
    let mut operator = operator(&api_server, &[with_user]);
    let data = json!({"enable_cross_namespace_secret": "true"});
    let config = Config::read(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data})).unwrap().config;
    let pipeline = operator.settings.borrow().pipeline.clone();
    operator.settings = watch::channel(Settings::of(Arc::new(config), pipeline)).1;
    let (changed, mut woken) = unbounded();
    operator.changed = changed;
    let created = || wrote_secrets(&api_server).iter().filter(|write| write.body["metadata"]["name"] == APP).count();
    for _ in 0..2 {
        reconcile(&operator, &key()).await.unwrap();
        assert_eq!(created(), 1);
    }
    let path = format!("/api/v1/namespaces/other/secrets/{APP}");
    let secrets = of_every_cluster().iter().position(|kind| kind.is(BuiltIn::Secret)).unwrap() + 1;
    let object = wrote_secrets(&api_server).into_iter().find(|write| write.body["metadata"]["name"] == APP).unwrap();
    api_server.remove(&path);
    let asked = operator.store.apply_watcher_event(secrets, watcher::Event::Delete(object.body));
    assert_eq!(asked, [ClusterKey::new("other", "acid-orders")]);
    reconcile(&operator, &asked[0]).await.unwrap();
    assert_eq!(woken.try_recv().ok(), Some(key()));
    reconcile(&operator, &key()).await.unwrap();
    assert_eq!(created(), 2);
}

#[tokio::test]
async fn a_new_clusters_passwords_are_made_without_a_word_about_former_ones() {
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    reconcile(&operator(&api_server, &[manifest()]), &key()).await.unwrap();
    let gone =
        |write: &crate::testing::Write| write.body["note"].as_str().is_some_and(|note| note.contains("was gone"));
    assert!(!api_server.writes().iter().any(gone));
}

#[tokio::test]
async fn the_secret_of_a_user_who_is_taken_out_of_the_manifest_stays() {
    let theirs = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "former.acid-orders.credentials.postgresql.acid.zalan.do", "namespace": "ns",
            "labels": {"application": "spilo", "cluster-name": "acid-orders"}, "resourceVersion": "3",
            "annotations": {"pgloom.dev/cluster-uid": "u"},
            "managedFields": [{"manager": "pgloom", "operation": "Update", "fieldsV1": {"f:data": {}}}]}
    });
    let api_server = FakeApiServer::new().with(MANIFEST, manifest());
    reconcile(&operator(&api_server, &[manifest(), theirs]), &key()).await.unwrap();
    assert!(!written(&api_server).iter().any(|write| write.starts_with("DELETE")));
}
