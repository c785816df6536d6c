#!/usr/bin/env python3
"""Makes base backups on the leader while the pod runs: as soon as the archive has none since BACKUP_SCHEDULE was last due."""

import os
import sys
import time
import urllib.request
from datetime import datetime, timezone

from archive import Archive, ArchiveFailed, backup_push, backups
from log import log

PATRONI = "http://127.0.0.1:8008/primary"
PAUSE_SECONDS = 5
# After a failure, which would be the same again.
RETRY_SECONDS = 60


def main():
    from croniter import croniter  # not there where the unit tests run

    schedule = os.environ.get("BACKUP_SCHEDULE") or "00 01 * * *"
    newest = None
    while True:
        pause = PAUSE_SECONDS
        try:
            if is_leader():
                last_due = croniter(schedule, datetime.now(timezone.utc)).get_prev(datetime)
                if not is_recent(newest, last_due):
                    # Another member may have led since.
                    newest = backup_if_needed(Archive(os.environ), last_due)
        except ArchiveFailed as failed:
            log(f"no base backup: {failed}; the next attempt is in {RETRY_SECONDS} s")
            pause = RETRY_SECONDS
        time.sleep(pause)


def backup_if_needed(archive, last_due):
    """The time of the newest base backup, which is made unless the archive has one that is recent."""
    found = backups(archive)
    if not found or not is_recent(found[-1].finished, last_due):
        backup_push(archive)
        found = backups(archive)
    return found[-1].finished


def is_recent(backup, last_due):
    return backup is not None and backup >= last_due


def is_leader():
    """Not that of a standby cluster, whose data is in another archive."""
    try:
        with urllib.request.urlopen(PATRONI, timeout=5):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
