//! How many decisions run at the same time: one for each core, and as many as the memory of the process is enough for.

use tokio::sync::{Semaphore, SemaphorePermit};

/// What the operator itself takes, in bytes, with some thousand clusters.
const OWN: u64 = 128 << 20;

/// Memory is counted in these units.
const MIB: u64 = 1 << 20;

/// Gives decisions their turn.
#[derive(Debug)]
pub struct Turns {
    cores: Semaphore,
    memory: Semaphore,
    /// The memory for all calls of plugins together, in MiB.
    budget: u32,
}

/// The turn of one decision; it ends on drop.
#[derive(Debug)]
pub struct Turn<'a> {
    _core: Option<SemaphorePermit<'a>>,
    _memory: Option<SemaphorePermit<'a>>,
}

impl Turns {
    /// The turns of this process. `compiling` is the memory that a process that compiles a component may take, in
    /// bytes: it shares the limit.
    pub fn of_process(compiling: u64) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self::new(cores, memory_limit().map(|limit| limit.saturating_sub(OWN + compiling)))
    }

    /// As many turns as `cores`, with `budget` bytes for all together; `None` is no limit.
    pub fn new(cores: usize, budget: Option<u64>) -> Self {
        let most = u64::try_from(Semaphore::MAX_PERMITS).unwrap_or(u64::MAX).min(u32::MAX.into());
        let budget = (budget.unwrap_or(u64::MAX) / MIB).clamp(1, most);
        let budget = u32::try_from(budget).unwrap_or(u32::MAX);
        let permits = usize::try_from(budget).unwrap_or(Semaphore::MAX_PERMITS);
        Self { cores: Semaphore::new(cores), memory: Semaphore::new(permits), budget }
    }

    /// Waits until a decision whose plugins may take `memory` bytes can run. One that may take more than the whole
    /// budget runs alone.
    pub async fn acquire(&self, memory: u64) -> Turn<'_> {
        let share = u32::try_from(memory.div_ceil(MIB)).unwrap_or(u32::MAX).min(self.budget);
        // The semaphores are never closed, so there is always a permit.
        let memory = self.memory.acquire_many(share).await.ok();
        Turn { _core: self.cores.acquire().await.ok(), _memory: memory }
    }
}

/// The memory that the control group of this process allows, in bytes; `None` if it has no limit.
fn memory_limit() -> Option<u64> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    texts.filter_map(|text| limit(&text)).min()
}

/// The limit in a file of the control group: `max` in version 2, and a number beyond any memory in version 1, are none.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < 1 << 60)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// How many decisions of `memory` bytes run at once.
    fn at_once(turns: &Turns, memory: u64) -> usize {
        let mut running = Vec::new();
        while let Some(turn) = turns.acquire(memory).now_or_never() {
            running.push(turn);
        }
        running.len()
    }

    #[test]
    fn no_more_decisions_run_than_there_are_cores_and_than_the_memory_is_enough_for() {
        for (cores, budget, memory, expected) in [
            (4, None, 64 * MIB, 4),
            (16, Some(256 * MIB), 64 * MIB, 4),
            (2, Some(256 * MIB), 64 * MIB, 2),
            (16, Some(256 * MIB), 100 * MIB, 2),
            (16, Some(256 * MIB), 1, 16),
        ] {
            assert_eq!(at_once(&Turns::new(cores, budget), memory), expected, "{cores} {budget:?} {memory}");
        }
    }

    #[test]
    fn a_decision_that_may_take_more_than_the_memory_runs_alone() {
        for budget in [0, 1, 256 * MIB] {
            assert_eq!(at_once(&Turns::new(16, Some(budget)), 512 * MIB), 1, "{budget}");
        }
    }

    #[test]
    fn a_turn_that_ends_is_the_next_ones() {
        let turns = Turns::new(1, None);
        for _ in 0..3 {
            assert_eq!(at_once(&turns, MIB), 1);
        }
    }

    #[test]
    fn a_control_group_without_a_limit_has_none() {
        assert_eq!(limit("1073741824\n"), Some(1 << 30));
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
    }
}
