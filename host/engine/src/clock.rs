//! The clock that stops calls: it ticks while calls are running, and sleeps otherwise.
//!
//! A call takes a few microseconds, so the thread is not woken for each: it sleeps only after a tick in which no call ran,
//! and only a call that finds it asleep wakes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// The time between two ticks. A deadline is met to within one tick.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// A thread that ticks while a [`Running`] exists.
pub(crate) struct Clock {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    /// Whether the thread waits for a call. It is set before `running` is read for the last time, and a call reads it after
    /// it has changed `running`. So one of the two sees the other.
    asleep: AtomicBool,
    stopped: AtomicBool,
}

/// A running call. The clock ticks until the last one is dropped.
pub(crate) struct Running<'a>(&'a Shared);

impl Clock {
    /// Starts the thread. It ends when the clock is dropped, or when `tick` returns false.
    ///
    /// # Errors
    /// If the system does not start a thread.
    pub(crate) fn start(tick: impl Fn() -> bool + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let handle = thread::Builder::new().name("pgloom-clock".to_owned()).spawn(move || of_thread.run(tick))?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    pub(crate) fn running(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) && self.shared.asleep.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.shared)
    }
}

impl Shared {
    fn run(&self, tick: impl Fn() -> bool) {
        while !self.stopped.load(Ordering::SeqCst) {
            if self.running.load(Ordering::SeqCst) == 0 {
                self.sleep();
                continue;
            }
            let start = Instant::now();
            thread::park_timeout(TICK);
            // Woken early, without a reason. This is not a tick: calls would be stopped too early.
            if start.elapsed() >= TICK && !tick() {
                return;
            }
        }
    }

    fn sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        if self.running.load(Ordering::SeqCst) == 0 {
            // `unpark` before `park` is not lost: `park` then returns at once.
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// A timeout that is long enough for a few ticks on any machine.
    const ENOUGH: Duration = Duration::from_secs(5);

    #[test]
    fn the_clock_ticks_while_a_call_runs_and_sleeps_otherwise() {
        let (sender, ticks) = channel();
        let clock = Clock::start(move || sender.send(()).is_ok()).unwrap();
        assert!(ticks.recv_timeout(TICK * 10).is_err());
        for _ in 0..2 {
            let running = clock.running();
            ticks.recv_timeout(ENOUGH).unwrap();
            ticks.recv_timeout(ENOUGH).unwrap();
            drop(running);
            // One tick may already be in progress.
            while ticks.recv_timeout(TICK * 10).is_ok() {}
        }
    }

    #[test]
    fn a_tick_is_never_early_however_many_calls_start() {
        let (sender, ticks) = channel();
        let clock = Clock::start(move || sender.send(()).is_ok()).unwrap();
        let start = Instant::now();
        let calls: Vec<_> = (0..1000).map(|_| clock.running()).collect();
        ticks.recv_timeout(ENOUGH).unwrap();
        assert!(start.elapsed() >= TICK);
        drop(calls);
    }

    #[test]
    fn a_dropped_clock_ends_its_thread() {
        let (sender, ticks) = channel::<()>();
        let clock = Clock::start(move || sender.send(()).is_ok()).unwrap();
        drop(clock);
        assert_eq!(ticks.recv_timeout(ENOUGH), Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
    }
}
