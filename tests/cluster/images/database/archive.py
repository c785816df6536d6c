#!/usr/bin/env python3
"""WAL segments and base backups to an S3 bucket and back, with the commands and the layout of WAL-E.

WAL-G is in no package registry. WAL-E 1.1.1 is, but does not work here: its backup-push calls pg_start_backup, which PostgreSQL 15
no longer has, its S3 client signs for no other host names than Amazon's, and it repeats a refused request for ever.

usage: archive.py wal-push PATH            archive_command
       archive.py wal-fetch [--strict] SEGMENT PATH
                                           restore_command; --strict ends the recovery if the archive cannot be asked
       archive.py backup-push              a base backup of the server in this pod
       archive.py backup-fetch DATA NAME   NAME may be LATEST
       archive.py backup-list              each with the time of its completion
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

WAL, BACKUPS = "wal_005", "basebackups_005"
SENTINEL = "_backup_stop_sentinel.json"
SEGMENT_BYTES = 16 * 1024 * 1024
# The label of a base backup fits in.
HEAD_BYTES = 8192
# PostgreSQL takes a lower exit code of restore_command for the end of the archive.
ENDS_RECOVERY = 126


class ArchiveFailed(Exception):
    """A command failed; the message is one line for the log. `missing` is true if there is no such object."""

    def __init__(self, message, missing=False):
        super().__init__(message)
        self.missing = missing


@dataclass(frozen=True)
class Backup:
    """A base backup that is complete."""

    name: str
    finished: datetime


def main(arguments):
    strict = "--strict" in arguments
    try:
        match [argument for argument in arguments if argument != "--strict"]:
            case ["wal-push", path]:
                wal_push(Archive(os.environ), path)
            case ["wal-fetch", segment, path]:
                return 0 if wal_fetch(Archive(os.environ), segment, path) else 1
            case ["backup-push"]:
                backup_push(Archive(os.environ))
            case ["backup-fetch", data, "LATEST"]:
                archive = Archive(os.environ)
                backup_fetch(archive, newest(archive).name, data)
            case ["backup-fetch", data, name]:
                backup_fetch(Archive(os.environ), name, data)
            case ["backup-list"]:
                for backup in backups(Archive(os.environ)):
                    print(backup.name, backup.finished.isoformat(), sep="\t")
            case _:
                sys.exit(__doc__)
    except ArchiveFailed as failed:
        print(f"archive: {failed}", file=sys.stderr)
        return ENDS_RECOVERY if strict else 1
    return 0


class Archive:
    """The objects below WALE_S3_PREFIX."""

    def __init__(self, env):
        url = urlsplit(env.get("WALE_S3_PREFIX", ""))
        if url.scheme != "s3" or not url.netloc or not url.path.strip("/"):
            raise ArchiveFailed(f"WALE_S3_PREFIX is {url.geturl()!r}, not like s3://BUCKET/PATH")
        # They take their time, and are not there where the unit tests run.
        import boto3
        from botocore.config import Config

        self._bucket, self._path = url.netloc, url.path.strip("/")
        path_style = (env.get("AWS_S3_FORCE_PATH_STYLE") or "").lower() in ("true", "1", "on", "yes")
        self._client = boto3.client(
            "s3",
            endpoint_url=env.get("AWS_ENDPOINT"),
            region_name=env.get("AWS_REGION") or "us-east-1",
            verify=env.get("WALG_S3_CA_CERT_FILE") or None,
            config=Config(
                s3={"addressing_style": "path" if path_style else "auto"},
                connect_timeout=10,
                read_timeout=60,
                retries={"mode": "standard", "max_attempts": 3},
            ),
        )

    def __str__(self):
        return f"s3://{self._bucket}/{self._path}"

    def put(self, key, file):
        """In parts if it is large."""
        with in_one_line(f"{self}/{key} cannot be written"):
            self._client.upload_fileobj(file, self._bucket, f"{self._path}/{key}")

    def get(self, key, copy):
        """Copies an object into an open file."""
        with in_one_line(f"{self}/{key} cannot be read"):
            shutil.copyfileobj(self._client.get_object(Bucket=self._bucket, Key=f"{self._path}/{key}")["Body"], copy)

    def list(self, folder):
        """The names, below the folder, of the objects in it, each with its time."""
        prefix = f"{self._path}/{folder}/"
        with in_one_line(f"{self}/{folder} cannot be listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            found = [entry for page in pages for entry in page.get("Contents", ())]
        return [(entry["Key"].removeprefix(prefix), entry["LastModified"]) for entry in found]


@contextmanager
def in_one_line(what):
    """An error of S3 has its reason, and no traceback."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        missing = isinstance(error, ClientError) and error.response["Error"]["Code"] in ("NoSuchKey", "404")
        raise ArchiveFailed(f"{what}: {' '.join(str(error).split())}", missing) from error


def wal_push(archive, path):
    packed = run("lzop", "--stdout", path)
    archive.put(f"{WAL}/{os.path.basename(path)}.lzo", io.BytesIO(packed))


def wal_fetch(archive, segment, path):
    """Whether the archive has it. The file is there only when it is whole."""
    packed = io.BytesIO()
    try:
        archive.get(f"{WAL}/{segment}.lzo", packed)
    except ArchiveFailed as failed:
        if failed.missing:
            return False
        raise
    with open(path + ".partial", "wb") as file:
        file.write(run("lzop", "--decompress", "--stdout", content=packed.getvalue()))
    os.rename(path + ".partial", path)
    return True


def backup_push(archive):
    """A base backup as one tar. The sentinel is written last: without it there is no backup."""
    server = subprocess.Popen(
        ["pg_basebackup", "--host", "/run/postgresql", "--username", os.environ.get("PGUSER_STANDBY") or "standby",
         "--no-password", "--pgdata", "-", "--format", "tar", "--wal-method", "none", "--no-manifest", "--checkpoint", "fast"],
        stdout=subprocess.PIPE,
    )
    packer = subprocess.Popen(["lzop", "--stdout"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        head = server.stdout.read(HEAD_BYTES)
        name = name_of_backup(head)
        threading.Thread(target=feed, args=(head, server.stdout, packer.stdin)).start()
        archive.put(f"{BACKUPS}/{name}/tar_partitions/part_00000000.tar.lzo", packer.stdout)
        if server.wait() != 0 or packer.wait() != 0:
            raise ArchiveFailed(f"{name} is not complete: pg_basebackup or lzop failed")
    finally:
        for process in (server, packer):
            process.kill()
            process.wait()
    # What WAL-E has to know before it unpacks one.
    sentinel = {"spec": {"base_prefix": "", "tablespaces": []}}
    archive.put(f"{BACKUPS}/{name}{SENTINEL}", io.BytesIO(json.dumps(sentinel).encode()))
    print(f"archive: {name} is in {archive}", file=sys.stderr)


def feed(head, source, sink):
    """Copies head and source. A reader that has ended is noticed by who waits for it."""
    try:
        with sink:
            sink.write(head)
            shutil.copyfileobj(source, sink)
    except BrokenPipeError:
        pass


def name_of_backup(head):
    """base_<segment>_<offset>, from the label that the tar of a base backup begins with."""
    try:
        with tarfile.open(fileobj=io.BytesIO(head), mode="r|") as tar:
            label = tar.extractfile(tar.next()).read().decode()
        location, segment = re.search(r"^START WAL LOCATION: (\S+) \(file (\w+)\)$", label, re.MULTILINE).groups()
    except (tarfile.TarError, AttributeError) as error:
        raise ArchiveFailed("no base backup: pg_basebackup gave no backup_label") from error
    return f"base_{segment}_{int(location.partition('/')[2], 16) % SEGMENT_BYTES:08d}"


def backups(archive):
    """The complete base backups, the oldest first."""
    found = [(name, time) for name, time in archive.list(BACKUPS) if name.endswith(SENTINEL)]
    return sorted((Backup(name.removesuffix(SENTINEL), time) for name, time in found), key=lambda backup: backup.finished)


def newest(archive, before=None):
    """The newest base backup that was complete before a moment."""
    found = backups(archive)
    if not found:
        raise ArchiveFailed(f"there is no base backup in {archive}; are bucket, cluster and uid right?")
    usable = [backup for backup in found if before is None or backup.finished <= before]
    if not usable:
        oldest = found[0].finished.isoformat()
        raise ArchiveFailed(f"there is no base backup of before {before.isoformat()} in {archive}; the oldest is of {oldest}")
    return usable[-1]


def backup_fetch(archive, name, data):
    """Unpacks a base backup into an empty data directory."""
    parts = [part for part, _ in archive.list(f"{BACKUPS}/{name}/tar_partitions")]
    if not parts:
        raise ArchiveFailed(f"there is no base backup {name} in {archive}")
    os.makedirs(data, mode=0o700, exist_ok=True)
    for part in parts:
        unpacker = subprocess.Popen(["lzop", "--decompress", "--stdout"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        reader = subprocess.Popen(["tar", "--extract", "--directory", data], stdin=unpacker.stdout)
        unpacker.stdout.close()
        try:
            archive.get(f"{BACKUPS}/{name}/tar_partitions/{part}", unpacker.stdin)
        except BrokenPipeError:
            pass
        unpacker.stdin.close()
        if unpacker.wait() != 0 or reader.wait() != 0:
            raise ArchiveFailed(f"{name} cannot be unpacked")


def run(*command, content=None):
    """What the command prints."""
    result = subprocess.run(command, input=content, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if result.returncode != 0:
        raise ArchiveFailed(f"{command[0]} failed: {result.stderr.decode(errors='replace').strip()}")
    return result.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
