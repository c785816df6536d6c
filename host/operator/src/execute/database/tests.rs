//! Tests against a real server, named by `PGLOOM_TEST_POSTGRES=host:port`, with its superuser's password in
//! `PGLOOM_TEST_POSTGRES_PASSWORD`. `PGLOOM_TEST_POSTGRES_CA` may name the file of its certificate authority, and
//! `PGLOOM_TEST_POSTGRES_REPLICA` a replica of it. Roles and databases that start with `pgloom_test_` are dropped
//! there. Without the variables the tests print that they are skipped.

mod contents;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pgloom_api::Severity;
use pgloom_api::config::Config;
use pgloom_decide::credential::Login;
use pgloom_decide::role::{Attributes, Settings, Sources, Team, gather};
use tokio::sync::{Mutex, MutexGuard};

use super::*;

/// The tests share one server, so they run one after the other.
static TURN: Mutex<()> = Mutex::const_new(());

struct Database {
    server: Server,
    password: Password,
    _turn: MutexGuard<'static, ()>,
}

impl Database {
    /// The server, cleaned; `None` if there is none.
    async fn clean(test: &str) -> Option<Self> {
        let Ok(place) = std::env::var("PGLOOM_TEST_POSTGRES") else {
            eprintln!(
                "SKIPPED: {test} needs a server: set PGLOOM_TEST_POSTGRES=host:port and PGLOOM_TEST_POSTGRES_PASSWORD"
            );
            return None;
        };
        let turn = TURN.lock().await;
        let (host, port) = place.rsplit_once(':').expect("PGLOOM_TEST_POSTGRES is host:port");
        let way = Tcp { host: host.into(), port: port.parse().expect("PGLOOM_TEST_POSTGRES ends with a port") };
        let password = std::env::var("PGLOOM_TEST_POSTGRES_PASSWORD").expect("PGLOOM_TEST_POSTGRES_PASSWORD is set");
        let server = Server::new(host, Arc::new(way), Tls::new(None).unwrap());
        let database = Self { server, password: Password::new(password), _turn: turn };
        database.wipe().await;
        Some(database)
    }

    async fn wipe(&self) {
        let names = "SELECT datname::text FROM pg_database WHERE datname LIKE 'pgloom\\_test\\_%'";
        for name in self.texts(MAINTENANCE, names).await {
            self.run(MAINTENANCE, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
        self.run(MAINTENANCE, "DROP SCHEMA IF EXISTS pgloom_test_pool CASCADE").await;
        let names = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'pgloom\\_test\\_%'";
        for name in self.texts(MAINTENANCE, names).await {
            self.run(MAINTENANCE, &format!("DROP ROLE {name}")).await;
        }
    }

    async fn session(&self, database: &str) -> Session {
        Session::open(&self.server, database, "postgres", &self.password).await.unwrap()
    }

    async fn run(&self, database: &str, sql: &str) {
        let statement = Statement::new("prepare the test", sql).alone();
        self.session(database).await.execute(&statement).await.unwrap();
    }

    /// The first column of a query, as the superuser.
    async fn texts(&self, database: &str, sql: &str) -> Vec<String> {
        texts(&self.session(database).await, sql).await
    }

    fn wanted(&self, sources: &Sources, passwords: &[(&str, &str)]) -> Wanted {
        let mut credentials = credentials(passwords);
        credentials.passwords.insert("postgres".into(), self.password.clone());
        let poolers = sources
            .credentials
            .iter()
            .map(|pooler| PoolerAccess { username: pooler.username.clone(), schema: "pgloom_test_pool".into() });
        Wanted::new(&gather(sources), &credentials, "postgres", poolers.collect(), today()).unwrap()
    }

    async fn synchronize(&self, wanted: &Wanted) -> Report {
        synchronize(self.server.clone(), Arc::new(wanted.clone()), in_a_minute(), &Resume::default()).await.unwrap()
    }
}

async fn texts(session: &Session, sql: &str) -> Vec<String> {
    let rows = session.query("look", sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn credentials(passwords: &[(&str, &str)]) -> SecretChanges {
    let passwords = passwords.iter().map(|(name, plain)| ((*name).into(), Password::new(*plain))).collect();
    SecretChanges { passwords, ..SecretChanges::default() }
}

fn today() -> Calendar {
    Calendar::of(&Config::defaults(), Timestamp::now())
}

fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn attributes(words: &[&str]) -> Attributes {
    Attributes::parse(words).unwrap()
}

fn guide() -> Sources {
    Sources {
        users: [
            ("pgloom_test_zalando".into(), attributes(&["superuser", "createdb"])),
            ("pgloom_test_foo_user".into(), attributes(&[])),
        ]
        .into(),
        databases: [("pgloom_test_foo".into(), "pgloom_test_zalando".into())].into(),
        ..Sources::default()
    }
}

const GUIDE_PASSWORDS: [(&str, &str); 2] = [("pgloom_test_zalando", "z1"), ("pgloom_test_foo_user", "f'1\\")];

#[tokio::test]
async fn the_guides_roles_and_databases_come_true_and_a_second_run_changes_nothing() {
    let Some(database) = Database::clean("the guide's roles").await else { return };
    let wanted = database.wanted(&guide(), &GUIDE_PASSWORDS);
    let report = database.synchronize(&wanted).await;
    assert_eq!(report.failures, []);
    assert_eq!(
        report.done,
        ["create role pgloom_test_foo_user", "create role pgloom_test_zalando", "create database pgloom_test_foo"]
    );
    let again = database.synchronize(&wanted).await;
    assert_eq!((again.done, again.failures), (vec![], vec![]));

    let sql = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = 'pgloom_test_foo'";
    assert_eq!(database.texts(MAINTENANCE, sql).await, ["pgloom_test_zalando"]);
    let sql = "SELECT concat(rolsuper, rolcreatedb, rolcanlogin, rolcreaterole) FROM pg_roles WHERE rolname = 'pgloom_test_zalando'";
    assert_eq!(database.texts(MAINTENANCE, sql).await, ["tttf"]);
    let stored = "SELECT left(rolpassword, 14) FROM pg_authid WHERE rolname LIKE 'pgloom\\_test\\_%'";
    assert_eq!(database.texts(MAINTENANCE, stored).await, ["SCRAM-SHA-256$"; 2]);
}

#[tokio::test]
async fn a_role_logs_in_over_tls_with_its_password_and_no_other() {
    let Some(database) = Database::clean("a role logs in").await else { return };
    database.synchronize(&database.wanted(&guide(), &GUIDE_PASSWORDS)).await;
    let open = async |plain: &str| {
        Session::open(&database.server, "pgloom_test_foo", "pgloom_test_foo_user", &Password::new(plain)).await
    };
    let session = open("f'1\\").await.unwrap();
    let sql = "SELECT concat(current_user, ' ', ssl, ' ', current_setting('search_path')) FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(texts(&session, sql).await, ["pgloom_test_foo_user t pg_catalog,pg_temp"]);
    assert_eq!(open("other").await.err().unwrap().category(), "refused");
}

#[tokio::test]
async fn what_is_changed_by_hand_is_repaired_and_what_is_added_stays() {
    let Some(database) = Database::clean("repair").await else { return };
    let wanted = database.wanted(&guide(), &GUIDE_PASSWORDS);
    database.synchronize(&wanted).await;
    database.run(MAINTENANCE, "DROP ROLE pgloom_test_foo_user").await;
    database.run(MAINTENANCE, "ALTER ROLE pgloom_test_zalando NOCREATEDB CREATEROLE PASSWORD 'x'").await;
    database.run(MAINTENANCE, "ALTER DATABASE pgloom_test_foo OWNER TO postgres").await;
    let report = database.synchronize(&wanted).await;
    assert_eq!(
        report.done,
        [
            "create role pgloom_test_foo_user",
            "alter role pgloom_test_zalando: createdb, password",
            "alter database pgloom_test_foo: owner pgloom_test_zalando"
        ]
    );
    let sql = "SELECT concat(rolcreatedb, rolcreaterole) FROM pg_roles WHERE rolname = 'pgloom_test_zalando'";
    assert_eq!(database.texts(MAINTENANCE, sql).await, ["tt"]);
}

#[tokio::test]
async fn a_superuser_whose_password_the_database_does_not_know_is_refused_and_no_other_one_is_tried() {
    let Some(database) = Database::clean("the refusal of the superuser").await else { return };
    let wanted = database.wanted(&guide(), &GUIDE_PASSWORDS);
    database.synchronize(&wanted).await;
    let wanted = Wanted { password: Password::new("wrong"), ..wanted };
    let error =
        synchronize(database.server.clone(), Arc::new(wanted), in_a_minute(), &Resume::default()).await.unwrap_err();
    assert_eq!(error.category(), "refused");
}

#[tokio::test]
async fn settings_of_a_database_do_not_change_the_session_and_one_that_cannot_be_read_stops_no_other() {
    let Some(database) = Database::clean("settings of databases").await else { return };
    let mut sources = guide();
    sources.credentials =
        vec![pgloom_decide::role::CredentialRequest { username: "pgloom_test_pooler".into(), ..Default::default() }];
    let wanted = database.wanted(&sources, &[GUIDE_PASSWORDS[0], GUIDE_PASSWORDS[1], ("pgloom_test_pooler", "p")]);
    database.run(MAINTENANCE, "CREATE ROLE pgloom_test_nothing").await;
    for name in ["pgloom_test_aaa", "pgloom_test_broken", "pgloom_test_zzz"] {
        database.run(MAINTENANCE, &format!("CREATE DATABASE {name}")).await;
    }
    for setting in ["statement_timeout = '1ms'", "default_transaction_read_only = on", "role = pgloom_test_nothing"] {
        database.run(MAINTENANCE, &format!("ALTER DATABASE pgloom_test_aaa SET {setting}")).await;
    }
    database.run("pgloom_test_broken", "ALTER FUNCTION pg_catalog.oidvectortypes(oidvector) RENAME TO gone").await;
    let report = database.synchronize(&wanted).await;
    let failed: Vec<_> = report.failures.iter().map(|failure| failure.what.as_str()).collect();
    assert_eq!(failed, ["look into database pgloom_test_broken"], "{report:?}");
    for name in ["pgloom_test_aaa", "pgloom_test_zzz"] {
        let done = format!("let pgloom_test_pooler look users up in database {name}");
        assert!(report.done.contains(&done), "{report:?}");
    }
}

#[tokio::test]
async fn the_replication_user_follows_its_secret() {
    let Some(database) = Database::clean("the replication user").await else { return };
    let settings = Settings { replication: "pgloom_test_standby".into(), ..Settings::default() };
    let sources = Sources { settings, ..guide() };
    database.run(MAINTENANCE, "CREATE ROLE pgloom_test_standby LOGIN REPLICATION PASSWORD 'old'").await;
    let passwords = [GUIDE_PASSWORDS[0], GUIDE_PASSWORDS[1], ("pgloom_test_standby", "new")];
    let report = database.synchronize(&database.wanted(&sources, &passwords)).await;
    assert!(report.done.contains(&"alter role pgloom_test_standby: password".into()), "{:?}", report.done);
    let session = Session::open(&database.server, MAINTENANCE, "pgloom_test_standby", &Password::new("new")).await;
    assert!(session.is_ok());
}

#[tokio::test]
async fn a_verifier_that_the_server_made_is_kept() {
    let Some(database) = Database::clean("verifiers").await else { return };
    let wanted = database.wanted(&guide(), &[("pgloom_test_zalando", "пароль"), ("pgloom_test_foo_user", "f1")]);
    database.synchronize(&wanted).await;
    database.run(MAINTENANCE, "SET password_encryption = 'md5'; ALTER ROLE pgloom_test_foo_user PASSWORD 'f1'").await;
    database
        .run(MAINTENANCE, "SET password_encryption = 'scram-sha-256'; ALTER ROLE pgloom_test_zalando PASSWORD 'пароль'")
        .await;
    assert_eq!(database.synchronize(&wanted).await.done, [""; 0]);
}

#[tokio::test]
async fn a_server_that_is_configured_for_md5_gets_md5() {
    let Some(database) = Database::clean("md5").await else { return };
    database.run(MAINTENANCE, "ALTER SYSTEM SET password_encryption = 'md5'").await;
    database.run(MAINTENANCE, "SELECT pg_reload_conf()").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    database.synchronize(&database.wanted(&guide(), &GUIDE_PASSWORDS)).await;
    database.run(MAINTENANCE, "ALTER SYSTEM RESET password_encryption").await;
    database.run(MAINTENANCE, "SELECT pg_reload_conf()").await;
    let stored = "SELECT left(rolpassword, 3) FROM pg_authid WHERE rolname LIKE 'pgloom\\_test\\_%'";
    assert_eq!(database.texts(MAINTENANCE, stored).await, ["md5"; 2]);
    tokio::time::sleep(Duration::from_millis(200)).await;
}

#[tokio::test]
async fn a_setting_that_is_too_long_and_a_role_that_is_not_wanted_are_not_read() {
    let Some(database) = Database::clean("long settings").await else { return };
    let wanted = database.wanted(&guide(), &GUIDE_PASSWORDS);
    database.synchronize(&wanted).await;
    let long = "DO $$ BEGIN EXECUTE format('ALTER ROLE pgloom_test_foo_user SET search_path = %L', \
        repeat('x', 20000000)); END $$";
    database.run(MAINTENANCE, long).await;
    database.run(MAINTENANCE, "CREATE ROLE pgloom_test_unwanted IN ROLE pgloom_test_foo_user").await;
    assert_eq!(database.synchronize(&wanted).await.failures, []);
    let session = database.session(MAINTENANCE).await;
    let existing = roles::read(&session, &roles::names_of(&wanted.roles)).await.unwrap();
    assert!(!existing.contains_key("pgloom_test_unwanted") && !existing.contains_key("postgres"));
    assert!(existing["pgloom_test_foo_user"].parameters.is_empty());
}

#[tokio::test]
async fn an_owner_that_was_granted_to_an_additional_owner_role_is_taken_back() {
    let Some(database) = Database::clean("additional owner roles").await else { return };
    database.run(MAINTENANCE, "CREATE ROLE pgloom_test_cron").await;
    let mut sources = guide();
    database.synchronize(&database.wanted(&sources, &GUIDE_PASSWORDS)).await;
    database.run(MAINTENANCE, "GRANT pgloom_test_zalando TO pgloom_test_cron").await;
    sources.settings.additional_owner_roles = ["pgloom_test_cron".into()].into();
    let wanted = database.wanted(&sources, &GUIDE_PASSWORDS);
    let report = database.synchronize(&wanted).await;
    assert_eq!(report.failures, []);
    assert_eq!(
        report.done,
        ["alter role pgloom_test_zalando: no longer granted to pgloom_test_cron, member of pgloom_test_cron"]
    );
    assert_eq!(database.synchronize(&wanted).await.done, [""; 0]);
}

#[tokio::test]
async fn memberships_admins_and_settings_come_true() {
    let Some(database) = Database::clean("memberships").await else { return };
    database.run(MAINTENANCE, "CREATE ROLE pgloom_test_admin").await;
    let mut sources = guide();
    sources.settings = Settings {
        team_admin: "pgloom_test_admin".into(),
        additional_owner_roles: ["pg_monitor".into(), "pgloom_test_nobody".into()].into(),
        ..Settings::default()
    };
    let mut wanted = database.wanted(&sources, &GUIDE_PASSWORDS);
    for role in &mut wanted.roles {
        role.parameters = [
            ("search_path".into(), "\"$user\", \"Odd one\", public".into()),
            ("log_statement".into(), "all".into()),
            ("my.thing".into(), "a 'b'".into()),
        ]
        .into();
    }
    let report = database.synchronize(&wanted).await;
    assert_eq!(report.failures, []);
    assert_eq!(
        report.findings[0].message,
        "role \"pgloom_test_zalando\" is not made a member of \"pgloom_test_nobody\": the database has no role \"pgloom_test_nobody\""
    );
    let sql = "SELECT concat(member::regrole, ' in ', roleid::regrole, ' ', admin_option) FROM pg_auth_members \
        WHERE concat(member::regrole, roleid::regrole) LIKE '%pgloom\\_test\\_%' ORDER BY 1";
    assert_eq!(
        database.texts(MAINTENANCE, sql).await,
        [
            "pgloom_test_admin in pgloom_test_foo_user t",
            "pgloom_test_admin in pgloom_test_zalando t",
            "pgloom_test_zalando in pg_monitor f"
        ]
    );
    let sql =
        "SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = 'pgloom_test_foo_user'::regrole ORDER BY 1";
    assert_eq!(
        database.texts(MAINTENANCE, sql).await,
        ["log_statement=all", "my.thing=a 'b'", "search_path=\"$user\", \"Odd one\", public"]
    );
    assert_eq!(database.synchronize(&wanted).await.done, [""; 0]);
    database.run(MAINTENANCE, "REVOKE pg_monitor FROM pgloom_test_zalando").await;
    assert_eq!(database.synchronize(&wanted).await.done, ["alter role pgloom_test_zalando: member of pg_monitor"]);
}

#[tokio::test]
async fn no_verifier_stays_in_the_servers_statistics() {
    let Some(database) = Database::clean("confidential statements").await else { return };
    database.synchronize(&database.wanted(&guide(), &GUIDE_PASSWORDS)).await;
    let preloaded = database.texts(MAINTENANCE, "SELECT current_setting('shared_preload_libraries')").await;
    if !preloaded[0].contains("pg_stat_statements") {
        eprintln!("SKIPPED: the server does not load pg_stat_statements");
        return;
    }
    database.run(MAINTENANCE, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public").await;
    let sql = "SELECT query FROM public.pg_stat_statements WHERE query LIKE '%SCRAM-SHA-256%' AND query NOT LIKE '%NOT LIKE%'";
    assert_eq!(database.texts(MAINTENANCE, sql).await, [""; 0]);
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_an_error_of_its_kind() {
    let Some(database) = Database::clean("unusable servers").await else { return };
    let mut wanted = database.wanted(&guide(), &GUIDE_PASSWORDS);
    let closed = Tcp { host: "127.0.0.1".into(), port: 1 };
    let server = Server::new("127.0.0.1", Arc::new(closed), Tls::new(None).unwrap());
    let error = synchronize(server, Arc::new(wanted.clone()), in_a_minute(), &Resume::default()).await.unwrap_err();
    assert_eq!((error.category(), error.is_passing()), ("connect", true));

    let error = synchronize(database.server.clone(), Arc::new(wanted.clone()), Instant::now(), &Resume::default())
        .await
        .unwrap_err();
    assert_eq!((error.category(), error.is_passing()), ("deadline", true));

    wanted.password = Password::new("t0psecret");
    let error = synchronize(database.server.clone(), Arc::new(wanted.clone()), in_a_minute(), &Resume::default())
        .await
        .unwrap_err();
    assert_eq!((error.category(), error.is_passing()), ("refused", false));
    assert!(error.to_string().contains("refused role \"postgres\""), "{error}");
    assert!(!format!("{error:?} {error}").contains("t0psecret"));
}

#[tokio::test]
async fn a_replica_is_left_alone() {
    let Some(database) = Database::clean("replicas").await else { return };
    let Ok(place) = std::env::var("PGLOOM_TEST_POSTGRES_REPLICA") else {
        eprintln!("SKIPPED: replicas need PGLOOM_TEST_POSTGRES_REPLICA=host:port");
        return;
    };
    let (host, port) = place.rsplit_once(':').unwrap();
    let way = Tcp { host: host.into(), port: port.parse().unwrap() };
    let server = Server::new(host, Arc::new(way), Tls::new(None).unwrap());
    let error = synchronize(server, Arc::new(database.wanted(&guide(), &[])), in_a_minute(), &Resume::default())
        .await
        .unwrap_err();
    assert_eq!((error.category(), error.is_passing()), ("replica", true));
}

#[tokio::test]
async fn a_certificate_is_verified_if_there_is_an_authority() {
    let Some(database) = Database::clean("certificates").await else { return };
    let Ok(file) = std::env::var("PGLOOM_TEST_POSTGRES_CA") else {
        eprintln!("SKIPPED: certificates need PGLOOM_TEST_POSTGRES_CA");
        return;
    };
    let with = |pem: &[u8]| {
        let server = database.server.clone().with_tls(Tls::new(Some(pem)).unwrap());
        let password = database.password.clone();
        async move { Session::open(&server, MAINTENANCE, "postgres", &password).await.map(drop) }
    };
    with(&std::fs::read(file).unwrap()).await.unwrap();
    let error = with(OTHER_AUTHORITY.as_bytes()).await.unwrap_err();
    assert_eq!(error.category(), "connect");
}

#[tokio::test]
async fn a_synchronisation_runs_on_any_thread() {
    let mut sources = guide();
    sources.users.clear();
    let wanted =
        Wanted::new(&gather(&sources), &credentials(&[("postgres", "x")]), "postgres", vec![], today()).unwrap();
    let way = Tcp { host: "127.0.0.1".into(), port: 1 };
    let server = Server::new("127.0.0.1", Arc::new(way), Tls::new(None).unwrap());
    let resume = Resume::default();
    let task = tokio::spawn(async move { synchronize(server, Arc::new(wanted), in_a_minute(), &resume).await });
    assert_eq!(task.await.unwrap().unwrap_err().category(), "connect");
}

#[test]
fn without_the_superusers_password_there_is_nothing_to_synchronise() {
    let roles = gather(&guide());
    assert!(roles.findings.iter().all(|finding| finding.severity == Severity::Warning));
    assert!(Wanted::new(&roles, &SecretChanges::default(), "postgres", vec![], today()).is_none());
}

const OTHER_AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBhzCCAS2gAwIBAgIUbJMCaEMbdcRWNQ8odKz88owEH88wCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNc29tZWJvZHktZWxzZTAgFw0yNjExMjQwNzA4NTJaGA8yMTI2
MTAzMTA3MDg1MlowGDEWMBQGA1UEAwwNc29tZWJvZHktZWxzZTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABKICEKUFqNuLJWps+kHLHQTOqSCLpB1bFdcwlvXIIVc1
3lrnEviBZWRxa6St5449YrvmdCiKFDG7V7aTZbPUmuijUzBRMB0GA1UdDgQWBBQ3
T2KxGrJmtq/msOpzei4vB76u1TAfBgNVHSMEGDAWgBQ3T2KxGrJmtq/msOpzei4v
B76u1TAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQDkcjAdGKq5
ctOcHKmOGH5qFcZah1vPFW/8Td2gl4/fQgIgKbi4WX7vQz+NCjjfZLYpVBjqG+20
E1+AeLIxNieOtZg=
-----END CERTIFICATE-----
";

#[tokio::test]
async fn a_password_changes_by_a_new_login_role_and_old_ones_are_dropped_but_those_in_use() {
    let Some(database) = Database::clean("the rotation of passwords").await else { return };
    let mut wanted = database.wanted(&guide(), &GUIDE_PASSWORDS);
    database.synchronize(&wanted).await;
    database.run(MAINTENANCE, "ALTER ROLE pgloom_test_foo_user SET work_mem TO '7MB'").await;
    let foo = wanted.roles.iter().find(|role| role.name == "pgloom_test_foo_user").unwrap().clone();
    let login = foo.rotated("pgloom_test_foo_user240131");
    let set = async |password: &str| {
        let (server, password) = (database.server.clone(), Password::new(password));
        set_password(server, &wanted, login.clone(), password, in_a_minute()).await.unwrap()
    };
    assert_eq!(set("one").await.done, ["create role pgloom_test_foo_user240131"]);
    assert_eq!(set("two").await.done, ["alter role pgloom_test_foo_user240131: password"]);
    let open =
        async |name: &str, plain: &str| Session::open(&database.server, MAINTENANCE, name, &Password::new(plain)).await;
    let used = open("pgloom_test_foo_user240131", "two").await.unwrap();
    assert_eq!(texts(&used, "SELECT current_setting('work_mem')").await, ["7MB"]);
    assert!(open("pgloom_test_foo_user240131", "one").await.is_err());
    assert!(open("pgloom_test_foo_user", "f'1\\").await.is_ok(), "clients with the former password go on");

    for date in ["201031", "201030"] {
        let sql = format!("CREATE ROLE pgloom_test_foo_user{date} LOGIN IN ROLE pgloom_test_foo_user");
        database.run(MAINTENANCE, &sql).await;
    }
    database.run(MAINTENANCE, &mark::sql("pgloom_test_foo_user201031", mark::ROTATION)).await;
    database.run(MAINTENANCE, "CREATE ROLE pgloom_test_foo_user201101 LOGIN").await;
    let foreign = foo.rotated("pgloom_test_foo_user201101");
    let report = set_password(database.server.clone(), &wanted, foreign, Password::new("one"), in_a_minute()).await;
    assert!(report.unwrap().failures[0].message.contains("no rotation has made it"));
    assert!(open("pgloom_test_foo_user201101", "one").await.is_err());
    let sources = guide();
    let next = |next: &str| Login { username: "pgloom_test_foo_user".into(), next_rotation: Some(next.into()) };
    let credentials = SecretChanges {
        passwords: wanted.passwords.clone(),
        logins: [("pgloom_test_foo_user".to_owned(), next(""))].into(),
        ..SecretChanges::default()
    };
    wanted = Wanted::new(&gather(&sources), &credentials, "postgres", vec![], today()).unwrap();
    let report = database.synchronize(&wanted).await;
    assert_eq!(report.done, ["drop role pgloom_test_foo_user201031"], "{:?}", report.failures);
    let findings: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    let [unmarked, in_use] = &findings[..] else { panic!("{findings:?}") };
    assert!(unmarked.contains("201030\" has been kept") && unmarked.contains("not known"), "{unmarked}");
    assert!(in_use.contains("240131\" has been kept") && in_use.contains("it is logged in"), "{in_use}");
    drop(used);
}

#[tokio::test]
async fn a_member_who_leaves_cannot_log_in_and_one_who_comes_back_has_the_role_again() {
    let Some(database) = Database::clean("members who leave").await else { return };
    let sources = |members: &[&str], knows_teams: bool| {
        let members = members.iter().map(|name| format!("pgloom_test_{name}")).collect();
        Sources {
            settings: Settings {
                pam_role: String::new(),
                team_admin: String::new(),
                deletion_suffix: Some("_deleted".into()),
                ..Settings::default()
            },
            teams: vec![Team { name: "acid".into(), members, superusers: false }],
            knows_teams,
            ..Sources::default()
        }
    };
    let after = async |members: &[&str], knows_teams: bool| {
        let report = database.synchronize(&database.wanted(&sources(members, knows_teams), &[])).await;
        assert_eq!(report.failures, []);
        let sql =
            "SELECT concat(rolname, ' ', rolcanlogin) FROM pg_roles WHERE rolname LIKE 'pgloom\\_test\\_%' ORDER BY 1";
        database.texts(MAINTENANCE, sql).await
    };
    database.run(MAINTENANCE, "CREATE ROLE pgloom_test_human LOGIN").await;
    let both = ["pgloom_test_ada t", "pgloom_test_grace t", "pgloom_test_human t"];
    assert_eq!(after(&["ada", "grace"], true).await, both);
    assert_eq!(after(&["grace"], false).await, both, "not all members are known");
    let one = ["pgloom_test_ada_deleted f", "pgloom_test_grace t", "pgloom_test_human t"];
    assert_eq!(after(&["grace"], true).await, one);
    assert_eq!(after(&["grace"], true).await, one);
    assert_eq!(after(&["ada", "grace"], true).await, both);
    assert_eq!(after(&["grace"], true).await, one, "it is still marked");
}
