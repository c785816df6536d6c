//! Pieces of containers that several plugins build alike.

use serde_json::Value;

use crate::object::{object, text, unless_empty};

/// The volume of the database's files, made from the claim template, and where it is mounted.
pub const DATA_VOLUME: &str = "pgdata";
/// Where [`DATA_VOLUME`] is mounted.
pub const DATA_MOUNT: &str = "/home/postgres/pgdata";
/// The volume of the database's Unix socket, if sidecars share it.
pub const RUN_VOLUME: &str = "postgresql-run";
/// Where [`RUN_VOLUME`] is mounted.
pub const RUN_MOUNT: &str = "/var/run/postgresql";
/// The container that runs the database.
pub const DATABASE: &str = "postgres";

/// A variable with a literal value.
pub fn env(name: &str, value: impl Into<String>) -> Value {
    object([("name", text(name)), ("value", Value::String(value.into()))])
}

/// A variable that takes a field of the pod.
pub fn env_from_field(name: &str, path: &str) -> Value {
    let field = object([("apiVersion", text("v1")), ("fieldPath", text(path))]);
    object([("name", text(name)), ("valueFrom", object([("fieldRef", field)]))])
}

/// A variable that takes a key of a Secret.
pub fn env_from_secret(name: &str, secret: &str, key: &str) -> Value {
    let key = object([("name", text(secret)), ("key", text(key))]);
    object([("name", text(name)), ("valueFrom", object([("secretKeyRef", key)]))])
}

/// The name of an entry of a list of named entries; empty if it has none.
pub fn name_of(entry: &Value) -> &str {
    entry.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// A container's variables: the first definition of a name stays, whatever its case, because the image's scripts do not
/// tell `wal_s3_bucket` from `WAL_S3_BUCKET`.
#[derive(Default)]
pub struct Env(Vec<Value>);

impl Env {
    /// Starts with these; their names differ.
    pub fn of(entries: Vec<Value>) -> Self {
        Self(entries)
    }

    /// Whether there is a variable of that name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|entry| name_of(entry).eq_ignore_ascii_case(name))
    }

    /// Adds a variable to the end unless there is one of its name, and says whether it did.
    pub fn add(&mut self, entry: Value) -> bool {
        let is_new = !self.has(name_of(&entry));
        if is_new {
            self.0.push(entry);
        }
        is_new
    }

    /// The entries in order.
    pub fn into_entries(self) -> Vec<Value> {
        self.0
    }
}

/// A volume in memory.
pub fn memory_volume(name: &str) -> Value {
    object([("name", text(name)), ("emptyDir", object([("medium", text("Memory"))]))])
}

/// Mounts a volume.
pub fn mount(volume: &str, path: &str) -> Value {
    mount_folder(volume, path, "", false)
}

/// Mounts a folder of a volume; an empty one means all of it. With `expression` the folder's name may hold variables, as in
/// `$(POD_NAME)`.
pub fn mount_folder(volume: &str, path: &str, folder: &str, expression: bool) -> Value {
    let key = if expression { "subPathExpr" } else { "subPath" };
    object([("name", text(volume)), ("mountPath", text(path)), (key, unless_empty(text(folder)))])
}

crate::fields! {
    /// `spec.volume`: the data volume, in the claim template, in the database's container and in sidecars.
    pub struct DataVolume {
        /// A quantity, as in `10Gi`.
        pub size: Option<String> = "size",
        /// The storage class; none means the Kubernetes cluster's default.
        pub storage_class: Option<String> = "storageClass",
        /// Which existing volumes may be claimed, a label selector; null means any.
        pub selector: Value = "selector",
        sub_path: Option<String> = "subPath",
        is_sub_path_expr: Option<bool> = "isSubPathExpr",
    }
}

crate::field::by_serde!(DataVolume);

impl DataVolume {
    /// Mounts the data volume.
    pub fn mount(&self) -> Value {
        mount_folder(
            DATA_VOLUME,
            DATA_MOUNT,
            self.sub_path.as_deref().unwrap_or_default(),
            self.is_sub_path_expr.unwrap_or_default(),
        )
    }
}

crate::operator_config! {
    /// The operator configuration's keys about volumes that the database shares with every sidecar.
    pub struct Shared {
        /// The Secret that every container mounts; empty means none.
        pub additional_secret_mount: String,
        /// Where it is mounted.
        pub additional_secret_mount_path: String,
        /// Whether sidecars see the database's Unix socket.
        pub share_pgsocket_with_sidecars: bool,
    }
}

impl Shared {
    /// The volumes, for the pod.
    pub fn volumes(&self) -> Vec<Value> {
        let mut volumes = Vec::new();
        if self.share_pgsocket_with_sidecars {
            volumes.push(memory_volume(RUN_VOLUME));
        }
        let secret = &self.additional_secret_mount;
        if !secret.is_empty() {
            let source = object([("secretName", text(secret))]);
            volumes.push(object([("name", text(secret)), ("secret", source)]));
        }
        volumes
    }

    /// Their mounts, for a container.
    pub fn mounts(&self) -> Vec<Value> {
        let mut mounts = Vec::new();
        if self.share_pgsocket_with_sidecars {
            mounts.push(mount(RUN_VOLUME, RUN_MOUNT));
        }
        if !self.additional_secret_mount.is_empty() {
            mounts.push(mount(&self.additional_secret_mount, &self.additional_secret_mount_path));
        }
        mounts
    }
}

/// What a plugin contributes to the pod template of the cluster's StatefulSet.
pub fn to_pod(cluster: &str, pod: Value) -> Value {
    object([
        ("apiVersion", text("apps/v1")),
        ("kind", text("StatefulSet")),
        ("metadata", object([("name", text(cluster))])),
        ("spec", object([("template", object([("spec", pod)]))])),
    ])
}

/// An entry that says nothing but its name: it leaves its place as it is and gives the entries around it theirs.
pub fn anchor(name: &str) -> Value {
    object([("name", text(name))])
}

/// Puts `entries` right behind the entry named `after` of an existing list of named entries: the result is what a plugin
/// contributes. Without such an entry they go to the end.
pub fn insert_behind(existing: &[String], after: &str, entries: Vec<Value>) -> Vec<Value> {
    let Some(place) = existing.iter().position(|name| name == after) else { return entries };
    let mut list = vec![anchor(after)];
    list.extend(entries);
    list.extend(existing.get(place + 1).map(|next| anchor(next)));
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_definition_of_a_variable_stays_whatever_its_case() {
        let mut variables = Env::of(vec![env("SCOPE", "acid-a")]);
        assert!(variables.add(env("wal_s3_bucket", "mine")));
        assert!(!variables.add(env("WAL_S3_BUCKET", "theirs")));
        assert!(!variables.add(env("scope", "other")));
        assert_eq!(variables.into_entries(), [env("SCOPE", "acid-a"), env("wal_s3_bucket", "mine")]);
    }

    #[test]
    fn entries_are_put_between_anchors() {
        let existing = ["A", "B", "C"].map(str::to_owned);
        assert_eq!(insert_behind(&existing, "B", vec![env("X", "1")]), [anchor("B"), env("X", "1"), anchor("C")]);
        assert_eq!(insert_behind(&existing, "C", vec![env("X", "1")]), [anchor("C"), env("X", "1")]);
        assert_eq!(insert_behind(&existing, "D", vec![env("X", "1")]), [env("X", "1")]);
    }

    #[test]
    fn the_data_volume_may_be_mounted_by_a_folder() {
        let volume = |json: Value| serde_json::from_value::<DataVolume>(json).unwrap().mount();
        assert_eq!(volume(json!({})), json!({"name": "pgdata", "mountPath": DATA_MOUNT}));
        assert_eq!(
            volume(json!({"subPath": "sub"})),
            json!({"name": "pgdata", "mountPath": DATA_MOUNT, "subPath": "sub"})
        );
        assert_eq!(
            volume(json!({"subPath": "$(POD_NAME)", "isSubPathExpr": true})),
            json!({"name": "pgdata", "mountPath": DATA_MOUNT, "subPathExpr": "$(POD_NAME)"})
        );
    }
}
