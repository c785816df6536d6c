"""What keeps an upgrade from beginning, and how its failure is told: needs neither PostgreSQL nor Patroni."""

import os
import tempfile
import unittest

from inplace_upgrade import MAX_LAG, lacking
from pg_upgrade import reason
from server import major_of_data

CHECK = """Performing Consistency Checks on Old Live Server
------------------------------------------------
Checking cluster versions                                     ok
Checking data type usage                                      failed check: Checking for incompatible "aclitem" data type

Data type checks failed:
Your installation contains the "aclitem" data type in user tables.
A list of the problem columns is in the file:
    {path}
Failure, exiting
"""


def member(name, role="replica", state="running", **more):
    return {"name": name, "role": role, "state": state} | ({} if role == "leader" else {"lag": 0}) | more


class Beginning(unittest.TestCase):
    def test_it_begins_where_every_member_is_there_and_follows(self):
        self.assertIsNone(lacking({"members": [member("a", "leader"), member("b", lag=MAX_LAG)]}, "a", 2))

    def test_what_is_missing_is_named(self):
        two = [member("a", "leader"), member("b")]
        for cluster, name, wanted, expected in [
            ({"members": two, "pause": True}, "a", 2, "Patroni is paused"),
            ({"members": two}, "a", 3, "2 of 3 members are there"),
            ({"members": two}, "b", 2, "a leads, and this is b"),
            ({"members": [two[0], member("b", state="start failed")]}, "a", 2, "b is start failed"),
            ({"members": [two[0], member("b", lag=MAX_LAG + 1)]}, "a", 2, f"b is {MAX_LAG + 1} bytes behind"),
            ({"members": [two[0], member("b", lag="unknown")]}, "a", 2, "b is unknown bytes behind"),
            ({"members": [member("a", "standby_leader")]}, "a", 1, "the cluster follows another one"),
        ]:
            self.assertEqual(lacking(cluster, name, wanted), expected)


class Telling(unittest.TestCase):
    def test_the_reason_is_what_pg_upgrade_says_and_finds_and_not_its_steps(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("In database: foo\n  public.bad.a\n")
            file.flush()
            told = reason(CHECK.format(path=file.name))
        self.assertTrue(told.startswith('Checking data type usage failed check: Checking for incompatible "aclitem"'), told)
        self.assertTrue(told.endswith("In database: foo public.bad.a"), told)
        self.assertNotIn("cluster versions", told)

    def test_a_folder_without_data_has_no_version(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertIsNone(major_of_data(folder))
            with open(os.path.join(folder, "PG_VERSION"), "w") as file:
                file.write("15\n")
            self.assertEqual(major_of_data(folder), "15")


if __name__ == "__main__":
    unittest.main()
