//! The rights that the steps of a pipeline add: for the kinds that they create, and for those that they observe.

use std::collections::{BTreeMap, BTreeSet};

use pgloom_decide::Kind;
use pgloom_engine::{Pipeline, Selection};

use super::rule::{MADE, Verb};

/// What the operator does with the objects of a kind because of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The step's name.
    pub step: String,
    /// The kind.
    pub kind: Kind,
    /// What is done with objects of the kind.
    pub verbs: BTreeSet<Verb>,
}

impl Need {
    /// Whether the step creates such objects, and not only observes them.
    pub fn creates(&self) -> bool {
        self.verbs.contains(&Verb::Create)
    }
}

/// The needs of all steps, in the order of the steps, those of one step by kind. A step that only changes objects of earlier
/// steps adds none.
pub fn of_steps(pipeline: &Pipeline) -> Vec<Need> {
    let mut needs = Vec::new();
    for step in pipeline.steps() {
        let mut of_step: BTreeMap<Kind, BTreeSet<Verb>> = BTreeMap::new();
        for kind in step.creates() {
            of_step.entry(Kind::new(&kind.api_version, &kind.kind)).or_default().extend(MADE);
        }
        for selector in &step.plugin.description.observed {
            let kind = Kind::new(&selector.kind.api_version, &selector.kind.kind);
            let verbs = of_step.entry(kind).or_default();
            match selector.from {
                Selection::Owned => verbs.extend([Verb::List, Verb::Watch]),
                Selection::Manifest(_) | Selection::Config(_) => verbs.extend([Verb::Get]),
            }
        }
        needs.extend(of_step.into_iter().map(|(kind, verbs)| Need { step: step.name.clone(), kind, verbs }));
    }
    needs
}
