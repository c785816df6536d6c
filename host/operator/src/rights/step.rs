//! The rights that the steps of a pipeline add: for the kinds that they create, for those that they observe, and for what
//! their actions need.

use std::collections::{BTreeMap, BTreeSet};

use pgloom_decide::Kind;
use pgloom_engine::{ActionKind, Pipeline, Selection, Step};

use super::rule::{MADE, Resource, Verb};

/// What the operator does with the objects of a kind because of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The step's name.
    pub step: String,
    /// The kind.
    pub kind: Kind,
    /// The part of its objects, as in `exec`; empty for the objects themselves.
    pub part: &'static str,
    /// What is done with objects of the kind.
    pub verbs: BTreeSet<Verb>,
}

impl Need {
    /// Whether the step creates such objects, and not only observes them.
    pub fn creates(&self) -> bool {
        self.part.is_empty() && self.verbs.contains(&Verb::Create)
    }

    /// The resource, by that of the kind.
    pub fn resource(&self, of_kind: Resource) -> Resource {
        match self.part {
            "" => of_kind,
            part => Resource { plural: format!("{}/{part}", of_kind.plural), ..of_kind },
        }
    }
}

/// Commands in a container. The API server asks for the right to `get` where the command is sent over a WebSocket, newer ones
/// for that to `create`, too.
const EXEC: [Verb; 2] = [Verb::Create, Verb::Get];

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
        let need = |(kind, verbs)| Need { step: step.name.clone(), kind, part: "", verbs };
        needs.extend(of_step.into_iter().map(need));
        needs.extend(commands(step));
    }
    needs
}

/// What a step needs to run commands in the members.
fn commands(step: &Step) -> Option<Need> {
    let runs = step.acts().any(|kind| kind == ActionKind::GrowFilesystem);
    runs.then(|| Need { step: step.name.clone(), kind: Kind::new("v1", "Pod"), part: "exec", verbs: EXEC.into() })
}
