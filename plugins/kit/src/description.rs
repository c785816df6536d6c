//! The description of a plugin: its triggers, what it reads, and the permissions that it asks for.

use crate::bindings::contract::{
    self, ActionKind, ActionPermission, CredentialPermission, CredentialSource, ObjectKind, ObjectPermission,
    ObservedSelector, PrivilegePermission, Requirement, Selection, Trigger,
};
use crate::json;
use crate::plugin::{OperatorConfig, Plugin, Settings};

/// A kind of objects, as in `kind("apps/v1", "StatefulSet")`.
pub fn kind(api_version: &str, kind: &str) -> ObjectKind {
    ObjectKind { api_version: api_version.to_owned(), kind: kind.to_owned() }
}

/// A plugin's description. The configuration's schema and the keys that it reads come from the plugin's types.
pub struct Description {
    inner: contract::Description,
    /// The permission that was asked for last, for [`Description::optional`].
    last: Last,
}

enum Last {
    None,
    Object,
    Privilege,
    Credential,
    Action,
}

impl Description {
    /// A description with a name, a semantic version and one sentence for people; it has no triggers and no permissions yet.
    pub fn of<P: Plugin>(name: &str, version: &str, summary: &str) -> Self {
        let mut config_keys: Vec<String> = Vec::new();
        for key in P::Config::keys() {
            if let Err(place) = config_keys.binary_search_by(|known| known.as_str().cmp(key)) {
                config_keys.insert(place, key.to_owned());
            }
        }
        let inner = contract::Description {
            name: name.to_owned(),
            version: version.to_owned(),
            summary: summary.to_owned(),
            config_schema: P::Settings::schema(),
            config_example: P::Settings::example(),
            config_keys,
            credentials: Vec::new(),
            relevant: Vec::new(),
            desired: Vec::new(),
            observed: Vec::new(),
            objects: Vec::new(),
            privileges: Vec::new(),
            actions: Vec::new(),
            requires: Vec::new(),
        };
        Self { inner, last: Last::None }
    }

    /// Uses this step configuration as the example instead of the defaults.
    pub fn example(mut self, example: &serde_json::Value) -> Self {
        self.inner.config_example = json::write(example);
        self
    }

    /// The host calls the plugin if the manifest has a value at this JSON pointer.
    pub fn when_manifest(mut self, pointer: &str) -> Self {
        self.inner.relevant.push(Trigger::Manifest(pointer.to_owned()));
        self
    }

    /// The host calls the plugin if the operator configuration has a value for the key.
    pub fn when_config(mut self, key: &str) -> Self {
        self.inner.relevant.push(Trigger::Config(key.to_owned()));
        self
    }

    /// It reads objects of this kind as earlier steps want them.
    pub fn reads_desired(mut self, kind: ObjectKind) -> Self {
        self.inner.desired.push(kind);
        self
    }

    /// It reads existing objects of this kind that carry the cluster's labels, and of each the fields at these paths;
    /// no path means the whole object.
    pub fn observes_owned(self, id: &str, kind: ObjectKind, fields: &[&str]) -> Self {
        self.observes(id, kind, Selection::Owned, fields)
    }

    /// It reads the existing object whose name is in the manifest, at this JSON pointer.
    pub fn observes_named(self, id: &str, kind: ObjectKind, pointer: &str, fields: &[&str]) -> Self {
        self.observes(id, kind, Selection::Manifest(pointer.to_owned()), fields)
    }

    /// It reads the existing object whose name is the value of this key of the operator configuration.
    pub fn observes_configured(self, id: &str, kind: ObjectKind, key: &str, fields: &[&str]) -> Self {
        self.observes(id, kind, Selection::Config(key.to_owned()), fields)
    }

    fn observes(mut self, id: &str, kind: ObjectKind, from: Selection, fields: &[&str]) -> Self {
        self.inner.observed.push(ObservedSelector { id: id.to_owned(), kind, from, fields: owned(fields) });
        self
    }

    /// It asks to create objects of this kind with these names, and to set all their fields. In a name `{cluster}` is the
    /// cluster's name, and `*` any characters.
    pub fn creates(self, kind: ObjectKind, names: &[&str]) -> Self {
        self.object(ObjectPermission { creates: true, ..permission(kind, names) })
    }

    /// It asks to set these fields of objects that earlier steps create.
    pub fn writes(self, kind: ObjectKind, names: &[&str], fields: &[&str]) -> Self {
        self.object(ObjectPermission { fields: owned(fields), ..permission(kind, names) })
    }

    /// It asks to set these fields although an earlier step sets them to another value.
    pub fn overrides(self, kind: ObjectKind, names: &[&str], fields: &[&str]) -> Self {
        self.object(ObjectPermission { overrides: owned(fields), ..permission(kind, names) })
    }

    /// It asks to remove these fields and list entries of earlier steps.
    pub fn removes(self, kind: ObjectKind, names: &[&str], fields: &[&str]) -> Self {
        self.object(ObjectPermission { removes: owned(fields), ..permission(kind, names) })
    }

    fn object(mut self, permission: ObjectPermission) -> Self {
        self.inner.objects.push(permission);
        self.last = Last::Object;
        self
    }

    /// It works without the permission that it asked for last. Every other permission has to be granted.
    pub fn optional(mut self) -> Self {
        let asked = &mut self.inner;
        let optional = match self.last {
            Last::None => None,
            Last::Object => asked.objects.last_mut().map(|last| &mut last.optional),
            Last::Privilege => asked.privileges.last_mut().map(|last| &mut last.optional),
            Last::Credential => asked.credentials.last_mut().map(|last| &mut last.optional),
            Last::Action => asked.actions.last_mut().map(|last| &mut last.optional),
        };
        if let Some(optional) = optional {
            *optional = true;
        }
        self
    }

    /// It asks for a privilege beyond its fields, as in `host-path`. `docs/security.md` lists them.
    pub fn privilege(mut self, name: &str) -> Self {
        self.inner.privileges.push(PrivilegePermission { name: name.to_owned(), optional: false });
        self.last = Last::Privilege;
        self
    }

    /// It asks for the privileges that a container of a manifest may need, because a manifest may set any field of it.
    pub fn privileges_of_containers(self) -> Self {
        let names = [
            "capabilities",
            "foreign-config-map",
            "foreign-secret",
            "host-port",
            "privilege-escalation",
            "privileged",
            "root-user",
        ];
        names.into_iter().fold(self, Self::privilege)
    }

    /// It asks for the placeholder of the credential at this key of the operator configuration, which it reads.
    pub fn credential_of_config(self, key: &str) -> Self {
        self.credential(CredentialSource::Config(key.to_owned()))
    }

    /// It asks for the placeholder of the credential at this JSON pointer into the manifest.
    pub fn credential_of_manifest(self, pointer: &str) -> Self {
        self.credential(CredentialSource::Manifest(pointer.to_owned()))
    }

    fn credential(mut self, source: CredentialSource) -> Self {
        self.inner.credentials.push(CredentialPermission { source, optional: false });
        self.last = Last::Credential;
        self
    }

    /// It asks for actions of this kind. `subjects` are names of roles, Secrets, schemas, claims, or keys of Patroni's
    /// configuration, according to the kind.
    pub fn acts(mut self, kind: ActionKind, subjects: &[&str]) -> Self {
        self.inner.actions.push(ActionPermission { kind, subjects: owned(subjects), optional: false });
        self.last = Last::Action;
        self
    }

    /// Another plugin has to be an earlier step; `version` is a requirement as in Cargo, for example `^0.1`.
    pub fn requires(mut self, plugin: &str, version: &str) -> Self {
        self.inner.requires.push(Requirement { plugin: plugin.to_owned(), version: version.to_owned() });
        self
    }

    /// The description as the contract has it.
    pub fn build(self) -> contract::Description {
        self.inner
    }
}

/// A permission for nothing, to which a field is added.
fn permission(kind: ObjectKind, names: &[&str]) -> ObjectPermission {
    ObjectPermission {
        kind,
        names: owned(names),
        creates: false,
        fields: Vec::new(),
        overrides: Vec::new(),
        removes: Vec::new(),
        optional: false,
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
