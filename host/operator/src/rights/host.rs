//! The operator's own rights in the watched namespaces: what it does whatever the steps are.

use super::rule::Verb::{self, Bind, Create, Delete, Get, List, Patch, Watch};

/// A right that does not depend on the pipeline.
pub(super) struct Own {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// As in `services`.
    pub plural: &'static str,
    /// The names of the only objects that it is for; empty for all.
    pub names: &'static [&'static str],
    /// What is done.
    pub verbs: &'static [Verb],
    /// Why, in one line.
    pub why: &'static str,
}

const SEEN_AND_PRUNED: &[Verb] = &[Delete, Get, List, Watch];

/// The operator's own rights, in the order in which they are printed.
pub(super) const OWN: [Own; 19] = [
    own("acid.zalan.do", "postgresqls", &[List, Patch, Watch], "The manifests are read, and get a finalizer."),
    own("acid.zalan.do", "postgresqls/status", &[Patch], "The status of manifests is written."),
    own(
        "acid.zalan.do",
        "postgresteams",
        &[List, Watch],
        "Additional teams and members are read while enable_postgres_team_crd is set.",
    ),
    own("", "services", SEEN_AND_PRUNED, "Services are watched, and deleted when no step makes them any more."),
    own(
        "",
        "endpoints",
        &[Delete, Get, List, Patch, Watch],
        "Patroni keeps the leader in Endpoints; those of an earlier manifest get the mark of the new one.",
    ),
    own(
        "",
        "secrets",
        &[Create, Delete, Get, List, Patch, Watch],
        "The credentials of roles, and what manifests and the configuration name.",
    ),
    own("apps", "statefulsets", SEEN_AND_PRUNED, "The StatefulSet is watched, and deleted with the cluster."),
    own(
        "apps",
        "deployments",
        SEEN_AND_PRUNED,
        "Deployments are watched, and deleted when no step makes them any more.",
    ),
    own("batch", "cronjobs", SEEN_AND_PRUNED, "CronJobs are watched, and deleted when no step makes them any more."),
    own(
        "policy",
        "poddisruptionbudgets",
        SEEN_AND_PRUNED,
        "PodDisruptionBudgets are watched, and deleted when no step makes them any more.",
    ),
    own(
        "",
        "pods",
        &[Delete, Get, List, Patch, Watch],
        "Pods get the labels and annotations of a changed template, and are deleted in a rolling update.",
    ),
    own(
        "",
        "persistentvolumeclaims",
        &[Delete, Get, List, Patch, Watch],
        "Claims are expanded, and deleted with the cluster.",
    ),
    own("", "nodes", &[Get, List, Watch], "A leader leaves a node that is drained."),
    own("", "persistentvolumes", &[Get], "Whether a pod can leave its node depends on where its volume can be."),
    own(
        "",
        "configmaps",
        &[Delete, Get],
        "ConfigMaps that a configuration or a manifest names are read; Patroni's are deleted with the cluster.",
    ),
    own(
        "",
        "serviceaccounts",
        &[Create, Get, Patch],
        "The service account of database pods is created where it is missing, and annotated with irsa_role_arn.",
    ),
    own("rbac.authorization.k8s.io", "rolebindings", &[Create, Get], "It is bound only to the role in the next rule."),
    Own {
        names: &["postgres-pod"],
        ..own("rbac.authorization.k8s.io", "clusterroles", &[Bind], "The role of database pods.")
    },
    own("events.k8s.io", "events", &[Create, Patch], "What happens to a cluster is published as events."),
];

const fn own(group: &'static str, plural: &'static str, verbs: &'static [Verb], why: &'static str) -> Own {
    Own { group, plural, names: &[], verbs, why }
}
