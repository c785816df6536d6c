//! The pools of leader and replica: their Deployments, Services and Secrets.

use e2e::{Connection, Namespace, ensure, eventually};
use serde_json::{Value, json};

use super::{CLUSTER, change};

const POOLER: &str = "acid-configured-pooler";
const REPLICAS: &str = "acid-configured-pooler-repl";

pub fn a_deployment_of_somebody_else_is_left_and_named_and_holds_nothing_up(namespace: &Namespace) {
    let labels = json!({"app": "theirs"});
    let pod = json!({"containers": [{"name": "theirs", "image": "localhost/pgloom/database:15"}]});
    let template = json!({"metadata": {"labels": labels}, "spec": pod});
    let spec = json!({"replicas": 0, "selector": {"matchLabels": labels}, "template": template});
    let theirs = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": POOLER}, "spec": spec});
    namespace.apply(&theirs);
    let resources = json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "100Mi"}});
    let pools = json!({
        "enableConnectionPooler": true,
        "enableReplicaConnectionPooler": true,
        "connectionPooler": {"numberOfInstances": 1, "resources": resources},
    });
    change(namespace, &pools);
    eventually("the status names the Deployment", || {
        let applied = namespace.condition(CLUSTER, "Applied")?;
        let is_named = applied["message"].to_string().contains(&format!("Deployment {POOLER} exists already"));
        ensure(applied["reason"] == "ObjectForeign" && is_named, &applied)
    });
    assert_eq!(namespace.get("deployment", POOLER).unwrap()["spec"]["template"]["metadata"]["labels"], labels);
    change(namespace, &json!({"users": {"meanwhile": []}}));
    eventually("a user that is added meanwhile logs in", || who(namespace, CLUSTER, "meanwhile"));

    namespace.kubectl(&["delete", "deployment", POOLER]).unwrap();
    for pooler in [POOLER, REPLICAS] {
        eventually(&format!("{pooler} is ready"), || {
            let ready = namespace.get("deployment", pooler)?["status"]["readyReplicas"].clone();
            ensure(ready == 1, ready)
        });
    }
    namespace.running(CLUSTER);
}

pub fn an_edited_pool_is_put_right(namespace: &Namespace) {
    let parts = |deployment: &Value| {
        let [spec, labels] = [&deployment["spec"], &deployment["metadata"]["labels"]];
        json!([labels, spec["replicas"], spec["template"]["spec"]["containers"][0]["image"]])
    };
    let before = parts(&namespace.get("deployment", POOLER).unwrap());
    let image = json!([{"name": "connection-pooler", "image": "localhost/pgloom/database:15"}]);
    let edit = json!({
        "metadata": {"labels": {"application": "edited"}},
        "spec": {"replicas": 0, "template": {"spec": {"containers": image}}},
    });
    namespace.kubectl(&["patch", "deployment", POOLER, "--patch", &edit.to_string()]).unwrap();
    eventually("labels, replicas and image are what they were", || {
        let now = parts(&namespace.get("deployment", POOLER)?);
        ensure(now == before, now)
    });
}

pub fn the_pools_lead_to_the_leader_and_to_the_replica(namespace: &Namespace) {
    for (host, expected) in [(POOLER, "foo_user|f"), (REPLICAS, "foo_user|t")] {
        eventually(&format!("foo_user logs in at {host}"), || {
            let answer = who(namespace, host, "foo_user")?;
            ensure(answer == expected, answer)
        });
    }
    change(namespace, &json!({"enableMasterPoolerLoadBalancer": true, "enableReplicaPoolerLoadBalancer": true}));
    are_of_type(namespace, "LoadBalancer");
    change(namespace, &json!({"enableMasterPoolerLoadBalancer": false, "enableReplicaPoolerLoadBalancer": false}));
    are_of_type(namespace, "ClusterIP");
}

pub fn each_pool_goes_with_its_user_list(namespace: &Namespace) {
    change(namespace, &json!({"enableConnectionPooler": false}));
    eventually("the pool of the leader is gone", || ensure(left(namespace)? == of(REPLICAS), json!(left(namespace)?)));
    change(namespace, &json!({"enableReplicaConnectionPooler": false}));
    eventually("both pools are gone", || ensure(left(namespace)?.is_empty(), json!(left(namespace)?)));
    let role = namespace.password(CLUSTER, "pooler");
    assert!(role.is_ok(), "the role stays, and so does its Secret");
}

/// What is made for a pool.
fn of(pooler: &str) -> Vec<String> {
    ["deployment.apps/", "secret/", "service/"]
        .map(|kind| format!("{kind}{pooler}{}", if kind == "secret/" { "-u" } else { "" }))
        .to_vec()
}

/// What there is of both pools, but for the Secret of their role.
fn left(namespace: &Namespace) -> Result<Vec<String>, String> {
    let text = namespace.kubectl(&["get", "deployments,services,secrets", "--output", "name"])?;
    let mut names: Vec<String> = text.lines().filter(|name| name.contains(POOLER)).map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

fn are_of_type(namespace: &Namespace, wanted: &str) {
    eventually(&format!("the Services of the pools are of type {wanted}"), || {
        let types = [POOLER, REPLICAS].map(|name| Ok(namespace.get("service", name)?["spec"]["type"].clone()));
        let types = types.into_iter().collect::<Result<Vec<_>, String>>()?;
        ensure(types == [wanted, wanted], json!(types))
    });
}

/// The role, and whether it reached a replica.
fn who(namespace: &Namespace, host: &str, user: &str) -> Result<String, String> {
    let connection = Connection { user, database: "foo", host, mode: "require" };
    namespace.sql(CLUSTER, &connection, "select current_user, pg_is_in_recovery()")
}
