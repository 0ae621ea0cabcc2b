"""The store's and history's tests on a real PostgreSQL, the same programs that run on SQLite as unit tests, and those that only PostgreSQL has.
test_engines.py CitusTest: those that every store has to pass, spread over three servers."""
import os
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from postgres import Citus, Postgres, has_citus  # noqa: E402
from programs import BUILD  # noqa: E402

CONTRACT = ("store_append", "store_chunks", "store_registry", "store_rows", "history_seal", "history_compact", "history_keeper")
OF_ONE_SERVER = ("store_kill", "store_kill_chunks", "store_postgres", "store_postgres_chunks", "store_postgres_disk")


class EnginesTest(unittest.TestCase):
    server = Postgres

    @classmethod
    def setUpClass(cls):
        cls.postgres = cls.server().__enter__()
        cls.addClassCleanup(cls.postgres.__exit__, None, None, None)
        cls.url = cls.postgres.database()

    def run_program(self, name):
        done = subprocess.run([BUILD / f"test_{name}"], env={**os.environ, "SONDE_TEST_STORE": self.url}, capture_output=True,
                              text=True, timeout=100)
        if done.returncode != 0:
            print(done.stdout[-6000:], done.stderr[-6000:], self.postgres.log.read_text()[-3000:], flush=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("PASSED", done.stdout + done.stderr)


class CitusTest(EnginesTest):
    server = Citus


for program in (*CONTRACT, *OF_ONE_SERVER):
    setattr(EnginesTest, f"test_{program}", lambda self, name=program: self.run_program(name))
for program in OF_ONE_SERVER:
    setattr(CitusTest, f"test_{program}", None)

if __name__ == "__main__":
    if "CitusTest" in sys.argv and not has_citus():
        print("SKIP: Citus is not installed, and Debian has no package of it")
        sys.exit(77)
    unittest.main(verbosity=2)
