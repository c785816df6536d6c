#!/usr/bin/env python3
"""Upgrades a running cluster to the major version that its pods ask for; run on the leader, as postgres.

usage: inplace_upgrade.py MEMBERS    MEMBERS: how many members the cluster has

The last line of the output is the result. Until PostgreSQL is stopped on the leader nothing has changed: what is missing,
or what pg_upgrade's check finds, leaves the cluster as it is. Replicas are copied from the leader again.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

from configuration import data_dir, parse, superuser, version
from custody import without_patroni
from log import log
from pg_upgrade import Upgrade, UpgradeFailed, system_identifier
from server import is_there, major_of_data, programs

CONFIG = "/home/postgres/postgres.yml"
PATRONI = "http://127.0.0.1:8008"
# The farthest that a replica may be behind, in bytes.
MAX_LAG = 16 << 20
PAUSE_SECONDS = 60
START_SECONDS = 300
COPY_SECONDS = 900


def main(arguments):
    env = dict(os.environ)
    data = data_dir(env)
    with open(CONFIG) as file:
        config = json.load(file)
    try:
        match arguments:
            case ["--rebuild"]:
                rebuild(data)
            case [members] if members.isdigit():
                log(upgrade(env, config, data, int(members)))
            case _:
                sys.exit(__doc__)
    except UpgradeFailed as failed:
        log(f"failed: {failed}")
        return 1
    return 0


def upgrade(env, config, data, wanted_members):
    major, old = version(env, parse("SPILO_CONFIGURATION", env.get("SPILO_CONFIGURATION"))), major_of_data(data)
    if int(old) >= int(major):
        return f"nothing to do: the data is of {old}"
    if not is_there(major):
        raise UpgradeFailed(f"this image has no PostgreSQL {major}")
    name = config["name"]
    if lack := lacking(get("/cluster"), name, wanted_members):
        raise UpgradeFailed(lack)
    account = config["postgresql"]["authentication"]["superuser"]
    replicas = [member for member in get("/cluster")["members"] if member["name"] != name]

    work = Upgrade(data, major, superuser(env))
    try:
        work.prepare()
    except UpgradeFailed:
        work.clean_up()
        raise
    set_paused(True)
    try:
        try:
            with without_patroni():
                pg_ctl(old, data, "stop")
                work.settle()
                work.run()
                identify(config, system_identifier(data))
        finally:
            # Old or new: while Patroni is paused, it starts PostgreSQL only when it is told to.
            start(name)
        for replica in replicas:
            ask_to_rebuild(replica, account)
        for replica in replicas:
            wait(PAUSE_SECONDS, f"{replica['name']} still runs {old}", lambda: is_emptied(replica))
    finally:
        set_paused(None)
    work.finish()
    for replica in replicas:
        wait(COPY_SECONDS, f"{replica['name']} does not stream", lambda: streams(replica["name"]))
    work.clean_up()
    return f"the cluster runs {major}"


def lacking(cluster, name, wanted_members):
    """Why the cluster cannot be upgraded now; None if it can."""
    members = cluster["members"]
    if any(member["role"] == "standby_leader" for member in members):
        return "the cluster follows another one"
    if cluster.get("pause"):
        return "Patroni is paused"
    if len(members) != wanted_members:
        return f"{len(members)} of {wanted_members} members are there"
    for member in members:
        if member["role"] == "leader":
            if member["name"] != name:
                return f"{member['name']} leads, and this is {name}"
        elif member["state"] not in ("running", "streaming"):
            return f"{member['name']} is {member['state']}"
        elif not isinstance(member.get("lag"), int) or member["lag"] > MAX_LAG:
            return f"{member['name']} is {member.get('lag', 'unknown')} bytes behind"
    if not any(member["role"] == "leader" for member in members):
        return "the cluster has no leader"
    return None


def rebuild(data):
    """On a replica: removes its data, so that Patroni copies the leader's once it is not paused any more."""
    cluster = get("/cluster")
    if not cluster.get("pause") or get("/patroni")["role"] != "replica":
        raise UpgradeFailed("this is no replica of a cluster that is being upgraded")
    with without_patroni():
        pg_ctl(major_of_data(data), data, "stop")
        for entry in os.scandir(data):
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.remove(entry.path)


def ask_to_rebuild(replica, account):
    """Starts this script in another pod, through the database there: there is no other way into it."""
    import psycopg2  # with Patroni in the image

    connection = psycopg2.connect(host=replica["host"], port=replica["port"], dbname="postgres", user=account["username"],
                                  password=account["password"], connect_timeout=10)
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; "
                       f"setsid nohup /usr/bin/python3 {os.path.abspath(__file__)} --rebuild >/tmp/rebuild.log 2>&1 &'")


def is_emptied(replica):
    return ask(replica["api_url"])["state"] not in ("running", "starting", "streaming")


def streams(name):
    members = {member["name"]: member for member in get("/cluster")["members"]}
    return name in members and members[name]["state"] in ("running", "streaming") and members[name].get("lag") == 0


def identify(config, identifier):
    """Records the identifier of the new data, without which Patroni takes it for that of another cluster."""
    from patroni.dcs import get_dcs

    dcs = get_dcs(config | {"loop_wait": 10, "ttl": 30, "retry_timeout": 10, "patronictl": True})
    dcs.get_cluster()
    if not dcs.initialize(create_new=False, sysid=identifier):
        log("Patroni's record of the cluster's identifier could not be changed")


def start(name):
    wait(START_SECONDS, "Patroni does not answer", lambda: get("/patroni") is not None)

    def leads():
        if get("/patroni")["state"] not in ("running", "starting"):
            post("/restart", {})
        members = get("/cluster")["members"]
        return any(member["name"] == name and member["role"] == "leader" and member["state"] == "running" for member in members)

    wait(START_SECONDS, "PostgreSQL does not start", leads)


def set_paused(paused):
    """Pauses Patroni on every member, or ends that."""
    log("Patroni is paused" if paused else "Patroni goes on")
    wait(PAUSE_SECONDS, "Patroni's configuration cannot be changed", lambda: post("/config", {"pause": paused}, "PATCH") or True)
    if paused:
        wait(PAUSE_SECONDS, "not every member is paused", everyone_paused)


def everyone_paused():
    return all(ask(member["api_url"]).get("pause") for member in get("/cluster")["members"])


def pg_ctl(major, data, what):
    subprocess.run([f"{programs(major)}/pg_ctl", "--pgdata", data, "--wait", "--timeout", "300", "--mode", "fast", what], check=True)


def wait(seconds, failure, done):
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, ValueError, KeyError):
            if done():
                return
        if time.monotonic() > until:
            raise UpgradeFailed(failure)
        time.sleep(0.5)


def get(path):
    return ask(PATRONI + path)


def ask(url):
    """What Patroni answers; one whose PostgreSQL does not run answers with the status 503."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def post(path, body, method="POST"):
    request = urllib.request.Request(PATRONI + path, method=method, data=json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=START_SECONDS).close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
