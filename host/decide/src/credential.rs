//! Credentials: the Secrets that a cluster needs, and the writes that create or change them.
//!
//! A password is generated once and not overwritten here. The exception is an infrastructure role, whose password follows
//! the operator-wide Secret. The password of a role with a rotation changes in the database first, and in the Secret right
//! after; here its Secret gets only the time of the first change. Planning is pure; the source of random passwords is a
//! parameter.
//!
//! A Secret is **created** by a plain create, not by a server-side apply: a later apply of labels, which must not
//! contain the data, would otherwise remove the data. Labels, annotations and the owner of an existing Secret are
//! changed by a patch of these fields alone ([`follow`]).

mod password;
mod plan;
mod recovery;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::role::{Origin, PasswordSource, Role, Roles, Rotation};
use pgloom_api::Finding;
use pgloom_common::name::is_dns1123_subdomain;

pub use password::Password;
pub use plan::{Act, Data, Login, SecretChanges, Write, annotate, follow, plan, replace};
pub use recovery::{Answer, Recovery, recover, recover_without_access};

/// The key of a Secret's data that holds the role's name.
pub const USERNAME: &str = "username";
/// The key of a Secret's data that holds the password.
pub const PASSWORD: &str = "password";
/// The key of a Secret's data that holds the time when the password changes next, in RFC 3339; empty after the rotation was
/// switched off.
pub const NEXT_ROTATION: &str = "nextRotation";
/// The key of a user list's data, as PgBouncer reads it.
pub const USER_LIST: &str = "userlist.txt";

/// What the Secrets of one cluster have in common.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    /// `secret_name_template` of the operator configuration.
    ///
    /// See
    /// [`secret_name_template`](https://postgres-operator.readthedocs.io/en/latest/reference/operator_parameters/#kubernetes-resources).
    pub template: String,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's team.
    pub team: String,
    /// The cluster's namespace.
    pub namespace: String,
    /// Labels of every Secret of the cluster.
    pub labels: BTreeMap<String, String>,
    /// Annotations of every Secret of the cluster.
    pub annotations: BTreeMap<String, String>,
    /// The owner reference, if the operator sets one. Secrets in other namespaces have none.
    pub owner: Option<Value>,
}

/// A user list that a plugin requests (the action `user-list`), as in PgBouncer's
/// [`auth_file`](https://www.pgbouncer.org/config.html#auth_file).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserListRequest {
    /// The Secret's name.
    pub secret_name: String,
    /// The role whose password is in it.
    pub username: String,
    /// Labels beyond those of every Secret of the cluster; an empty value removes one.
    pub labels: BTreeMap<String, String>,
}

/// The desired content of a Secret.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A role's name and password.
    Credential {
        /// The role's name.
        username: String,
        /// The password of an infrastructure role; `None` if it is generated.
        given: Option<Password>,
        /// How the password changes regularly.
        rotation: Rotation,
    },
    /// Names and passwords in the form of PgBouncer's `userlist.txt`.
    UserList {
        /// The role that PgBouncer logs in as.
        username: String,
        /// The infrastructure roles that may log in to PgBouncer itself, as a monitoring system does.
        others: BTreeSet<String>,
    },
}

/// A Secret that the cluster needs.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedSecret {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// The owner reference, one entry of `metadata.ownerReferences`.
    pub owner: Option<Value>,
    /// The content.
    pub content: Content,
}

impl WantedSecret {
    /// The Secret without its password, as `pgloom render` prints it.
    #[must_use]
    pub fn object(&self) -> Value {
        let mut object = self.metadata();
        if let Content::Credential { username, .. } = &self.content {
            object["data"] = json!({ USERNAME: STANDARD.encode(username) });
        }
        object["type"] = "Opaque".into();
        object
    }

    /// The role whose password it holds; `None` of a user list.
    fn username(&self) -> Option<&str> {
        match &self.content {
            Content::Credential { username, .. } => Some(username),
            Content::UserList { .. } => None,
        }
    }

    /// The Secret without its data.
    fn metadata(&self) -> Value {
        let mut metadata = Map::new();
        metadata.insert("name".into(), self.name.clone().into());
        metadata.insert("namespace".into(), self.namespace.clone().into());
        metadata.insert("labels".into(), json!(self.labels));
        if !self.annotations.is_empty() {
            metadata.insert("annotations".into(), json!(self.annotations));
        }
        if let Some(owner) = &self.owner {
            metadata.insert("ownerReferences".into(), json!([owner]));
        }
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
    }
}

/// The Secrets that a cluster needs: those of its roles by name, then the user lists. Of two with the same name the
/// first one is used.
#[must_use]
pub fn wanted(roles: &Roles, user_lists: &[UserListRequest], naming: &Naming) -> (Vec<WantedSecret>, Vec<Finding>) {
    let of_roles = roles.roles.values().filter_map(|role| of_role(role, naming));
    let lists = user_lists.iter().map(|list| of_list(list, roles, naming));
    let (mut wanted, mut findings) = (Vec::new(), Vec::new());
    let mut taken = BTreeSet::new();
    for secret in of_roles.chain(lists) {
        if !is_dns1123_subdomain(&secret.name) {
            findings.push(unusable(&secret, roles));
        } else if taken.insert((secret.namespace.clone(), secret.name.clone())) {
            wanted.push(secret);
        } else {
            let message = format!("two Secrets would have the name {}", secret.name);
            findings.push(
                Finding::warning(message)
                    .remedy("rename one of the roles: '_' and '-' are the same in the name of a Secret"),
            );
        }
    }
    (wanted, findings)
}

/// The finding for a Secret whose name Kubernetes does not accept. A role of the platform does not stop the cluster.
fn unusable(secret: &WantedSecret, roles: &Roles) -> Finding {
    let username = match &secret.content {
        Content::Credential { username, .. } | Content::UserList { username, .. } => username,
    };
    let message = format!(
        "the Secret of role {username:?} would have the name {:?}, which Kubernetes does not accept",
        secret.name
    );
    let is_of_platform = roles.roles.get(username).is_some_and(|role| role.origin == Origin::Infrastructure);
    let finding = if is_of_platform { Finding::warning(message) } else { Finding::error(message) };
    finding.remedy("rename the role so that it begins and ends with a letter or digit, or check secret_name_template")
}

fn of_role(role: &Role, naming: &Naming) -> Option<WantedSecret> {
    let place = role.secret.as_ref()?;
    let Naming { template, cluster, team, .. } = naming;
    let name = pgloom_common::name::secret_name(template, &role.name, cluster, team);
    let given = match &role.password {
        PasswordSource::Given(password) => Some(password.clone()),
        PasswordSource::None | PasswordSource::Generated => None,
    };
    Some(WantedSecret {
        owner: naming.owner.clone().filter(|_| place.namespace == naming.namespace),
        namespace: place.namespace.clone(),
        name,
        labels: labels(naming, &place.labels),
        annotations: naming.annotations.clone(),
        content: Content::Credential { username: role.name.clone(), given, rotation: role.rotation },
    })
}

fn of_list(list: &UserListRequest, roles: &Roles, naming: &Naming) -> WantedSecret {
    let others = roles.roles.values().filter(|role| role.origin == Origin::Infrastructure && role.secret.is_some());
    WantedSecret {
        namespace: naming.namespace.clone(),
        name: list.secret_name.clone(),
        labels: labels(naming, &list.labels),
        annotations: naming.annotations.clone(),
        owner: naming.owner.clone(),
        content: Content::UserList {
            username: list.username.clone(),
            others: others.map(|role| role.name.clone()).collect(),
        },
    }
}

/// The cluster's labels with those of one Secret over them; an empty value removes one.
fn labels(naming: &Naming, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut labels = naming.labels.clone();
    labels.extend(own.clone());
    labels.retain(|key, value| !(own.contains_key(key) && value.is_empty()));
    labels
}

#[cfg(test)]
mod tests;
