//! Tests of the content of the databases of a real server: schemas, privileges, extensions, the pooler's function.

use std::collections::BTreeSet;

use pgloom_api::postgresql::with_defaults;
use pgloom_decide::role::CredentialRequest;

use super::*;

fn prepared() -> Sources {
    let databases = serde_json::json!({"pgloom_test_bar": {
        "defaultUsers": true,
        "extensions": {"pgcrypto": "data", "hstore": ""},
        "schemas": {"data": {"defaultUsers": true}, "history": {"defaultRoles": false}},
    }});
    Sources { prepared: with_defaults(serde_json::from_value(databases).unwrap(), "acid-test"), ..Sources::default() }
}

#[tokio::test]
async fn a_prepared_database_lets_readers_read_and_writers_write() {
    let Some(database) = Database::clean("prepared databases").await else { return };
    let passwords = ["reader", "writer", "data_reader", "data_writer"].map(|one| format!("pgloom_test_bar_{one}_user"));
    let passwords = passwords.each_ref().map(|name| (name.as_str(), "secret"));
    let wanted = database.wanted(&prepared(), &passwords);
    let report = database.synchronize(&wanted).await;
    assert_eq!(report.failures, []);
    let again = database.synchronize(&wanted).await;
    assert_eq!((again.done, again.failures), (vec![], vec![]));

    let bar = "pgloom_test_bar";
    let sql = "SELECT concat(extname, ' ', extnamespace::regnamespace) FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1";
    assert_eq!(database.texts(bar, sql).await, ["hstore public", "pgcrypto data"]);
    let sql = "SELECT concat(nspname, ' ', nspowner::regrole) FROM pg_namespace WHERE nspname IN ('data', 'history') ORDER BY 1";
    assert_eq!(database.texts(bar, sql).await, ["data pgloom_test_bar_data_owner", "history pgloom_test_bar_owner"]);
    database.run(bar, "SET ROLE pgloom_test_bar_owner; CREATE SCHEMA own").await;
    for (owner, schema) in [("data_owner", "data"), ("owner", "history"), ("owner", "own")] {
        database
            .run(
                bar,
                &format!(
                    "SET ROLE pgloom_test_bar_{owner}; \
                     CREATE TABLE {schema}.things (id serial, name text); INSERT INTO {schema}.things (name) VALUES ('one')"
                ),
            )
            .await;
    }
    for (user, schema, reads, writes) in [
        ("reader", "data", true, false),
        ("writer", "data", true, true),
        ("data_reader", "data", true, false),
        ("data_writer", "data", true, true),
        ("reader", "history", true, false),
        ("writer", "history", true, true),
        ("data_writer", "history", false, false),
        ("writer", "own", true, true),
        ("reader", "own", true, false),
    ] {
        let name = format!("pgloom_test_bar_{user}_user");
        let mut session = Session::open(&database.server, bar, &name, &Password::new("secret")).await.unwrap();
        let mut can = async |sql: String| session.execute(&Statement::new("try", sql)).await.is_ok();
        let read = can(format!("SELECT * FROM {schema}.things")).await;
        let write = can(format!("INSERT INTO {schema}.things (name) VALUES ('two')")).await;
        assert_eq!((read, write), (reads, writes), "{user} in {schema}");
    }
}

#[tokio::test]
async fn an_extension_goes_to_the_schema_that_is_asked_for() {
    let Some(database) = Database::clean("extensions").await else { return };
    database.synchronize(&database.wanted(&prepared(), &[])).await;
    database.run("pgloom_test_bar", "ALTER EXTENSION hstore SET SCHEMA data").await;
    assert_eq!(
        database.synchronize(&database.wanted(&prepared(), &[])).await.done,
        ["move extension hstore to schema public in database pgloom_test_bar"]
    );
}

#[tokio::test]
async fn one_thing_that_cannot_be_done_does_not_stop_the_rest() {
    let Some(database) = Database::clean("failures").await else { return };
    let mut wanted = database.wanted(&prepared(), &[]);
    wanted.prepared[0].extensions.insert("aaa_none".into(), "public".into());
    let report = database.synchronize(&wanted).await;
    assert_eq!(report.failures.len(), 1);
    assert_eq!(report.failures[0].what, "create extension aaa_none in database pgloom_test_bar");
    assert!(report.failures[0].message.contains("aaa_none"), "{:?}", report.failures);
    assert!(!report.is_complete());
    assert!(report.done.contains(&"create extension pgcrypto in database pgloom_test_bar".to_string()));
}

#[tokio::test]
async fn only_the_pooler_looks_users_up_and_it_does_in_every_database() {
    let Some(database) = Database::clean("the pooler").await else { return };
    let mut sources = guide();
    let username = "pgloom_test_pooler".to_string();
    sources.credentials = vec![CredentialRequest { username, ..CredentialRequest::default() }];
    let passwords = [GUIDE_PASSWORDS[0], GUIDE_PASSWORDS[1], ("pgloom_test_pooler", "p1")];
    let wanted = database.wanted(&sources, &passwords);
    let report = database.synchronize(&wanted).await;
    assert_eq!(report.failures, []);
    for place in ["postgres", "pgloom_test_foo"] {
        assert!(report.done.contains(&format!("let pgloom_test_pooler look users up in database {place}")));
    }
    assert_eq!(database.synchronize(&wanted).await.done, [""; 0]);

    let sql = "SELECT left(phash, 5) FROM pgloom_test_pool.user_lookup('pgloom_test_foo_user')";
    let look_up = async |user: &str, plain: &str| {
        let session = Session::open(&database.server, "pgloom_test_foo", user, &Password::new(plain)).await.unwrap();
        session.query("look up", sql, &[]).await.map(|rows| rows[0].get::<_, String>(0)).ok()
    };
    assert_eq!(look_up("pgloom_test_pooler", "p1").await.as_deref(), Some("SCRAM"));
    assert_eq!(look_up("pgloom_test_foo_user", "f'1\\").await, None);

    database.run(MAINTENANCE, "CREATE DATABASE pgloom_test_later").await;
    database.run("pgloom_test_foo", "GRANT EXECUTE ON FUNCTION pgloom_test_pool.user_lookup(text) TO PUBLIC").await;
    let again: BTreeSet<_> = database.synchronize(&wanted).await.done.into_iter().collect();
    let expected = ["pgloom_test_foo", "pgloom_test_later"];
    assert_eq!(again, expected.map(|place| format!("let pgloom_test_pooler look users up in database {place}")).into());
    assert_eq!(look_up("pgloom_test_foo_user", "f'1\\").await, None);
}

#[tokio::test]
async fn a_function_that_somebody_else_put_there_is_replaced() {
    let Some(database) = Database::clean("the pooler's function").await else { return };
    let mut sources = guide();
    let username = "pgloom_test_pooler".to_string();
    sources.credentials = vec![CredentialRequest { username, ..CredentialRequest::default() }];
    let wanted = database.wanted(&sources, &GUIDE_PASSWORDS);
    database.synchronize(&wanted).await;
    database
        .run(
            "pgloom_test_foo",
            "CREATE OR REPLACE FUNCTION pgloom_test_pool.user_lookup(i_username text, OUT uname text, OUT phash text) \
             LANGUAGE sql AS 'SELECT i_username, i_username'; \
             ALTER FUNCTION pgloom_test_pool.user_lookup(text) OWNER TO pgloom_test_foo_user",
        )
        .await;
    assert_eq!(
        database.synchronize(&wanted).await.done,
        ["let pgloom_test_pooler look users up in database pgloom_test_foo"]
    );
    assert_eq!(database.synchronize(&wanted).await.done, [""; 0]);
}
