//! What a refused step would need: the entry that its plugin's description lacks, or the grant that its pipeline lacks.

use std::fmt;

use crate::merge::{self, Change};
use crate::model::{ActionKind, ObjectKind, ObjectPermission, ObjectRef};
use crate::permission::Missing;

/// The path in place of one that is not known: the step names an object of an earlier step, and sets nothing new in it.
const FIELD: &str = "FIELD";

/// What a step would need.
#[derive(Clone, Debug, PartialEq)]
pub struct Lack {
    /// Where it is missing.
    pub missing: Missing,
    /// What is missing.
    pub permission: Permission,
}

/// One permission. A name has `{cluster}` in place of the name of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Permission {
    /// Objects, and what is done to them.
    Object(ObjectPermission),
    /// A privilege by its name.
    Privilege(&'static str),
    /// Actions of a kind about a subject; the subject of a promotion is empty.
    Action(ActionKind, String),
}

impl Lack {
    /// An action that the description does not ask for.
    pub(super) fn of_action(kind: ActionKind, subject: &str, cluster: &str) -> Self {
        let permission = Permission::Action(kind, pattern(subject, cluster));
        Self { missing: Missing::Description, permission }
    }

    /// What an error of the merge says about permissions.
    pub(super) fn of_merge(error: &merge::Error, cluster: &str) -> Option<Self> {
        let nothing = |object: &ObjectRef| ObjectPermission {
            kind: ObjectKind { api_version: object.api_version.clone(), kind: object.kind.clone() },
            names: vec![pattern(&object.name, cluster)],
            creates: false,
            fields: Vec::new(),
            overrides: Vec::new(),
            removes: Vec::new(),
            optional: false,
        };
        let (missing, permission) = match error {
            merge::Error::Name { object, missing, change, .. } => {
                let nothing = nothing(object);
                let asked = match change {
                    Change::Create => ObjectPermission { creates: true, ..nothing },
                    Change::Set(path) => {
                        let path = path.as_ref().map_or_else(|| FIELD.to_owned(), ToString::to_string);
                        ObjectPermission { fields: vec![path], ..nothing }
                    }
                    Change::Remove(path) => ObjectPermission { removes: vec![path.to_string()], ..nothing },
                };
                (missing, Permission::Object(asked))
            }
            merge::Error::Create { object, missing, .. } => {
                (missing, Permission::Object(ObjectPermission { creates: true, ..nothing(object) }))
            }
            merge::Error::Permission { object, path, missing, .. } => {
                (missing, Permission::Object(ObjectPermission { fields: vec![path.to_string()], ..nothing(object) }))
            }
            merge::Error::RemovePermission { object, path, missing, .. } => {
                (missing, Permission::Object(ObjectPermission { removes: vec![path.to_string()], ..nothing(object) }))
            }
            merge::Error::Privilege { privilege, missing, .. } => (missing, Permission::Privilege(privilege.name())),
            _ => return None,
        };
        Some(Self { missing: *missing, permission })
    }
}

/// The name as a permission has it.
fn pattern(name: &str, cluster: &str) -> String {
    if cluster.is_empty() { name.to_owned() } else { name.replace(cluster, "{cluster}") }
}

/// The entry to add: to a description in the words of the contract, to a pipeline as YAML.
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_contract = self.missing == Missing::Description;
        let of = if of_contract { "of its description" } else { "of the step's grants" };
        let (list, entry) = match &self.permission {
            Permission::Object(asked) => ("objects", object(asked, of_contract)),
            Permission::Privilege(name) if of_contract => ("privileges", format!("{{name: {name}}}")),
            Permission::Privilege(name) => ("privileges", (*name).to_owned()),
            Permission::Action(kind, subject) => ("actions", format!("{{kind: {kind}, subjects: {}}}", texts(subject))),
        };
        write!(f, "add to `{list}` {of}: {entry}")
    }
}

fn object(asked: &ObjectPermission, of_contract: bool) -> String {
    let ObjectKind { api_version, kind } = &asked.kind;
    let mut entry = match of_contract {
        true => format!("{{kind: {{api-version: {api_version}, kind: {kind}}}"),
        false => format!("{{apiVersion: {api_version}, kind: {kind}"),
    };
    entry += &format!(", names: {}", list(&asked.names));
    if asked.creates {
        entry += ", creates: true";
    }
    for (name, paths) in [("fields", &asked.fields), ("removes", &asked.removes)] {
        if !paths.is_empty() {
            entry += &format!(", {name}: {}", list(paths));
        }
    }
    entry + "}"
}

fn texts(subject: &str) -> String {
    if subject.is_empty() { "[]".to_owned() } else { format!("[{subject:?}]") }
}

fn list(texts: &[String]) -> String {
    format!("{texts:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_of_a_description_is_in_the_words_of_the_contract_and_a_grant_as_a_pipeline_has_it() {
        let object = || {
            Box::new(ObjectRef { api_version: "v1".into(), kind: "ConfigMap".into(), name: "acid-orders-note".into() })
        };
        let said = |missing, change| {
            let error = merge::Error::Name { step: "s".into(), object: object(), missing, change };
            Lack::of_merge(&error, "acid-orders").unwrap().to_string()
        };
        assert_eq!(
            said(Missing::Description, Change::Create),
            "add to `objects` of its description: {kind: {api-version: v1, kind: ConfigMap}, names: \
             [\"{cluster}-note\"], creates: true}"
        );
        assert_eq!(
            said(Missing::Grant, Change::Set(Some("data.text".parse().unwrap()))),
            "add to `objects` of the step's grants: {apiVersion: v1, kind: ConfigMap, names: [\"{cluster}-note\"], \
             fields: [\"data.text\"]}"
        );
        let removed = said(Missing::Description, Change::Remove("data.text".parse().unwrap()));
        assert!(removed.ends_with(r#"removes: ["data.text"]}"#), "{removed}");
        let path = "data[\"a.b\"]".parse().unwrap();
        let error =
            merge::Error::RemovePermission { step: "s".into(), object: object(), path, missing: Missing::Description };
        let said = Lack::of_merge(&error, "acid-orders").unwrap().to_string();
        assert!(said.ends_with(r#"removes: ["data[\"a.b\"]"]}"#), "{said}");
        assert_eq!(
            Lack::of_action(ActionKind::ExpandClaim, "pgdata-acid-orders-0", "acid-orders").to_string(),
            "add to `actions` of its description: {kind: expand-claim, subjects: [\"pgdata-{cluster}-0\"]}"
        );
    }
}
