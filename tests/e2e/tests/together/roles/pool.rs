//! The pool of a cluster, in the guide's own spelling.

use e2e::{Connection, Namespace, ensure, eventually};
use serde_json::{Value, json};

use super::infrastructure::ROLES;
use super::{CLUSTER, logs_in, password};

const POOLER: &str = "acid-roles-pooler";
/// The role that the pool logs in with.
const USER: &str = "pool_user";

/// The fields of the manifest.
pub fn section() -> Value {
    let resources = json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "100Mi"}});
    json!({
        "enableConnectionPool": true,
        "connectionPool":
            {"number_of_instances": 2, "mode": "session", "schema": "pool", "user": USER, "resources": resources},
    })
}

pub fn the_guides_section_makes_as_many_pods_as_it_says_in_its_mode(namespace: &Namespace) {
    eventually("the pool is ready", || {
        let status = namespace.get("deployment", POOLER)?["status"].clone();
        ensure(status["readyReplicas"] == 2 && status["replicas"] == 2, status)
    });
    assert_eq!(mode(namespace).unwrap(), "session");
    let lookup = Connection { user: "postgres", database: "foo", host: CLUSTER, mode: "require" };
    let statement = "select pronamespace::regnamespace, has_function_privilege('pool_user', oid, 'execute') from pg_proc \
        where proname = 'user_lookup'";
    let superuser = password(namespace, CLUSTER, lookup.user).unwrap();
    assert_eq!(namespace.sql_with(CLUSTER, &lookup, &superuser, statement).unwrap(), "pool|t");
}

pub fn an_infrastructure_role_logs_in_through_the_pool(namespace: &Namespace) {
    logs_in(namespace, CLUSTER, POOLER, "dbuser", "secret");
    let connection = Connection { user: "dbuser", database: "foo", host: POOLER, mode: "require" };
    let refusal = namespace.sql_with(CLUSTER, &connection, "wrong", "select 1").unwrap_err();
    assert!(refusal.contains("SASL authentication failed"), "{refusal}");
}

pub fn infrastructure_roles_show_its_statistics_and_no_other_role_does(namespace: &Namespace) {
    for (role, password) in ROLES {
        let statistics = console(namespace, role, password, "show stats").unwrap();
        assert!(statistics.lines().any(|line| line.starts_with("pgbouncer|")), "{role}: {statistics}");
        let refusal = console(namespace, role, password, "reload").unwrap_err();
        assert!(refusal.contains("admin access needed"), "{role}: {refusal}");
    }
    let user = password(namespace, CLUSTER, "foo_user").unwrap();
    logs_in(namespace, CLUSTER, POOLER, "foo_user", &user);
    let refusal = console(namespace, "foo_user", &user, "show stats").unwrap_err();
    assert!(refusal.contains("SASL authentication failed"), "{refusal}");
}

pub fn another_mode_is_that_of_new_pods_and_a_pool_that_is_switched_off_goes(namespace: &Namespace) {
    let change = json!({"connectionPool": {"mode": "transaction", "number_of_instances": 1}});
    namespace.patch("postgresql", CLUSTER, &json!({"spec": change}));
    eventually("the pods of the pool have the new mode", || {
        let status = namespace.get("deployment", POOLER)?["status"].clone();
        ensure(status["updatedReplicas"] == 1 && status["replicas"] == 1 && status["readyReplicas"] == 1, status)?;
        let mode = mode(namespace)?;
        ensure(mode == "transaction", mode)
    });
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"enableConnectionPool": false}}));
    eventually("nothing is left of the pool but its role", || {
        let left = namespace.kubectl(&["get", "deployments,services,secrets", "--output", "name"])?;
        ensure(!left.contains(POOLER), left)
    });
}

/// The mode that PgBouncer says it has.
fn mode(namespace: &Namespace) -> Result<String, String> {
    let answer = console(namespace, USER, &password(namespace, CLUSTER, USER)?, "show config")?;
    let mode = answer.lines().find_map(|line| line.strip_prefix("pool_mode|"));
    mode.and_then(|rest| rest.split('|').next()).map(str::to_owned).ok_or(answer)
}

/// The answer of PgBouncer's own database.
fn console(namespace: &Namespace, user: &str, password: &str, command: &str) -> Result<String, String> {
    let connection = Connection { user, database: "pgbouncer", host: POOLER, mode: "require" };
    namespace.sql_with(CLUSTER, &connection, password, command)
}
