#!/usr/bin/env python3
"""Patroni's bootstrap method for a clone: a base backup of the running cluster that CLONE_* names."""

import argparse
import os
import subprocess
import sys
import time

from log import log
from pg_upgrade import UpgradeFailed, upgrade_stopped
from server import major_of_data, programs

# The source may be just starting, or its leader moving.
ATTEMPTS = 10
PAUSE_SECONDS = 6


def main(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--scope")
    parser.add_argument("--datadir", required=True)
    parser.add_argument("--major", required=True)
    wanted = parser.parse_args(arguments)
    target = wanted.datadir
    env, command = backup(os.environ, target, wanted.major)

    for attempt in range(1, ATTEMPTS + 1):
        log(f"cloning {env['CLONE_SCOPE']} from {env['CLONE_HOST']}, attempt {attempt} of {ATTEMPTS}")
        if subprocess.run(command, env=env).returncode == 0:
            forget_source(target)
            return become(target, wanted.major)
        time.sleep(PAUSE_SECONDS)
    log("the source could not be cloned")
    return 1


def become(target, major):
    """Upgrades the copy of a source of an older major version. A failure is one line of the log, and the exit code."""
    if major_of_data(target) == major:
        return 0
    try:
        upgrade_stopped(target, major, os.environ.get("PGUSER_SUPERUSER") or "postgres")
        return 0
    except UpgradeFailed as failed:
        log(f"refused: {failed}")
        return 1


def backup(env, target, major):
    """The environment and command of a base backup that is consistent in itself."""
    command = [
        f"{programs(major)}/pg_basebackup", "--pgdata", target, "--wal-method", "stream", "--checkpoint", "fast", "--no-password",
        "--host", env["CLONE_HOST"], "--port", env.get("CLONE_PORT") or "5432", "--username", env.get("CLONE_USER") or "standby",
    ]
    return {"CLONE_SCOPE": "a cluster", **env, "PGPASSWORD": env.get("CLONE_PASSWORD", "")}, command


def forget_source(target):
    """The copy brings the source's dynamic configuration along, which Patroni would take for this cluster's."""
    path = os.path.join(target, "patroni.dynamic.json")
    if os.path.exists(path):
        os.remove(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
