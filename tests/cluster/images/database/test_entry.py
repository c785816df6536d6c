"""Process 1 and its signals: needs neither PostgreSQL nor Patroni."""

import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = """
import os, signal, sys
import entry
entry.custody.PID = sys.argv[1]
os.geteuid = lambda: 1
os.kill(os.getpid(), signal.SIGTERM)
print(entry.supervise(["/bin/sleep", "60"], os.environ))
"""


class Signals(unittest.TestCase):
    def test_a_signal_that_comes_before_patroni_runs_is_passed_on_to_it(self):
        with tempfile.NamedTemporaryFile() as pid:
            ended = subprocess.run([sys.executable, "-B", "-c", PROGRAM, pid.name], capture_output=True, text=True, timeout=30,
                                   cwd=os.path.dirname(os.path.abspath(__file__)))
        self.assertEqual((ended.stdout.splitlines()[-1:], ended.returncode), (["(143, True)"], 0), ended.stderr)


if __name__ == "__main__":
    unittest.main()
