"""What a backup is about: which pod, under which name, what is outdated; values in, values out."""

import re
from dataclasses import dataclass
from datetime import timedelta

UNITS = {"day": timedelta(days=1), "week": timedelta(weeks=1), "month": timedelta(days=30), "year": timedelta(days=365)}


class Refused(Exception):
    """A backup cannot be made; the message is one line for the log."""


@dataclass(frozen=True)
class Pod:
    name: str
    role: str
    node: str
    address: str


def choose(own_node, pods):
    """A replica on our node, else any replica, else the leader: a dump reads everything, and reading from the same node is cheapest."""
    reachable = [pod for pod in pods if pod.address]
    replicas = [pod for pod in reachable if pod.role == "replica"]
    candidates = [pod for pod in replicas if pod.node == own_node] + replicas
    candidates += [pod for pod in reachable if pod.role == "master"]
    if not candidates:
        raise Refused("the cluster has neither a replica nor a master that could be dumped")
    return candidates[0]


def object_key(env, epoch):
    """<prefix>/<cluster><suffix>/logical_backups/<seconds>.sql.gz; the suffix brings its own slash."""
    for name in ("SCOPE", "LOGICAL_BACKUP_S3_BUCKET"):
        if not env.get(name):
            raise Refused(f"{name} is not set")
    prefix = env.get("LOGICAL_BACKUP_S3_BUCKET_PREFIX") or "spilo"
    suffix = env.get("LOGICAL_BACKUP_S3_BUCKET_SCOPE_SUFFIX") or ""
    return f"{prefix}/{env['SCOPE']}{suffix}/logical_backups/{epoch}.sql.gz"


def oldest_to_keep(now, retention):
    """The moment before which backups are outdated, day by day; None where they are kept for ever."""
    if not (retention or "").strip():
        return None
    match = re.fullmatch(r"(\d+)\s+(day|week|month|year)s?", retention.strip())
    if not match:
        raise Refused(f"LOGICAL_BACKUP_S3_RETENTION_TIME is {retention!r}, not like `3 months`")
    count, unit = match.groups()
    return (now - int(count) * UNITS[unit]).replace(hour=0, minute=0, second=0, microsecond=0)


def outdated(backups, cutoff):
    """The names of those (name, creation) that are older; the newest backup stays, however old it is."""
    if cutoff is None:
        return []
    by_age = sorted(backups, key=lambda backup: backup[1])
    return [name for name, created in by_age[:-1] if created < cutoff]
