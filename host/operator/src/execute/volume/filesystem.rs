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
    #[error(
        "{program} failed in pod {pod}: {reason}; the container needs the device of the volume, as with spilo_privileged: true; otherwise set storage_resize_mode to pvc"
    )]
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
    mounts.lines().filter_map(line).last()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::FutureExt as _;
    use futures::future::BoxFuture;
    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;
    use crate::execute::command::Output;

    const MOUNTS: &str = "overlay / overlay rw 0 0\n/dev/nvme1n1 /home/postgres/pgdata ext4 rw 0 0\n";

    /// A container that answers a command by its text; every other one is not found.
    struct Answers(BTreeMap<&'static str, (i32, &'static str)>, Mutex<Vec<String>>);

    impl Answers {
        fn new(answers: &[(&'static str, (i32, &'static str))]) -> Self {
            Self(answers.iter().copied().collect(), Mutex::default())
        }
    }

    impl Commands for Answers {
        fn run<'a>(
            &'a self,
            container: &'a Container,
            command: &'a [&'a str],
        ) -> BoxFuture<'a, Result<Output, command::Error>> {
            assert_eq!((&*container.namespace, &*container.pod, &*container.name), ("ns", "c-0", "postgres"));
            let command = command.join(" ");
            let (code, errors) = self.0.get(command.as_str()).copied().unwrap_or((1, "No such file or directory"));
            self.1.lock().push(command);
            let (text, errors) = if code == 0 { (errors, "") } else { ("", errors) };
            async move { Ok(Output { text: text.into(), errors: errors.into(), code }) }.boxed()
        }
    }

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "c-0"},
            "spec": {
                "volumes": [{"name": "pgdata", "persistentVolumeClaim": {"claimName": "pgdata-c-0"}}],
                "containers": [
                    {"name": "sidecar"},
                    {"name": "postgres", "volumeMounts": [{"name": "pgdata", "mountPath": "/home/postgres/pgdata/"}]},
                ],
            },
        }))
        .unwrap()
    }

    async fn grown(answers: &Answers, claim: &str, size: i64) -> Result<String, String> {
        grow(answers, "ns", &pod(), claim, Some(size)).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_program_of_the_filesystem_is_run_where_the_claim_is_mounted() {
        for (mounts, program) in [
            (MOUNTS, "resize2fs /dev/nvme1n1"),
            ("/dev/sdb /home/postgres/pgdata xfs rw 0 0\n", "xfs_growfs /home/postgres/pgdata"),
        ] {
            let answers = Answers::new(&[("cat /proc/mounts", (0, mounts)), (program, (0, ""))]);
            assert!(grown(&answers, "pgdata-c-0", 1 << 30).await.is_ok(), "{program}");
            assert_eq!(answers.1.lock().last().map(String::as_str), Some(program));
        }
    }

    #[tokio::test]
    async fn it_waits_until_the_node_sees_the_larger_volume() {
        let answers = |sectors: &'static str| {
            Answers::new(&[
                ("cat /proc/mounts", (0, MOUNTS)),
                ("cat /sys/class/block/nvme1n1/size", (0, sectors)),
                ("resize2fs /dev/nvme1n1", (0, "")),
            ])
        };
        let (small, large) = (answers("2097152\n"), answers("4194304\n"));
        let message = "the node does not see the new size of the volume of claim pgdata-c-0 yet";
        assert_eq!(grown(&small, "pgdata-c-0", 2 << 30).await, Err(message.to_owned()));
        assert_eq!(small.1.lock().len(), 2, "nothing was grown");
        assert!(grown(&large, "pgdata-c-0", 2 << 30).await.is_ok());
    }

    #[tokio::test]
    async fn a_failure_says_what_the_program_wrote_and_the_remedy() {
        let answers =
            Answers::new(&[("cat /proc/mounts", (0, MOUNTS)), ("resize2fs /dev/nvme1n1", (1, "a\nno device"))]);
        let message = grown(&answers, "pgdata-c-0", 0).await.unwrap_err();
        let expected = "resize2fs failed in pod c-0: exit code 1: no device; the container needs the device";
        assert!(message.starts_with(expected), "{message}");
    }

    #[tokio::test]
    async fn what_cannot_grow_is_told_and_nothing_is_run() {
        let answers = Answers::new(&[("cat /proc/mounts", (0, "/dev/sdb /home/postgres/pgdata btrfs rw 0 0\n"))]);
        assert!(
            grown(&answers, "pgdata-c-0", 0)
                .await
                .unwrap_err()
                .starts_with("the filesystem of claim pgdata-c-0 is btrfs")
        );
        let expected = "no container of pod c-0 mounts claim pgdata-c-1";
        assert_eq!(grown(&answers, "pgdata-c-1", 0).await, Err(expected.to_owned()));
        let answers = Answers::new(&[("cat /proc/mounts", (0, "overlay / overlay rw 0 0\n"))]);
        assert_eq!(
            grown(&answers, "pgdata-c-0", 0).await,
            Err("pod c-0 does not say which filesystem is at /home/postgres/pgdata".to_owned())
        );
        assert_eq!(answers.1.lock().len(), 1);
    }
}
