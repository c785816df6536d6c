//! Makes Patroni's dynamic configuration what is desired, and restarts the members that wait for a restart.
//!
//! Both are read from Patroni at every run: a run that is cut off between the change and the last restart leaves nothing
//! to remember, the next one goes on.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pgloom_decide::patroni::{Desired, Restart, loop_wait, lowers_a_limit, patch, restart_next};

use super::{Error, Patroni, RESTART};

/// The longest time that is waited for Patroni's next look at its configuration.
const LONGEST_LOOP: Duration = Duration::from_secs(120);

/// What a run may do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Why members may not be restarted now; `None` if they may.
    pub held: Option<String>,
    /// Whether an earlier run has seen every member with this configuration, so that only a change needs to be waited for.
    pub settled: bool,
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
    /// Whether the cluster is a standby although its manifest does not say so.
    pub standby: bool,
}

/// How the restarts of a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Restarts {
    /// No member waits for a restart.
    #[default]
    Done,
    /// Members wait for a restart, and why they are not restarted yet.
    Wait(String),
    /// Members still wait for a restart after they were restarted.
    Stuck(String),
}

/// Makes the configuration what is desired, and restarts one after the other the members that wait for it.
///
/// # Errors
/// If Patroni does not answer or refuses.
pub async fn configure(
    leader: &Patroni,
    members: &[(String, Patroni)],
    desired: &Desired,
    limits: &Limits,
) -> Result<Configured, Error> {
    let mut current = leader.configuration().await?;
    let patch = patch(&current, desired);
    let lowers = patch.as_ref().is_some_and(|patch| lowers_a_limit(&current, patch));
    if let Some(patch) = &patch {
        current = leader.configure(patch).await?;
    }
    // Patroni reports a pending restart, and the end of one, in its next loop.
    let settle = Duration::from_secs(loop_wait(&current)).min(LONGEST_LOOP) + limits.margin;
    if patch.is_some() || !limits.settled {
        tokio::time::sleep(settle).await;
    }
    let restarts = restart(leader, members, lowers, settle, limits).await?;
    Ok(Configured { restarts, standby: !desired.standby && !current["standby_cluster"].is_null() })
}

async fn restart(
    leader: &Patroni,
    members: &[(String, Patroni)],
    lowers: bool,
    settle: Duration,
    limits: &Limits,
) -> Result<Restarts, Error> {
    let mut restarted = BTreeSet::new();
    loop {
        let pod = match restart_next(&leader.cluster().await?, lowers, &restarted) {
            Restart::Done => return Ok(Restarts::Done),
            Restart::Wait(reason) => return Ok(Restarts::Wait(format!("members wait for a restart: {reason}"))),
            Restart::Stuck(reason) => return Ok(Restarts::Stuck(reason)),
            Restart::Next(pod) => pod,
        };
        let waits = |reason: &str| Ok(Restarts::Wait(format!("{pod} waits for a restart: {reason}")));
        if let Some(reason) = &limits.held {
            return waits(reason);
        }
        let Some((_, member)) = members.iter().find(|(name, _)| *name == pod) else {
            return waits("its pod is not found");
        };
        if Instant::now() + RESTART + settle > limits.until {
            return waits("the time for this run is over, the next one goes on");
        }
        member.restart().await?;
        restarted.insert(pod);
        tokio::time::sleep(settle).await;
    }
}

#[cfg(test)]
mod tests;
