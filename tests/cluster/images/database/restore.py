#!/usr/bin/env python3
"""Patroni's bootstrap method for a clone or a standby of an archive: the newest base backup, or the newest before a moment."""

import argparse
import os
import sys
from datetime import datetime

from archive import Archive, ArchiveFailed, backup_fetch, newest
from clone import forget_source
from log import log


def main(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=moment)
    parser.add_argument("--datadir", required=True)
    # Patroni says more than is needed.
    wanted, _ = parser.parse_known_args(arguments)
    try:
        archive = Archive(os.environ)
        backup = newest(archive, wanted.to)
        log(f"restoring {backup.name} of {backup.finished.isoformat()} from {archive}")
        backup_fetch(archive, backup.name, wanted.datadir)
    except ArchiveFailed as failed:
        log(f"refused: nothing is restored: {failed}")
        return 1
    os.chmod(wanted.datadir, 0o700)
    forget_source(wanted.datadir)
    return 0


def moment(text):
    """A point in time; one without a zone would be another one on each machine."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no time zone")
    return time


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
