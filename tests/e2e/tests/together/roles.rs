//! Roles that are in no manifest: infrastructure roles and the members of teams, in the databases of two clusters and through
//! a pool. The operator of this test has a configuration of its own, without `secret_name_template`.

mod infrastructure;
mod pool;
mod teams;

use e2e::{
    Connection, Namespace, Operator, configuration, decoded, ensure, eventually, has_cluster, minimal, namespace,
    of_operator,
};
use serde_json::{Value, json};

use teams::FakeTeamsApi;

const ID: &str = "roles";
/// The cluster with a pool.
const CLUSTER: &str = "acid-roles";
const CLUSTERS: [&str; 2] = [CLUSTER, "acid-further"];

#[test]
fn roles_that_are_in_no_manifest_are_in_every_database() {
    if !has_cluster("roles") {
        return;
    }
    let namespace = namespace("roles");
    let api = FakeTeamsApi::start(&namespace);
    let mut keys = infrastructure::configure(&namespace);
    keys.as_object_mut().unwrap().extend(api.configuration().as_object().unwrap().clone());
    keys["resync_period"] = json!("5s");
    let mut configuration = configuration(&keys);
    // The local cluster has a shorter one.
    configuration["data"].as_object_mut().unwrap().remove("secret_name_template");
    namespace.apply(&configuration);
    let flags = ["--config-map", "pgloom"];
    let operator = Operator::start_in(ID, &namespace.name, &flags, "info", &[("SSL_CERT_FILE", &api.authority)]);
    for name in CLUSTERS {
        namespace.apply(&manifest(name));
    }
    for name in CLUSTERS {
        namespace.running(name);
    }

    secrets_have_the_names_of_the_default_template_and_open_the_database(&namespace);
    infrastructure::the_roles_of_all_three_forms_log_in_at_every_cluster(&namespace);
    infrastructure::memberships_options_and_settings_are_those_of_the_configmap(&namespace);
    infrastructure::a_role_without_a_password_is_left_out_with_a_warning(&namespace);
    teams::members_of_teams_are_roles_without_a_secret(&namespace);
    pool::the_guides_section_makes_as_many_pods_as_it_says_in_its_mode(&namespace);
    pool::an_infrastructure_role_logs_in_through_the_pool(&namespace);
    pool::infrastructure_roles_show_its_statistics_and_no_other_role_does(&namespace);
    teams::an_api_that_is_dead_slow_or_lies_changes_nothing(&namespace);
    teams::a_member_who_left_keeps_the_role(&namespace);
    teams::members_and_teams_that_an_object_adds_leave_with_it_and_come_back(&namespace);
    infrastructure::what_is_edited_in_secrets_and_the_configmap_reaches_every_cluster(&namespace);
    pool::another_mode_is_that_of_new_pods_and_a_pool_that_is_switched_off_goes(&namespace);
    drop(operator);
}

fn manifest(name: &str) -> Value {
    let mut manifest = of_operator(minimal(name, 1), ID);
    // The role that others are members of; `admin` is the image's.
    manifest["spec"]["users"]["operator"] = json!(["nologin"]);
    if name == CLUSTER {
        manifest["spec"].as_object_mut().unwrap().extend(pool::section().as_object().unwrap().clone());
    }
    manifest
}

fn secrets_have_the_names_of_the_default_template_and_open_the_database(namespace: &Namespace) {
    for cluster in CLUSTERS {
        let lists = format!("{cluster}-pooler-u");
        let names = namespace.names("secrets", cluster).into_iter().filter(|name| *name != lists).collect::<Vec<_>>();
        for user in ["postgres", "standby", "zalando", "foo_user"] {
            assert!(names.contains(&secret_of(cluster, user)), "{user}: {names:?}");
        }
        assert!(names.iter().all(|name| name.ends_with(&secret_of(cluster, ""))), "{names:?}");
        logs_in(namespace, cluster, cluster, "foo_user", &password(namespace, cluster, "foo_user").unwrap());
    }
}

/// The name of a user's Secret after the default of `secret_name_template`.
fn secret_of(cluster: &str, user: &str) -> String {
    format!("{}.{cluster}.credentials.postgresql.acid.zalan.do", user.replace('_', "-"))
}

/// The password that a user's Secret holds.
fn password(namespace: &Namespace, cluster: &str, user: &str) -> Result<String, String> {
    let secret = namespace.get("secret", &secret_of(cluster, user))?;
    let data = |key: &str| decoded(secret["data"][key].as_str().unwrap_or_default());
    ensure(data("username") == user, data("username"))?;
    Ok(data("password"))
}

/// Changes keys of the operator configuration.
fn configure(namespace: &Namespace, keys: &Value) {
    namespace.patch("configmap", "pgloom", &json!({"data": keys}));
}

/// Waits until a role logs in with this password.
#[track_caller]
fn logs_in(namespace: &Namespace, cluster: &str, host: &str, user: &str, password: &str) {
    eventually(&format!("{user} logs in at {host}"), || {
        let connection = Connection { user, database: "foo", host, mode: "require" };
        let answer = namespace.sql_with(cluster, &connection, password, "select current_user")?;
        ensure(answer == user, answer)
    });
}

/// The answer of a cluster's database to the superuser.
fn ask(namespace: &Namespace, cluster: &str, statement: &str) -> Result<String, String> {
    let connection = Connection { user: "postgres", database: "postgres", host: cluster, mode: "require" };
    namespace.sql_with(cluster, &connection, &password(namespace, cluster, connection.user)?, statement)
}

/// The roles that a role is a member of.
fn groups_of(role: &str) -> String {
    format!(
        "(select coalesce(string_agg(g.rolname, ',' order by g.rolname), '') from pg_auth_members m \
         join pg_roles g on g.oid = m.roleid join pg_roles r on r.oid = m.member where r.rolname = '{role}')"
    )
}
