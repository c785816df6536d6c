//! The next change of a cloud volume: a pure function of the volume, its last modification, and what is wanted.

use pgloom_common::quantity::Quantity;
use pgloom_engine::ModifyVolume;

use crate::execute::ec2::{Change, Modification, State, Volume};

/// The size in which volumes are measured, in bytes.
const GIB: i64 = 1 << 30;

/// What is to be done with a volume.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// It is as wanted: a description.
    Done(String),
    /// A modification is in progress: a description.
    Wait(String),
    /// It is to be changed.
    Change(Change),
}

/// What comes next.
///
/// # Errors
/// If the wanted size is none.
pub fn next(volume: &Volume, last: Option<&Modification>, wanted: &ModifyVolume) -> Result<Next, String> {
    let name = &volume.id;
    if let Some(last) = last.filter(|last| last.state == State::Modifying) {
        return Ok(Next::Wait(format!("AWS changes volume {name}: {} %", last.progress)));
    }
    let size = wanted.size.as_deref().map(gibibytes).transpose()?;
    let volume_type = wanted.volume_type.as_ref();
    let change = Change {
        volume: name.clone(),
        // A volume cannot shrink.
        size: size.filter(|size| *size > volume.size),
        iops: wanted.iops.filter(|iops| Some(*iops) != volume.iops),
        throughput: wanted.throughput.filter(|throughput| Some(*throughput) != volume.throughput),
        volume_type: volume_type.filter(|volume_type| **volume_type != volume.volume_type).cloned(),
    };
    if change != (Change { volume: name.clone(), ..Change::default() }) {
        return Ok(Next::Change(change));
    }
    let rest = match last {
        Some(last) if last.state == State::Optimizing => " and is being optimized",
        _ => "",
    };
    Ok(Next::Done(format!("AWS volume {name} has {} GiB{rest}", volume.size)))
}

/// A size in GiB, rounded up.
fn gibibytes(size: &str) -> Result<i64, String> {
    let quantity = Quantity::parse(size).ok().filter(|size| !size.is_zero() && !size.is_negative());
    let bytes = quantity.ok_or_else(|| format!("\"{size}\" is no size: write one as in 5Gi"))?.units();
    Ok(bytes / GIB + i64::from(bytes % GIB > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> Volume {
        Volume { id: "vol-1".into(), size: 5, iops: Some(3000), throughput: Some(125), volume_type: "gp3".into() }
    }

    fn wanted(size: Option<&str>, iops: Option<u32>, throughput: Option<u32>, kind: Option<&str>) -> ModifyVolume {
        let text = |text: Option<&str>| text.map(str::to_owned);
        ModifyVolume { claim: "c".into(), size: text(size), iops, throughput, volume_type: text(kind) }
    }

    fn last(state: State) -> Modification {
        Modification { volume: "vol-1".into(), state, message: String::new(), progress: 40, began: String::new() }
    }

    #[test]
    fn only_what_differs_is_changed_and_a_size_is_rounded_up() {
        let none = || Change { volume: "vol-1".into(), ..Change::default() };
        let text = |text: &str| Some(text.to_owned());
        for (wanted, change) in [
            (wanted(Some("6Gi"), None, None, None), Change { size: Some(6), ..none() }),
            (wanted(Some("5121Mi"), None, None, None), Change { size: Some(6), ..none() }),
            (wanted(Some("5Gi"), Some(4000), Some(125), Some("gp3")), Change { iops: Some(4000), ..none() }),
            (
                wanted(Some("1Gi"), None, Some(250), Some("io2")),
                Change { throughput: Some(250), volume_type: text("io2"), ..none() },
            ),
        ] {
            assert_eq!(next(&volume(), None, &wanted), Ok(Next::Change(change)), "{wanted:?}");
        }
    }

    #[test]
    fn a_volume_that_is_optimized_has_its_size() {
        let grown = wanted(Some("5Gi"), None, None, None);
        let done = |text: &str| Ok(Next::Done(text.to_owned()));
        assert_eq!(next(&volume(), None, &grown), done("AWS volume vol-1 has 5 GiB"));
        assert_eq!(next(&volume(), Some(&last(State::Completed)), &grown), done("AWS volume vol-1 has 5 GiB"));
        let optimized = next(&volume(), Some(&last(State::Optimizing)), &grown);
        assert_eq!(optimized, done("AWS volume vol-1 has 5 GiB and is being optimized"));
    }

    #[test]
    fn a_modification_in_progress_is_waited_for_whatever_the_volume_says() {
        for size in ["5Gi", "6Gi"] {
            let next = next(&volume(), Some(&last(State::Modifying)), &wanted(Some(size), None, None, None));
            assert_eq!(next, Ok(Next::Wait("AWS changes volume vol-1: 40 %".into())));
        }
    }

    #[test]
    fn a_modification_that_failed_is_tried_again() {
        let next = next(&volume(), Some(&last(State::Failed)), &wanted(Some("6Gi"), None, None, None));
        assert!(matches!(next, Ok(Next::Change(_))));
    }

    #[test]
    fn what_is_no_size_is_told() {
        let next = next(&volume(), None, &wanted(Some("much"), None, None, None));
        assert_eq!(next, Err("\"much\" is no size: write one as in 5Gi".into()));
    }
}
