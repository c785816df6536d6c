"""Where backups are stored: an S3 bucket, or a folder for tests that have no S3."""

import os
import shutil
from contextlib import contextmanager
from datetime import datetime, timezone

from plan import Refused


def of(env):
    """The target that LOGICAL_BACKUP_PROVIDER and LOGICAL_BACKUP_S3_BUCKET name; an absolute path is a folder."""
    provider, bucket = env.get("LOGICAL_BACKUP_PROVIDER") or "s3", env["LOGICAL_BACKUP_S3_BUCKET"]
    if bucket.startswith("/"):
        return Folder(bucket)
    if provider != "s3":
        raise Refused(f"LOGICAL_BACKUP_PROVIDER is {provider}; s3 is what this image can do")
    return Bucket(
        bucket.removeprefix("s3://"),
        region=env.get("LOGICAL_BACKUP_S3_REGION"),
        endpoint=env.get("LOGICAL_BACKUP_S3_ENDPOINT"),
        encryption=env.get("LOGICAL_BACKUP_S3_SSE"),
    )


class Bucket:
    def __init__(self, name, region, endpoint, encryption):
        import boto3  # takes its time, and is not there where the unit tests run

        self._name = name
        self._client = boto3.client("s3", region_name=region or None, endpoint_url=endpoint or None)
        self._extra = {"ServerSideEncryption": encryption} if encryption else {}

    def __str__(self):
        return f"s3://{self._name}"

    def put(self, key, file):
        """In parts; when the reading breaks, the parts are thrown away."""
        with in_one_line():
            self._client.upload_fileobj(file, self._name, key, ExtraArgs=self._extra)

    def list(self, prefix):
        with in_one_line():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield entry["Key"], entry["LastModified"]

    def delete(self, key):
        with in_one_line():
            self._client.delete_object(Bucket=self._name, Key=key)


@contextmanager
def in_one_line():
    """An error of S3 is logged as its message, without a traceback."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise Refused(f"S3: {error}") from error


class Folder:
    def __init__(self, path):
        self._path = path

    def __str__(self):
        return self._path

    def put(self, key, file):
        """Under a name of its own until it is whole."""
        path = os.path.join(self._path, key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            with open(path + ".partial", "wb") as copy:
                shutil.copyfileobj(file, copy)
            os.rename(path + ".partial", path)
        except BaseException:
            os.unlink(path + ".partial")
            raise

    def list(self, prefix):
        folder = os.path.join(self._path, prefix)
        for name in os.listdir(folder):
            if not name.endswith(".partial"):
                modified = os.path.getmtime(os.path.join(folder, name))
                yield prefix + name, datetime.fromtimestamp(modified, timezone.utc)

    def delete(self, key):
        os.unlink(os.path.join(self._path, key))
