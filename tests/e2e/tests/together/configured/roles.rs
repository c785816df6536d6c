//! Roles and Secrets: additional owner roles, Secrets in another namespace, the rotation of all passwords.

use e2e::{Connection, Namespace, decoded, ensure, eventually};
use serde_json::{Value, json};

use super::{CLUSTER, ELSEWHERE, change, configure};

/// A user of the rotation. No other step asks for its Secret.
const ROTATED: &str = "cashier";
/// The role with the right to the jobs of all owners.
const ADDITIONAL: &str = "cron_admin";

pub fn owners_are_members_of_the_additional_owner_role_and_it_is_a_member_of_no_owner(namespace: &Namespace) {
    let ask = |statement: &str| {
        let connection = Connection { user: "postgres", database: "postgres", host: CLUSTER, mode: "require" };
        namespace.sql(CLUSTER, &connection, statement)
    };
    // The wrong way round, which PostgreSQL does not let be turned before it is taken back.
    ask(&format!("create role {ADDITIONAL}")).unwrap();
    ask(&format!("grant bar_owner, bar_data_owner, zalando to {ADDITIONAL}")).unwrap();
    configure(namespace, &json!({"additional_owner_roles": ADDITIONAL}));
    let memberships = format!(
        "select string_agg(member::regrole || ' in ' || roleid::regrole, ', ' order by member::regrole::text) \
         from pg_auth_members where '{ADDITIONAL}'::regrole in (member, roleid)"
    );
    eventually("the owners of databases and of prepared schemas are members", || {
        let answer = ask(&memberships)?;
        let all = ["bar_data_owner", "bar_owner", "zalando"].map(|owner| format!("{owner} in {ADDITIONAL}"));
        ensure(answer == all.join(", "), answer)
    });
}

fn elsewhere_user() -> String {
    format!("{ELSEWHERE}.db_user")
}

fn elsewhere_secret() -> String {
    format!("{ELSEWHERE}.db-user.{CLUSTER}.credentials")
}

pub fn a_secret_in_another_namespace_opens_the_database(namespace: &Namespace, elsewhere: &Namespace) {
    let user = elsewhere_user();
    change(namespace, &json!({"users": {&user: []}}));
    let secret = eventually("the other namespace has the Secret", || elsewhere.get("secret", &elsewhere_secret()));
    assert_eq!(elsewhere.names("secrets", CLUSTER), [elsewhere_secret()]);
    let data = |key: &str| decoded(secret["data"][key].as_str().unwrap_or_default());
    assert_eq!(data("username"), user);
    let connection = Connection { user: &user, database: "foo", host: CLUSTER, mode: "require" };
    eventually("its user logs in", || {
        let answer = namespace.sql_with(CLUSTER, &connection, &data("password"), "select current_user")?;
        ensure(answer == user, answer)
    });
    assert!(namespace.get("secret", &elsewhere_secret()).is_err(), "it is in the other namespace only");
}

pub fn all_passwords_rotate_but_those_of_users_that_are_left_out(namespace: &Namespace, elsewhere: &Namespace) {
    change(namespace, &json!({"usersIgnoringSecretRotation": [elsewhere_user()], "users": {ROTATED: []}}));
    configure(namespace, &json!({"enable_password_rotation": "true", "password_rotation_interval": "30"}));
    let day = namespace.run(&format!("{CLUSTER}-0"), "date --utc --date '30 days' +%F").unwrap();
    let next = |secret: &Value| decoded(secret["data"]["nextRotation"].as_str().unwrap_or_default());
    let of = |user: &str| Ok(next(&namespace.get("secret", &format!("{user}.{CLUSTER}.credentials"))?));
    for user in ["foo-user", ROTATED] {
        eventually(&format!("the password of {user} has the day of its rotation"), || {
            let next = of(user)?;
            ensure(next.starts_with(day.trim()), next)
        });
    }
    namespace.running(CLUSTER);
    assert_eq!(next(&elsewhere.get("secret", &elsewhere_secret()).unwrap()), "");
    for left_out in ["zalando", "postgres"] {
        assert_eq!(of(left_out), Ok::<_, String>(String::new()), "{left_out} owns a database or is of the system");
    }
    a_password_whose_time_has_come_is_replaced_but_for_users_who_are_left_out(namespace, elsewhere);
}

fn a_password_whose_time_has_come_is_replaced_but_for_users_who_are_left_out(
    namespace: &Namespace,
    elsewhere: &Namespace,
) {
    let rotated = format!("{ROTATED}.{CLUSTER}.credentials");
    let kept = [(elsewhere, elsewhere_secret()), (namespace, format!("zalando.{CLUSTER}.credentials"))];
    let of = |(namespace, name): &(&Namespace, String)| {
        let secret = namespace.get("secret", name)?;
        Ok(["username", "password"].map(|key| decoded(secret["data"][key].as_str().unwrap_or_default())))
    };
    let login = || of(&(namespace, rotated.clone()));
    let all_kept = || kept.each_ref().map(|secret| of(secret).unwrap());
    let before: Result<_, String> = login();
    let [_, former] = before.unwrap();
    let kept_before = all_kept();
    let past = json!({"stringData": {"nextRotation": "2024-01-01T00:00:00Z"}});
    // The Secret that changes is the last: whoever reads it reads the others as they are now.
    for (namespace, name) in &kept {
        namespace.patch("secret", name, &past);
    }
    namespace.patch("secret", &rotated, &past);
    let [user, password] = eventually("the Secret names a new login role", || {
        let login = login()?;
        ensure(login[0] != ROTATED, &login[0])?;
        Ok(login)
    });
    let opens = |user: &str, password: &str| {
        let connection = Connection { user, database: "foo", host: CLUSTER, mode: "require" };
        namespace.sql_with(CLUSTER, &connection, password, &format!("select pg_has_role('{ROTATED}', 'member')"))
    };
    assert!(password != former, "the former password");
    assert_eq!(opens(&user, &password).unwrap(), "t");
    assert_eq!(opens(ROTATED, &former).unwrap(), "t", "clients with the former password go on");
    // Not assert_eq: it would print the passwords.
    assert!(all_kept() == kept_before, "a password of a user who is left out has changed");
    let [[left_out, unchanged], _] = kept_before;
    opens(&left_out, &unchanged).unwrap();
}
