//! A rule of [RBAC](https://kubernetes.io/docs/reference/access-authn-authz/rbac/): what may be done with a resource.

use std::collections::BTreeSet;
use std::fmt;

use pgloom_decide::Kind;

use crate::cache::api_resource;

/// A resource of the API, as a rule names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: String,
    /// As in `services` or `pods/exec`.
    pub plural: String,
}

impl Resource {
    /// The resource of a kind, with the plural that Kubernetes uses for built-in kinds.
    pub fn of(kind: &Kind) -> Self {
        let resource = api_resource(kind);
        Self { group: resource.group, plural: resource.plural }
    }
}

/// What is done with a resource, in the order of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// To bind a role.
    Bind,
    /// To create an object; an apply of one that does not exist creates it.
    Create,
    /// To delete an object.
    Delete,
    /// To read one object.
    Get,
    /// To read all objects, of a namespace or of all.
    List,
    /// To change an object; an apply is a patch.
    Patch,
    /// To be sent the changes of all objects.
    Watch,
}

impl Verb {
    /// As in a rule.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Watch => "watch",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the operator does with the objects that a step creates: they are read before they are created, applied, watched,
/// and deleted when no step wants them any more.
pub(super) const MADE: [Verb; 6] = [Verb::Create, Verb::Delete, Verb::Get, Verb::List, Verb::Patch, Verb::Watch];

/// The rule for a resource of which a step creates objects.
pub fn made(resource: Resource) -> Rule {
    Rule { resource, verbs: MADE.into() }
}

/// The rule for a resource whose objects a step names.
pub fn read(resource: Resource) -> Rule {
    Rule { resource, verbs: [Verb::Get].into() }
}

/// What may be done with the objects of a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The resource.
    pub resource: Resource,
    /// What may be done.
    pub verbs: BTreeSet<Verb>,
}

impl Rule {
    /// The verbs, separated.
    pub fn verbs(&self, separator: &str) -> String {
        self.verbs.iter().map(|verb| verb.name()).collect::<Vec<_>>().join(separator)
    }
}

/// The name of an API group as YAML: the core group has an empty one.
pub(super) fn quoted(group: &str) -> &str {
    if group.is_empty() { "\"\"" } else { group }
}

impl fmt::Display for Rule {
    /// As an entry of a ClusterRole's `rules`, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Resource { group, plural } = &self.resource;
        let verbs = self.verbs(", ");
        write!(f, "{{apiGroups: [{}], resources: [{plural}], verbs: [{verbs}]}}", quoted(group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_as_an_entry_of_a_cluster_role() {
        let rule = made(Resource::of(&Kind::new("networking.k8s.io/v1", "NetworkPolicy")));
        let text = "{apiGroups: [networking.k8s.io], resources: [networkpolicies], \
                    verbs: [create, delete, get, list, patch, watch]}";
        assert_eq!(rule.to_string(), text);
        let read = read(Resource::of(&Kind::new("v1", "ConfigMap")));
        assert_eq!(read.to_string(), "{apiGroups: [\"\"], resources: [configmaps], verbs: [get]}");
    }
}
