"""A disk that is smaller than what comes: the oldest goes, what comes is taken, and the file stays whole. On a file system of its own."""
import os
import sqlite3
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "ingest"))
from backend import Backend  # noqa: E402
from sonde_proto import ranges  # noqa: E402

DISK = 48 << 20
BATCHES, OF = 120, 40  # of twelve kilobytes that nothing can pack: more than the disk has
STEP_US = 80000  # so that all of it is of the last eight minutes: a backlog would be held back


class FullDiskTest(unittest.TestCase):
    def setUp(self):
        if os.geteuid() != 0:
            print("SKIP: mounting a file system wants root")
            sys.exit(77)

    def test_the_oldest_goes_and_all_that_comes_is_taken(self):
        with Backend() as backend:
            backend.stop()
            disk = backend.path / "disk"
            disk.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", disk], check=True)
            try:
                backend.database = disk / "sonde.db"
                self.overfill(backend, disk)
            finally:
                backend.backend.kill()
                backend.backend.wait()
                subprocess.run(["umount", disk], check=True)

    def overfill(self, backend, disk):
        backend.start_backend("--seal-every", "1s")
        double = backend.double()
        begin, sent, accepted, free = int(time.time() * 1000000) - 480000000, 0, set(), DISK
        for i in range(BATCHES):
            if i % 20 == 0:  # a call of the double has a deadline
                stream = double.stream()
                stream.welcome()
            time.sleep(0.25)
            stream.send(2, double.batch(*[self.large(double, sent + k + 1, begin + STEP_US * (sent + k)) for k in range(OF)]))
            sent += OF
            while len(accepted) < sent:
                for first, last in ranges(stream.receive().acknowledgement.accepted):
                    accepted.update(range(first, last + 1))
            free = min(free, os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize)
        self.assertEqual(accepted, set(range(1, sent + 1)))
        self.assertEqual(backend.stop(), 0)
        db = sqlite3.connect(backend.database)
        self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        oldest, newest = db.execute("SELECT min(first_us), max(last_us) FROM chunks").fetchone()
        newest = max(newest or 0, *db.execute("SELECT coalesce(max(agent_us), 0) FROM hot").fetchone())
        db.close()
        self.assertGreater(oldest, begin + STEP_US * OF, "the oldest is gone")
        self.assertEqual(newest, begin + STEP_US * (sent - 1), "the newest is there")
        print(f"{sent} snapshots; at least {free >> 10} KiB were free; {(newest - oldest) // STEP_US} are kept; "
              f"the disk was called full {backend.log('backend').count('full')} times")

    def large(self, double, sequence, time_us):
        s = double.snapshot(sequence)
        s.timestamp.FromMicroseconds(time_us)
        s.processes.state.code = 1
        s.processes.processes.add(pid=1, start_time_us=5, cpu_us=7, comm="x", command_line=os.urandom(12288).hex())
        return s


if __name__ == "__main__":
    unittest.main(verbosity=2)
