//! An S3 server in a namespace of its own clusters, with TLS of an authority of its own, and a client beside it.

use e2e::{Namespace, ensure, eventually};
use serde_json::{Value, json};

use crate::authority::Authority;

/// The URL of the server for the pods of its namespace.
pub const ENDPOINT: &str = "https://s3";
/// The Secret with the authority's certificate, which clients mount.
pub const AUTHORITY: &str = "s3-authority";
/// The id of the access key.
pub const KEY_ID: &str = "archivist";

/// What each script of the client begins with.
const CLIENT: &str = "import boto3, os, sys\n\
    s3 = boto3.client('s3', endpoint_url=os.environ['AWS_ENDPOINT'], region_name='us-east-1')\n";

/// A running server. Its objects go with the namespace.
pub struct S3<'a> {
    namespace: &'a Namespace,
    /// The access key.
    pub key: String,
}

impl<'a> S3<'a> {
    /// Starts a server with empty buckets.
    pub fn start(namespace: &'a Namespace, buckets: &[&str]) -> Self {
        let authority = Authority::new("s3");
        namespace.apply(&authority.secret("s3-tls", &["s3"]));
        let metadata = json!({"name": AUTHORITY});
        let data = json!({"ca.crt": authority.certificate()});
        namespace.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}));
        let key = conformance::canary::value("the key of S3");
        let data = json!({"id": KEY_ID, "key": key});
        let metadata = json!({"name": "s3-key"});
        namespace.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}));
        namespace.apply(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s3"},
            "spec": {"selector": {"app": "s3"}, "ports": [{"port": 443}]},
        }));
        namespace.apply(&pod());
        let server = Self { namespace, key };
        for bucket in buckets {
            eventually(&format!("the bucket {bucket} is made"), || {
                server.run(&["s3.create_bucket(Bucket=sys.argv[1])", bucket])
            });
        }
        server
    }

    /// The keys of the objects whose keys begin so.
    ///
    /// # Errors
    /// With the client's output, if it failed.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Result<Vec<String>, String> {
        let script = "print(*[entry['Key'] for page in s3.get_paginator('list_objects_v2').paginate(Bucket=sys.argv[1], \
            Prefix=sys.argv[2]) for entry in page.get('Contents', ())], sep='\\n')";
        let printed = self.run(&[script, bucket, prefix])?;
        Ok(printed.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// Makes an object older. In the server's folder: the API of S3 has no such call.
    pub fn age(&self, bucket: &str, key: &str, days: u32) {
        let time = format!("{days} days ago");
        self.shell(&["touch", "--date", &time, &format!("/data/{bucket}/{key}")]).unwrap();
    }

    /// Unpacks a dump and runs it with psql, without the lines about the roles `postgres` and `standby`: the cluster has
    /// its own passwords for these two.
    pub fn restore_dump(&self, bucket: &str, key: &str, host: &str, password: &str) {
        let download = "s3.download_file(sys.argv[1], sys.argv[2], '/tmp/dump.gz')";
        self.run(&[download, bucket, key]).unwrap();
        let script = "gzip --decompress --stdout /tmp/dump.gz | sed --regexp-extended '/^(CREATE|ALTER) ROLE (postgres|standby)\\b/d' \
            | PGPASSWORD=$1 psql --no-psqlrc --quiet \"host=$0 user=postgres dbname=postgres sslmode=require\"";
        self.shell(&["sh", "-c", script, host, password]).unwrap();
    }

    fn run(&self, script: &[&str]) -> Result<String, String> {
        let whole = format!("{CLIENT}{}", script[0]);
        self.shell(&[&["python3", "-c", &whole], &script[1..]].concat())
    }

    fn shell(&self, command: &[&str]) -> Result<String, String> {
        self.namespace.kubectl(&[&["exec", "s3", "--container", "client", "--"], command].concat())
    }
}

/// The server's log has each request with its answer.
fn pod() -> Value {
    let secret = |key: &str| json!({"secretKeyRef": {"name": "s3-key", "key": key}});
    let mounts = json!([{"name": "data", "mountPath": "/data"}, {"name": "tls", "mountPath": "/tls"}]);
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "s3", "labels": {"app": "s3"}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "server", "image": "localhost/pgloom/s3:1",
                    "args": ["--port", ":443", "--cert", "/tls/tls.crt", "--key", "/tls/tls.key", "posix", "/data"],
                    "env": [
                        {"name": "ROOT_ACCESS_KEY_ID", "valueFrom": secret("id")},
                        {"name": "ROOT_SECRET_ACCESS_KEY", "valueFrom": secret("key")},
                    ],
                    "readinessProbe": {"tcpSocket": {"port": 443}, "periodSeconds": 1},
                    "volumeMounts": mounts,
                },
                {
                    "name": "client", "image": "localhost/pgloom/logical-backup:15", "command": ["sleep", "infinity"],
                    "env": [
                        {"name": "AWS_ACCESS_KEY_ID", "valueFrom": secret("id")},
                        {"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": secret("key")},
                        {"name": "AWS_ENDPOINT", "value": ENDPOINT},
                        {"name": "AWS_CA_BUNDLE", "value": "/tls/ca.crt"},
                    ],
                    "volumeMounts": mounts,
                },
            ],
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tls", "secret": {"secretName": "s3-tls"}}],
        },
    })
}

/// The log of a container, of its former run too: what restarts says why only there.
///
/// # Errors
/// With the log, if it has not all of the texts.
pub fn log_says(namespace: &Namespace, pod: &str, texts: &[&str]) -> Result<String, String> {
    let now = namespace.kubectl(&["logs", pod, "--container", "postgres"])?;
    let before = namespace.kubectl(&["logs", pod, "--container", "postgres", "--previous"]).unwrap_or_default();
    let log = before + &now;
    ensure(texts.iter().all(|text| log.contains(text)), &log)?;
    Ok(log)
}
