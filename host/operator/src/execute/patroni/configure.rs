//! Makes Patroni's dynamic configuration what is desired, and restarts the members that wait for a restart.
//!
//! Both are read from Patroni at every run: a run that is cut off between the change and the last restart leaves nothing
//! to remember, the next one goes on.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pgloom_common::error::error_chain;
use pgloom_decide::patroni::{
    Desired, Report, Restart, is_synchronous, loop_wait, lowers_a_limit, patch, restart_next,
};
use tracing::info;

use super::{Error, Patroni, RESTART};

/// The longest `loop_wait` that is waited for.
const LONGEST_LOOP: Duration = Duration::from_secs(120);

/// Why no member is restarted while pods are being replaced.
const ROLLING: &str = "the rolling update comes first";

/// What a run may do.
pub struct Limits {
    /// Whether a rolling update is under way: no member is restarted, and a pod that is made again needs no restart.
    pub rolling: bool,
    /// Says why no member may be restarted at the moment; `None` if one may.
    pub held: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// Whether an earlier run saw every member with this configuration, so that only a change needs to be waited for.
    pub seen: bool,
    /// The members that still waited for a restart after an earlier run restarted them. They are not restarted again
    /// unless this run changes the configuration.
    pub restarted: BTreeSet<String>,
    /// How long after its `loop_wait` every Patroni has reported what a change means for its member.
    pub margin: Duration,
    /// When the run ends. A restart that may take longer is left to the next run.
    pub until: Instant,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// The restarts.
    pub restarts: Restarts,
    /// Whether every member has seen the configuration.
    pub seen: bool,
    /// Whether the cluster follows another one.
    pub follows: bool,
    /// Whether it follows although its manifest does not say so.
    pub standby: bool,
}

impl Configured {
    /// Whether the next run is due soon although nothing changes.
    pub fn is_waiting(&self) -> bool {
        self.standby || matches!(self.restarts, Restarts::Wait(_))
    }

    /// The members that were restarted and still wait for a restart.
    pub fn still_pending(&self) -> BTreeSet<String> {
        match &self.restarts {
            Restarts::Stuck(members) => members.clone(),
            Restarts::Done | Restarts::Wait(_) => BTreeSet::new(),
        }
    }
}

/// How the restarts of a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Restarts {
    /// No member waits for a restart.
    #[default]
    Done,
    /// Members wait for a restart, or may, and why they are not restarted yet.
    Wait(String),
    /// These members still wait for a restart after they were restarted.
    Stuck(BTreeSet<String>),
}

/// Makes the configuration what is desired, and restarts one after the other the members that wait for it. `members` are
/// the members by their pods' names.
///
/// # Errors
/// If Patroni does not answer or refuses, or the Patroni of another member answers.
pub async fn configure(
    leader: &Patroni,
    members: &[(String, Patroni)],
    desired: &Desired,
    limits: &Limits,
) -> Result<Configured, Error> {
    leader.check_identity("configure Patroni").await?;
    let mut current = leader.configuration().await?;
    let patch = patch(&current, desired);
    let lowers = patch.as_ref().is_some_and(|patch| lowers_a_limit(&current, patch));
    if let Some(patch) = &patch {
        current = leader.configure(patch).await?;
    }
    let follows = !current["standby_cluster"].is_null();
    let standby = follows && !desired.standby;
    let is_new = patch.is_some() || !limits.seen;
    if is_new && limits.rolling {
        // The rolling update waits while this job runs, so the job waits for nothing.
        let restarts = Restarts::Wait(format!("members may wait for a restart: {ROLLING}"));
        return Ok(Configured { restarts, seen: false, follows, standby });
    }
    // Patroni reports a pending restart, and the end of one, in its next loop.
    let settle = Duration::from_secs(loop_wait(&current)).min(LONGEST_LOOP) + limits.margin;
    if is_new {
        tokio::time::sleep(settle).await;
    }
    let restarted = if patch.is_some() { BTreeSet::new() } else { limits.restarted.clone() };
    let run = Restarting { leader, members, synchronous: is_synchronous(&current), lowers, settle, limits };
    Ok(Configured { restarts: run.restart_all(restarted).await?, seen: true, follows, standby })
}

/// The restarts of one run.
struct Restarting<'a> {
    leader: &'a Patroni,
    members: &'a [(String, Patroni)],
    synchronous: bool,
    lowers: bool,
    /// How long it takes until Patroni reports the end of a restart.
    settle: Duration,
    limits: &'a Limits,
}

impl Restarting<'_> {
    async fn restart_all(&self, mut restarted: BTreeSet<String>) -> Result<Restarts, Error> {
        loop {
            let report = Report { cluster: self.leader.cluster().await?, synchronous: self.synchronous };
            let is_member = |name: &String| report.cluster.members.iter().any(|member| member.name == *name);
            let missing = self.members.iter().map(|(name, _)| name).find(|name| !is_member(name));
            let (pod, handover) = match restart_next(&report, self.lowers, &restarted) {
                Restart::Done => return Ok(Restarts::Done),
                Restart::Stuck(members) => return Ok(Restarts::Stuck(members.into_iter().collect())),
                Restart::Wait(reason) => return Ok(Restarts::Wait(format!("members wait for a restart: {reason}"))),
                Restart::Next(pod) => (pod, None),
                Restart::Handover { from, to } => (from, Some(to)),
            };
            let waits = |reason: &str| Ok(Restarts::Wait(format!("{pod} waits for a restart: {reason}")));
            let rolling = self.limits.rolling.then(|| ROLLING.to_owned());
            if let Some(reason) = rolling.or_else(|| (self.limits.held)()) {
                return waits(&reason);
            }
            if let Some(missing) = missing {
                return waits(&format!("{missing} is not a member yet"));
            }
            let Some((_, member)) = self.members.iter().find(|(name, _)| *name == pod) else {
                return waits("its pod is not found");
            };
            if Instant::now() + RESTART + self.settle > self.limits.until {
                return waits("the time for this run is over, the next one goes on");
            }
            match &handover {
                Some(to) => match member.switchover(&pod, to).await {
                    Ok(()) => info!(from = pod, to, "leadership moved before a restart"),
                    Err(error @ Error::Refused { .. }) => {
                        return waits(&format!("it still leads: {}", error_chain(&error)));
                    }
                    Err(error) => return Err(error),
                },
                None => {
                    member.restart().await?;
                    info!(pod, "PostgreSQL restarted");
                    restarted.insert(pod);
                }
            }
            tokio::time::sleep(self.settle).await;
        }
    }
}

#[cfg(test)]
mod tests;
