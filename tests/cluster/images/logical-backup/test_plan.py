"""What a backup is about: needs neither a cluster nor S3."""

import unittest
from datetime import datetime, timezone

from plan import Pod, Refused, choose, object_key, oldest_to_keep, outdated


def mk_pod(name, role, node="here", address="10.244.0.9"):
    return Pod(name, role, node, address)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


class Choice(unittest.TestCase):
    def test_a_replica_on_our_node_comes_first(self):
        pods = [mk_pod("m", "master"), mk_pod("far", "replica", "there"), mk_pod("near", "replica")]
        self.assertEqual(choose("here", pods).name, "near")

    def test_any_replica_comes_before_the_master(self):
        self.assertEqual(choose("here", [mk_pod("m", "master"), mk_pod("far", "replica", "there")]).name, "far")

    def test_a_single_member_is_dumped_itself(self):
        self.assertEqual(choose("here", [mk_pod("m", "master", "there")]).name, "m")

    def test_a_pod_without_address_is_passed_over(self):
        self.assertEqual(choose("here", [mk_pod("new", "replica", address=None), mk_pod("m", "master")]).name, "m")

    def test_nobody_to_dump_is_a_failure(self):
        with self.assertRaises(Refused):
            choose("here", [])


class Name(unittest.TestCase):
    ENV = {
        "SCOPE": "acid-backup",
        "LOGICAL_BACKUP_S3_BUCKET": "my-bucket-url",
        "LOGICAL_BACKUP_S3_BUCKET_PREFIX": "spilo",
        "LOGICAL_BACKUP_S3_BUCKET_SCOPE_SUFFIX": "/a-uid",
    }

    def test_a_backup_lies_beside_the_cluster_s_wal(self):
        self.assertEqual(object_key(self.ENV, 1700000000), "spilo/acid-backup/a-uid/logical_backups/1700000000.sql.gz")

    def test_what_is_missing_is_named(self):
        with self.assertRaisesRegex(Refused, "LOGICAL_BACKUP_S3_BUCKET"):
            object_key(self.ENV | {"LOGICAL_BACKUP_S3_BUCKET": ""}, 0)


class Retention(unittest.TestCase):
    NOW = at("2024-05-31T03:15:00")

    def test_a_time_counts_from_the_start_of_its_day(self):
        self.assertEqual(oldest_to_keep(self.NOW, "2 weeks"), at("2024-05-17T00:00:00"))

    def test_one_of_a_unit_may_be_written_so(self):
        self.assertEqual(oldest_to_keep(self.NOW, "1 day"), at("2024-05-30T00:00:00"))

    def test_none_keeps_everything(self):
        for retention in (None, "", " "):
            self.assertIsNone(oldest_to_keep(self.NOW, retention))
        self.assertEqual(outdated([("a", at("2001-01-01")), ("b", self.NOW)], None), [])

    def test_a_time_that_makes_no_sense_is_refused(self):
        with self.assertRaisesRegex(Refused, "3 months"):
            oldest_to_keep(self.NOW, "forever")

    def test_older_ones_go_but_never_the_newest(self):
        backups = [("b", at("2024-02-01")), ("a", at("2024-01-01")), ("c", at("2024-03-01"))]
        self.assertEqual(outdated(backups, at("2024-02-15")), ["a", "b"])
        self.assertEqual(outdated(backups, at("2024-05-01")), ["a", "b"])


if __name__ == "__main__":
    unittest.main()
