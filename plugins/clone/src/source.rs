//! The section `spec.clone`: the source cluster, and its archive.

use pgloom_kit::fields;
use pgloom_kit::json::field::text;

fields! {
    /// `spec.clone`. An empty string means a missing field; credentials are placeholders.
    pub struct Source {
        cluster: Option<String> = "cluster",
        uid: Option<String> = "uid",
        timestamp: Option<String> = "timestamp",
        s3_wal_path: Option<String> = "s3_wal_path",
        s3_endpoint: Option<String> = "s3_endpoint",
        s3_access_key_id: Option<String> = "s3_access_key_id",
        s3_secret_access_key: Option<String> = "s3_secret_access_key",
        /// Whether the bucket's name is in the path of the URL.
        pub s3_force_path_style: Option<bool> = "s3_force_path_style",
    }
}

impl Source {
    /// The name of the source cluster.
    pub fn cluster(&self) -> &str {
        text(&self.cluster)
    }

    /// The uid of the source cluster.
    pub fn uid(&self) -> &str {
        text(&self.uid)
    }

    /// The point in time; empty means a clone of the running leader.
    pub fn timestamp(&self) -> &str {
        text(&self.timestamp)
    }

    /// The path of the source's archive, if it is not in the configured bucket.
    pub fn s3_wal_path(&self) -> &str {
        text(&self.s3_wal_path)
    }

    /// A storage service with the API of S3: its URL, the access key's id, and the key.
    pub fn service(&self) -> [&str; 3] {
        [&self.s3_endpoint, &self.s3_access_key_id, &self.s3_secret_access_key].map(text)
    }

    /// Whether the section has any field except `cluster`.
    pub fn has_other_fields(&self) -> bool {
        let texts = [&self.uid, &self.timestamp, &self.s3_wal_path];
        texts.map(text).into_iter().chain(self.service()).any(|text| !text.is_empty())
            || self.s3_force_path_style.is_some()
    }
}
