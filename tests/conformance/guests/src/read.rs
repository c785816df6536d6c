//! From the JSON of a script to a description and to a response. What is missing is empty.

use pgloom_kit::Value;
use pgloom_kit::bindings::contract::{
    Action, ActionKind, ActionPermission, ActionRequest, Condition, ConditionStatus, Contribution, Credential,
    CredentialPermission, CredentialSource, Description, ExpandClaim, Finding, ObjectKind, ObjectPermission, ObjectRef,
    ObservedSelector, PoolerAccess, PrivilegePermission, Removal, Requirement, Response, Selection, Severity, Trigger,
    UserList,
};

/// A text.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or_default()
}

fn list<T>(value: &Value, of: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().into_iter().flatten().map(of).collect()
}

fn pair(value: &Value) -> (String, String) {
    (text(&value[0]), text(&value[1]))
}

fn kind(value: &Value) -> ObjectKind {
    ObjectKind { api_version: text(&value["api_version"]), kind: text(&value["kind"]) }
}

/// What the guest says about itself. It observes by manifest, or else the cluster's own, and its triggers are of the
/// manifest.
pub fn description(value: &Value) -> Description {
    Description {
        name: text(&value["name"]),
        version: text(&value["version"]),
        summary: text(&value["summary"]),
        config_schema: text(&value["config_schema"]),
        config_example: text(&value["config_example"]),
        config_keys: list(&value["config_keys"], text),
        credentials: list(&value["credentials"], |asked| CredentialPermission {
            source: CredentialSource::Config(text(&asked["config"])),
            optional: flag(&asked["optional"]),
        }),
        relevant: list(&value["relevant"], |pointer| Trigger::Manifest(text(pointer))),
        desired: list(&value["desired"], kind),
        observed: list(&value["observed"], |asked| ObservedSelector {
            id: text(&asked["id"]),
            kind: kind(asked),
            from: match asked["manifest"].as_str() {
                Some(pointer) => Selection::Manifest(pointer.to_owned()),
                None => Selection::Owned,
            },
            fields: Vec::new(),
        }),
        objects: list(&value["objects"], |asked| ObjectPermission {
            kind: kind(asked),
            names: list(&asked["names"], text),
            creates: flag(&asked["creates"]),
            fields: list(&asked["fields"], text),
            overrides: list(&asked["overrides"], text),
            removes: list(&asked["removes"], text),
            optional: flag(&asked["optional"]),
        }),
        privileges: list(&value["privileges"], |asked| PrivilegePermission {
            name: text(&asked["name"]),
            optional: false,
        }),
        actions: list(&value["actions"], |asked| ActionPermission {
            kind: action_kind(asked["kind"].as_str().unwrap_or_default()),
            subjects: list(&asked["subjects"], text),
            optional: flag(&asked["optional"]),
        }),
        requires: list(&value["requires"], |asked| Requirement {
            plugin: text(&asked["plugin"]),
            version: text(&asked["version"]),
        }),
    }
}

fn action_kind(name: &str) -> ActionKind {
    match name {
        "credential" => ActionKind::Credential,
        "user-list" => ActionKind::UserList,
        "pooler-access" => ActionKind::PoolerAccess,
        "configure-patroni" => ActionKind::ConfigurePatroni,
        "expand-claim" => ActionKind::ExpandClaim,
        _ => ActionKind::Promote,
    }
}

/// What the guest answers.
pub fn response(value: &Value) -> Response {
    Response {
        contributions: list(&value["contributions"], contribution),
        actions: list(&value["actions"], |request| ActionRequest {
            key: text(&request["key"]),
            action: action(request),
        }),
        findings: list(&value["findings"], |finding| Finding {
            severity: Severity::Warning,
            message: text(finding),
            path: None,
            object: None,
            remedy: None,
        }),
        conditions: list(&value["conditions"], |name| Condition {
            type_name: text(name),
            status: ConditionStatus::True,
            reason: "SaysSo".to_owned(),
            message: String::new(),
        }),
    }
}

fn contribution(value: &Value) -> Contribution {
    match value.as_str() {
        Some(object) => Contribution::Apply(object.to_owned()),
        None => {
            let ObjectKind { api_version, kind } = kind(value);
            let object = ObjectRef { api_version, kind, name: text(&value["name"]) };
            Contribution::Remove(Removal { object, path: text(&value["path"]) })
        }
    }
}

fn action(value: &Value) -> Action {
    let (username, labels) = (text(&value["username"]), list(&value["labels"], pair));
    match action_kind(value["kind"].as_str().unwrap_or_default()) {
        ActionKind::Credential => Action::Credential(Credential { username, labels }),
        ActionKind::UserList => Action::UserList(UserList { secret_name: text(&value["secret"]), username, labels }),
        ActionKind::PoolerAccess => Action::PoolerAccess(PoolerAccess { username, schema: text(&value["schema"]) }),
        ActionKind::ConfigurePatroni => Action::ConfigurePatroni(text(&value["configuration"])),
        ActionKind::ExpandClaim => {
            Action::ExpandClaim(ExpandClaim { claim: text(&value["claim"]), size: "1Ti".to_owned() })
        }
        _ => Action::Promote,
    }
}
