//! A certificate without that of its authority, as cert-manager writes it, that is renewed while the database runs.

use e2e::{Connection, Namespace, ensure, eventually, has_cluster, minimal, namespace};
use serde_json::{Value, json};

use crate::authority::Authority;

const CLUSTER: &str = "acid-tls";
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
    signed_by(&namespace, &first).unwrap();
    signed_by(&namespace, &second).unwrap_err();
    namespace.apply(&certificate(&second));
    eventually("the renewed certificate is served", || signed_by(&namespace, &second));
    signed_by(&namespace, &first).unwrap_err();
    assert_eq!(namespace.lives(CLUSTER), before, "no pod and no container was restarted");
    roles_are_made_as_before(&namespace);
}

/// A Secret of the type for certificates, with nothing but a certificate and its key.
fn certificate(authority: &Authority) -> Value {
    let mut secret = authority.secret(SECRET, &[CLUSTER]);
    secret["type"] = json!("kubernetes.io/tls");
    secret["data"].as_object_mut().unwrap().remove("ca.crt");
    secret
}

fn manifest() -> Value {
    let mut manifest = minimal(CLUSTER, 1);
    let spec = json!({
        "tls": {"secretName": SECRET},
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
fn signed_by(namespace: &Namespace, authority: &Authority) -> Result<(), String> {
    let trusted = namespace.file(POD, "trusted", &authority.certificate());
    let mode = format!("verify-full sslrootcert={trusted}");
    let connection = Connection { user: "foo_user", database: "foo", host: CLUSTER, mode: &mode };
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
