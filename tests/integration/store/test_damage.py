"""Pages of PostgreSQL's tables that are overwritten while the server is stopped, as a bad disk would: tests/unit/backend/store/test_postgres_damage.c
fills the database, and looks what is served of it afterwards."""
import os
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from postgres import Postgres  # noqa: E402
from programs import BUILD  # noqa: E402

PAGE = 8192


class DamageTest(unittest.TestCase):
    def setUp(self):
        self.postgres = Postgres().__enter__()
        self.addCleanup(self.postgres.__exit__, None, None, None)
        self.url = self.postgres.database()

    def run_program(self, what):
        done = subprocess.run([BUILD / "test_store_postgres_damage", what], env={**os.environ, "SONDE_TEST_STORE": self.url}, capture_output=True,
                              text=True, timeout=100)
        if done.returncode != 0:
            print(done.stdout[-6000:], done.stderr[-6000:], self.postgres.log.read_text()[-3000:], flush=True)
        self.assertEqual(done.returncode, 0)

    def largest(self, table, kind):
        """The file of the partition that has most in it, or of its primary key, or what lies apart."""
        name = {"table": "c.oid", "index": "(SELECT indexrelid FROM pg_index WHERE indrelid = c.oid AND indisprimary)",
                "toast": "c.reltoastrelid"}[kind]
        rows = self.postgres.psql(f"SELECT pg_relation_filepath({name}), pg_relation_size({name}) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid"
                                  f" WHERE inhparent = 'sonde.{table}'::regclass ORDER BY 2 DESC LIMIT 1")
        return self.postgres.data / rows[0][0], int(rows[0][1])

    def overwrite(self, path, page):
        with open(path, "r+b") as f:
            f.seek(page * PAGE)
            f.write(b"\xa5" * PAGE)

    def test_pages_of_chunks(self):
        self.run_program("fill")
        self.postgres.psql("ANALYZE")
        minutes, size = self.largest("compacted_minute", "table")
        self.assertGreaterEqual(size, 5 * PAGE)
        sealed, sealed_size = self.largest("sealed_raw", "table")
        self.assertGreaterEqual(sealed_size, 3 * PAGE)
        payloads, payloads_size = self.largest("hot", "toast")
        self.assertGreaterEqual(payloads_size, 10 * PAGE)
        index, _ = self.largest("compacted_processes", "index")
        self.postgres.stop()
        self.overwrite(minutes, 2)
        self.overwrite(sealed, 1)
        self.overwrite(payloads, 5)
        self.overwrite(index, 1)  # behind the meta page: its only leaf
        self.postgres.start()
        self.run_program("look")
        self.assertIn("invalid page in block", self.postgres.log.read_text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
