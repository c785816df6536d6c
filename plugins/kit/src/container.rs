//! Parts of containers: variables, ports, volumes and their mounts.

use pgloom_common::name::{is_dns1123_label, volume_name};
use pgloom_common::quantity::Quantity;
use serde_json::Value;

use crate::json::{field, is_set, object, text, unless_empty};
use crate::metadata::resource;
use crate::{Result, invalid, invalid_config};

/// The volume of the database's files, from the StatefulSet's claim template.
pub const DATA_VOLUME: &str = "pgdata";
/// Where [`DATA_VOLUME`] is mounted.
pub const DATA_MOUNT: &str = "/home/postgres/pgdata";
/// The volume of the database's Unix socket, which sidecars share if `share_pgsocket_with_sidecars` is true.
pub const RUN_VOLUME: &str = "postgresql-run";
/// Where [`RUN_VOLUME`] is mounted.
pub const RUN_MOUNT: &str = "/var/run/postgresql";
/// The container that runs the database.
pub const DATABASE: &str = "postgres";

/// A variable with a literal value.
pub fn env(name: &str, value: impl Into<String>) -> Value {
    object([("name", text(name)), ("value", Value::String(value.into()))])
}

/// A variable whose value is a field of the pod.
pub fn env_from_field(name: &str, path: &str) -> Value {
    let field = object([("apiVersion", text("v1")), ("fieldPath", text(path))]);
    object([("name", text(name)), ("valueFrom", object([("fieldRef", field)]))])
}

/// A variable whose value is a key of a Secret.
pub fn env_from_secret(name: &str, secret: &str, key: &str) -> Value {
    let key = object([("name", text(secret)), ("key", text(key))]);
    object([("name", text(name)), ("valueFrom", object([("secretKeyRef", key)]))])
}

/// The `name` of a list entry; empty if it has none.
pub fn name_of(entry: &Value) -> &str {
    entry.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// A container's variables: of several definitions of a name the first one is used, in any case of letters, because the
/// image's scripts do not distinguish `wal_s3_bucket` from `WAL_S3_BUCKET`.
#[derive(Default)]
pub struct Env(Vec<Value>);

impl Env {
    /// Starts with these variables, whose names have to differ.
    pub fn of(entries: Vec<Value>) -> Self {
        Self(entries)
    }

    /// Whether there is a variable of that name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|entry| name_of(entry).eq_ignore_ascii_case(name))
    }

    /// Appends a variable unless there is one of its name; false if there is. One without a value has an empty one.
    pub fn add(&mut self, mut entry: Value) -> bool {
        let is_new = !self.has(name_of(&entry));
        if is_new {
            complete_variable(&mut entry);
            self.0.push(entry);
        }
        is_new
    }

    /// The variables, in order.
    pub fn into_entries(self) -> Vec<Value> {
        self.0
    }
}

/// States what the API server takes for granted and the merge needs, in a container that is written by hand: the protocol
/// of a port, which is a merge key, and the empty value of a variable, which is an [`anchor`] with its name alone.
pub fn complete(container: &mut Value) {
    for port in entries(container, "ports").filter_map(Value::as_object_mut) {
        port.entry("protocol").or_insert_with(|| text("TCP"));
    }
    entries(container, "env").for_each(complete_variable);
}

fn entries<'a>(container: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    container.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

fn complete_variable(variable: &mut Value) {
    if let Some(fields) = variable.as_object_mut()
        && fields.iter().all(|(name, value)| name == "name" || value.is_null())
    {
        fields.insert("value".into(), text(""));
    }
}

/// A TCP port of a container.
pub fn port(number: u16) -> Value {
    object([("containerPort", number.into()), ("protocol", text("TCP"))])
}

/// A volume in memory.
pub fn memory_volume(name: &str) -> Value {
    object([("name", text(name)), ("emptyDir", object([("medium", text("Memory"))]))])
}

/// A volume with the files of a Secret, with the [`volume_name`] of the Secret. The mode is that of its files; none means
/// the default, 0644.
pub fn secret_volume(secret: &str, mode: Option<u16>) -> Value {
    let source = object([("secretName", text(secret)), ("defaultMode", mode.into())]);
    object([("name", text(&volume_name(secret))), ("secret", source)])
}

/// A mount of a whole [`secret_volume`].
pub fn mount_secret(secret: &str, path: &str) -> Value {
    mount(&volume_name(secret), path)
}

/// A mount of a whole volume.
pub fn mount(volume: &str, path: &str) -> Value {
    mount_sub_path(volume, path, "", false)
}

/// A mount of a path inside a volume; an empty one means the whole volume. With `is_expression` the path may contain
/// variables, as in `$(POD_NAME)`.
pub fn mount_sub_path(volume: &str, path: &str, sub_path: &str, is_expression: bool) -> Value {
    let key = if is_expression { "subPathExpr" } else { "subPath" };
    object([("name", text(volume)), ("mountPath", text(path)), (key, unless_empty(text(sub_path)))])
}

crate::fields! {
    /// `spec.volume`: the volume of the database's files.
    pub struct DataVolume {
        /// A Kubernetes quantity, as in `10Gi`.
        pub size: Option<String> = "size",
        /// The StorageClass; none means the default of the Kubernetes cluster.
        pub storage_class: Option<String> = "storageClass",
        /// A label selector of the existing volumes that may be claimed; null means any.
        pub selector: Value = "selector",
        sub_path: Option<String> = "subPath",
        is_sub_path_expr: Option<bool> = "isSubPathExpr",
    }
}

crate::json::field::by_serde!(DataVolume);

impl DataVolume {
    /// The mount of the data volume.
    pub fn mount(&self) -> Value {
        let is_expression = self.is_sub_path_expr.unwrap_or_default();
        mount_sub_path(DATA_VOLUME, DATA_MOUNT, field::text(&self.sub_path), is_expression)
    }
}

/// Parses `spec.volume.size`, the size of the data volume.
///
/// # Errors
/// If it is missing, not a quantity, or not above zero.
pub fn volume_size(size: Option<&str>) -> Result<Quantity> {
    let path = "spec.volume.size";
    let text = size.unwrap_or_default();
    if text.is_empty() {
        return Err(invalid(path, "the volume has no size", "write its size, as in 10Gi"));
    }
    let size = Quantity::parse(text).ok().filter(|size| !size.is_negative() && !size.is_zero());
    size.ok_or_else(|| {
        invalid(path, format!("\"{text}\" is not a size above zero"), "write a Kubernetes quantity, as in 10Gi")
    })
}

crate::operator_config! {
    /// The operator configuration's keys about volumes that the database's container and every sidecar mount.
    pub struct SharedVolumes {
        /// The Secret that these containers mount; empty means none.
        pub additional_secret_mount: String,
        /// Where it is mounted.
        pub additional_secret_mount_path: String,
        /// Whether sidecars can use the database's Unix socket.
        pub share_pgsocket_with_sidecars: bool,
    }
}

impl SharedVolumes {
    /// The volumes of the pod.
    pub fn volumes(&self) -> Vec<Value> {
        let mut volumes = Vec::new();
        if self.share_pgsocket_with_sidecars {
            volumes.push(memory_volume(RUN_VOLUME));
        }
        if !self.additional_secret_mount.is_empty() {
            volumes.push(secret_volume(&self.additional_secret_mount, None));
        }
        volumes
    }

    /// The mounts of each container.
    pub fn mounts(&self) -> Vec<Value> {
        let mut mounts = Vec::new();
        if self.share_pgsocket_with_sidecars {
            mounts.push(mount(RUN_VOLUME, RUN_MOUNT));
        }
        if !self.additional_secret_mount.is_empty() {
            mounts.push(mount_secret(&self.additional_secret_mount, &self.additional_secret_mount_path));
        }
        mounts
    }
}

/// The partial StatefulSet of a cluster that sets these fields of the pod template's `spec`.
pub fn pod_contribution(cluster: &str, pod: Value) -> Value {
    let spec = object([("template", object([("spec", pod)]))]);
    resource("apps/v1", "StatefulSet", object([("name", text(cluster))]), spec)
}

/// An image that a key of the operator configuration names.
///
/// # Errors
/// If it is empty: the API server refuses a container without an image.
pub fn image<T: AsRef<str>>(image: T, key: &str) -> Result<T> {
    if image.as_ref().trim().is_empty() {
        return Err(invalid_config(format!("{key} is empty; name an image, or remove the key")));
    }
    Ok(image)
}

/// Checks the fields that every container needs: a valid name, and an image. `path` is the container's in the manifest.
///
/// # Errors
/// If one of them is missing or invalid.
pub fn check(path: &str, container: &Value) -> Result<()> {
    let name = name_of(container);
    if name.is_empty() {
        return Err(invalid(format!("{path}.name"), "the container has no name", "add a name, as in exporter"));
    }
    if !is_dns1123_label(name) {
        return Err(invalid(
            format!("{path}.name"),
            format!("\"{name}\" is not a valid name of a container"),
            "use at most 63 lower case letters, digits and hyphens; the first and the last are not a hyphen",
        ));
    }
    if !is_set(container, "image") {
        return Err(invalid(
            format!("{path}.image"),
            format!("the container {name} has no image"),
            "add the image, as in quay.io/exporter:1",
        ));
    }
    Ok(())
}

/// A list entry with its merge key only. It changes nothing of that entry; the entries around it get their place in the
/// list from it.
pub fn anchor(name: &str) -> Value {
    object([("name", text(name))])
}

/// A partial list that inserts `entries` behind the entry named `after` of a list of named entries. If there is no such
/// entry, they go to the end.
pub fn insert_behind(existing: &[String], after: &str, entries: Vec<Value>) -> Vec<Value> {
    let Some(place) = existing.iter().position(|name| name == after) else { return entries };
    let mut list = vec![anchor(after)];
    list.extend(entries);
    list.extend(existing.get(place + 1).map(|next| anchor(next)));
    list
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_definition_of_a_variable_is_used_in_any_case_of_letters() {
        let mut variables = Env::of(vec![env("SCOPE", "acid-a")]);
        assert!(variables.add(env("wal_s3_bucket", "mine")));
        assert!(!variables.add(env("WAL_S3_BUCKET", "theirs")));
        assert!(!variables.add(env("scope", "other")));
        assert_eq!(variables.into_entries(), [env("SCOPE", "acid-a"), env("wal_s3_bucket", "mine")]);
    }

    #[test]
    fn a_variable_without_a_value_has_an_empty_one() {
        let mut variables = Env::default();
        for variable in [json!({"name": "A"}), json!({"name": "B", "value": null, "valueFrom": null})] {
            assert!(variables.add(variable));
        }
        let from = env_from_field("C", "status.podIP");
        assert!(variables.add(from.clone()));
        let [a, b, c] = &variables.into_entries()[..] else { panic!("other variables") };
        assert_eq!((&a["value"], &b["value"], c), (&json!(""), &json!(""), &from));
    }

    #[test]
    fn entries_are_inserted_between_anchors() {
        let existing = ["A", "B", "C"].map(str::to_owned);
        assert_eq!(insert_behind(&existing, "B", vec![env("X", "1")]), [anchor("B"), env("X", "1"), anchor("C")]);
        assert_eq!(insert_behind(&existing, "C", vec![env("X", "1")]), [anchor("C"), env("X", "1")]);
        assert_eq!(insert_behind(&existing, "D", vec![env("X", "1")]), [env("X", "1")]);
    }

    #[test]
    fn a_container_needs_a_valid_name_and_an_image() {
        for (container, expected) in [
            (json!({"image": "i"}), "sidecars[0].name: the container has no name"),
            (
                json!({"name": "My_Job", "image": "i"}),
                "sidecars[0].name: \"My_Job\" is not a valid name of a container",
            ),
            (json!({"name": "a-", "image": "i"}), "sidecars[0].name: \"a-\" is not a valid name of a container"),
            (json!({"name": "a"}), "sidecars[0].image: the container a has no image"),
            (json!({"name": "a", "image": ""}), "sidecars[0].image: the container a has no image"),
        ] {
            assert_eq!(crate::testing::reason(&check("sidecars[0]", &container).unwrap_err()), expected);
        }
        assert_eq!(check("sidecars[0]", &json!({"name": "date-2", "image": "i"})), Ok(()));
    }

    #[test]
    fn the_data_volume_may_be_mounted_by_a_sub_path() {
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
