"""The crash matrix: the real agent and the real backend, and at random moments one of them is killed or stopped, the disk is full, the
database locked, the connection cut. Afterwards the sequences of every instance the agent has ever been are in the database from 1 to
the last one, once each, but for those the agent itself reports as dropped.

20 rounds, drawn by SONDE_SEED or a seed that is printed; --slow: 200, and some of the pauses are as long as a minute."""
import collections
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE.parent / "delivery")]
from cutter import Cutter  # noqa: E402
from programs import Installation, wait_for  # noqa: E402
from test_spool import last_sequences  # noqa: E402

SLOW = "--slow" in sys.argv
ROUNDS = 200 if SLOW else 20
QUICK = ("--interval", "100ms", "--disable", "perf,block_io")
DISK_MB = 2048 if SLOW else 384
FAULTS = ("kill_backend", "kill_agent", "kill_both", "stop_backend", "stop_agent", "full_disk", "locked", "cut")


class Matrix(Installation):
    def __enter__(self):
        super().__enter__()
        self.disk = self.path / "disk"
        self.disk.mkdir()
        self.mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", self.disk], check=False).returncode == 0
        self.database = self.disk / "sonde.db"
        self.taken = collections.Counter()  # {instance: last sequence its spool held when it was killed}
        self.start_backend()
        self.cutter = Cutter(self.grpc_port)
        self.start()
        wait_for(lambda: self.rows(), 30, "the first snapshots are stored")
        return self

    def __exit__(self, *exception):
        self.cutter.close()
        for process in [*self.agents, self.backend]:
            if process.poll() is None:
                process.kill()
                process.wait()
        if exception[0]:
            for log in sorted(self.path.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}")
        if self.mounted:
            subprocess.run(["umount", "-l", self.disk], check=True)
        return super().__exit__(None, None, None)

    def start(self):
        """The agent, by way of the proxy: the last --backend counts."""
        self.agent = self.start_agent("agent", *QUICK, "--backend", f"127.0.0.1:{self.cutter.port}")

    def spool(self):
        return last_sequences(self.state_dir("agent") / "spool")

    def note(self):
        for instance, last in self.spool().items():
            self.taken[instance] = max(self.taken[instance], last)

    def query(self, sql):
        db = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def rows(self):
        return self.query("SELECT count(*) FROM hot")[0][0]

    # The faults: each leaves everything running again.

    def kill_backend(self, pause):
        self.backend.kill()
        self.backend.wait()
        time.sleep(pause)
        self.start_backend()

    def kill_agent(self, pause):
        self.agent.kill()
        self.agent.wait()
        self.note()
        time.sleep(pause)
        self.start()

    def kill_both(self, pause):
        self.agent.kill()
        self.backend.kill()
        self.agent.wait()
        self.backend.wait()
        self.note()
        time.sleep(pause / 2)
        self.start()
        time.sleep(pause / 2)
        self.start_backend()

    def stop(self, process, pause):
        process.send_signal(signal.SIGSTOP)
        time.sleep(62 if SLOW and random.random() < 0.1 else pause)
        process.send_signal(signal.SIGCONT)

    def stop_backend(self, pause):
        self.stop(self.backend, pause)

    def stop_agent(self, pause):
        self.stop(self.agent, pause)

    def full_disk(self, pause):
        ballast = self.disk / "ballast"
        with open(ballast, "wb") as f:
            size = 64 << 20
            while size >= 4096:
                try:
                    os.posix_fallocate(f.fileno(), os.fstat(f.fileno()).st_size, size)
                except OSError:
                    size //= 2
        time.sleep(pause)
        ballast.unlink()

    def locked(self, pause):
        lock = sqlite3.connect(self.database, isolation_level=None, timeout=10)
        lock.execute("BEGIN EXCLUSIVE")
        time.sleep(pause)
        lock.execute("ROLLBACK")
        lock.close()

    def cut(self, pause):
        before = self.cutter.cuts
        self.cutter.cut_after(random.randint(1, 30))
        wait_for(lambda: self.cutter.cuts > before, 60, "the connection is cut")

    # What must hold

    def settle(self):
        """Waits until all that the spool holds is durable, ends the agent; {counter: value} of its last line."""
        self.note()
        wait_for(lambda: not self.missing(), 90, "everything in the spool is stored")
        self.agent.send_signal(signal.SIGTERM)
        assert self.agent.wait(20) == 0
        line = [line for line in self.log("agent").splitlines() if "msg=stopped" in line][-1]
        self.note()
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)\b", line)}

    def missing(self):
        durable = dict(self.query("SELECT instance, max(last) FROM streams GROUP BY instance"))
        return [i.hex() for i, last in self.taken.items() if durable.get(i, 0) < last]

    def judge(self, test):
        counters = self.settle()
        test.assertEqual(self.missing(), [])
        test.assertEqual(counters["unsent"], 0)
        ranges = collections.defaultdict(list)
        for instance, first, last in self.query("SELECT instance, first, last FROM streams ORDER BY instance, first"):
            ranges[instance].append((first, last))
        rows = collections.defaultdict(list)
        for instance, sequence in self.query("SELECT instance, sequence FROM hot ORDER BY instance, sequence"):
            rows[instance].append(sequence)
        gaps = 0
        for instance, stored in rows.items():
            test.assertEqual(len(stored), len(set(stored)), "nothing twice")
            test.assertEqual(sum(b - a + 1 for a, b in ranges[instance]), len(stored), "streams says what is stored")
            gaps += stored[-1] - len(stored)
        test.assertEqual(gaps, counters["dropped"], f"gaps are what the agent reports as dropped: {dict(ranges)}")
        test.assertEqual(set(rows), set(ranges))
        test.assertEqual(self.query("PRAGMA integrity_check"), [("ok",)])
        for line in self.log("agent").splitlines() + self.log("backend").splitlines():
            test.assertNotRegex(line, "ERROR: |runtime error|conflict|was refused")
        return sum(map(len, rows.values())), len(rows), counters


class CrashTest(unittest.TestCase):
    def test_matrix(self):
        seed = int(os.environ.get("SONDE_SEED") or random.randrange(1 << 32))
        print(f"SONDE_SEED={seed}", flush=True)
        random.seed(seed)
        with Matrix() as it:
            faults = [f for f in FAULTS if f != "full_disk" or it.mounted]
            if not it.mounted:
                print("full_disk is left out: this user may not mount a small file system")
            order = (faults * (ROUNDS // len(faults) + 1))[:ROUNDS]
            random.shuffle(order)
            for number, fault in enumerate(order):
                pause = random.uniform(0.05, 2.0)
                print(f"{number} {fault} {pause:.2f}", flush=True)
                getattr(it, fault)(pause)
                time.sleep(random.uniform(0, 1.0))
            rows, instances, counters = it.judge(self)
            print(f"{rows} snapshots of {instances} instances, {counters}", flush=True)
            self.assertGreater(rows, ROUNDS * 5)

    def test_cut_behind_every_frame(self):
        """Of a connection from its first frame to steady traffic: each boundary in turn is its last. Without --slow 14 of them."""
        boundaries = list(range(1, 61)) if SLOW else sorted(random.sample(range(1, 41), 14))
        print(f"boundaries {boundaries}", flush=True)
        with Matrix() as it:
            wait_for(lambda: len(it.cutter.passed) >= 40, 30, "traffic")
            it.cutter.cut_after(1)
            for boundary in boundaries:
                wait_for(lambda: not it.cutter.open, 60, "the connection before ends")
                it.cutter.cut_after(boundary)
                wait_for(lambda: it.cutter.left is None, 60, f"cut behind frame {boundary}")
                # Before Welcome the agent's pauses grow: one connection may live in between.
                if boundary < 12:
                    wait_for(lambda: it.cutter.open and len(it.cutter.passed) >= 20, 60, "a connection that lives")
                    it.cutter.cut_after(1)
                self.assertEqual(it.agent.poll(), None)
            rows, _, counters = it.judge(self)
            self.assertGreaterEqual(it.cutter.cuts, len(boundaries))
            print(f"{it.cutter.cuts} cuts, {rows} snapshots, {counters}", flush=True)


if __name__ == "__main__":
    if SLOW:
        sys.argv.remove("--slow")
    unittest.main(verbosity=2)
