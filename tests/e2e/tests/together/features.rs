//! The optional features of a manifest, all in one cluster.

use e2e::{Connection, Namespace, ensure, eventually, has_cluster, minimal, namespace};
use serde_json::{Value, json};

use crate::authority::Authority;

const CLUSTER: &str = "acid-features";
const POOLER: &str = "acid-features-pooler";
const POD: &str = "acid-features-0";
const BACKUP: &str = "logical-backup-acid-features";

#[test]
fn a_cluster_with_every_feature_has_them() {
    if !has_cluster("features") {
        return;
    }
    let namespace = namespace("features");
    let authority = Authority::new("authority");
    namespace.apply(&authority.secret("pg-tls", &[CLUSTER, POOLER]));
    namespace.apply(&manifest());
    namespace.running(CLUSTER);

    an_init_container_ran_before_the_database(&namespace);
    a_sidecar_runs_beside_the_database_and_logs_in_as_the_superuser(&namespace);
    the_sidecar_has_its_own_variables_and_resources(&namespace);
    the_certificate_of_the_secret_is_served(&namespace, &authority);
    a_client_logs_in_through_the_pooler(&namespace);
    a_backup_of_the_cron_job_runs_to_its_end(&namespace);
    the_cron_job_follows_the_manifest_and_goes_with_it(&namespace);
    a_claim_grows_while_the_pod_runs(&namespace);
    a_member_that_is_added_has_a_volume_of_the_new_size(&namespace);
    a_claim_never_shrinks_and_the_user_is_told(&namespace);
}

/// The resources of the containers beside the database: others than the configured ones.
fn resources() -> Value {
    json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "100Mi"}})
}

fn manifest() -> Value {
    let mut manifest = minimal(CLUSTER, 1);
    let image = "localhost/pgloom/database:15";
    let features = json!({
        "initContainers": [{
            "name": "before", "image": image, "command": ["sh", "-c", "echo \"$GREETING\" > /home/postgres/pgdata/greeting"],
            "env": [{"name": "GREETING", "value": "made before the database"}],
            "volumeMounts": [{"name": "pgdata", "mountPath": "/home/postgres/pgdata"}],
        }],
        "sidecars": [{
            "name": "sidecar", "image": image, "resources": resources(),
            "env": [
                {"name": "LISTEN", "value": ":9187"},
                {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
            ],
            "command": ["sh", "-c", "trap exit TERM; export PGPASSWORD=$POSTGRES_PASSWORD; \
                cat /home/postgres/pgdata/greeting; until psql \"host=localhost user=$POSTGRES_USER sslmode=require\" -AtXc \
                \"select '$POD_NAMESPACE/$POD_NAME: ' || usename from pg_user where usesuper and usename = current_user\"; \
                do sleep 1; done; sleep infinity & wait"],
        }],
        "tls": {"secretName": "pg-tls", "caFile": "ca.crt"},
        "enableConnectionPooler": true,
        "connectionPooler": {"numberOfInstances": 1, "resources": resources()},
        "enableLogicalBackup": true,
        // Once a year: only the test itself starts jobs.
        "logicalBackupSchedule": "0 3 1 1 *",
    });
    manifest["spec"].as_object_mut().unwrap().extend(features.as_object().unwrap().clone());
    manifest
}

fn an_init_container_ran_before_the_database(namespace: &Namespace) {
    assert_eq!(namespace.run(POD, "cat /home/postgres/pgdata/greeting").unwrap(), "made before the database\n");
}

fn a_sidecar_runs_beside_the_database_and_logs_in_as_the_superuser(namespace: &Namespace) {
    let answer = format!("{}/{POD}: postgres\n", namespace.name);
    eventually("the sidecar has logged in", || {
        let log = namespace.kubectl(&["logs", POD, "--container", "sidecar"])?;
        ensure(log.starts_with("made before the database\n") && log.ends_with(&answer), log)
    });
}

fn the_sidecar_has_its_own_variables_and_resources(namespace: &Namespace) {
    let print = ["exec", POD, "--container", "sidecar", "--", "printenv", "LISTEN", "LIMIT"];
    assert_eq!(namespace.kubectl(&print).unwrap(), ":9187\n104857600\n");
    let pod = namespace.get("pod", POD).unwrap();
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let sidecar = containers.iter().find(|container| container["name"] == "sidecar").unwrap();
    assert_eq!(sidecar["resources"], resources());
}

fn the_certificate_of_the_secret_is_served(namespace: &Namespace, authority: &Authority) {
    let trusted = namespace.file(POD, "ca.crt", &authority.certificate());
    let mode = format!("verify-full sslrootcert={trusted}");
    assert_eq!(who(namespace, CLUSTER, &mode).unwrap(), "foo_user");
    pooler_is_ready(namespace);
    assert_eq!(who(namespace, POOLER, &mode).unwrap(), "foo_user");

    let stranger = namespace.file(POD, "stranger.crt", &Authority::new("stranger").certificate());
    let refusal = who(namespace, CLUSTER, &format!("verify-full sslrootcert={stranger}")).unwrap_err();
    assert!(refusal.contains("certificate verify failed"), "{refusal}");
    let other_name = format!("{CLUSTER}.{}", namespace.name);
    let refusal = who(namespace, &other_name, &mode).unwrap_err();
    assert!(refusal.contains("does not match host name"), "{refusal}");
}

/// Waits for the pooler's own pod: the cluster runs as soon as its database does.
fn pooler_is_ready(namespace: &Namespace) {
    eventually("the pooler is ready", || {
        let ready = namespace.get("deployment", POOLER)?["status"]["readyReplicas"].clone();
        ensure(ready == 1, ready)
    });
}

fn a_client_logs_in_through_the_pooler(namespace: &Namespace) {
    pooler_is_ready(namespace);
    let text = namespace.kubectl(&["get", "pods", "--selector", "connection-pooler", "--output", "json"]).unwrap();
    let pods: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(pods["items"][0]["spec"]["containers"][0]["resources"], resources());
    let address = pods["items"][0]["status"]["podIP"].as_str().unwrap();
    let connection = Connection { user: "foo_user", database: "foo", host: POOLER, mode: "require" };
    let answer = namespace.sql(CLUSTER, &connection, "select current_user, host(inet_client_addr())").unwrap();
    assert_eq!(answer, format!("foo_user|{address}"), "the database is reached through the pooler");
}

fn a_backup_of_the_cron_job_runs_to_its_end(namespace: &Namespace) {
    namespace.kubectl(&["create", "job", "backup-now", &format!("--from=cronjob/{BACKUP}")]).unwrap();
    eventually("the backup is made", || {
        let status = &namespace.get("job", "backup-now")?["status"];
        ensure(status["succeeded"] == 1, status)
    });
    let log = namespace.kubectl(&["logs", "job/backup-now"]).unwrap();
    let stored = log.lines().find_map(|line| line.strip_prefix("stored ")?.strip_suffix(" bytes")?.parse::<u64>().ok());
    assert!(stored.is_some_and(|bytes| bytes > 1000), "{log}");
}

fn the_cron_job_follows_the_manifest_and_goes_with_it(namespace: &Namespace) {
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"logicalBackupSchedule": "30 4 1 1 *"}}));
    eventually("the CronJob has the new schedule", || {
        let schedule = namespace.get("cronjob", BACKUP)?["spec"]["schedule"].clone();
        ensure(schedule == "30 4 1 1 *", schedule)
    });
    namespace.kubectl(&["patch", "cronjob", BACKUP, "--patch", r#"{"spec": {"schedule": "0 5 1 1 *"}}"#]).unwrap();
    eventually("an edit of the CronJob is put right", || {
        let schedule = namespace.get("cronjob", BACKUP)?["spec"]["schedule"].clone();
        ensure(schedule == "30 4 1 1 *", schedule)
    });
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"enableLogicalBackup": false}}));
    eventually("the CronJob is gone", || {
        let left = namespace.kubectl(&["get", "cronjobs", "--output", "name"])?;
        ensure(left.is_empty(), left)
    });
}

fn a_claim_grows_while_the_pod_runs(namespace: &Namespace) {
    let pod = || namespace.get("pod", POD).unwrap()["metadata"]["uid"].clone();
    let before = pod();
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"volume": {"size": "2Gi"}}}));
    eventually("the volume has grown", || {
        let claim = namespace.get("pvc", &format!("pgdata-{POD}"))?;
        ensure(claim["status"]["capacity"]["storage"] == "2Gi", &claim)
    });
    eventually("further members get as much", || {
        let set = namespace.get("statefulset", CLUSTER)?;
        let size = &set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"];
        ensure(size == "2Gi", size)
    });
    let status = namespace.running(CLUSTER);
    let conditions = status["conditions"].as_array().unwrap();
    let grown = conditions.iter().find(|condition| condition["type"] == "volume-resize/VolumeResized").unwrap();
    assert_eq!(grown["status"], "True", "{grown}");
    assert_eq!(pod(), before, "a claim that grows costs no pod");
}

fn a_member_that_is_added_has_a_volume_of_the_new_size(namespace: &Namespace) {
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"numberOfInstances": 2}}));
    eventually("the second member has its volume", || {
        let claim = namespace.get("pvc", &format!("pgdata-{CLUSTER}-1"))?;
        let sizes = json!([claim["spec"]["resources"]["requests"]["storage"], claim["status"]["capacity"]["storage"]]);
        ensure(sizes == json!(["2Gi", "2Gi"]), sizes)
    });
}

fn a_claim_never_shrinks_and_the_user_is_told(namespace: &Namespace) {
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"volume": {"size": "1Gi"}}}));
    namespace.warned(CLUSTER, "a volume cannot shrink");
    let status = namespace.condition(CLUSTER, "volume-resize/VolumeResized").unwrap();
    assert_eq!((&status["status"], &status["reason"]), (&json!("False"), &json!("CannotShrink")));
    let claim = namespace.get("pvc", &format!("pgdata-{POD}")).unwrap();
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "2Gi");
}

fn who(namespace: &Namespace, host: &str, mode: &str) -> Result<String, String> {
    let connection = Connection { user: "foo_user", database: "foo", host, mode };
    namespace.sql(CLUSTER, &connection, "select current_user")
}
