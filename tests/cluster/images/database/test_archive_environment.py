"""Which archives a pod's environment names: needs no S3."""

import os
import tempfile
import unittest
from unittest import mock

import archive_environment
from archive_environment import CLONE, OWN, STANDBY, archive, folder

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}


class Archives(unittest.TestCase):
    def test_the_uid_separates_clusters_of_one_name(self):
        env = {"SCOPE": "acid-source", "WAL_S3_BUCKET": "archives", "WAL_BUCKET_SCOPE_SUFFIX": "/a-uid", **KEYS}
        self.assertEqual(archive(env, OWN, "15"), {"WALE_S3_PREFIX": "s3://archives/spilo/acid-source/a-uid/wal/15", **KEYS})

    def test_a_path_wins_over_the_bucket(self):
        env = {"SCOPE": "acid-source", "WAL_S3_BUCKET": "archives", "WALE_S3_PREFIX": "s3://other/path/"}
        self.assertEqual(archive(env, OWN, "15"), {"WALE_S3_PREFIX": "s3://other/path"})

    def test_the_source_of_a_clone_or_standby_has_variables_of_its_own(self):
        env = {
            "SCOPE": "acid-new", "CLONE_SCOPE": "acid-source", "CLONE_WAL_S3_BUCKET": "archives",
            "CLONE_WAL_BUCKET_SCOPE_SUFFIX": "/a-uid", "CLONE_AWS_ACCESS_KEY_ID": "id", "STANDBY_WALE_S3_PREFIX": "s3://far/away",
            "AWS_SECRET_ACCESS_KEY": "of our own archive",
        }
        self.assertEqual(archive(env, CLONE, "15"), {
            "WALE_S3_PREFIX": "s3://archives/spilo/acid-source/a-uid/wal/15", "AWS_ACCESS_KEY_ID": "id",
        })
        self.assertEqual(archive(env, STANDBY, "15"), {"WALE_S3_PREFIX": "s3://far/away"})
        self.assertIsNone(archive(env, OWN, "15"))
        self.assertEqual([folder(env, kind).rpartition("/")[2] for kind in (OWN, CLONE, STANDBY)], ["env", "env-clone-acid-source", "env-standby"])

    def test_another_service_than_amazon_s_has_the_bucket_in_the_path(self):
        for variables, endpoint, path_style in (
            ({"AWS_ENDPOINT": "https://s3"}, "https://s3", "true"),
            ({"AWS_ENDPOINT": "https://s3", "WALE_S3_ENDPOINT": "https://s3"}, "https://s3", "true"),
            ({"WALE_S3_ENDPOINT": "https+path://s3:8443"}, "https://s3:8443", "true"),
            ({"WALE_S3_ENDPOINT": "https+virtualhost://s3"}, "https://s3", "false"),
            ({"AWS_S3_FORCE_PATH_STYLE": "1"}, None, "1"),
        ):
            found = archive({"WALE_S3_PREFIX": "s3://b/p", **variables}, OWN, "15")
            self.assertEqual((found.get("AWS_ENDPOINT"), found["AWS_S3_FORCE_PATH_STYLE"]), (endpoint, path_style))

    def test_the_folders_are_for_nobody_else(self):
        with tempfile.TemporaryDirectory() as root, mock.patch.object(archive_environment, "FOLDER", root):
            owned = []
            archive_environment.write({"WALE_S3_PREFIX": "s3://b/p", **KEYS}, "15", owned.append)
            self.assertEqual(sorted(os.listdir(f"{root}/env")), ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "WALE_S3_PREFIX"])
            self.assertEqual(os.stat(f"{root}/env").st_mode & 0o777, 0o700)
            self.assertEqual(os.stat(f"{root}/env/AWS_SECRET_ACCESS_KEY").st_mode & 0o777, 0o600)
            self.assertEqual(len(owned), 4)


if __name__ == "__main__":
    unittest.main()
