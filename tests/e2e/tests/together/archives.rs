//! Archives in S3: WAL and base backups are kept while a cluster runs, and outlive it. Clones up to a moment, a standby
//! that follows the archive, and dumps with their restore, all of one source.

mod s3;

use e2e::{Connection, Namespace, Operator, ensure, eventually, has_cluster, minimal, namespace, of_operator};
use s3::{AUTHORITY, ENDPOINT, KEY_ID, S3, log_says};
use serde_json::{Value, json};

/// The controller id of the clusters: their operator has archives in its configuration.
const ID: &str = "archives";
const SOURCE: &str = "acid-source";
/// A clone up to a moment while the source runs, and one when the source is gone.
const CLONE: &str = "acid-clone";
const HEIR: &str = "acid-heir";
const STANDBY: &str = "acid-standby";
const RESTORED: &str = "acid-restored";
const ARCHIVES: &str = "archives";
const BACKUPS: &str = "backups";
/// Where the pods have the certificate of the S3 server's authority.
const CERTIFICATE: &str = "/var/run/s3/ca.crt";

#[test]
fn a_cluster_is_restored_from_its_archive_to_a_moment_also_when_it_is_gone() {
    if !has_cluster("archives") {
        return;
    }
    let namespace = namespace(ID);
    let s3 = S3::start(&namespace, &[ARCHIVES, BACKUPS]);
    configure(&namespace, &s3);
    let operator = Operator::start(ID, &namespace.name, ["--config-map", "pgloom"], "info");
    let source = Source::start(&namespace, &s3);

    let moments = source.write_history();
    a_moment_without_a_zone_is_refused(&source, &moments[0]);
    namespace.apply(&source.clone(CLONE, &moments[0], json!({})));
    follow(&source);
    a_clone_has_what_was_there_at_the_moment_and_nothing_later(&source);
    a_standby_follows_the_archive_and_refuses_to_be_written_to(&source);
    a_wrong_source_fails_with_the_reason(&source, &moments[0], &operator);
    let dump = dumps_are_kept_as_long_as_the_manifest_says(&source);

    namespace.kubectl(&["delete", "postgresql", SOURCE, "--wait", "--timeout=120s"]).unwrap();
    let service = json!({
        "s3_endpoint": ENDPOINT, "s3_access_key_id": KEY_ID, "s3_secret_access_key": s3.key, "s3_force_path_style": true,
    });
    the_platform_names_another_service_for_clones(&namespace);
    // Not by `kubectl apply`, which copies the key into an annotation.
    namespace.create_as("the test", vec![source.clone(HEIR, &moments[1], service)]);
    namespace.apply(&of_operator(minimal(RESTORED, 1), ID));
    a_standby_is_promoted_without_its_source(&source);
    namespace.running(HEIR);
    assert_eq!(rows(&namespace, HEIR, "zalando").unwrap(), "before,after");
    // The image takes the style from the URL, if it has one.
    let style = namespace.run(&format!("{HEIR}-0"), "printenv CLONE_AWS_S3_FORCE_PATH_STYLE").unwrap();
    assert_eq!(style, "1\n");
    a_dump_is_restored_into_a_new_cluster(&source, &dump);
}

/// The operator configuration, as a platform with S3 has it, and what it names in the namespace.
fn configure(namespace: &Namespace, s3: &S3) {
    let text =
        e2e::kubectl(&["--namespace", "pgloom-system", "get", "configmap", "pgloom", "--output", "json"]).unwrap();
    let mut data = serde_json::from_str::<Value>(&text).unwrap()["data"].clone();
    for (key, value) in [
        ("wal_s3_bucket", ARCHIVES),
        ("pod_environment_secret", "archive"),
        ("additional_secret_mount", AUTHORITY),
        ("additional_secret_mount_path", "/var/run/s3"),
        ("logical_backup_s3_bucket", BACKUPS),
        ("logical_backup_s3_endpoint", ENDPOINT),
        ("logical_backup_s3_access_key_id", KEY_ID),
        ("logical_backup_s3_secret_access_key", &s3.key),
        ("logical_backup_cronjob_environment_secret", "backup"),
    ] {
        data[key] = json!(value);
    }
    let mut environment = serde_json::Map::new();
    // Of the cluster's own archive, of that of a clone's source, of that of a standby's.
    for archive in ["", "CLONE_", "STANDBY_"] {
        for (name, value) in [
            ("AWS_ENDPOINT", ENDPOINT),
            ("AWS_ACCESS_KEY_ID", KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", &s3.key),
            ("AWS_S3_FORCE_PATH_STYLE", "true"),
            ("WALG_S3_CA_CERT_FILE", CERTIFICATE),
        ] {
            environment.insert(format!("{archive}{name}"), json!(value));
        }
    }
    let secret = |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    namespace.create_as(
        "the test",
        vec![
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pgloom"}, "data": data}),
            secret("archive", environment.into()),
            secret("backup", json!({"AWS_CA_BUNDLE": CERTIFICATE})),
        ],
    );
}

/// The cluster whose archive is restored.
struct Source<'a> {
    namespace: &'a Namespace,
    s3: &'a S3<'a>,
    uid: String,
}

impl<'a> Source<'a> {
    fn start(namespace: &'a Namespace, s3: &'a S3<'a>) -> Self {
        let mut manifest = of_operator(minimal(SOURCE, 1), ID);
        manifest["spec"]["enableLogicalBackup"] = json!(true);
        // Once a year: only the test itself starts jobs.
        manifest["spec"]["logicalBackupSchedule"] = json!("0 3 1 1 *");
        manifest["spec"]["logicalBackupRetention"] = json!("1 week");
        namespace.apply(&manifest);
        namespace.running(SOURCE);
        let uid = namespace.get("postgresql", SOURCE).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
        Self { namespace, s3, uid }
    }

    /// The path of the archive in its bucket.
    fn path(&self) -> String {
        format!("spilo/{SOURCE}/{}/wal/15", self.uid)
    }

    /// Writes three rows after the first base backup, and returns the two moments between them.
    fn write_history(&self) -> [String; 2] {
        eventually("the archive has a base backup", || {
            let keys = self.s3.keys(ARCHIVES, &format!("{}/basebackups_005/", self.path()))?;
            ensure(keys.iter().any(|key| key.ends_with("_backup_stop_sentinel.json")), keys.join(", "))
        });
        let moment = || {
            let statement = "select to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')";
            sql(self.namespace, SOURCE, "zalando", statement).unwrap()
        };
        self.write("create table kept as select 'before' as value");
        let first = moment();
        self.write("insert into kept values ('after')");
        let second = moment();
        self.write("insert into kept values ('last')");
        self.archive();
        [first, second]
    }

    fn write(&self, statement: &str) {
        sql(self.namespace, SOURCE, "zalando", statement).unwrap();
    }

    /// Waits until the archive has all of the WAL so far.
    fn archive(&self) {
        let segment = "select pg_walfile_name(pg_switch_wal())";
        let segment = sql(self.namespace, SOURCE, "postgres", segment).unwrap();
        let key = format!("{}/wal_005/{segment}.lzo", self.path());
        eventually("the WAL is archived", || {
            let keys = self.s3.keys(ARCHIVES, &key)?;
            ensure(keys == [key.as_str()], keys.join(", "))
        });
    }

    /// The manifest of a clone up to a moment, with more fields of its section.
    fn clone(&self, name: &str, moment: &str, fields: Value) -> Value {
        let mut manifest = of_operator(minimal(name, 1), ID);
        manifest["spec"]["clone"] = json!({"cluster": SOURCE, "uid": self.uid, "timestamp": moment});
        manifest["spec"]["clone"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        manifest
    }
}

fn a_moment_without_a_zone_is_refused(source: &Source, moment: &str) {
    let manifest = source.clone("acid-no-zone", moment.trim_end_matches("+00:00"), json!({}));
    let refusal = source.namespace.try_apply(&manifest).unwrap_err();
    assert!(refusal.contains("spec.clone.timestamp"), "{refusal}");
}

/// From now on only the manifest of a clone has what opens the source's archive; the values of the platform are wrong.
fn the_platform_names_another_service_for_clones(namespace: &Namespace) {
    let wrong = json!({
        "CLONE_AWS_ENDPOINT": "https://elsewhere",
        "CLONE_AWS_ACCESS_KEY_ID": "stranger",
        "CLONE_AWS_SECRET_ACCESS_KEY": conformance::canary::value("a stranger's key"),
        "CLONE_AWS_S3_FORCE_PATH_STYLE": "false",
    });
    namespace.patch("secret", "archive", &json!({"stringData": wrong}));
}

fn follow(source: &Source) {
    // A standby cluster has the passwords of its source, so its Secrets are created before it.
    for user in ["postgres", "standby"] {
        let data = json!({"username": user, "password": source.namespace.password(SOURCE, user).unwrap()});
        let labels = json!({"application": "spilo", "cluster-name": STANDBY, "team": "acid"});
        let metadata = json!({"name": format!("{user}.{STANDBY}.credentials"), "labels": labels});
        source
            .namespace
            .apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}));
    }
    let mut manifest = of_operator(minimal(STANDBY, 1), ID);
    manifest["spec"]["standby"] = json!({"s3_wal_path": format!("s3://{ARCHIVES}/{}", source.path())});
    source.namespace.apply(&manifest);
}

fn a_clone_has_what_was_there_at_the_moment_and_nothing_later(source: &Source) {
    let namespace = source.namespace;
    namespace.running(CLONE);
    assert_eq!(rows(namespace, CLONE, "zalando").unwrap(), "before");
    // Not assert_ne: it would print the passwords.
    assert!(namespace.password(CLONE, "zalando").unwrap() != namespace.password(SOURCE, "zalando").unwrap());
    sql(namespace, CLONE, "zalando", "insert into kept values ('cloned')").unwrap();
    assert_eq!(rows(namespace, SOURCE, "zalando").unwrap(), "before,after,last", "the source goes its own way");
    let uid = namespace.get("postgresql", CLONE).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    eventually("the clone has an archive of its own", || {
        let keys = source.s3.keys(ARCHIVES, &format!("spilo/{CLONE}/{uid}/wal/15/wal_005/"))?;
        ensure(!keys.is_empty(), "no WAL")
    });
}

fn a_standby_follows_the_archive_and_refuses_to_be_written_to(source: &Source) {
    source.namespace.running(STANDBY);
    source.write("insert into kept values ('followed')");
    source.archive();
    eventually("what the source archives arrives", || {
        let rows = rows(source.namespace, STANDBY, "postgres")?;
        ensure(rows == "before,after,last,followed", rows)
    });
    let refusal = sql(source.namespace, STANDBY, "postgres", "insert into kept values ('here')").unwrap_err();
    assert!(refusal.contains("read-only transaction"), "{refusal}");
}

fn a_wrong_source_fails_with_the_reason(source: &Source, moment: &str, operator: &Operator) {
    let namespace = source.namespace;
    let uid = "11111111-2222-3333-4444-555555555555";
    let key = conformance::canary::value("a wrong key");
    let wrong = [
        (
            "acid-wrong-uid",
            json!({"uid": uid}),
            format!("there is no base backup in s3://{ARCHIVES}/spilo/{SOURCE}/{uid}/wal/15"),
        ),
        ("acid-wrong-bucket", json!({"s3_wal_path": "s3://nowhere/path"}), "NoSuchBucket".to_owned()),
        ("acid-wrong-key", json!({"s3_secret_access_key": key}), "SignatureDoesNotMatch".to_owned()),
        (
            "acid-too-early",
            json!({"timestamp": "2017-12-19T12:40:33+01:00"}),
            "there is no base backup of before 2017-12-19".to_owned(),
        ),
    ];
    let manifests = wrong.iter().map(|(name, fields, _)| source.clone(name, moment, fields.clone()));
    namespace.create_as("the test", manifests.collect());
    for (name, _, reason) in &wrong {
        let pod = format!("{name}-0");
        let log = eventually(&format!("the log of {pod} has the reason"), || {
            log_says(namespace, &pod, &["nothing is restored", reason])
        });
        assert!(!log.contains(&key) && !log.contains(&source.s3.key), "a key is in the log of {pod}");
        let ready = namespace.condition(name, "Ready").unwrap();
        let message = ready["message"].as_str().unwrap();
        assert!(ready["status"] == "False" && message.contains(&format!("pod {pod} does not serve")), "{ready}");
    }
    for (name, ..) in &wrong {
        namespace.kubectl(&["delete", "postgresql", name, "--wait=false"]).unwrap();
    }
    assert!(!operator.log().contains(&key), "a key is in the operator's log");
}

/// Makes two dumps, of which the first one is made old, and returns the key of the second.
fn dumps_are_kept_as_long_as_the_manifest_says(source: &Source) -> String {
    let namespace = source.namespace;
    let dump = |job: &str| {
        namespace.kubectl(&["create", "job", job, &format!("--from=cronjob/logical-backup-{SOURCE}")]).unwrap();
        eventually(&format!("{job} is done"), || {
            let status = &namespace.get("job", job)?["status"];
            ensure(status["succeeded"] == 1, status)
        });
        source.s3.keys(BACKUPS, &format!("spilo/{SOURCE}/{}/logical_backups/", source.uid)).unwrap()
    };
    let first = dump("dump-1");
    assert_eq!(first.len(), 1, "{first:?}");
    source.s3.age(BACKUPS, &first[0], 9);
    let second = dump("dump-2");
    assert!(second.len() == 1 && second != first, "{first:?}, then {second:?}");
    second[0].clone()
}

fn a_standby_is_promoted_without_its_source(source: &Source) {
    let namespace = source.namespace;
    namespace.patch("postgresql", STANDBY, &json!({"spec": {"standby": null}}));
    eventually("the roles of the promoted cluster have passwords of its own", || rows(namespace, STANDBY, "zalando"));
    namespace.running(STANDBY);
    // Read-only while its member restarts, see `copies`.
    eventually("the promoted cluster is written to", || {
        sql(namespace, STANDBY, "zalando", "insert into kept values ('here')")
    });
    assert_eq!(rows(namespace, STANDBY, "zalando").unwrap(), "before,after,last,followed,here");
}

fn a_dump_is_restored_into_a_new_cluster(source: &Source, dump: &str) {
    let namespace = source.namespace;
    namespace.running(RESTORED);
    let password = namespace.password(RESTORED, "postgres").unwrap();
    source.s3.restore_dump(BACKUPS, dump, RESTORED, &password);
    // The dump has brought the source's passwords; the next resync replaces them by those of the Secrets.
    eventually("the restored cluster has the rows and passwords of its own", || {
        let rows = rows(namespace, RESTORED, "zalando")?;
        ensure(rows == "before,after,last,followed", rows)
    });
}

/// The rows in the order in which they were written.
fn rows(namespace: &Namespace, cluster: &str, user: &str) -> Result<String, String> {
    sql(namespace, cluster, user, "select string_agg(value, ',' order by ctid) from kept")
}

fn sql(namespace: &Namespace, cluster: &str, user: &str, statement: &str) -> Result<String, String> {
    let connection = Connection { user, database: "foo", host: cluster, mode: "require" };
    namespace.sql(cluster, &connection, statement)
}
