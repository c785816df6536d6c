//! The process's monotonic clock, advanced together with the paused clock of tokio.
//!
//! The operator sleeps by tokio's clock, which a test pauses and which advances when all tasks are idle. It measures
//! time with `std::time::Instant`, which calls `clock_gettime`. Without this module the operator would sleep for an
//! hour and then measure that no time has passed. The test program is linked statically, so that the standard library
//! calls its own `clock_gettime`.

use std::cell::Cell;
use std::net::UdpSocket;
use std::time::Duration;

use tokio::time::Instant;

/// The precision to which the two clocks agree.
const TICK: Duration = Duration::from_millis(250);

thread_local! {
    /// The time by which this thread's clock is ahead of the real one.
    static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Runs a future on the paused clock, which this thread's monotonic clock follows.
///
/// # Errors
/// If the runtime cannot be started.
pub fn block_on<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(echo()?)
        .build()?;
    let result = runtime.block_on(async {
        follow();
        future.await
    });
    AHEAD.set(Duration::ZERO);
    // The time in which plugins compile does not count.
    runtime.shutdown_background();
    Ok(result)
}

/// Makes this thread's monotonic clock follow tokio's from now on.
fn follow() {
    AHEAD.set(Duration::ZERO);
    tokio::spawn(async {
        let begun = Instant::now();
        loop {
            tokio::time::sleep(TICK).await;
            AHEAD.set(begun.elapsed());
        }
    });
}

/// Returns a function that waits until everything that this thread sent over loopback has arrived. Tokio advances its
/// paused clock when no task is ready. Without this wait, time would pass before the kernel has delivered a packet.
///
/// # Errors
/// If there is no free port.
fn echo() -> std::io::Result<impl Fn() + Send + Sync> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(socket.local_addr()?)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(move || {
        // Without an echo the clock is less exact for a moment.
        _ = socket.send(&[0]).and_then(|_| socket.recv(&mut [0]));
    })
}

/// The system call, with the thread's own time added to the monotonic clock.
///
/// # Safety
/// `time` points to a `timespec` that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    // SAFETY: the arguments are those of the system call, and the caller guarantees that the pointer is valid.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    let ahead = AHEAD.get();
    if result == 0 && clock == libc::CLOCK_MONOTONIC && !ahead.is_zero() {
        // SAFETY: as above; the call has written it.
        let time = unsafe { &mut *time };
        let nanos = time.tv_nsec + libc::c_long::from(ahead.subsec_nanos());
        time.tv_sec += i64::try_from(ahead.as_secs()).unwrap_or_default() + nanos / 1_000_000_000;
        time.tv_nsec = nanos % 1_000_000_000;
    }
    if result == 0 { 0 } else { -1 }
}
