//! Binds requested actions to what they are about: the role, the Secret or the volume has to be the step's and the
//! cluster's own. The host executes actions with its own rights, so a plugin could otherwise use them for itself.
//!
//! The engine has checked the permission of the step, and that no two steps want different things.

use std::collections::{BTreeMap, BTreeSet};

use pgloom_common::name::is_dns1123_subdomain;
use pgloom_common::role::MAX_IDENTIFIER;
use pgloom_engine::{Action, RequestedAction};

use crate::role::Roles;

/// The label whose value the Zalando operator, too, gives the objects of poolers.
const APPLICATION: &str = "application";

/// Refuses the actions whose parameters cannot be used, or take from an object a label by which it is found. `selector`
/// are the labels that identify the cluster's objects.
pub fn check(actions: &mut [RequestedAction], selector: &BTreeMap<String, String>) {
    for requested in actions.iter_mut().filter(|requested| requested.is_granted()) {
        requested.refusal = refusal(&requested.action, selector);
    }
}

fn refusal(action: &Action, selector: &BTreeMap<String, String>) -> Option<String> {
    match action {
        Action::Credential(credential) => changed_label(&credential.labels, selector),
        Action::UserList(list) => not_a_name(&list.secret_name).or_else(|| changed_label(&list.labels, selector)),
        Action::PoolerAccess(access) => not_a_schema(&access.schema).or_else(|| shared_schema(&access.schema)),
        Action::ExpandClaim(claim) => not_a_name(&claim.claim),
        Action::ModifyVolume(volume) => not_a_name(&volume.claim),
        Action::GrowFilesystem(filesystem) => not_a_name(&filesystem.claim).or_else(|| not_a_name(&filesystem.pod)),
        Action::ConfigurePatroni(_) | Action::Promote => None,
    }
}

/// Refuses the credentials of roles that the cluster does not make for them, and the actions about a role that is not
/// one of the same step's credentials.
pub fn bind(actions: &mut [RequestedAction], roles: &Roles) {
    for requested in actions.iter_mut().filter(|requested| requested.is_granted()) {
        if let Action::Credential(credential) = &requested.action
            && let Some(reason) = roles.refused.get(&credential.username)
        {
            requested.refusal = Some(format!("the step gets no role {:?}: {reason}", credential.username));
        }
    }
    let kept = actions.iter().filter(|requested| requested.is_granted()).filter_map(|requested| {
        let Action::Credential(credential) = &requested.action else { return None };
        Some((requested.step.clone(), credential.username.clone()))
    });
    let kept: BTreeSet<(String, String)> = kept.collect();
    for requested in actions.iter_mut().filter(|requested| requested.is_granted()) {
        let username = match &requested.action {
            Action::UserList(list) => &list.username,
            Action::PoolerAccess(access) => &access.username,
            _ => continue,
        };
        if !kept.contains(&(requested.step.clone(), username.clone())) {
            requested.refusal =
                Some(format!("the role {username:?} is not one that the step keeps by an action credential"));
        }
    }
}

/// A label by which the cluster's objects are found, and which the plugin changes or removes.
fn changed_label(own: &[(String, String)], selector: &BTreeMap<String, String>) -> Option<String> {
    let changes = |key: &str, value: &str| selector.get(key).is_some_and(|existing| existing != value);
    let may_change = |key: &str, value: &str| key == APPLICATION && !value.is_empty();
    let (key, _) = own.iter().find(|(key, value)| changes(key, value) && !may_change(key, value))?;
    Some(format!("the label {key} identifies the cluster's objects, and a plugin cannot change it"))
}

fn not_a_name(name: &str) -> Option<String> {
    (!is_dns1123_subdomain(name)).then(|| format!("{name:?} is not a name that an object can have"))
}

fn not_a_schema(name: &str) -> Option<String> {
    let is_usable = !name.is_empty()
        && name.len() <= MAX_IDENTIFIER
        && !name.chars().any(char::is_control)
        && !name.starts_with("pg_")
        && name != "information_schema";
    (!is_usable).then(|| format!("{name:?} is not a name that a schema can have"))
}

/// The pooler's function is in a schema of its own: what is in `public` is found by the name alone, by everyone.
fn shared_schema(name: &str) -> Option<String> {
    (name == "public").then(|| format!("the schema {name:?} is everyone's; use one of its own"))
}

#[cfg(test)]
mod tests {
    use pgloom_engine::{Credential, ExpandClaim, PoolerAccess, UserList};

    use super::*;

    fn requested(step: &str, action: Action) -> RequestedAction {
        RequestedAction { step: step.into(), key: "k".into(), action, refusal: None }
    }

    fn credential(username: &str, labels: &[(&str, &str)]) -> Action {
        Action::Credential(Credential { username: username.into(), labels: owned(labels) })
    }

    fn user_list(username: &str, labels: &[(&str, &str)]) -> Action {
        let secret_name = "acid-a-pooler-u".into();
        Action::UserList(UserList { secret_name, username: username.into(), labels: owned(labels) })
    }

    fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    fn checked(action: Action) -> Option<String> {
        let selector = owned(&[("application", "spilo"), ("cluster-name", "acid-a"), ("tier", "db")]);
        let mut actions = [requested("s", action)];
        check(&mut actions, &selector.into_iter().collect());
        let [action] = actions;
        action.refusal
    }

    #[test]
    fn a_plugin_cannot_hide_a_secret_from_the_cluster_by_its_labels() {
        let expected = |key: &str| {
            Some(format!("the label {key} identifies the cluster's objects, and a plugin cannot change it"))
        };
        for (label, refused) in [
            (("cluster-name", "acid-b"), expected("cluster-name")),
            (("cluster-name", ""), expected("cluster-name")),
            (("cluster-name", "acid-a"), None),
            (("application", ""), expected("application")),
            (("tier", "web"), expected("tier")),
            // As the Zalando operator labels a pooler's Secrets.
            (("application", "db-connection-pooler"), None),
            (("team", ""), None),
        ] {
            assert_eq!(checked(credential("pooler", &[label])), refused, "{label:?}");
            assert_eq!(checked(user_list("pooler", &[label])), refused, "{label:?}");
        }
    }

    #[test]
    fn a_name_that_would_change_a_url_or_a_statement_is_refused() {
        let claim = |claim: &str| Action::ExpandClaim(ExpandClaim { claim: claim.into(), size: "1Gi".into() });
        assert_eq!(checked(claim("pgdata-acid-a-0")), None);
        assert!(checked(claim("../../secrets/s")).is_some());
        let access =
            |schema: &str| Action::PoolerAccess(PoolerAccess { username: "pooler".into(), schema: schema.into() });
        assert_eq!(checked(access("pooler")), None);
        for schema in ["", "pg_catalog", "information_schema", "a\0b", "public"] {
            assert!(checked(access(schema)).is_some(), "{schema:?}");
        }
    }

    #[test]
    fn a_user_list_and_access_are_for_a_role_of_the_same_step_alone() {
        let access =
            |username: &str| Action::PoolerAccess(PoolerAccess { username: username.into(), schema: "pooler".into() });
        let refused = [("app".to_owned(), "the role is one of the manifest's users".to_owned())].into();
        let roles = Roles { refused, ..Roles::default() };
        let mut actions = [
            requested("pooler", credential("pooler", &[])),
            requested("pooler", user_list("pooler", &[])),
            requested("pooler", access("pooler")),
            requested("thief", credential("app", &[])),
            requested("thief", user_list("app", &[])),
            requested("thief", user_list("postgres", &[])),
            requested("thief", access("public")),
            requested("thief", access("pooler")),
        ];
        bind(&mut actions, &roles);
        let reasons: Vec<&str> = actions.iter().map(|action| action.refusal.as_deref().unwrap_or_default()).collect();
        let not_own = |name: &str| format!("the role {name:?} is not one that the step keeps by an action credential");
        assert_eq!(
            reasons,
            [
                "",
                "",
                "",
                "the step gets no role \"app\": the role is one of the manifest's users",
                &not_own("app"),
                &not_own("postgres"),
                &not_own("public"),
                &not_own("pooler"),
            ]
        );
    }
}
