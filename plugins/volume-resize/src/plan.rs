//! The actions for one member, and its progress: a pure function of the member and of the states of earlier actions.

use pgloom_kit::{Action, ActionPhase, ActionState, ExpandClaim, GrowFilesystem, ModifyVolume};

use crate::member::Member;
use crate::target::{Mode, Performance, Target};

/// The progress of a member's volume.
#[derive(Debug, PartialEq)]
pub enum Progress {
    /// The volume has the requested size and performance.
    Done,
    /// A change is in progress: a description of it.
    Working(String),
    /// A change failed and is retried: the reason.
    Failed(String),
    /// A change is refused: the reason.
    Refused(String),
    /// The volume is larger than requested, and volumes cannot shrink.
    TooLarge,
    /// The volume is smaller than requested, and resizing is off.
    Off,
}

/// What comes next for one member.
pub struct NextActions {
    /// The actions, each with its key.
    pub actions: Vec<(String, Action)>,
    /// The progress.
    pub progress: Progress,
}

impl NextActions {
    fn of(progress: Progress) -> Self {
        Self { actions: Vec::new(), progress }
    }
}

/// Plans the next actions; `state` returns the state of the action with a key.
pub fn plan<'a>(target: &Target, member: &Member, state: impl Fn(&str) -> Option<&'a ActionState>) -> NextActions {
    if member.requested > target.size {
        return NextActions::of(Progress::TooLarge);
    }
    match target.mode {
        Mode::Off if member.requested < target.size => NextActions::of(Progress::Off),
        Mode::Off => NextActions::of(Progress::Done),
        Mode::Claims => claim(target, member, state),
        Mode::Cloud if member.is_smaller(&target.size) => cloud(target, member, state),
        Mode::Cloud => NextActions::of(Progress::Done),
        Mode::Mixed => mixed(target, member, state),
    }
}

/// The size in the claim is increased; Kubernetes grows the volume and the filesystem.
fn claim<'a>(target: &Target, member: &Member, state: impl Fn(&str) -> Option<&'a ActionState>) -> NextActions {
    if member.requested < target.size {
        let key = format!("expand/{}/{}", member.claim, target.size.canonical());
        let progress = progress(state(&key), "the claim is being expanded");
        let action = ExpandClaim { claim: member.claim.clone(), size: target.size.text().to_owned() };
        // The observed claim still has the old size, so this is not done yet.
        let progress =
            if progress == Progress::Done { Progress::Working("the claim was expanded".to_owned()) } else { progress };
        return NextActions { actions: vec![(key, Action::ExpandClaim(action))], progress };
    }
    NextActions::of(match &member.problem {
        Some(problem) => Progress::Failed(problem.clone()),
        None if member.is_smaller(&target.size) => {
            Progress::Working("the storage provider grows the volume".to_owned())
        }
        None => Progress::Done,
    })
}

/// The cloud grows the volume, then the filesystem in the pod is grown. The claim keeps the old size, so both actions
/// stay in the answer; the host does not repeat an action that is done.
fn cloud<'a>(target: &Target, member: &Member, state: impl Fn(&str) -> Option<&'a ActionState>) -> NextActions {
    let (key, action) = modify(target, member);
    let modified = progress(state(&key), CHANGING);
    let mut actions = vec![(key, action)];
    if modified != Progress::Done {
        return NextActions { actions, progress: modified };
    }
    let key = format!("grow/{}/{}", member.claim, target.size.canonical());
    let grown = match progress(state(&key), "the filesystem is being grown") {
        Progress::Failed(reason) => Progress::Failed(format!("{reason}; {BY_COMMANDS}")),
        grown => grown,
    };
    let action = GrowFilesystem { claim: member.claim.clone(), pod: member.pod.clone() };
    actions.push((key, Action::GrowFilesystem(action)));
    NextActions { actions, progress: grown }
}

/// The cloud changes the volume, then the claim is expanded. It is expanded even if the cloud fails, because a full
/// volume stops the database.
fn mixed<'a>(target: &Target, member: &Member, state: impl Fn(&str) -> Option<&'a ActionState>) -> NextActions {
    let Performance { iops, throughput, volume_type } = &target.performance;
    let is_tuned = iops.is_some() || throughput.is_some() || volume_type.is_some();
    if !is_tuned && !member.is_smaller(&target.size) {
        return claim(target, member, state);
    }
    let (key, action) = modify(target, member);
    let modified = progress(state(&key), CHANGING);
    let mut actions = vec![(key, action)];
    if matches!(modified, Progress::Working(_)) {
        return NextActions { actions, progress: modified };
    }
    let raised = claim(target, member, state);
    actions.extend(raised.actions);
    NextActions { actions, progress: if modified == Progress::Done { raised.progress } else { modified } }
}

/// What a filesystem needs that is grown by commands.
const BY_COMMANDS: &str = "the container needs the device of the volume, as with spilo_privileged: true, and resize2fs or \
    xfs_growfs; otherwise set storage_resize_mode to pvc";

/// AWS allows one change of a volume in 6 hours, see
/// [modifications](https://docs.aws.amazon.com/ebs/latest/userguide/modify-volume-requirements.html).
const CHANGING: &str = "the cloud changes the volume, at most once in 6 hours";

fn modify(target: &Target, member: &Member) -> (String, Action) {
    let Performance { iops, throughput, volume_type } = &target.performance;
    let number = |number: &Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    let mut key = format!("modify/{}/{}", member.claim, target.size.canonical());
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
    let message = |default: &str| if state.message.is_empty() { default.to_owned() } else { state.message.clone() };
    match state.phase {
        ActionPhase::Done => Progress::Done,
        ActionPhase::Pending | ActionPhase::Running => Progress::Working(message(working)),
        ActionPhase::Failed => Progress::Failed(message("the action failed")),
        ActionPhase::Refused => Progress::Refused(message("the action is refused")),
    }
}
