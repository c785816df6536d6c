//! Contract 0.1: its types, to and from the engine's.
//!
//! A description of 0.1 does not say which objects, subjects, credentials and privileges the plugin needs. It asks for
//! all of them; what cannot be known is optional, so that the grants of the pipeline alone decide.

use pgloom_api::Privilege;
use pgloom_api::placeholder::Source;

#[allow(missing_docs, clippy::all, reason = "generated; wit/ documents the items")]
mod generated {
    wasmtime::component::bindgen!({ path: "../../wit/0.1", world: "plugin" });
}

shared!("pgloom:plugin/log@0.1.0");

/// The objects that every plugin of 0.1 asks for, besides the optional `*`.
const NAMES: [&str; 2] = ["{cluster}", "{cluster}-*"];

pub(super) fn describe(instance: &Instance, store: StoreContextMut<'_, State>) -> wasmtime::Result<model::Description> {
    instance.pgloom_plugin_mutate_resources().call_describe(store).map(Into::into)
}

impl From<wit::ConditionStatus> for model::ConditionStatus {
    fn from(status: wit::ConditionStatus) -> Self {
        match status {
            wit::ConditionStatus::Yes => Self::True,
            wit::ConditionStatus::No => Self::False,
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
            relevant,
            desired,
            observed,
            writes,
            actions,
            requires,
        } = description;
        Self {
            name,
            version,
            summary,
            config_schema,
            config_example,
            credentials: credentials(&config_keys),
            config_keys,
            relevant: all(relevant),
            desired: all(desired),
            observed: all(observed),
            objects: writes.into_iter().flat_map(objects).collect(),
            privileges: Privilege::ALL.map(privilege).into(),
            actions: actions.into_iter().map(action).collect(),
            requires: all(requires),
        }
    }
}

/// The credentials of the manifest, and of the operator configuration those whose keys the description names.
fn credentials(config_keys: &[String]) -> Vec<model::CredentialPermission> {
    let permission = |source: Source| match &source {
        Source::Config(key) if !config_keys.contains(key) => None,
        Source::Config(_) => Some(model::CredentialPermission { source, optional: false }),
        Source::Manifest(_) => Some(model::CredentialPermission { source, optional: true }),
    };
    Source::all().filter_map(permission).collect()
}

fn objects(wit::WriteClaim { kind, creates, paths }: wit::WriteClaim) -> [model::ObjectPermission; 2] {
    let required = model::ObjectPermission {
        kind: kind.into(),
        names: NAMES.map(str::to_owned).into(),
        creates,
        fields: paths,
        overrides: Vec::new(),
        removes: Vec::new(),
        optional: false,
    };
    let optional = model::ObjectPermission {
        names: vec!["*".to_owned()],
        overrides: vec!["*".to_owned()],
        removes: vec!["*".to_owned()],
        optional: true,
        ..required.clone()
    };
    [required, optional]
}

fn privilege(privilege: Privilege) -> model::PrivilegePermission {
    model::PrivilegePermission { name: privilege.name().to_owned(), optional: true }
}

fn action(kind: wit::ActionKind) -> model::ActionPermission {
    model::ActionPermission { kind: kind.into(), subjects: vec!["*".to_owned()], optional: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant;

    #[test]
    fn what_a_plugin_of_0_1_reads_has_to_be_granted() {
        let asked: model::Description = wit::Description {
            name: "old".to_owned(),
            version: "0.1.0".to_owned(),
            summary: String::new(),
            config_schema: "{}".to_owned(),
            config_example: "{}".to_owned(),
            config_keys: vec!["docker_image".to_owned()],
            relevant: vec![wit::Trigger::Config("sidecars".to_owned())],
            desired: vec![wit::ObjectKind { api_version: "apps/v1".to_owned(), kind: "StatefulSet".to_owned() }],
            observed: Vec::new(),
            writes: Vec::new(),
            actions: Vec::new(),
            requires: Vec::new(),
        }
        .into();
        let missing = grant::missing(&asked, &pgloom_api::pipeline::Grants::default());
        assert_eq!(
            grant::yaml(&missing, 0),
            "desired:\n- apiVersion: apps/v1\n  kind: StatefulSet\nconfig: [docker_image, sidecars]\n"
        );
    }
}
