//! The buckets of write-ahead logs and server logs.

use super::*;

fn added(config: Value) -> Vec<(String, String)> {
    let answer = answer(json!({}), config);
    let env = container(&answer)["env"].as_array().unwrap();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    env[17..].iter().map(|entry| (text(entry, "name"), text(entry, "value"))).collect()
}

fn pairs(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    entries.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn every_archive_has_the_clusters_uid_in_its_path() {
    for (key, name) in [
        ("wal_s3_bucket", "WAL_S3_BUCKET"),
        ("wal_gs_bucket", "WAL_GS_BUCKET"),
        ("wal_az_storage_account", "AZURE_STORAGE_ACCOUNT"),
    ] {
        let expected =
            pairs(&[(name, "bucket"), ("WAL_BUCKET_SCOPE_SUFFIX", "/1234"), ("WAL_BUCKET_SCOPE_PREFIX", "")]);
        assert_eq!(added(json!({key: "bucket"})), expected);
    }
}

#[test]
fn server_logs_and_google_credentials_are_behind_the_archive() {
    let config = json!({"wal_gs_bucket": "wal", "gcp_credentials": "/key.json", "log_s3_bucket": "log"});
    let expected = pairs(&[
        ("WAL_GS_BUCKET", "wal"),
        ("WAL_BUCKET_SCOPE_SUFFIX", "/1234"),
        ("WAL_BUCKET_SCOPE_PREFIX", ""),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/key.json"),
        ("LOG_S3_BUCKET", "log"),
        ("LOG_BUCKET_SCOPE_SUFFIX", "/1234"),
        ("LOG_BUCKET_SCOPE_PREFIX", ""),
    ]);
    assert_eq!(added(config), expected);
}

#[test]
fn a_cluster_without_a_uid_has_an_empty_suffix() {
    let mut manifest = manifest(&json!({}));
    manifest["metadata"]["uid"] = Value::Null;
    let config = operator_config(&json!({"wal_s3_bucket": "wal"}));
    let answer = Call::new(&manifest).operator_config(&config).mutate::<Spilo>().unwrap();
    assert_eq!(value(&answer, "WAL_BUCKET_SCOPE_SUFFIX"), "");
}
