#!/usr/bin/env python3
"""Process 1 of a database pod: prepares the folders, writes Patroni's configuration from the environment, and runs Patroni."""

import signal

# The kernel drops a signal of process 1 that has neither a handler nor a block, and a pod that is deleted while it starts would
# end only by the kill after its grace period. They are blocked until the handlers are there.
SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

import contextlib
import json
import os
import pwd
import socket
import subprocess
import sys
import threading

import archive_environment
import bootstrap_labels
import certificates
import custody
from configuration import HERE, Refused, configuration, data_dir, remarks
from log import log
from server import VERSIONS, major_of_data, programs

ACCOUNT = "postgres"
CONFIG = "/home/postgres/postgres.yml"


def main():
    env = dict(os.environ)
    env.setdefault("HOSTNAME", socket.gethostname())
    first, archiving = True, None
    while True:
        try:
            config, major = prepare(env)
        except Refused as refused:
            log(f"refused: {refused}")
            return 1
        if first:
            background(certificates.reload_when_changed, env, config)
            background(bootstrap_labels.put_on_pod, env, config)
        first = False
        here = env | {"PGDATA": data_dir(env), "HOME": pwd.getpwnam(ACCOUNT).pw_dir, "PATH": f"{programs(major)}:{env['PATH']}"}
        if archive_environment.archive(env, archive_environment.OWN, major):
            folder = archive_environment.folder(env, archive_environment.OWN)
            # A process of its own: this one reaps every child, also those that a thread would wait for.
            archiving = start(["/usr/bin/envdir", folder, "/usr/bin/python3", f"{HERE}/base_backups.py"], here)
        code, told_to_end = supervise(["/usr/bin/patroni", CONFIG], here)
        if told_to_end or not custody.was_taken():
            return code
        log("Patroni was stopped for an upgrade, and is started again")
        if archiving:
            # The archive of another major version is in another folder.
            with contextlib.suppress(ProcessLookupError):
                os.kill(archiving, signal.SIGTERM)


def prepare(env):
    """Writes Patroni's configuration, and returns it with the major version that runs: once there is data, that of the data."""
    config = configuration(env, major_of_data(data_dir(env)))
    major = config["postgresql"]["bin_dir"].removeprefix(VERSIONS + "/").partition("/")[0]
    check_version(config["postgresql"]["bin_dir"])
    for remark in remarks(env, major):
        log(remark)
    prepare_folders(env)
    certificates.prepare(config["postgresql"]["parameters"], own_by_account)
    write_config(config)
    archive_environment.write(env, major, own_by_account)
    return config, major


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


def start(command, env):
    """Runs the command as postgres, without a block of signals, and returns its process id."""
    account = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam(ACCOUNT)
        account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [entry.pw_gid]}
    return subprocess.Popen(command, env=env, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS), **account).pid


def supervise(command, env):
    """Runs the command as postgres until it ends, passes signals on to it, and reaps orphaned processes. Returns the exit code, and
    whether a signal told it to end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    child = start(command, env)
    with open(custody.PID, "w") as file:
        file.write(str(child))
    passed_on = set()

    def pass_on(received, _):
        passed_on.add(received)
        os.kill(child, received)

    for number in SIGNALS:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            log(f"Patroni ended: {code}")
            return code if code >= 0 else 128 - code, bool(passed_on - {signal.SIGHUP})


if __name__ == "__main__":
    sys.exit(main())
