//! The processes of the local cluster as the machine sees them: those of pods and those of the control plane.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read, read_dir, read_to_string};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The time between two looks at all processes. PostgreSQL takes longer to stop and start.
const PERIOD: Duration = Duration::from_millis(200);

/// The starts of PostgreSQL by the member's name, each by its process id.
pub type Starts = BTreeMap<String, BTreeSet<u32>>;

/// Kills a service of the node, as in `etcd`, with SIGKILL. The node starts it again.
///
/// # Panics
/// If it does not run and does not start.
pub fn kill_service(name: &str) {
    let state = crate::kubeconfig().parent().unwrap().display().to_string();
    let runs_it = |pid: &u32| {
        let arguments = strings(*pid, "cmdline");
        arguments.first().is_some_and(|program| program == "node")
            && arguments.get(1).is_some_and(|service| service == name)
            && strings(*pid, "environ").contains(&format!("PGLOOM_CLUSTER_STATE={state}"))
    };
    // It may have ended by itself because another service has, and wait for that one.
    let pid = crate::eventually(&format!("{name} runs"), || processes().find(runs_it).ok_or_else(String::new));
    kill(pid);
}

/// Kills a program in a pod, which is given by its uid, with SIGKILL.
///
/// # Panics
/// If it does not run exactly once.
pub fn kill_in_pod(uid: &str, program: &str) {
    let runs_it = |pid: &u32| {
        let groups = read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        name(*pid) == program && groups.contains(&format!("pod{uid}"))
    };
    let found: Vec<u32> = processes().filter(runs_it).collect();
    assert_eq!(found.len(), 1, "processes of {program} in the pod {uid}");
    kill(found[0]);
}

fn kill(pid: u32) {
    let status = Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill: {status}");
}

/// A watch of the starts of PostgreSQL in all pods of a namespace. It ends on drop.
pub struct PostgresWatch {
    starts: Arc<Mutex<Starts>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PostgresWatch {
    /// Starts to watch.
    pub fn of(namespace: &str) -> Self {
        let (starts, ends) = (Arc::new(Mutex::new(Starts::new())), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (starts, ends, namespace) = (Arc::clone(&starts), Arc::clone(&ends), namespace.to_owned());
            std::thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    for (member, pid) in processes().filter_map(|pid| Some((postmaster(pid, &namespace)?, pid))) {
                        starts.lock().unwrap().entry(member).or_default().insert(pid);
                    }
                    std::thread::sleep(PERIOD);
                }
            })
        };
        Self { starts, ends, thread: Some(thread) }
    }

    /// All starts so far.
    ///
    /// # Panics
    /// If the watch has ended.
    pub fn starts(&self) -> Starts {
        self.starts.lock().unwrap().clone()
    }
}

impl Drop for PostgresWatch {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// How often PostgreSQL was started in each member that ran before.
pub fn restarts(before: &Starts, after: &Starts) -> BTreeMap<String, usize> {
    let more = |(member, starts): (&String, &BTreeSet<u32>)| {
        (member.clone(), after.get(member).map_or(0, |after| after.difference(starts).count()))
    };
    before.iter().map(more).collect()
}

/// The member whose server the process is: the one that accepts connections, not one for a repair or a check.
fn postmaster(pid: u32, namespace: &str) -> Option<String> {
    // A process that the server has just forked still has the server's arguments.
    if name(pid) != "postgres" || name(parent(pid)?) == "postgres" {
        return None;
    }
    let arguments = strings(pid, "cmdline");
    let serves = arguments.iter().any(|argument| argument.starts_with("--config-file="))
        && !arguments.iter().any(|argument| argument == "--single" || argument == "-C");
    let environment = strings(pid, "environ");
    let value = |name: &str| environment.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
    (serves && value("POD_NAMESPACE") == Some(namespace)).then(|| value("HOSTNAME").map(str::to_owned))?
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = read_dir("/proc").unwrap().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn name(pid: u32) -> String {
    read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

fn parent(pid: u32) -> Option<u32> {
    let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// The strings of a file of a process, each of which ends with a zero byte.
fn strings(pid: u32, file: &str) -> Vec<String> {
    let bytes = read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}
