//! The report: the condition `VolumeResized`, and findings for volumes that cannot be resized.

use pgloom_kit::{ConditionStatus, Response, Severity, Warnings};

use crate::member::Member;
use crate::plan::{NextActions, Progress};
use crate::target::Target;

const CONDITION: &str = "VolumeResized";
const SIZE: &str = "spec.volume.size";

/// The report on all members; empty if there are none yet.
pub fn report(target: &Target, members: &[Member], plans: &[NextActions], warnings: &mut Warnings) -> Response {
    if members.is_empty() {
        return Response::new();
    }
    warn_of_shrinking(target, members, plans, warnings);
    let (status, reason) = verdict(plans);
    report_off(target, members, plans).condition(CONDITION, status, reason, message(target, members, plans))
}

/// Status and reason of the condition: the worst progress of all members.
fn verdict(plans: &[NextActions]) -> (ConditionStatus, &'static str) {
    let any = |is: fn(&Progress) -> bool| plans.iter().any(|plan| is(&plan.progress));
    let reason = if any(|progress| *progress == Progress::TooLarge) {
        "CannotShrink"
    } else if any(|progress| matches!(progress, Progress::Refused(_))) {
        "Refused"
    } else if any(|progress| matches!(progress, Progress::Failed(_))) {
        "Failed"
    } else if any(|progress| matches!(progress, Progress::Working(_))) {
        "Resizing"
    } else if any(|progress| *progress == Progress::Off) {
        "Off"
    } else {
        return (ConditionStatus::True, "AsRequested");
    };
    (ConditionStatus::False, reason)
}

fn message(target: &Target, members: &[Member], plans: &[NextActions]) -> String {
    let done = plans.iter().filter(|plan| plan.progress == Progress::Done).count();
    let mut message = format!("{done} of {} volumes are as requested, with {}", plans.len(), target.size);
    for (member, plan) in members.iter().zip(plans) {
        let words = match &plan.progress {
            Progress::Done => continue,
            Progress::Working(words) | Progress::Failed(words) | Progress::Refused(words) => words.as_str(),
            Progress::TooLarge => "the volume is larger and cannot shrink",
            Progress::Off => "the volume is smaller, and storage_resize_mode is off",
        };
        message = format!("{message}; {} of {}: {words}", member.claim, member.requested);
    }
    message
}

fn warn_of_shrinking(target: &Target, members: &[Member], plans: &[NextActions], warnings: &mut Warnings) {
    let largest = members
        .iter()
        .zip(plans)
        .filter(|(_, plan)| plan.progress == Progress::TooLarge)
        .map(|(member, _)| member)
        .max_by(|left, right| left.requested.cmp(&right.requested));
    if let Some(largest) = largest {
        let size = largest.requested.text();
        warnings.warn(
            SIZE,
            format!("a volume cannot shrink: {} has {size}, and {} is requested", largest.claim, target.size),
            format!("write {size}, or create a new cluster with the smaller volume as a clone of this one"),
        );
    }
}

fn report_off(target: &Target, members: &[Member], plans: &[NextActions]) -> Response {
    let response = Response::new();
    let Some((member, _)) = members.iter().zip(plans).find(|(_, plan)| plan.progress == Progress::Off) else {
        return response;
    };
    response.find(
        Severity::Info,
        SIZE,
        format!("{} has {} instead of {}", member.claim, member.requested, target.size),
        "expand the claims by hand, or set storage_resize_mode to pvc",
    )
}
