"""A dump that fails is never read to its end as if it were whole: needs pigz's place taken, not PostgreSQL."""

import os
import stat
import tempfile
import unittest

from dump import Dump, DumpFailed


class Reading(unittest.TestCase):
    def dump_of(self, script):
        """A Dump whose pg_dumpall is this shell script and whose pigz is cat."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, body in (("pg_dumpall", script), ("pigz", "cat")):
            path = os.path.join(folder.name, name)
            with open(path, "w") as file:
                file.write(f"#!/bin/sh\n{body}\n")
            os.chmod(path, stat.S_IRWXU)
        path = os.environ["PATH"]
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        os.environ["PATH"] = f"{folder.name}:{path}"
        return Dump(folder.name, dict(os.environ))

    def test_a_whole_dump_can_be_read(self):
        with self.dump_of("echo data") as dump:
            self.assertEqual(dump.read(1024), b"data\n")
            self.assertEqual(dump.size, 5)

    def test_a_dump_that_fails_half_way_breaks_the_reading(self):
        with self.dump_of("echo data; exit 3") as dump, self.assertRaisesRegex(DumpFailed, "pg_dumpall failed: 3"):
            dump.read(1024)

    def test_leaving_early_leaves_no_process_behind(self):
        with self.dump_of("yes") as dump:
            dump.read(10)
        self.assertIsNotNone(dump._dump.returncode)


if __name__ == "__main__":
    unittest.main()
