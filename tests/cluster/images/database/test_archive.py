"""Which base backup is restored, and what objects are named: the archive is in memory; needs neither S3 nor lzop."""

import argparse
import io
import os
import tarfile
import tempfile
import unittest
from datetime import datetime, timezone
from unittest import mock

import archive
from archive import ArchiveFailed, Backup, backup_fetch, backups, name_of_backup, newest, wal_fetch, wal_push
from base_backups import backup_if_needed
from restore import moment


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


class Memory:
    """An archive in memory: objects by their keys, the time of each by its place."""

    def __init__(self, *finished, objects=()):
        self.objects = dict(objects)
        self.sentinels = [(f"base_{index}{archive.SENTINEL}", at(time)) for index, time in enumerate(finished)]

    def __str__(self):
        return "s3://archives/path"

    def put(self, key, file):
        self.objects[key] = file.read()

    def get(self, key, copy):
        if key not in self.objects:
            raise ArchiveFailed(f"{key} cannot be read", missing=True)
        copy.write(self.objects[key])

    def list(self, folder):
        return self.sentinels if folder == archive.BACKUPS else []


def cat(*command, content=None):
    """In lzop's place: what is packed is not what is tested."""
    if content is not None:
        return content
    with open(command[-1], "rb") as file:
        return file.read()


class Choice(unittest.TestCase):
    BACKUPS = ("2026-01-01T10:00:00", "2026-01-03T10:00:00", "2026-01-02T10:00:00")

    def test_the_newest_one_is_restored(self):
        self.assertEqual(newest(Memory(*self.BACKUPS)), Backup("base_1", at("2026-01-03T10:00:00")))

    def test_up_to_a_moment_one_of_later_is_of_no_use(self):
        self.assertEqual(newest(Memory(*self.BACKUPS), at("2026-01-02T12:00:00")).name, "base_2")

    def test_a_moment_before_every_backup_is_a_failure_that_says_from_when_on_it_can_be(self):
        with self.assertRaisesRegex(ArchiveFailed, "no base backup of before 2025-12-31.*the oldest is of 2026-01-01T10:00:00"):
            newest(Memory(*self.BACKUPS), at("2025-12-31T00:00:00"))

    def test_an_archive_without_backups_is_a_failure_that_names_its_path(self):
        with self.assertRaisesRegex(ArchiveFailed, "no base backup in s3://archives/path; are bucket, cluster and uid right"):
            newest(Memory())

    def test_what_has_no_sentinel_is_no_backup(self):
        store = Memory("2026-01-01T10:00:00")
        store.sentinels.append(("base_9/tar_partitions/part_00000000.tar.lzo", at("2026-01-09T10:00:00")))
        self.assertEqual([backup.name for backup in backups(store)], ["base_0"])

    def test_a_backup_that_was_removed_is_named(self):
        with self.assertRaisesRegex(ArchiveFailed, "base_7"):
            backup_fetch(Memory(), "base_7", "/nonexistent")


class Moments(unittest.TestCase):
    def test_a_moment_without_a_zone_is_refused(self):
        with self.assertRaisesRegex(argparse.ArgumentTypeError, "no time zone"):
            moment("2017-12-19T12:40:33")
        self.assertEqual(moment("2017-12-19T12:40:33+01:00"), at("2017-12-19T11:40:33"))


class Names(unittest.TestCase):
    LABEL = b"START WAL LOCATION: A1/FF000100 (file 00000012000000A1000000FF)\nCHECKPOINT LOCATION: A1/FF000138\n"

    def head(self, name, content):
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as file:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
        return tar.getvalue()[:archive.HEAD_BYTES]

    def test_a_backup_is_named_after_the_place_in_the_wal_where_it_begins(self):
        self.assertEqual(name_of_backup(self.head("backup_label", self.LABEL)), "base_00000012000000A1000000FF_00000256")

    def test_what_is_no_base_backup_is_refused(self):
        for head in (b"", self.head("PG_VERSION", b"15")):
            with self.assertRaisesRegex(ArchiveFailed, "no backup_label"):
                name_of_backup(head)


class Segments(unittest.TestCase):
    def setUp(self):
        self.enterContext(mock.patch.object(archive, "run", cat))
        self.folder = self.enterContext(tempfile.TemporaryDirectory())

    def test_a_segment_goes_and_comes_back(self):
        store, source, copy = Memory(), f"{self.folder}/000000010000000000000001", f"{self.folder}/copy"
        with open(source, "wb") as file:
            file.write(b"wal")
        wal_push(store, source)
        self.assertEqual(list(store.objects), ["wal_005/000000010000000000000001.lzo"])
        self.assertTrue(wal_fetch(store, "000000010000000000000001", copy))
        with open(copy, "rb") as file:
            self.assertEqual(file.read(), b"wal")

    def test_a_missing_segment_is_an_answer_and_leaves_no_file(self):
        self.assertFalse(wal_fetch(Memory(), "000000010000000000000001", f"{self.folder}/copy"))
        self.assertEqual(os.listdir(self.folder), [])

    def test_an_archive_that_fails_ends_a_recovery_that_has_to_be_complete(self):
        with mock.patch.dict(os.environ, {"WALE_S3_PREFIX": "https://no-bucket"}):
            self.assertEqual(archive.main(["wal-fetch", "00000002.history", "copy"]), 1)
            self.assertEqual(archive.main(["wal-fetch", "--strict", "00000002.history", "copy"]), archive.ENDS_RECOVERY)


class Schedule(unittest.TestCase):
    def made(self, store, last_due):
        """The newest base backup, and whether it was made for it."""
        made = []

        def push(store):
            made.append(store)
            store.sentinels.append((f"base_new{archive.SENTINEL}", at("2026-01-09T09:00:00")))

        with mock.patch("base_backups.backup_push", push):
            newest = backup_if_needed(store, last_due)
        return newest, bool(made)

    def test_an_archive_without_backups_gets_one_at_once(self):
        self.assertEqual(self.made(Memory(), at("2026-01-09T01:00:00")), (at("2026-01-09T09:00:00"), True))

    def test_a_backup_since_the_schedule_was_due_is_enough(self):
        store = Memory("2026-01-09T01:05:00")
        self.assertEqual(self.made(store, at("2026-01-09T01:00:00")), (at("2026-01-09T01:05:00"), False))

    def test_a_backup_of_before_the_schedule_was_due_is_followed_by_another(self):
        store = Memory("2026-01-08T01:05:00")
        self.assertEqual(self.made(store, at("2026-01-09T01:00:00")), (at("2026-01-09T09:00:00"), True))


if __name__ == "__main__":
    unittest.main()
