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
