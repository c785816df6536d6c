//! The pods that a pooler connects to, and the names and labels of its objects.

use pgloom_kit::common::name::{MAX_LABEL, POOLER_APPLICATION, POOLER_SUFFIX, REPLICA_SUFFIX, USER_LIST_SUFFIX};
use pgloom_kit::metadata::{Map, Metadata, Role};
use pgloom_kit::{Cluster, Result, invalid};

const APPLICATION: (&str, &str) = ("application", POOLER_APPLICATION);
/// The label whose value is the pooler's name.
pub const POOLER_LABEL: &str = "connection-pooler";
/// The role whose Secret has labels like the pooler's own objects.
const DEFAULT_USER: &str = "pooler";

/// The pooler of one role of database pods.
pub struct Target {
    /// The role of the pods.
    pub role: Role,
    /// The name of its Deployment and Service.
    pub name: String,
    /// The database's Service that it connects to.
    pub host: String,
    /// The name of the Secret with its `userlist.txt`.
    pub user_list: String,
    /// The labels by which its Deployment selects its pods.
    pub selector: Map,
    /// The labels of its Deployment and pods.
    pub labels: Map,
}

impl Target {
    /// The pooler in front of the pods of `role`.
    ///
    /// # Errors
    /// If its name is too long for a Service.
    pub fn of<S>(cluster: &Cluster<S>, metadata: &Metadata, role: Role) -> Result<Self> {
        let suffix = match role {
            Role::Leader => "",
            Role::Replica => REPLICA_SUFFIX,
        };
        let name = format!("{}{suffix}", pooler_name(&cluster.name));
        if name.len() > MAX_LABEL {
            let most = MAX_LABEL - (name.len() - cluster.name.len());
            return Err(invalid(
                "metadata.name",
                format!("the name of the pooler's Service, {name}, is longer than {MAX_LABEL} characters"),
                format!("give the cluster a name of at most {most} characters, or switch this pooler off"),
            ));
        }
        let mark = |mut labels: Map| {
            labels.insert(APPLICATION.0.to_owned(), APPLICATION.1.to_owned());
            labels.insert(POOLER_LABEL.to_owned(), name.clone());
            labels
        };
        Ok(Self {
            role,
            host: format!("{}{suffix}", cluster.name),
            user_list: format!("{name}{USER_LIST_SUFFIX}"),
            selector: mark(metadata.selector(cluster)),
            labels: mark(metadata.role_labels(cluster, role)),
            name,
        })
    }
}

fn pooler_name(cluster: &str) -> String {
    format!("{cluster}{POOLER_SUFFIX}")
}

/// The labels in which the Secret of the default role differs from the Secrets of other roles: it has the pooler's
/// labels, and the values of others are empty. A role of the manifest has a Secret like any other role.
pub fn credential_labels<S>(cluster: &Cluster<S>, metadata: &Metadata, user: &str) -> Vec<(String, String)> {
    if user != DEFAULT_USER {
        return Vec::new();
    }
    let mut labels = metadata.labels(cluster);
    labels.values_mut().for_each(String::clear);
    labels.extend(metadata.selector(cluster));
    labels.insert(APPLICATION.0.to_owned(), APPLICATION.1.to_owned());
    labels.insert(POOLER_LABEL.to_owned(), pooler_name(&cluster.name));
    labels.into_iter().collect()
}
