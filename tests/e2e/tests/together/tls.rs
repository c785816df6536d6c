//! A certificate without that of its authority, as cert-manager writes it, that is renewed while database and pooler run.

use e2e::{Connection, Namespace, ensure, eventually, has_cluster, minimal, namespace};
use serde_json::{Value, json};

use crate::authority::Authority;

const CLUSTER: &str = "acid-tls";
const POOLER: &str = "acid-tls-pooler";
const POD: &str = "acid-tls-0";
const SECRET: &str = "certificate";

#[test]
fn a_renewed_certificate_is_served_without_a_restart() {
    if !has_cluster("tls") {
        return;
    }
    let namespace = namespace("tls");
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    namespace.apply(&certificate(&first));
    namespace.apply(&manifest());
    namespace.running(CLUSTER);
    let before = namespace.lives(CLUSTER);

    the_files_of_the_secret_are_the_groups(&namespace);
    signed_by(&namespace, CLUSTER, &first).unwrap();
    signed_by(&namespace, CLUSTER, &second).unwrap_err();
    the_poolers_certificate_is_recorded(&namespace);
    eventually("the pooler serves the certificate", || signed_by(&namespace, POOLER, &first));
    namespace.apply(&certificate(&second));
    eventually("the renewed certificate is served", || signed_by(&namespace, CLUSTER, &second));
    signed_by(&namespace, CLUSTER, &first).unwrap_err();
    assert_eq!(namespace.lives(CLUSTER), before, "no pod and no container was restarted");
    roles_are_made_as_before(&namespace);
    // That was a reconcile. Without a change of the manifest the operator looks at certificates once in `resync_period`.
    the_pooler_serves_the_renewed_certificate(&namespace, &first, &second);
}

/// The pods that were there before stay.
fn the_poolers_certificate_is_recorded(namespace: &Namespace) {
    eventually("the certificate is recorded", || {
        let pooler = namespace.get("deployment", POOLER)?;
        let annotations = [&pooler["metadata"], &pooler["spec"]["template"]["metadata"]]
            .map(|metadata| metadata["annotations"]["pgloom.dev/certificates"].is_string());
        ensure(annotations == [true, false], pooler)
    });
}

/// PgBouncer reads its certificate when it starts: its pods are replaced.
fn the_pooler_serves_the_renewed_certificate(namespace: &Namespace, first: &Authority, second: &Authority) {
    eventually("the pooler serves the renewed certificate", || signed_by(namespace, POOLER, second));
    eventually("the former pod of the pooler is gone", || {
        signed_by(namespace, POOLER, first).err().map(drop).ok_or_else(|| "it is served".to_owned())
    });
}

/// A Secret of the type for certificates, with nothing but a certificate and its key.
fn certificate(authority: &Authority) -> Value {
    let mut secret = authority.secret(SECRET, &[CLUSTER, POOLER]);
    secret["type"] = json!("kubernetes.io/tls");
    secret["data"].as_object_mut().unwrap().remove("ca.crt");
    secret
}

fn manifest() -> Value {
    let mut manifest = minimal(CLUSTER, 1);
    let spec = json!({
        "tls": {"secretName": SECRET},
        "enableConnectionPooler": true,
        "connectionPooler": {"numberOfInstances": 1},
        // How often the image looks for a renewed certificate: every five minutes by default.
        "env": [{"name": "PGLOOM_CERTIFICATE_CHECK_SECONDS", "value": "1"}],
        "additionalVolumes": [{"name": "scratch", "mountPath": "/scratch", "volumeSource": {"emptyDir": {}}}],
    });
    manifest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    manifest
}

/// Without a group in manifest and configuration it is that of the image's PostgreSQL.
fn the_files_of_the_secret_are_the_groups(namespace: &Namespace) {
    let pod = namespace.get("pod", POD).unwrap();
    assert_eq!(pod["spec"]["securityContext"]["fsGroup"], 103);
    let groups = namespace.run(POD, "stat --dereference --format %g /tls/tls.key /scratch").unwrap();
    assert_eq!(groups, "103\n103\n");
    // PostgreSQL's own account reads the key, and others do not.
    namespace.run(POD, "su postgres -c 'cat /tls/tls.key' > /dev/null").unwrap();
    let mode = namespace.run(POD, "stat --dereference --format %a /tls/tls.key").unwrap();
    assert_eq!(mode, "640\n");
}

/// Whether the server's certificate is one of this authority.
fn signed_by(namespace: &Namespace, host: &str, authority: &Authority) -> Result<(), String> {
    let trusted = namespace.file(POD, "trusted", &authority.certificate());
    let mode = format!("verify-full sslrootcert={trusted}");
    let connection = Connection { user: "foo_user", database: "foo", host, mode: &mode };
    let answer = namespace.sql(CLUSTER, &connection, "select current_user")?;
    ensure(answer == "foo_user", answer)
}

fn roles_are_made_as_before(namespace: &Namespace) {
    namespace.patch("postgresql", CLUSTER, &json!({"spec": {"users": {"later": []}}}));
    eventually("a user that is added later logs in", || {
        let connection = Connection { user: "later", database: "foo", host: CLUSTER, mode: "require" };
        namespace.sql(CLUSTER, &connection, "select 1")
    });
}
