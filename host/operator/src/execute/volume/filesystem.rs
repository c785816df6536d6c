//! Grows the filesystem of a claim to the size of its volume, by the programs in the container that mounts it.

use k8s_openapi::api::core::v1::Pod;
use pgloom_common::error::one_line;

use crate::execute::command::{self, Commands, Container};

/// The most bytes of a program's output in a message.
const MAX_MESSAGE: usize = 300;
/// The unit in which the kernel reports the size of a device, in bytes.
const SECTOR: i64 = 512;

/// Why a filesystem did not grow.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container of the pod mounts the claim.
    #[error("no container of pod {pod} mounts claim {claim}")]
    Mount {
        /// The name of the pod.
        pod: String,
        /// The name of the claim.
        claim: String,
    },
    /// A program did not run.
    #[error(transparent)]
    Run(#[from] command::Error),
    /// The container's list of mounts does not have the claim.
    #[error("pod {pod} does not say which filesystem is at {path}")]
    Find {
        /// The name of the pod.
        pod: String,
        /// Where the claim is mounted.
        path: String,
    },
    /// There is no program for the filesystem.
    #[error(
        "the filesystem of claim {claim} is {kind}, and only ext2, ext3, ext4 and xfs can grow while they are mounted"
    )]
    Kind {
        /// The name of the claim.
        claim: String,
        /// As in `btrfs`.
        kind: String,
    },
    /// The node has not noticed yet that the volume is larger.
    #[error("the node does not see the new size of the volume of claim {claim} yet")]
    Device {
        /// The name of the claim.
        claim: String,
    },
    /// The program failed.
    #[error("{program} failed in pod {pod}: {reason}")]
    Grow {
        /// `resize2fs` or `xfs_growfs`.
        program: &'static str,
        /// The name of the pod.
        pod: String,
        /// What it wrote.
        reason: String,
    },
}

/// A mounted filesystem.
#[derive(Debug, PartialEq, Eq)]
struct Filesystem {
    /// As in `/dev/nvme1n1`.
    device: String,
    /// As in `ext4`.
    kind: String,
}

/// Grows the filesystem, and returns a description. `size` is that of the volume in bytes, if it is known: the node may
/// notice a larger volume later than the cloud, and then the filesystem would stay as it is.
///
/// # Errors
/// If it did not grow.
pub async fn grow(
    commands: &dyn Commands,
    namespace: &str,
    pod: &Pod,
    claim: &str,
    size: Option<i64>,
) -> Result<String, Error> {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let mount = mount(pod, claim).ok_or_else(|| Error::Mount { pod: name.clone(), claim: claim.to_owned() })?;
    let container = Container { namespace: namespace.to_owned(), pod: name.clone(), name: mount.container };
    let mounts = commands.run(&container, &["cat", "/proc/mounts"]).await?.text;
    let found = filesystem(&mounts, &mount.path);
    let Filesystem { device, kind } =
        found.ok_or_else(|| Error::Find { pod: name.clone(), path: mount.path.clone() })?;
    let (program, argument) = match kind.as_str() {
        "ext2" | "ext3" | "ext4" => ("resize2fs", device.as_str()),
        "xfs" => ("xfs_growfs", mount.path.as_str()),
        _ => return Err(Error::Kind { claim: claim.to_owned(), kind }),
    };
    let wanted = size.unwrap_or_default();
    if device_size(commands, &container, &device).await?.is_some_and(|size| size < wanted) {
        return Err(Error::Device { claim: claim.to_owned() });
    }
    let output = commands.run(&container, &[program, argument]).await?;
    if output.code != 0 {
        let all = format!("{}\n{}", output.text, output.errors);
        let last = all.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let reason = format!("exit code {}: {}", output.code, one_line(last, MAX_MESSAGE));
        return Err(Error::Grow { program, pod: name, reason });
    }
    Ok(format!("the {kind} filesystem of claim {claim} has the size of its volume"))
}

/// The size of a device in bytes, as the node sees it; `None` if the container does not show it.
async fn device_size(
    commands: &dyn Commands,
    container: &Container,
    device: &str,
) -> Result<Option<i64>, command::Error> {
    let file = format!("/sys/class/block/{}/size", device.rsplit('/').next().unwrap_or_default());
    let output = commands.run(container, &["cat", &file]).await?;
    Ok(output.text.trim().parse::<i64>().ok().map(|sectors| sectors.saturating_mul(SECTOR)))
}

struct Mount {
    container: String,
    path: String,
}

/// The first container that mounts a claim, and where.
fn mount(pod: &Pod, claim: &str) -> Option<Mount> {
    let spec = pod.spec.as_ref()?;
    let volumes = spec.volumes.iter().flatten();
    let of_claim = |volume: &&k8s_openapi::api::core::v1::Volume| {
        volume.persistent_volume_claim.as_ref().is_some_and(|source| source.claim_name == claim)
    };
    let volume = volumes.filter(of_claim).map(|volume| &volume.name).next()?;
    spec.containers.iter().find_map(|container| {
        let mount = container.volume_mounts.iter().flatten().find(|mount| mount.name == *volume)?;
        Some(Mount { container: container.name.clone(), path: mount.mount_path.trim_end_matches('/').to_owned() })
    })
}

/// The filesystem at a path, by `/proc/mounts`. What was mounted last is seen.
fn filesystem(mounts: &str, path: &str) -> Option<Filesystem> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        let (device, at, kind) = (words.next()?, words.next()?, words.next()?);
        // The kernel writes spaces as octal numbers.
        (at.replace("\\040", " ") == path)
            .then(|| Filesystem { device: device.replace("\\040", " "), kind: kind.to_owned() })
    };
    mounts.lines().rev().find_map(line)
}

#[cfg(test)]
mod tests;
