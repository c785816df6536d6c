//! What is asked for one member, and how far it is: a pure function of the member and of what became of earlier actions.

use pgloom_kit::{Action, ActionPhase, ActionState, ExpandClaim, GrowFilesystem, ModifyVolume};

use crate::member::Member;
use crate::target::{Mode, Performance, Target};

/// How far a member's volume is.
#[derive(Debug, PartialEq)]
pub enum Progress {
    /// It is as it shall be.
    Done,
    /// Something is on its way, which is described.
    Working(String),
    /// Something did not work, and is tried again.
    Failed(String),
    /// Something cannot be done here.
    Refused(String),
    /// It is larger than it shall be, and volumes do not shrink.
    TooLarge,
    /// It is smaller than it shall be, and nothing is done about it.
    Left,
}

/// What is asked for one member.
pub struct Plan {
    /// The actions with their keys.
    pub actions: Vec<(String, Action)>,
    /// How far it is.
    pub progress: Progress,
}

impl Plan {
    fn of(progress: Progress) -> Self {
        Self { actions: Vec::new(), progress }
    }
}

/// Plans the next steps; `state` tells what became of the action with a key.
pub fn plan<'a>(target: &Target, member: &Member, state: impl Fn(&str) -> Option<&'a ActionState>) -> Plan {
    if member.requested > target.size {
        return Plan::of(Progress::TooLarge);
    }
    match target.mode {
        Mode::Off if member.requested < target.size => Plan::of(Progress::Left),
        Mode::Off => Plan::of(Progress::Done),
        Mode::Claims => claim(target, member, state),
        Mode::Cloud if member.is_smaller(&target.size) => cloud(target, member, state),
        Mode::Cloud => Plan::of(Progress::Done),
        Mode::Mixed => mixed(target, member, state),
    }
}

/// The claim is raised, and Kubernetes grows volume and filesystem.
fn claim<'a>(target: &Target, member: &Member, state: impl Fn(&str) -> Option<&'a ActionState>) -> Plan {
    if member.requested < target.size {
        let key = ["expand/", &member.claim, "/", &target.size.canonical()].concat();
        let progress = progress(state(&key), "the claim is being raised");
        let action = ExpandClaim { claim: member.claim.clone(), size: target.size.text().to_owned() };
        // A claim that was raised shows it; until then it is not done.
        let progress =
            if progress == Progress::Done { Progress::Working("the claim was raised".to_owned()) } else { progress };
        return Plan { actions: vec![(key, Action::ExpandClaim(action))], progress };
    }
    Plan::of(match &member.problem {
        Some(problem) => Progress::Failed(problem.clone()),
        None if member.is_smaller(&target.size) => {
            Progress::Working("the storage provider grows the volume".to_owned())
        }
        None => Progress::Done,
    })
}

/// The cloud grows the volume, and then the pod its filesystem. The claim goes on telling the old size, so both actions are
/// named for as long as it does; what is done is not done again.
fn cloud<'a>(target: &Target, member: &Member, state: impl Fn(&str) -> Option<&'a ActionState>) -> Plan {
    let (key, action) = modify(target, member);
    let modified = progress(state(&key), CHANGING);
    let mut actions = vec![(key, action)];
    if modified != Progress::Done {
        return Plan { actions, progress: modified };
    }
    let key = ["grow/", &member.claim, "/", &target.size.canonical()].concat();
    let grown = progress(state(&key), "the filesystem is being grown");
    let action = GrowFilesystem { claim: member.claim.clone(), pod: member.pod.clone() };
    actions.push((key, Action::GrowFilesystem(action)));
    Plan { actions, progress: grown }
}

/// The cloud changes what it can, and the claim is raised after that, even if the cloud could not: space matters most.
fn mixed<'a>(target: &Target, member: &Member, state: impl Fn(&str) -> Option<&'a ActionState>) -> Plan {
    let Performance { iops, throughput, volume_type } = &target.performance;
    let is_tuned = iops.is_some() || throughput.is_some() || volume_type.is_some();
    if !is_tuned && !member.is_smaller(&target.size) {
        return claim(target, member, state);
    }
    let (key, action) = modify(target, member);
    let modified = progress(state(&key), CHANGING);
    let mut actions = vec![(key, action)];
    if matches!(modified, Progress::Working(_)) {
        return Plan { actions, progress: modified };
    }
    let raised = claim(target, member, state);
    actions.extend(raised.actions);
    Plan { actions, progress: if modified == Progress::Done { raised.progress } else { modified } }
}

/// Clouds limit how often; that is told because it takes hours.
const CHANGING: &str = "the cloud changes the volume, which it may do once in 6 hours";

fn modify(target: &Target, member: &Member) -> (String, Action) {
    let Performance { iops, throughput, volume_type } = &target.performance;
    let number = |number: &Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    let mut key = ["modify/", &member.claim, "/", &target.size.canonical()].concat();
    for part in [volume_type.unwrap_or_default(), &number(iops), &number(throughput)] {
        if !part.is_empty() {
            key.push('/');
            key.push_str(part);
        }
    }
    let action = ModifyVolume {
        claim: member.claim.clone(),
        size: Some(target.size.text().to_owned()),
        iops: *iops,
        throughput: *throughput,
        volume_type: volume_type.map(str::to_owned),
    };
    (key, Action::ModifyVolume(action))
}

fn progress(state: Option<&ActionState>, working: &str) -> Progress {
    let Some(state) = state else { return Progress::Working(working.to_owned()) };
    let told = |words: &str| if state.message.is_empty() { words.to_owned() } else { state.message.clone() };
    match state.phase {
        ActionPhase::Done => Progress::Done,
        ActionPhase::Pending | ActionPhase::Running => Progress::Working(told(working)),
        ActionPhase::Failed => Progress::Failed(told("it did not work")),
        ActionPhase::Refused => Progress::Refused(told("this is not done here")),
    }
}
