//! Contract 0.2: its types, to and from the engine's.

#[allow(missing_docs, clippy::all, reason = "generated; wit/ documents the items")]
mod generated {
    wasmtime::component::bindgen!({ path: "../../wit/0.2", world: "plugin" });
}

shared!("pgloom:plugin/log@0.2.0");

pub(super) fn describe(
    instance: &Instance,
    store: StoreContextMut<'_, State>,
    host: model::HostInfo,
) -> wasmtime::Result<Result<model::Description, String>> {
    let host = wit::HostInfo { version: host.version, features: host.features };
    let answer = instance.pgloom_plugin_mutate_resources().call_describe(store, &host)?;
    Ok(answer.map(Into::into))
}

impl From<wit::ConditionStatus> for model::ConditionStatus {
    fn from(status: wit::ConditionStatus) -> Self {
        match status {
            wit::ConditionStatus::True => Self::True,
            wit::ConditionStatus::False => Self::False,
            wit::ConditionStatus::Unknown => Self::Unknown,
        }
    }
}

impl From<wit::Description> for model::Description {
    fn from(description: wit::Description) -> Self {
        let wit::Description {
            name,
            version,
            summary,
            config_schema,
            config_example,
            config_keys,
            credentials,
            relevant,
            desired,
            observed,
            objects,
            privileges,
            actions,
            requires,
        } = description;
        Self {
            name,
            version,
            summary,
            config_schema,
            config_example,
            config_keys,
            credentials: all(credentials),
            relevant: all(relevant),
            desired: all(desired),
            observed: all(observed),
            objects: all(objects),
            privileges: all(privileges),
            actions: all(actions),
            requires: all(requires),
        }
    }
}

impl From<wit::CredentialPermission> for model::CredentialPermission {
    fn from(wit::CredentialPermission { source, optional }: wit::CredentialPermission) -> Self {
        let source = match source {
            wit::CredentialSource::Manifest(pointer) => model::CredentialSource::Manifest(pointer),
            wit::CredentialSource::Config(key) => model::CredentialSource::Config(key),
        };
        Self { source, optional }
    }
}

impl From<wit::PrivilegePermission> for model::PrivilegePermission {
    fn from(wit::PrivilegePermission { name, optional }: wit::PrivilegePermission) -> Self {
        Self { name, optional }
    }
}

impl From<wit::ObjectPermission> for model::ObjectPermission {
    fn from(permission: wit::ObjectPermission) -> Self {
        let wit::ObjectPermission { kind, names, creates, fields, overrides, removes, optional } = permission;
        Self { kind: kind.into(), names, creates, fields, overrides, removes, optional }
    }
}

impl From<wit::ActionPermission> for model::ActionPermission {
    fn from(wit::ActionPermission { kind, subjects, optional }: wit::ActionPermission) -> Self {
        Self { kind: kind.into(), subjects, optional }
    }
}
