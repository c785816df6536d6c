"""Takes Patroni away for a while, so that nothing starts or stops PostgreSQL: entry.py starts it again afterwards.

Who takes it away holds a lock on a file. The lock ends with its process, however that ends.
"""

import contextlib
import fcntl
import os
import signal
import time

LOCK = "/run/postgresql/patroni.custody"
PID = "/run/postgresql/patroni.pid"


@contextlib.contextmanager
def without_patroni():
    """Stops Patroni, which has to be paused: then it leaves PostgreSQL as it is. At the end entry.py starts it again."""
    with open(LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with open(PID) as file:
            patroni = int(file.read())
        os.kill(patroni, signal.SIGTERM)
        while is_alive(patroni):
            time.sleep(0.2)
        yield


def is_alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def was_taken():
    """Whether Patroni was stopped by `without_patroni`; returns when that is over."""
    try:
        with open(LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.remove(LOCK)
            return True
    except FileNotFoundError:
        return False
