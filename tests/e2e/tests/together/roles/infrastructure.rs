//! Infrastructure roles in all forms: a Secret with numbered keys, one with a ConfigMap of the same name, and further Secrets
//! of the configuration.

use e2e::{Namespace, ensure, eventually};
use serde_json::{Value, json};

use super::{CLUSTERS, ask, groups_of, logs_in, password};

/// The Secret with numbered keys, and the ConfigMap that describes further roles of it.
const NAMED: &str = "infrastructure";
/// A Secret whose keys the configuration names.
const LISTED: &str = "monitoring";
/// The roles with their passwords: with numbered keys, with a description, and of the further Secret.
pub const ROLES: [(&str, &str); 4] =
    [("dbuser", "secret"), ("second", "of-the-second"), ("robot", "of-the-robot"), ("watcher", "of-the-watcher")];

/// Creates the Secrets and the ConfigMap; gives the keys of the operator configuration that name them.
pub fn configure(namespace: &Namespace) -> Value {
    let [(first, of_first), (second, of_second), (robot, of_robot), (watcher, of_watcher)] = ROLES;
    let secret = |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    let numbered = json!({
        "user1": first, "password1": of_first, "inrole1": "operator",
        "user2": second, "password2": of_second,
        "user3": "lost",
        robot: of_robot,
    });
    let robot_is = "inrole: [operator, admin]\nuser_flags: [createdb]\ndb_parameters:\n  log_statement: all\n";
    let described = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAMED},
        "data": {robot: robot_is, "forgotten": "inrole: [operator]"},
    });
    let listed = json!({"name": watcher, "word": of_watcher});
    let objects = vec![secret(NAMED, numbered), described, secret(LISTED, listed)];
    namespace.create_as("the test", objects);
    json!({
        "infrastructure_roles_secret_name": NAMED,
        "infrastructure_roles_secrets":
            format!("secretname: {}/{LISTED}, userkey: name, passwordkey: word, defaultrolevalue: operator", namespace.name),
    })
}

pub fn the_roles_of_all_three_forms_log_in_at_every_cluster(namespace: &Namespace) {
    for cluster in CLUSTERS {
        for (role, password) in ROLES {
            logs_in(namespace, cluster, cluster, role, password);
        }
    }
}

pub fn memberships_options_and_settings_are_those_of_the_configmap(namespace: &Namespace) {
    for cluster in CLUSTERS {
        let of = |role: &str| described(namespace, cluster, role).unwrap();
        assert_eq!(of("dbuser"), "operator|f|f|f|");
        assert_eq!(of("second"), "|f|f|f|");
        assert_eq!(of("robot"), "admin,operator|t|f|f|log_statement=all");
        assert_eq!(of("watcher"), "operator|f|f|f|");
    }
}

/// The groups of a role, whether it may create databases and roles and is a superuser, and its settings.
fn described(namespace: &Namespace, cluster: &str, role: &str) -> Result<String, String> {
    let statement = format!(
        "select {}, rolcreatedb, rolcreaterole, rolsuper, array_to_string(rolconfig, ',') from pg_roles \
         where rolname = '{role}'",
        groups_of(role)
    );
    ask(namespace, cluster, &statement)
}

pub fn a_role_without_a_password_is_left_out_with_a_warning(namespace: &Namespace) {
    for cluster in CLUSTERS {
        for role in ["lost", "forgotten"] {
            namespace.warned(
                cluster,
                &format!("no password in UTF-8 for infrastructure role \"{role}\", which is left out"),
            );
        }
        let there = ask(namespace, cluster, "select count(*) from pg_roles where rolname in ('lost', 'forgotten')");
        assert_eq!(there.unwrap(), "0");
    }
}

pub fn what_is_edited_in_secrets_and_the_configmap_reaches_every_cluster(namespace: &Namespace) {
    let lives = CLUSTERS.map(|cluster| namespace.lives(cluster));
    let change = json!({"password1": "changed", "password3": "found"});
    namespace.patch("secret", NAMED, &json!({"stringData": change}));
    let robot_is =
        "inrole: [operator, admin]\nuser_flags: [createdb, createrole]\ndb_parameters:\n  log_statement: ddl\n";
    namespace.patch("configmap", NAMED, &json!({"data": {"robot": robot_is}}));
    namespace.patch("secret", LISTED, &json!({"stringData": {"word": "changed-too"}}));
    for cluster in CLUSTERS {
        logs_in(namespace, cluster, cluster, "dbuser", "changed");
        logs_in(namespace, cluster, cluster, "lost", "found");
        logs_in(namespace, cluster, cluster, "watcher", "changed-too");
        eventually("robot is as the ConfigMap says now", || {
            let robot = described(namespace, cluster, "robot")?;
            ensure(robot == "admin,operator|t|t|f|log_statement=ddl", robot)
        });
        eventually("the Secret of the cluster has the new password", || {
            let same = password(namespace, cluster, "dbuser")? == "changed";
            ensure(same, "another password")
        });
    }
    assert_eq!(CLUSTERS.map(|cluster| namespace.lives(cluster)), lives, "all of this restarted no member");
}
