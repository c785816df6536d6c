//! What a plugin is, what it reads, and the permissions that it asks for.

use std::fmt;

use pgloom_api::ActionKind;
use pgloom_api::placeholder::Source as CredentialSource;
use serde::{Deserialize, Serialize};

use super::object::ObjectKind;

/// What the host tells a plugin about itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostInfo {
    /// The host's version, as in `1.2.3`.
    pub version: String,
    /// What this host can do beyond the first release of the contract's version; `wit/README.md` lists the names.
    pub features: Vec<String>,
}

/// What a plugin is, what it reads, and the permissions that it asks for.
///
/// A step may do what the description asks for and the pipeline grants. What is optional need not be granted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// The plugin's name, as in `logical-backup`.
    pub name: String,
    /// The plugin's version, as in `1.2.3`.
    pub version: String,
    /// One sentence on what the plugin does.
    pub summary: String,
    /// The JSON Schema of the step configuration, with defaults, as text.
    pub config_schema: String,
    /// An example of a step configuration, as JSON text.
    pub config_example: String,
    /// The keys of the operator configuration that the plugin reads.
    pub config_keys: Vec<String>,
    /// The credentials that the plugin passes on.
    pub credentials: Vec<CredentialPermission>,
    /// When the plugin is called: if any trigger holds; an empty list means always.
    pub relevant: Vec<Trigger>,
    /// The kinds of earlier steps' desired objects that the plugin reads.
    pub desired: Vec<ObjectKind>,
    /// The existing objects that the plugin reads.
    pub observed: Vec<ObservedSelector>,
    /// The objects and fields that the plugin writes.
    pub objects: Vec<ObjectPermission>,
    /// The privileges that the plugin needs beyond its fields.
    pub privileges: Vec<PrivilegePermission>,
    /// The actions that the plugin requests.
    pub actions: Vec<ActionPermission>,
    /// Plugins that must be in earlier steps.
    pub requires: Vec<Requirement>,
}

impl Default for Description {
    /// A description that asks for nothing and accepts every step configuration.
    fn default() -> Self {
        Self {
            name: String::new(),
            version: "0.1.0".to_owned(),
            summary: String::new(),
            config_schema: "{}".to_owned(),
            config_example: "{}".to_owned(),
            config_keys: Vec::new(),
            credentials: Vec::new(),
            relevant: Vec::new(),
            desired: Vec::new(),
            observed: Vec::new(),
            objects: Vec::new(),
            privileges: Vec::new(),
            actions: Vec::new(),
            requires: Vec::new(),
        }
    }
}

/// One reason to call a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trigger {
    /// The manifest has a value at the JSON pointer.
    Manifest(String),
    /// The operator configuration has a value at the key.
    Config(String),
}

/// A credential that a plugin passes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CredentialPermission {
    /// Where the credential comes from.
    pub source: CredentialSource,
    /// Whether the plugin works without it.
    pub optional: bool,
}

/// A privilege that a plugin needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PrivilegePermission {
    /// The privilege's name, as in `host-path`.
    pub name: String,
    /// Whether the plugin works without it.
    pub optional: bool,
}

/// Existing objects that a plugin reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObservedSelector {
    /// The plugin's name for the selector.
    pub id: String,
    /// The kind of the objects.
    pub kind: ObjectKind,
    /// How the objects are selected.
    pub from: Selection,
    /// The fields, as in `spec.resources`; empty means the whole object.
    pub fields: Vec<String>,
}

/// How a selector selects objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Selection {
    /// All objects of the kind that carry the cluster's labels.
    Owned,
    /// The object whose name is the manifest's value at the JSON pointer.
    Manifest(String),
    /// The object whose name is the operator configuration's value at the key, as `name` or `namespace/name`.
    Config(String),
}

impl fmt::Display for Selection {
    /// As a grant names it: `cluster`, `manifest:/pointer` or `config:KEY`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owned => f.write_str("cluster"),
            Self::Manifest(pointer) => write!(f, "manifest:{pointer}"),
            Self::Config(key) => write!(f, "config:{key}"),
        }
    }
}

/// Objects of one kind that a plugin writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectPermission {
    /// The kind.
    pub kind: ObjectKind,
    /// The names of the objects: `{cluster}` is the cluster's name, a `*` any characters.
    pub names: Vec<String>,
    /// Whether the plugin creates such objects.
    pub creates: bool,
    /// The fields that it sets; empty means all fields of the objects that the plugin created.
    pub fields: Vec<String>,
    /// The fields and entries of earlier steps that it sets to another value.
    pub overrides: Vec<String>,
    /// The fields and entries of earlier steps that it removes.
    pub removes: Vec<String>,
    /// Whether the plugin works without this permission.
    pub optional: bool,
}

impl ObjectPermission {
    /// The permission to create objects of a kind with these names, with all their fields.
    pub fn creates(kind: ObjectKind, names: &[&str]) -> Self {
        Self { creates: true, ..Self::sets(kind, names, &[]) }
    }

    /// The permission to set these fields of objects of a kind with these names.
    pub fn sets(kind: ObjectKind, names: &[&str], fields: &[&str]) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Self {
            kind,
            names: owned(names),
            creates: false,
            fields: owned(fields),
            overrides: Vec::new(),
            removes: Vec::new(),
            optional: false,
        }
    }
}

/// Actions of one kind that a plugin requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ActionPermission {
    /// The kind.
    pub kind: ActionKind,
    /// What the actions are about, by the kind: names of roles, Secrets, schemas, claims, or keys of Patroni.
    pub subjects: Vec<String>,
    /// Whether the plugin works without this permission: an action that is not granted has the phase `refused`.
    pub optional: bool,
}

impl ActionPermission {
    /// The permission for actions of a kind about these subjects.
    pub fn new(kind: ActionKind, subjects: &[&str]) -> Self {
        Self { kind, subjects: subjects.iter().map(|&subject| subject.to_owned()).collect(), optional: false }
    }
}

/// A plugin that must be in an earlier step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Requirement {
    /// The plugin's name.
    pub plugin: String,
    /// A version requirement, as in `>=0.1, <0.3`.
    pub version: String,
}
