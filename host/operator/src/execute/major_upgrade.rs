//! Runs the image's upgrade to another major version in the leader's pod, and finds its end.
//!
//! The script goes on in the pod whether or not the operator does: it is started apart from the request, and writes its output
//! and exit code into files of the volume. One run has one id, with which it is started at most once.

use std::time::Duration;

use pgloom_common::error::one_line;

use super::command::{Commands, Container, Error};

/// The pause between two questions whether the script has ended.
const PERIOD: Duration = Duration::from_secs(3);
/// The most bytes of the script's last line that are kept.
const MAX_LINE: usize = 800;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The exit code; `None` if the script ended without leaving one, as with its container.
    pub code: Option<i32>,
    /// The last line that it wrote.
    pub last: String,
}

/// Starts the upgrade with this id unless it was started before, and waits for its end. `members` is the number of members that
/// the cluster has.
///
/// # Errors
/// If a command could not be run. Then the upgrade may go on, and may be waited for again.
pub async fn upgrade(commands: &dyn Commands, container: &Container, id: u64, members: usize) -> Result<Ended, Error> {
    run(commands, container, &begin(id, members)).await?;
    loop {
        let output = run(commands, container, &question(id)).await?;
        match ended(&output) {
            Some(ended) => return Ok(ended),
            None => tokio::time::sleep(PERIOD).await,
        }
    }
}

async fn run(commands: &dyn Commands, container: &Container, script: &str) -> Result<String, Error> {
    let command = as_postgres(script);
    let output = commands.run(container, &["/bin/bash", "-c", &command]).await?;
    if output.code == 0 {
        return Ok(output.text);
    }
    let reason = one_line(&format!("exit code {}: {}{}", output.code, output.text, output.errors), MAX_LINE);
    Err(Error::Start { pod: container.pod.clone(), command: "the upgrade".to_owned(), reason })
}

/// The script as the user that PostgreSQL runs as: a pod may run as that user or as root. It has no single quotes.
fn as_postgres(script: &str) -> String {
    format!(r#"if [ "$(id -u)" = 0 ]; then exec /bin/su postgres -s /bin/bash -c '{script}'; fi; {script}"#)
}

/// Where the files of the run are: on the volume, so that they outlive the container.
const FOLDER: &str = r#"cd "${PGROOT:-/home/postgres}" || exit 1"#;

fn begin(id: u64, members: usize) -> String {
    let run = format!(
        r"/usr/bin/python3 /scripts/inplace_upgrade.py {members} >last_upgrade.log 2>&1; echo \$? >last_upgrade.code"
    );
    format!(
        r#"{FOLDER}; if [ "$(cat last_upgrade.id 2>/dev/null)" != {id} ]; then rm -f last_upgrade.code last_upgrade.pid && echo {id} >last_upgrade.id && (setsid /bin/bash -c "{run}" </dev/null >/dev/null 2>&1 & echo $! >last_upgrade.pid); fi"#
    )
}

/// A process that has the number of one that ended is not the upgrade.
fn question(id: u64) -> String {
    format!(
        r#"{FOLDER}; if [ "$(cat last_upgrade.id 2>/dev/null)" = {id} ] && grep -qs inplace_upgrade "/proc/$(cat last_upgrade.pid 2>/dev/null)/cmdline"; then echo running; elif [ "$(cat last_upgrade.id 2>/dev/null)" = {id} ] && [ -f last_upgrade.code ]; then cat last_upgrade.code; tail -n 1 last_upgrade.log; else echo lost; fi"#
    )
}

/// The end of the run by the answer to the question; `None` while it runs.
fn ended(answer: &str) -> Option<Ended> {
    let (first, rest) = answer.trim().split_once('\n').unwrap_or((answer.trim(), ""));
    match first {
        "running" => None,
        code => Some(Ended { code: code.trim().parse().ok(), last: one_line(rest, MAX_LINE) }),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use futures::FutureExt as _;
    use futures::future::BoxFuture;

    use super::*;
    use crate::execute::command::Output;

    /// A pod that is a folder of this machine, with a script in the place of the image's.
    struct Folder(std::path::PathBuf, &'static str);

    impl Folder {
        fn new(name: &str, script: &'static str) -> Self {
            let folder = std::env::temp_dir().join(format!("pgloom-upgrade-{name}-{}", std::process::id()));
            _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder, script)
        }

        fn read(&self, name: &str) -> String {
            std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
        }
    }

    impl Commands for Folder {
        fn run<'a>(&'a self, _: &'a Container, command: &'a [&'a str]) -> BoxFuture<'a, Result<Output, Error>> {
            // As the user that runs the test.
            let (_, script) = command[2].split_once("fi; cd ").unwrap();
            let script = format!("cd {script}").replace("/usr/bin/python3 /scripts/inplace_upgrade.py", self.1);
            let ended = Command::new("/bin/bash").args(["-c", &script]).env("PGROOT", &self.0).output().unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            let output =
                Output { text: text(ended.stdout), errors: text(ended.stderr), code: ended.status.code().unwrap() };
            async move { Ok(output) }.boxed()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn container() -> Container {
        Container { namespace: "ns".into(), pod: "c-0".into(), name: "postgres".into() }
    }

    #[tokio::test]
    async fn a_run_is_started_once_and_its_end_is_found_by_whoever_asks_later() {
        let pod =
            Folder::new("once", "inplace_upgrade() { echo run >>runs; echo the cluster runs 18; }; inplace_upgrade");
        let expected = Ended { code: Some(0), last: "the cluster runs 18".into() };
        for _ in 0..2 {
            assert_eq!(upgrade(&pod, &container(), 7, 2).await.unwrap(), expected);
        }
        assert_eq!(pod.read("runs"), "run\n");
        upgrade(&pod, &container(), 8, 2).await.unwrap();
        assert_eq!(pod.read("runs"), "run\nrun\n", "another id is another run");
    }

    #[tokio::test]
    async fn the_end_of_a_run_that_fails_has_its_last_line() {
        let pod = Folder::new(
            "fails",
            "inplace_upgrade() { echo first; echo failed: a column of type aclitem; false; }; inplace_upgrade",
        );
        let expected = Ended { code: Some(1), last: "failed: a column of type aclitem".into() };
        assert_eq!(upgrade(&pod, &container(), 7, 2).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn a_run_that_ended_with_its_container_has_no_code_and_is_not_started_again() {
        let pod = Folder::new("lost", "inplace_upgrade() { echo run >>runs; }; inplace_upgrade");
        std::fs::write(pod.0.join("last_upgrade.id"), "7").unwrap();
        std::fs::write(pod.0.join("last_upgrade.pid"), "1").unwrap();
        assert_eq!(upgrade(&pod, &container(), 7, 2).await.unwrap(), Ended { code: None, last: String::new() });
        assert_eq!(pod.read("runs"), "");
    }

    #[test]
    fn the_script_is_upstreams_and_is_run_as_postgres() {
        let command = as_postgres(&begin(7, 3));
        assert!(command.contains("/usr/bin/python3 /scripts/inplace_upgrade.py 3 >last_upgrade.log"), "{command}");
        assert_eq!(command.matches('\'').count(), 2, "{command}");
    }
}
