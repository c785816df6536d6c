//! The section of the manifest: whose data it is, and where.

use pgloom_kit::fields;

fields! {
    /// `spec.clone`. Empty texts count as left out; credentials arrive sealed.
    pub struct Source {
        cluster: Option<String> = "cluster",
        uid: Option<String> = "uid",
        timestamp: Option<String> = "timestamp",
        s3_wal_path: Option<String> = "s3_wal_path",
        s3_endpoint: Option<String> = "s3_endpoint",
        s3_access_key_id: Option<String> = "s3_access_key_id",
        s3_secret_access_key: Option<String> = "s3_secret_access_key",
        /// Whether a bucket's name is part of the path.
        pub s3_force_path_style: Option<bool> = "s3_force_path_style",
    }
}

fn given(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

impl Source {
    /// The cluster whose data it is.
    pub fn cluster(&self) -> &str {
        given(&self.cluster)
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        given(&self.uid)
    }

    /// Up to when; empty means: what the running leader has.
    pub fn timestamp(&self) -> &str {
        given(&self.timestamp)
    }

    /// Its archive, if it is elsewhere than the configured one.
    pub fn s3_wal_path(&self) -> &str {
        given(&self.s3_wal_path)
    }

    /// How a service like S3 is reached: its URL, the access key's name, and the key.
    pub fn service(&self) -> [&str; 3] {
        [&self.s3_endpoint, &self.s3_access_key_id, &self.s3_secret_access_key].map(given)
    }
}
