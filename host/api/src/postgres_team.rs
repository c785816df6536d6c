//! The `PostgresTeam` object: teams and members that get roles in the clusters of a team, in addition to its own members.
//!
//! See [additional teams](https://postgres-operator.readthedocs.io/en/latest/user/#additional-teams-and-members-per-cluster).

use std::collections::BTreeMap;

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names by team. Null is no name.
pub type Names = BTreeMap<String, Option<Vec<String>>>;

/// Who gets roles in the clusters of a team. The objects of all watched namespaces are read together.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    crates(kube_core = "::kube_core"),
    group = "acid.zalan.do",
    version = "v1",
    kind = "PostgresTeam",
    plural = "postgresteams",
    singular = "postgresteam",
    shortname = "pgteam",
    category = "all",
    namespaced,
    doc = "Teams and members that get roles in the clusters of a team, if `enable_postgres_team_crd` of the operator configuration is set."
)]
#[serde(rename_all = "camelCase")]
pub struct PostgresTeamSpec {
    /// By team, other teams whose members are superusers in its clusters. Needs `enable_postgres_team_crd_superusers` of the
    /// operator configuration. Default: none. Example: `acid: [postgres_superusers]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "names")]
    pub additional_superuser_teams: Names,

    /// By team, other teams whose members get roles in its clusters, as do the members of their additional teams. Default:
    /// none. Example: `acid: [web]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "names")]
    pub additional_teams: Names,

    /// By team, members in addition to those of the Teams API. Default: none. Example: `acid: [elephant]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "names")]
    pub additional_members: Names,
}

fn names(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "additionalProperties": {"type": "array", "nullable": true, "items": {"type": "string"}},
    })
}
