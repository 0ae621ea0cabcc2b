"""Pages of PostgreSQL's tables that are overwritten while the server is stopped, as a bad disk would: tests/unit/backend/store/test_postgres_damage.c
and test_postgres_lost.c fill databases, and look what is served of them afterwards."""
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

    def run_program(self, program, what, url):
        done = subprocess.run([BUILD / program, what], env={**os.environ, "SONDE_TEST_STORE": url}, capture_output=True, text=True, timeout=100)
        if done.returncode != 0:
            print(done.stdout[-6000:], done.stderr[-6000:], self.postgres.log.read_text()[-3000:], flush=True)
        self.assertEqual(done.returncode, 0)

    def largest(self, table, kind, database="sonde"):
        """The file of the partition that has most in it, or of its primary key, or what lies apart."""
        name = {"table": "c.oid", "index": "(SELECT indexrelid FROM pg_index WHERE indrelid = c.oid AND indisprimary)",
                "time": "(SELECT i.oid FROM pg_index JOIN pg_class i ON i.oid = indexrelid WHERE indrelid = c.oid AND NOT indisprimary)",
                "toast": "c.reltoastrelid"}[kind]
        rows = self.postgres.psql(f"SELECT pg_relation_filepath({name}), pg_relation_size({name}) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid"
                                  f" WHERE inhparent = 'sonde.{table}'::regclass ORDER BY 2 DESC LIMIT 1", database)
        return self.postgres.data / rows[0][0], int(rows[0][1])

    def overwrite(self, path, page):
        with open(path, "r+b") as f:
            f.seek(page * PAGE)
            f.write(b"\xa5" * PAGE)

    def test_pages_of_chunks(self):
        url = self.postgres.database()
        self.run_program("test_store_postgres_damage", "fill", url)
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
        self.run_program("test_store_postgres_damage", "look", url)
        self.assertIn("invalid page in block", self.postgres.log.read_text())

    def test_pages_of_rows(self):
        program = "test_store_postgres_lost"
        table, index = self.postgres.database("rows"), self.postgres.database("index")
        self.run_program(program, "fill", table)
        self.run_program(program, "fill", index)
        rows, size = self.largest("hot", "table", "rows")
        times, times_size = self.largest("hot", "time", "index")
        self.assertGreaterEqual(size, 20 * PAGE)
        self.assertGreaterEqual(times_size, 4 * PAGE)
        self.postgres.stop()
        for page in (3, 4, 9, size // PAGE - 1):
            self.overwrite(rows, page)
        self.overwrite(times, times_size // PAGE - 1)
        self.postgres.start()
        self.run_program(program, "look", table)
        self.run_program(program, "index", index)
        self.assertIn("invalid page in block", self.postgres.log.read_text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
