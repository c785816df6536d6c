"""Makes data of a newer major version from that of an older one, by pg_upgrade with links: both share one volume."""

import contextlib
import os
import re
import shutil
import subprocess

from log import log
from server import major_of_data, programs, programs_to_upgrade


DATABASES = "SELECT datname FROM pg_database WHERE datallowconn"
# Debian's 15.20 marks every column with an option of its own, which its pg_dump leaves out. The pg_dump of 18 does not know the
# option, and the server of 18 refuses it.
UNMARK = r"""UPDATE pg_attribute SET attoptions =
(SELECT array_agg(option) FROM unnest(attoptions) AS option WHERE option NOT LIKE 'pg\_attver=%')
WHERE attoptions::text LIKE '%pg\_attver=%'"""


class UpgradeFailed(Exception):
    """The old data is as it was; the message is one line for the log."""


class Upgrade:
    """One upgrade of the data in a folder, and of the folders beside it that it needs."""

    def __init__(self, data, major, superuser):
        self.data, self.superuser = data, superuser
        self.old, self.major = major_of_data(data), major
        self.new = os.path.join(os.path.dirname(data), "data_new")
        self.before = os.path.join(os.path.dirname(data), "data_old")
        # Where pg_upgrade and its servers write: sockets, logs, scripts.
        self.work = os.path.join(os.path.dirname(data), "upgrade")

    def prepare(self):
        """Makes the new data without tables, and compares it with the old. The old server may run."""
        self.clean_up()
        os.makedirs(self.work, mode=0o700)
        checksums = "--data-checksums" if has_checksums(self.data, self.old) else "--no-data-checksums"
        run([f"{programs_to_upgrade(self.major)}/initdb", "--pgdata", self.new, "--username", self.superuser, "--auth", "trust",
             "--encoding", "UTF8", "--locale", "en_US.UTF-8", checksums], "initdb failed")
        self.pg_upgrade("--check")

    def settle(self):
        """Ends the recovery of data on which no server runs, and takes the marks off its columns."""
        os.makedirs(self.work, mode=0o700, exist_ok=True)
        options = (f"-c listen_addresses='' -c unix_socket_directories={self.work} -c ssl=off -c synchronous_standby_names='' "
                   "-c logging_collector=off")
        pg_ctl = [f"{programs(self.old)}/pg_ctl", "--pgdata", self.data, "--wait", "--timeout", "3600"]
        run([*pg_ctl, "--log", os.path.join(self.work, "server.log"), "--options", options, "start"],
            f"the server of version {self.old} did not start")
        psql = [f"{programs(self.old)}/psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align",
                "--host", self.work, "--username", self.superuser]
        databases = subprocess.run([*psql, "--dbname", "template1", "--command", DATABASES], capture_output=True, text=True, check=True)
        for database in databases.stdout.splitlines():
            run([*psql, "--dbname", database, "--command", UNMARK], f"the columns of {database} keep their marks")
        run([*pg_ctl, "--mode", "fast", "stop"], f"the server of version {self.old} did not stop")

    def run(self):
        """Upgrades the data. No server may run on it."""
        try:
            self.pg_upgrade()
        except UpgradeFailed:
            # It takes the old server's control file away before it links, so that nobody starts both.
            control = os.path.join(self.data, "global/pg_control")
            if os.path.exists(control + ".old"):
                os.rename(control + ".old", control)
            raise
        os.rename(self.data, self.before)
        os.rename(self.new, self.data)

    def pg_upgrade(self, *options):
        run([f"{programs_to_upgrade(self.major)}/pg_upgrade", "--link", "--username", self.superuser,
             "--old-bindir", programs(self.old), "--new-bindir", programs_to_upgrade(self.major),
             "--old-datadir", self.data, "--new-datadir", self.new, "--socketdir", self.work, *options],
            f"pg_upgrade from {self.old} to {self.major} failed", cwd=self.work)

    def finish(self):
        """Updates extensions and statistics where pg_upgrade says so. The new server runs."""
        tools = programs(self.major)
        connection = ["--host", "/run/postgresql", "--username", self.superuser]
        script = os.path.join(self.work, "update_extensions.sql")
        if os.path.exists(script):
            quietly([f"{tools}/psql", "--no-psqlrc", *connection, "--dbname", "postgres", "--file", script])
        quietly([f"{tools}/vacuumdb", "--all", "--analyze-in-stages", "--missing-stats-only", *connection])

    def clean_up(self):
        """Removes what an upgrade leaves beside the data."""
        for folder in (self.new, self.before, self.work):
            shutil.rmtree(folder, ignore_errors=True)


def has_checksums(data, major):
    said = subprocess.run([f"{programs(major)}/pg_controldata", data], capture_output=True, text=True, check=True,
                          env=os.environ | {"LC_ALL": "C"}).stdout
    return not re.search(r"checksum version: +0$", said, re.MULTILINE)


def system_identifier(data):
    """The identifier of the database cluster, by which Patroni knows it."""
    said = subprocess.run([f"{programs(major_of_data(data))}/pg_controldata", data], capture_output=True, text=True,
                          check=True, env=os.environ | {"LC_ALL": "C"}).stdout
    return re.search(r"system identifier: +(\d+)", said).group(1)


def run(command, failure, cwd=None):
    """Runs a program; what it wrote is the log's, and the reason when it fails."""
    # The variables of a pod name a cluster of their own, which is not the one to work on.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    ended = subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in ended.stdout.splitlines():
        if line.strip():
            log(line)
    if ended.returncode:
        raise UpgradeFailed(f"{failure}: {reason(ended.stdout) or ended.returncode}")


def reason(output):
    """What went wrong, of all that pg_upgrade wrote: from the first step that failed on, with what it wrote into files."""
    lines = [line.strip() for line in output.splitlines()]
    failed = [at for at, line in enumerate(lines) if re.search(r"fatal|failed|failure", line)]
    told = lines[failed[0]:] if failed else lines[-3:]
    # The files are gone when somebody reads this.
    told = [line for line in told if line != "Failure, exiting" and not line.startswith("/")]
    for path in re.findall(r"(/[^\s\"]*\.(?:log|txt))", output):
        # The objects that are in the way, or what it calls the probable cause.
        with contextlib.suppress(OSError), open(path) as file:
            wanted = "" if path.endswith(".txt") else "error"
            told += [line for line in file.read().splitlines() if wanted in line.lower()][-5:]
    return " ".join(" ".join(told).split())


def quietly(command):
    """Runs a program whose failure leaves a cluster that works."""
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ended.returncode:
        log(f"{os.path.basename(command[0])} failed: {' '.join(ended.stdout.split())[-300:]}")


def upgrade_stopped(data, major, superuser):
    """Upgrades data on which no server runs, as a base backup of a cluster: its server ends the recovery before."""
    upgrade = Upgrade(data, major, superuser)
    log(f"the data is of {upgrade.old}: it is upgraded to {major}")
    for name in ("postgresql.conf", "postgresql.auto.conf", "postgresql.base.conf", "pg_hba.conf"):
        with open(os.path.join(data, name), "w") as file:
            # The settings are those of the source's pods. Patroni writes its own before it starts the server.
            file.write("local all all trust\n" if name == "pg_hba.conf" else "")
    upgrade.settle()
    upgrade.prepare()
    upgrade.run()
    upgrade.clean_up()
