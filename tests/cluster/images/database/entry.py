#!/usr/bin/env python3
"""Process 1 of a database pod: prepares the folders, writes Patroni's configuration from the environment, and runs Patroni."""

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading

import archive_environment
import bootstrap_labels
import certificates
from configuration import HERE, Refused, VERSIONS, configuration, data_dir, remarks
from log import log

ACCOUNT = "postgres"
CONFIG = "/home/postgres/postgres.yml"


def main():
    env = dict(os.environ)
    env.setdefault("HOSTNAME", socket.gethostname())
    try:
        config = configuration(env)
        check_version(config["postgresql"]["bin_dir"])
        for remark in remarks(env):
            log(remark)
        prepare_folders(env)
        certificates.prepare(config["postgresql"]["parameters"], own_by_account)
    except Refused as refused:
        log(f"refused: {refused}")
        return 1
    write_config(config)
    major = config["postgresql"]["bin_dir"].removeprefix(VERSIONS + "/").partition("/")[0]
    archive_environment.write(env, major, own_by_account)

    background(certificates.reload_when_changed, env, config)
    background(bootstrap_labels.put_on_pod, env, config)
    env |= {"PGDATA": data_dir(env), "HOME": pwd.getpwnam(ACCOUNT).pw_dir}
    if archive_environment.archive(env, archive_environment.OWN, major):
        folder = archive_environment.folder(env, archive_environment.OWN)
        # A process of its own: this one reaps every child, also those that a thread would wait for.
        start(["/usr/bin/envdir", folder, "/usr/bin/python3", f"{HERE}/base_backups.py"], env)
    return supervise(["/usr/bin/patroni", CONFIG], env)


def check_version(bin_dir):
    """Ends with a line that names the installed versions if PostgreSQL is not there in the requested one."""
    if not os.access(os.path.join(bin_dir, "postgres"), os.X_OK):
        there = ", ".join(sorted(os.listdir(VERSIONS)))
        raise Refused(f"no PostgreSQL in {bin_dir}; the versions in this image: {there}")


def prepare_folders(env):
    """The volume is empty and owned by root at first; below PGROOT everything belongs to postgres."""
    data = data_dir(env)
    root = os.path.dirname(data)
    try:
        os.makedirs(data, mode=0o700, exist_ok=True)
    except PermissionError:
        raise Refused(f"{data} cannot be made by user {os.geteuid()}; does the pod's fsGroup let it write to the volume?") from None
    for path in (root, data, "/run/postgresql"):
        own_by_account(path)
    # A pod's fsGroup opens every file of its volumes to the group, which PostgreSQL does not accept here.
    os.chmod(data, 0o700)


def write_config(config):
    """JSON is YAML; only postgres and root may read it, as it holds passwords."""
    descriptor = os.open(CONFIG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        json.dump(config, file, indent=2)
    own_by_account(CONFIG)


def own_by_account(path):
    """Gives the file to postgres; a pod that runs as postgres from the start owns what it makes."""
    if os.geteuid() == 0:
        account = pwd.getpwnam(ACCOUNT)
        os.chown(path, account.pw_uid, account.pw_gid)


def background(function, *arguments):
    threading.Thread(target=function, args=arguments, daemon=True).start()


def start(command, env, **more):
    """Runs the command as postgres, and returns its process id."""
    account = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam(ACCOUNT)
        account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [entry.pw_gid]}
    return subprocess.Popen(command, env=env, **account, **more).pid


def supervise(command, env):
    """Runs the command as postgres until it ends, passes signals on to it, and reaps orphaned processes."""
    # Blocked until the handlers are there, so that an early SIGTERM is not lost; the child starts without the block.
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    child = start(command, env, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, signals))
    for number in signals:
        signal.signal(number, lambda received, _: os.kill(child, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)

    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            log(f"Patroni ended: {code}")
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
