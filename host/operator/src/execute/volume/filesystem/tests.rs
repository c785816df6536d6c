//! Filesystems that grow, by commands as a container answers them, and over the wire of the API server.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::json;
use stand_in::{End, Right, Server, State};

use super::*;
use crate::execute::command::{Exec, Output};

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
async fn a_failure_says_what_the_program_wrote() {
    let answers = Answers::new(&[("cat /proc/mounts", (0, MOUNTS)), ("resize2fs /dev/nvme1n1", (1, "a\nno device"))]);
    let message = grown(&answers, "pgdata-c-0", 0).await.unwrap_err();
    assert_eq!(message, "resize2fs failed in pod c-0: exit code 1: no device");
}

#[tokio::test]
async fn what_cannot_grow_is_told_and_nothing_is_run() {
    let answers = Answers::new(&[("cat /proc/mounts", (0, "/dev/sdb /home/postgres/pgdata btrfs rw 0 0\n"))]);
    assert!(
        grown(&answers, "pgdata-c-0", 0).await.unwrap_err().starts_with("the filesystem of claim pgdata-c-0 is btrfs")
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

/// An API server whose containers have these programs, and a client of it.
async fn served(programs: &[(&str, End)], denied: &[&str]) -> (Server, Exec) {
    let server = Server::new(State::default());
    server.with(|state| {
        state.programs = programs.iter().map(|(words, end)| ((*words).to_owned(), end.clone())).collect();
        state.denied = Right::each(denied, "", "pods/exec");
    });
    let address = format!("http://{}", server.listen().await.unwrap());
    let client = kube::Client::try_from(kube::Config::new(address.parse().unwrap())).unwrap();
    (server, Exec { client })
}

const GROWS: &str = "resize2fs /dev/nvme1n1";

#[tokio::test]
async fn the_commands_reach_the_container_of_the_claim_word_by_word_and_without_input() {
    let programs = [
        ("cat /proc/mounts", End::Exit(MOUNTS, "", 0)),
        ("cat /sys/class/block/nvme1n1/size", End::Exit("4194304\n", "", 0)),
        (GROWS, End::Exit("", "resize2fs 1.47.0\n", 0)),
    ];
    let (server, exec) = served(&programs, &[]).await;
    let message = grow(&exec, "ns", &pod(), "pgdata-c-0", Some(2 << 30)).await.unwrap();
    assert_eq!(message, "the ext4 filesystem of claim pgdata-c-0 has the size of its volume");
    let ran = server.with(|state| state.commands.clone());
    let words: Vec<_> = ran.iter().map(|command| command.words.join("|")).collect();
    assert_eq!(words, ["cat|/proc/mounts", "cat|/sys/class/block/nvme1n1/size", "resize2fs|/dev/nvme1n1"]);
    for command in ran {
        assert_eq!((&*command.namespace, &*command.pod, &*command.container), ("ns", "c-0", "postgres"));
        assert_eq!(command.attached, ["stdout", "stderr"]);
    }
}

#[tokio::test]
async fn what_goes_wrong_on_the_wire_is_told_with_the_pod_and_the_program() {
    let mounts = ("cat /proc/mounts", End::Exit(MOUNTS, "", 0));
    let unseen = ("cat /sys/class/block/nvme1n1/size", End::Exit("", "cat: No such file or directory\n", 1));
    let refused = "failed to run a command in pod c-0: pods/exec is forbidden";
    for (end, denied, expected) in [
        (
            End::Exit("", "open: no such device\n", 1),
            None,
            "resize2fs failed in pod c-0: exit code 1: open: no such device",
        ),
        (End::Absent, None, "pod c-0 could not run resize2fs: no such program"),
        (End::Cut, None, "pod c-0 did not answer"),
        (End::Exit("", "", 0), Some("get"), refused),
    ] {
        let (_server, exec) = served(&[mounts.clone(), unseen.clone(), (GROWS, end.clone())], denied.as_slice()).await;
        let error = grow(&exec, "ns", &pod(), "pgdata-c-0", None).await.unwrap_err();
        let message = pgloom_common::error::error_chain(&error);
        assert!(message.starts_with(expected), "{end:?}: {message}");
    }
    let (server, exec) = served(&[mounts, unseen, (GROWS, End::Never)], &[]).await;
    let waiting = tokio::time::timeout(Duration::from_millis(300), grow(&exec, "ns", &pod(), "pgdata-c-0", None)).await;
    assert!(waiting.is_err(), "it waits as long as the caller does");
    assert_eq!(server.with(|state| state.commands.len()), 3);
}

mod device;
