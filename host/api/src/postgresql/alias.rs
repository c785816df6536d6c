//! Field names of older releases, and fields without effect.
//!
//! The tables are part of the schema: the API server gets the rules of [`EXCLUSIVE`] as CEL, [`crate::validate`] reads
//! all.

use serde_json::{Value, json};

/// Two names of one field, of which a manifest may give one.
pub struct Exclusive {
    /// The sections of `spec` that have the field; empty for `spec` itself.
    pub sections: &'static [&'static str],
    /// The name of older releases.
    pub old: &'static str,
    /// The current name.
    pub new: &'static str,
}

/// Fields of which both names together are refused.
pub const EXCLUSIVE: [Exclusive; 3] = [
    Exclusive { sections: &[], old: "enableConnectionPool", new: "enableConnectionPooler" },
    Exclusive { sections: &[], old: "connectionPool", new: "connectionPooler" },
    Exclusive {
        sections: &["connectionPooler", "connectionPool"],
        old: "number_of_instances",
        new: "numberOfInstances",
    },
];

/// A name of older releases that is ignored if a newer field is given.
pub struct Replaced {
    /// The name of older releases, in `spec`.
    pub old: &'static str,
    /// The current name.
    pub new: &'static str,
    /// The fields that make the old one ignored.
    pub ignored_with: &'static [&'static str],
}

const LOAD_BALANCERS: &[&str] = &["enableMasterLoadBalancer", "enableReplicaLoadBalancer"];

/// Fields whose old name gives a warning.
pub const REPLACED: [Replaced; 4] = [
    Replaced { old: "init_containers", new: "initContainers", ignored_with: &["initContainers"] },
    Replaced { old: "pod_priority_class_name", new: "podPriorityClassName", ignored_with: &["podPriorityClassName"] },
    Replaced { old: "useLoadBalancer", new: "enableMasterLoadBalancer", ignored_with: LOAD_BALANCERS },
    Replaced { old: "replicaLoadBalancer", new: "enableReplicaLoadBalancer", ignored_with: LOAD_BALANCERS },
];

/// Fields of `spec` that the Zalando operator acts on and pgloom does not.
pub const WITHOUT_EFFECT: [&str; 1] = ["streams"];

impl Exclusive {
    /// Why both names together are refused.
    #[must_use]
    pub fn message(&self) -> String {
        format!("{} and {} are two names of one field", self.old, self.new)
    }

    /// The rule as CEL, for the schema of `spec` or of the section.
    fn rule(&self) -> Value {
        let Self { old, new, .. } = self;
        json!({
            "rule": format!("!(has(self.{old}) && has(self.{new}))"),
            "message": format!("{}; give one of them", self.message()),
        })
    }
}

/// The rules of [`EXCLUSIVE`] for a section, or for `spec` itself.
pub fn rules(section: Option<&str>) -> Vec<Value> {
    let applies = |alias: &&Exclusive| match section {
        None => alias.sections.is_empty(),
        Some(section) => alias.sections.contains(&section),
    };
    EXCLUSIVE.iter().filter(applies).map(Exclusive::rule).collect()
}
