//! What the rules for a manifest depend on, apart from the manifest.

use crate::config::Config;

/// What the rules for a manifest depend on, apart from the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `enable_team_id_clustername_prefix`: names start with the team and a hyphen.
    pub team_prefix: bool,
    /// `enable_maintenance_windows`: windows have an effect.
    pub maintenance_windows: bool,
    /// Whether the cluster has a StatefulSet: what only the making of its pods would refuse is a warning.
    pub runs: bool,
}

impl Default for Rules {
    /// Those of the default configuration.
    fn default() -> Self {
        Config::defaults().rules()
    }
}
