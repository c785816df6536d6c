//! In front of whom a pooler stands, and how its objects are called and labelled.

use pgloom_kit::metadata::{Map, Metadata, Role};
use pgloom_kit::{Cluster, Result, invalid};

const APPLICATION: (&str, &str) = ("application", "db-connection-pooler");
/// The label that tells poolers apart.
pub const POOLER: &str = "connection-pooler";
/// The role whose Secret is labelled like the pooler's own objects.
const USUAL_USER: &str = "pooler";
/// What a Service's name and a label's value may have.
const MAX_NAME: usize = 63;

/// The pooler of one role of database pods.
pub struct Target {
    /// Whose pooler it is.
    pub role: Role,
    /// The name of its Deployment and Service.
    pub name: String,
    /// The database Service behind it.
    pub host: String,
    /// The Secret of its `userlist.txt`.
    pub user_list: String,
    /// What its Service and pods are selected by.
    pub selector: Map,
    /// What its Deployment and pods carry.
    pub labels: Map,
}

impl Target {
    /// The pooler in front of `role`.
    ///
    /// # Errors
    /// If its name would be too long for a Service.
    pub fn of<S>(cluster: &Cluster<S>, metadata: &Metadata, role: Role) -> Result<Self> {
        let suffix = match role {
            Role::Master => "",
            Role::Replica => "-repl",
        };
        let name = [&pooler_name(&cluster.name), suffix].concat();
        if name.len() > MAX_NAME {
            return Err(invalid(
                "metadata.name",
                ["its pooler would be called ", &name, ", which is longer than the 63 characters of a Service's name"]
                    .concat(),
                "give the cluster a shorter name, or do without this pooler",
            ));
        }
        let mark = |mut labels: Map| {
            labels.insert(APPLICATION.0.to_owned(), APPLICATION.1.to_owned());
            labels.insert(POOLER.to_owned(), name.clone());
            labels
        };
        Ok(Self {
            role,
            host: [cluster.name.as_str(), suffix].concat(),
            user_list: [name.as_str(), "-u"].concat(),
            selector: mark(metadata.selector(cluster)),
            labels: mark(metadata.role_labels(cluster, role)),
            name,
        })
    }
}

fn pooler_name(cluster: &str) -> String {
    [cluster, "-pooler"].concat()
}

/// How the Secret of the pooler's role differs in labels from those of other roles: it is found by the pooler's, and by
/// nobody's team. A role that the manifest names has a Secret like every other role.
pub fn credential_labels<S>(cluster: &Cluster<S>, metadata: &Metadata, user: &str) -> Vec<(String, String)> {
    if user != USUAL_USER {
        return Vec::new();
    }
    let mut labels = metadata.labels(cluster);
    labels.values_mut().for_each(String::clear);
    labels.extend(metadata.selector(cluster));
    labels.insert(APPLICATION.0.to_owned(), APPLICATION.1.to_owned());
    labels.insert(POOLER.to_owned(), pooler_name(&cluster.name));
    labels.into_iter().collect()
}
