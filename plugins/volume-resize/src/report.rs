//! What people are told: the condition `VolumeResized`, and a way out for what cannot be done.

use pgloom_kit::{ConditionStatus, Notes, Response, Severity};

use crate::member::Member;
use crate::plan::{Plan, Progress};
use crate::target::Target;

const CONDITION: &str = "VolumeResized";
const SIZE: &str = "spec.volume.size";

/// Reports on all members; nothing if there are none yet.
pub fn report(target: &Target, members: &[Member], plans: &[Plan], notes: &mut Notes) -> Response {
    if members.is_empty() {
        return Response::new();
    }
    warn_of_shrinking(target, members, plans, notes);
    let (status, reason) = verdict(plans);
    left(target, members, plans).condition(CONDITION, status, reason, message(target, members, plans))
}

/// The worst of what there is to say of members.
fn verdict(plans: &[Plan]) -> (ConditionStatus, &'static str) {
    let any = |is: fn(&Progress) -> bool| plans.iter().any(|plan| is(&plan.progress));
    let reason = if any(|progress| *progress == Progress::TooLarge) {
        "CannotShrink"
    } else if any(|progress| matches!(progress, Progress::Refused(_))) {
        "Refused"
    } else if any(|progress| matches!(progress, Progress::Failed(_))) {
        "Failed"
    } else if any(|progress| matches!(progress, Progress::Working(_))) {
        "Resizing"
    } else if any(|progress| *progress == Progress::Left) {
        "Off"
    } else {
        return (ConditionStatus::Yes, "AsRequested");
    };
    (ConditionStatus::No, reason)
}

fn message(target: &Target, members: &[Member], plans: &[Plan]) -> String {
    let done = plans.iter().filter(|plan| plan.progress == Progress::Done).count();
    let mut message =
        [&done.to_string(), " of ", &plans.len().to_string(), " volumes are as requested, with ", target.size.text()]
            .concat();
    for (member, plan) in members.iter().zip(plans) {
        let words = match &plan.progress {
            Progress::Done => continue,
            Progress::Working(words) | Progress::Failed(words) | Progress::Refused(words) => words.as_str(),
            Progress::TooLarge => "it is larger and cannot shrink",
            Progress::Left => "it is smaller, and storage_resize_mode is off",
        };
        message = [&message, "; ", &member.claim, " of ", member.requested.text(), ": ", words].concat();
    }
    message
}

fn warn_of_shrinking(target: &Target, members: &[Member], plans: &[Plan], notes: &mut Notes) {
    let largest = members
        .iter()
        .zip(plans)
        .filter(|(_, plan)| plan.progress == Progress::TooLarge)
        .map(|(member, _)| member)
        .max_by(|left, right| left.requested.cmp(&right.requested));
    if let Some(largest) = largest {
        let size = largest.requested.text();
        notes.warn(
            SIZE,
            ["a volume cannot shrink: ", &largest.claim, " has ", size, ", and ", target.size.text(), " are asked for"]
                .concat(),
            ["set it to ", size, ", or create a new cluster with the smaller volume as a clone of this one"].concat(),
        );
    }
}

fn left(target: &Target, members: &[Member], plans: &[Plan]) -> Response {
    let response = Response::new();
    let Some((member, _)) = members.iter().zip(plans).find(|(_, plan)| plan.progress == Progress::Left) else {
        return response;
    };
    response.find(
        Severity::Info,
        SIZE,
        [&member.claim, " stays at ", member.requested.text(), " instead of ", target.size.text()].concat(),
        "raise the claims by hand, or set storage_resize_mode to pvc",
    )
}
