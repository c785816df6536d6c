//! Passwords change while clients are connected: by a new login role, which is in the Secret once the database knows it, and
//! in place. Old login roles go.

use e2e::{Connection, Namespace, decoded, ensure, eventually, has_cluster, minimal, namespace};
use serde_json::{Value, json};

const CLUSTER: &str = "acid-rotation";
/// Long ago.
const PAST: &str = "2024-01-01T00:00:00Z";

/// The name and the password of a role.
#[derive(Clone, Debug, PartialEq)]
struct Login(String, String);

#[test]
fn passwords_change_and_a_secret_always_opens_the_database() {
    if !has_cluster("rotation") {
        return;
    }
    let namespace = namespace("rotation");
    let mut manifest = minimal(CLUSTER, 1);
    manifest["spec"]["usersWithSecretRotation"] = json!(["foo_user"]);
    manifest["spec"]["usersWithInPlaceSecretRotation"] = json!(["zalando"]);
    namespace.apply(&manifest);
    namespace.running(CLUSTER);
    a_new_login_role_replaces_the_former_one(&namespace);
    a_password_changes_in_place(&namespace);
    switched_off_the_role_has_its_secret_back(&namespace);
}

fn a_new_login_role_replaces_the_former_one(namespace: &Namespace) {
    let before = opens(namespace, "foo_user");
    assert_eq!(before.0, "foo_user");
    let zalando = opens(namespace, "zalando");
    for statement in [
        "CREATE ROLE foo_user201031 LOGIN IN ROLE foo_user; COMMENT ON ROLE foo_user201031 IS 'pgloom: login role of a rotation'",
        "CREATE ROLE foo_user201030 LOGIN IN ROLE foo_user; COMMENT ON ROLE foo_user201030 IS 'of the reporting team'",
        "CREATE TABLE seen (); GRANT SELECT ON seen TO foo_user",
        "ALTER ROLE foo_user SET work_mem TO '7MB'",
    ] {
        sql(namespace, &zalando, statement).unwrap();
    }
    pass_time(namespace, "foo_user");
    let after = eventually("the Secret of foo_user names a new role", || {
        let login = login(namespace, "foo_user")?;
        ensure(login.0 != "foo_user", &login.0)?;
        // At the first attempt: the database knows it before the Secret has it.
        Ok((sql(namespace, &login, "SELECT count(*) FROM seen"), login))
    });
    assert_eq!(after.0.as_deref(), Ok("0"));
    assert_eq!(sql(namespace, &after.1, "SHOW work_mem").as_deref(), Ok("7MB"));
    assert_eq!(sql(namespace, &before, "SELECT 1").as_deref(), Ok("1"), "clients with the former password go on");
    eventually("the login role of 2020 is gone", || {
        let names = sql(namespace, &zalando, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'foo_user%' ORDER BY 1")?;
        ensure(names == format!("foo_user\nfoo_user201030\n{}", after.1.0), &names)
    });
    let next = text(&secret(namespace, "foo_user").unwrap(), "nextRotation");
    assert!(next.as_str() > "2026" && next.ends_with('Z'), "{next}");
}

fn a_password_changes_in_place(namespace: &Namespace) {
    let before = opens(namespace, "zalando");
    pass_time(namespace, "zalando");
    let after = eventually("the Secret of zalando has another password", || {
        let login = login(namespace, "zalando")?;
        ensure(login != before, "the former one")?;
        Ok(login)
    });
    assert_eq!(after.0, "zalando");
    assert_eq!(sql(namespace, &after, "SELECT 1").as_deref(), Ok("1"));
    assert!(sql(namespace, &before, "SELECT 1").unwrap_err().contains("password authentication failed"));
}

fn switched_off_the_role_has_its_secret_back(namespace: &Namespace) {
    let off = json!({"spec": {"usersWithSecretRotation": null, "usersWithInPlaceSecretRotation": null}});
    namespace.patch("postgresql", CLUSTER, &off);
    let back = eventually("the Secret of foo_user names foo_user", || {
        let login = login(namespace, "foo_user")?;
        ensure(login.0 == "foo_user", &login.0)?;
        Ok(login)
    });
    assert_eq!(sql(namespace, &back, "SELECT count(*) FROM seen").as_deref(), Ok("0"));
}

fn name_of(user: &str) -> String {
    format!("{}.{CLUSTER}.credentials", user.replace('_', "-"))
}

fn secret(namespace: &Namespace, user: &str) -> Result<Value, String> {
    namespace.get("secret", &name_of(user))
}

fn text(secret: &Value, key: &str) -> String {
    decoded(secret["data"][key].as_str().unwrap_or_default())
}

fn login(namespace: &Namespace, user: &str) -> Result<Login, String> {
    let secret = secret(namespace, user)?;
    Ok(Login(text(&secret, "username"), text(&secret, "password")))
}

/// What is in a Secret, once it opens the database and has a time.
fn opens(namespace: &Namespace, user: &str) -> Login {
    eventually(&format!("the Secret of {user} opens the database and has the time of its rotation"), || {
        let secret = secret(namespace, user)?;
        ensure(text(&secret, "nextRotation").ends_with('Z'), "no time")?;
        let login = login(namespace, user)?;
        sql(namespace, &login, "SELECT 1").map(|_| login)
    })
}

fn pass_time(namespace: &Namespace, user: &str) {
    namespace.patch("secret", &name_of(user), &json!({"stringData": {"nextRotation": PAST}}));
}

/// The answer of the database to who logs in so. Without a connection it is tried again; a refused log-in is an error.
fn sql(namespace: &Namespace, Login(user, password): &Login, statement: &str) -> Result<String, String> {
    let connection = Connection { user, database: "foo", host: CLUSTER, mode: "require" };
    namespace.sql_with(CLUSTER, &connection, password, statement)
}
