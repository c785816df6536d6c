//! Which clusters have another pipeline than the others, while a new one is rolled out.

use std::sync::Arc;

use pgloom_api::pipeline::Match;
use pgloom_decide::fleet::{Cluster, Stage};
use pgloom_engine::Pipeline;

use super::Settings;

/// A pipeline that some clusters have.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The pipeline; `None` while it is being loaded: the clusters that have it stay as they are.
    pub pipeline: Option<Arc<Pipeline>>,
    /// The clusters that have it.
    pub reach: Reach,
    /// The canary, which is a part of every stage.
    pub canary: Option<Match>,
}

/// The clusters that have a new pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is not known which, as the operator that led before may have gone on: no cluster is decided.
    Unknown,
    /// None. What it may have made is watched nevertheless, so that it is pruned after it was taken back.
    Nowhere,
    /// Those of a stage.
    Stage(Stage),
}

impl Candidate {
    /// That it is not known whether there is one.
    pub fn unknown() -> Self {
        Self { pipeline: None, reach: Reach::Unknown, canary: None }
    }
}

impl Settings {
    /// The settings of one cluster, with the pipeline that it has; `None` while that is not known or not loaded.
    pub fn for_cluster(&self, cluster: &Cluster) -> Option<Self> {
        self.by(self.candidate.as_ref(), cluster)
    }

    /// The same to answer a question about a manifest, by which nothing is written: what a replica that does not lead is
    /// told by the status is enough.
    pub fn for_question(&self, cluster: &Cluster) -> Option<Self> {
        self.for_cluster(cluster).or_else(|| self.by(Some(self.told.as_ref()?), cluster))
    }

    fn by(&self, candidate: Option<&Candidate>, cluster: &Cluster) -> Option<Self> {
        let Some(candidate) = candidate else { return Some(self.clone()) };
        match candidate.reach {
            Reach::Unknown => None,
            Reach::Stage(stage) if stage.covers(candidate.canary.as_ref(), cluster) => {
                Some(Self { pipeline: candidate.pipeline.clone()?, ..self.clone() })
            }
            Reach::Nowhere | Reach::Stage(_) => Some(self.clone()),
        }
    }

    /// Whether these are the settings of a cluster that has the candidate.
    pub fn is_on_trial(&self) -> bool {
        let candidate = self.candidate.as_ref().and_then(|candidate| candidate.pipeline.as_ref());
        candidate.is_some_and(|candidate| Arc::ptr_eq(candidate, &self.pipeline))
    }

    /// The pipeline, and the candidate if it is loaded.
    pub fn pipelines(&self) -> impl Iterator<Item = &Arc<Pipeline>> {
        std::iter::once(&self.pipeline).chain(self.candidate.iter().filter_map(|candidate| candidate.pipeline.as_ref()))
    }

    /// The pipelines that decide some cluster.
    pub fn in_use(&self) -> impl Iterator<Item = &Arc<Pipeline>> {
        let candidate = self.candidate.iter().filter(|candidate| matches!(candidate.reach, Reach::Stage(_)));
        std::iter::once(&self.pipeline).chain(candidate.filter_map(|candidate| candidate.pipeline.as_ref()))
    }

    /// Whether there is a pipeline that can decide.
    pub fn is_available(&self) -> bool {
        self.pipelines().any(|pipeline| pipeline.is_available())
    }

    /// Puts a pipeline in the place of another one, if that is still there.
    pub fn replace(&mut self, pipeline: &Arc<Pipeline>, by: Arc<Pipeline>) -> bool {
        let candidate = self.candidate.iter_mut().filter_map(|candidate| candidate.pipeline.as_mut());
        let found = std::iter::once(&mut self.pipeline).chain(candidate).find(|found| Arc::ptr_eq(found, pipeline));
        found.map(|found| *found = by).is_some()
    }
}

#[cfg(test)]
mod tests {
    use pgloom_api::config::Config;
    use pgloom_decide::fleet::ALL;

    use super::*;

    fn cluster(name: &str) -> Cluster {
        Cluster { namespace: "ns".into(), name: name.into(), ..Cluster::default() }
    }

    fn pipeline() -> Arc<Pipeline> {
        Arc::new(Pipeline::of(vec![]).unwrap())
    }

    /// Which pipeline a cluster has: 0 is the one before, 1 the candidate; `None` if it is not decided.
    fn of(reach: Reach, loaded: bool, name: &str) -> Option<usize> {
        let (before, new) = (pipeline(), pipeline());
        let candidate = Candidate { pipeline: loaded.then(|| new.clone()), reach, canary: None };
        let settings =
            Settings { candidate: Some(candidate), ..Settings::of(Arc::new(Config::defaults()), before.clone()) };
        let of_cluster = settings.for_cluster(&cluster(name))?;
        assert_eq!(of_cluster.is_on_trial(), Arc::ptr_eq(&of_cluster.pipeline, &new));
        Some(usize::from(of_cluster.is_on_trial()))
    }

    #[test]
    fn a_cluster_has_the_new_pipeline_only_in_its_stage_and_is_not_decided_while_its_stage_is_not_known() {
        // The place of `acid-b` is 9, that of `acid-a` 43.
        let tenth = Reach::Stage(Stage::Percent(10));
        for (reach, loaded, a, b) in [
            (Reach::Nowhere, true, Some(0), Some(0)),
            (tenth, true, Some(0), Some(1)),
            (Reach::Stage(ALL), true, Some(1), Some(1)),
            (tenth, false, Some(0), None),
            (Reach::Unknown, true, None, None),
        ] {
            assert_eq!((of(reach, loaded, "acid-a"), of(reach, loaded, "acid-b")), (a, b), "{reach:?} {loaded}");
        }
    }
}
