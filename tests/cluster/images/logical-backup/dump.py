#!/usr/bin/env python3
"""One logical backup: picks a pod of the cluster, dumps all its databases, stores the dump and forgets outdated ones."""

import os
import subprocess
import sys
import time
from datetime import datetime, timezone

import kubernetes
import target
from plan import Refused, choose, object_key, oldest_to_keep, outdated

VERSIONS = "/usr/lib/postgresql"


def main():
    env = os.environ
    try:
        now = time.time()
        cutoff = oldest_to_keep(datetime.fromtimestamp(now, timezone.utc), env.get("LOGICAL_BACKUP_S3_RETENTION_TIME"))
        key = object_key(env, int(now))
        bin_dir = programs(env)
        store = target.of(env)
        pod = choose(*kubernetes.own_node_and_cluster_pods(env))
        print(f"dumping {pod.name} ({pod.role}) at {pod.address} to {store}/{key}")
        with Dump(bin_dir, dict(env) | {"PGHOST": pod.address}) as dump:
            store.put(key, dump)
        print(f"stored {dump.size} bytes")
        for old in outdated(store.list(os.path.dirname(key) + "/"), cutoff):
            print(f"deleting {old}, created before {cutoff:%F}")
            store.delete(old)
    except (Refused, DumpFailed) as error:
        sys.exit(f"no backup: {error}")


def programs(env):
    """The folder of pg_dumpall in the wanted version."""
    version = env.get("PG_VERSION") or "15"
    folder = os.path.join(VERSIONS, version, "bin")
    if not os.path.exists(os.path.join(folder, "pg_dumpall")):
        there = ", ".join(sorted(os.listdir(VERSIONS)))
        raise Refused(f"no pg_dumpall of PostgreSQL {version}; the versions in this image: {there}")
    return folder


class DumpFailed(Exception):
    """The dump ended early, so what was read of it is no backup."""


class Dump:
    """`pg_dumpall | pigz` to be read like a file. A failure of either breaks the reading, so that an incomplete dump is never stored."""

    def __init__(self, bin_dir, env):
        self.size = 0
        self._dump = subprocess.Popen([os.path.join(bin_dir, "pg_dumpall"), "--no-password"], env=env, stdout=subprocess.PIPE)
        self._pigz = subprocess.Popen(["pigz"], stdin=self._dump.stdout, stdout=subprocess.PIPE)
        # pg_dumpall notices that pigz ended only if no other process holds the pipe.
        self._dump.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self._dump, self._pigz):
            process.kill()
            process.wait()

    def read(self, size=-1):
        content = self._pigz.stdout.read(size)
        self.size += len(content)
        # A pipe gives less than asked for at its end only.
        if size < 0 or len(content) < size:
            for name, process in (("pg_dumpall", self._dump), ("pigz", self._pigz)):
                if process.wait() != 0:
                    raise DumpFailed(f"{name} failed: {process.returncode}")
        return content


if __name__ == "__main__":
    main()
