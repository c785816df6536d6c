//! Objects that a user deletes or edits are restored.

use e2e::{Connection, Namespace, ensure, eventually, has_cluster, minimal, namespace, the_other};
use serde_json::{Value, json};

const CLUSTER: &str = "acid-repair";
const REPLICAS: &str = "acid-repair-repl";

#[test]
fn what_is_deleted_or_edited_by_hand_comes_back() {
    if !has_cluster("repair") {
        return;
    }
    let namespace = namespace("repair");
    namespace.apply(&minimal(CLUSTER, 2));
    namespace.running(CLUSTER);

    a_deleted_pod_comes_back(&namespace);
    a_deleted_service_comes_back(&namespace);
    an_edited_port_is_put_right(&namespace);
    an_edited_selector_is_put_right(&namespace);
    an_edited_template_is_put_right(&namespace);
    a_deleted_secret_comes_back_with_a_new_password_that_works(&namespace);
    a_dropped_role_comes_back_with_the_password_that_its_secret_holds(&namespace);
    namespace.running(CLUSTER);
}

fn a_deleted_pod_comes_back(namespace: &Namespace) {
    let replica = the_other(&namespace.leader(CLUSTER).unwrap());
    let before = uid(&namespace.get("pod", &replica).unwrap());
    namespace.kubectl(&["delete", "pod", &replica, "--wait=false"]).unwrap();
    eventually("another pod of that name runs", || {
        let pod = namespace.get("pod", &replica)?;
        ensure(uid(&pod) != before && pod["status"]["phase"] == "Running", &pod["status"])
    });
    namespace.running(CLUSTER);
}

fn a_deleted_service_comes_back(namespace: &Namespace) {
    let before = uid(&namespace.get("service", REPLICAS).unwrap());
    namespace.kubectl(&["delete", "service", REPLICAS]).unwrap();
    eventually("another Service of that name", || {
        let service = namespace.get("service", REPLICAS)?;
        ensure(uid(&service) != before, &service)
    });
}

fn an_edited_port_is_put_right(namespace: &Namespace) {
    let before = namespace.get("service", CLUSTER).unwrap()["spec"].clone();
    let edit = json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 6543}]);
    namespace.kubectl(&["patch", "service", CLUSTER, "--type", "json", "--patch", &edit.to_string()]).unwrap();
    is_again(namespace, "service", CLUSTER, &before);
    let who = "select current_user";
    eventually("the Service leads to the database", || {
        let answer = namespace.sql(CLUSTER, &connection("foo_user"), who)?;
        ensure(answer == "foo_user", answer)
    });
}

fn an_edited_selector_is_put_right(namespace: &Namespace) {
    let before = namespace.get("service", REPLICAS).unwrap()["spec"].clone();
    namespace.patch("service", REPLICAS, &json!({"spec": {"selector": {"spilo-role": "master"}}}));
    is_again(namespace, "service", REPLICAS, &before);
}

fn an_edited_template_is_put_right(namespace: &Namespace) {
    let pods = uids(namespace);
    let before = namespace.get("statefulset", CLUSTER).unwrap()["spec"].clone();
    let edit = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7}}}});
    namespace.patch("statefulset", CLUSTER, &edit);
    is_again(namespace, "statefulset", CLUSTER, &before);
    namespace.running(CLUSTER);
    assert_eq!(uids(namespace), pods, "an edit that is put right costs no pod");
}

fn a_deleted_secret_comes_back_with_a_new_password_that_works(namespace: &Namespace) {
    let before = namespace.password(CLUSTER, "foo_user").unwrap();
    namespace.kubectl(&["delete", "secret", &format!("foo-user.{CLUSTER}.credentials")]).unwrap();
    foo_user_logs_in(namespace);
    // Not assert_ne: it would print the passwords.
    assert!(namespace.password(CLUSTER, "foo_user").unwrap() != before, "the password is a new one");
}

fn a_dropped_role_comes_back_with_the_password_that_its_secret_holds(namespace: &Namespace) {
    let before = namespace.password(CLUSTER, "foo_user").unwrap();
    let drop = "drop role foo_user";
    namespace.sql(CLUSTER, &connection("zalando"), drop).unwrap();
    foo_user_logs_in(namespace);
    assert!(namespace.password(CLUSTER, "foo_user").unwrap() == before, "the password is the same");
}

fn foo_user_logs_in(namespace: &Namespace) {
    eventually("foo_user logs in with the Secret's password", || {
        let answer = namespace.sql(CLUSTER, &connection("foo_user"), "select current_user")?;
        ensure(answer == "foo_user", answer)
    });
}

/// Waits until an object's `spec` is equal to `before`.
fn is_again(namespace: &Namespace, kind: &str, name: &str, before: &Value) {
    eventually(&format!("{kind} {name} is what it was"), || {
        let spec = &namespace.get(kind, name)?["spec"];
        ensure(spec == before, spec)
    });
}

fn uid(object: &Value) -> Value {
    object["metadata"]["uid"].clone()
}

fn uids(namespace: &Namespace) -> Vec<Value> {
    namespace.names("pods", CLUSTER).iter().map(|name| uid(&namespace.get("pod", name).unwrap())).collect()
}

fn connection(user: &str) -> Connection<'_> {
    Connection { user, database: "foo", host: CLUSTER, mode: "require" }
}
