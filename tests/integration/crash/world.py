"""A backend with its database on a small disk, two agents that reach it through proxies of their own, and what can befall them. One agent
has room for everything; the other one's spool is so small that an outage of seconds overflows it."""
import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE.parent / "delivery")]
from cutter import Cutter  # noqa: E402
from programs import Installation, wait_for  # noqa: E402
from test_spool import last_sequences  # noqa: E402
from witness import Witness  # noqa: E402

QUICK = ("--interval", "100ms", "--disable", "perf,block_io")


@contextlib.contextmanager
def held_still(process):
    """Every thread of it has stopped."""
    def states():
        return {(task / "stat").read_text().rsplit(")", 1)[1].split()[0] for task in Path(f"/proc/{process.pid}/task").iterdir()}
    process.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: states() == {"T"}, 10, "it has stopped")
        yield
    finally:
        process.send_signal(signal.SIGCONT)


class Host:
    """An agent, killed and started again in the same state directory."""

    def __init__(self, world, name, spool, witnessed):
        self.world, self.name = world, name
        self.cutter = Cutter(world.grpc_port)
        self.flags = (*QUICK, "--spool-bytes", spool, "--backend", f"127.0.0.1:{self.cutter.port}")  # the last --backend counts
        self.spool = world.state_dir(name) / "spool"
        self.taken = Counter()  # {instance: the last sequence its spool held}
        self.agent = None
        self.start()
        self.witness = Witness(self.spool) if witnessed else None

    def start(self):
        self.agent = self.world.start_agent(self.name, *self.flags)

    def kill(self):
        self.agent.kill()
        self.agent.wait()
        self.note()

    def note(self):
        for instance, last in last_sequences(self.spool).items() if self.spool.exists() else ():
            self.taken[instance] = max(self.taken[instance], last)

    def due(self):
        """(instance, sequence) of what must be in the database by and by: the newest is there long before what was sent again behind it."""
        self.note()
        if self.witness:
            self.witness.look()
            with self.witness.lock:
                return set(self.witness.waiting)
        return self.all_taken()

    def all_taken(self):
        """Nothing is missing: a spool with room for everything."""
        return {(instance, n) for instance, last in self.taken.items() for n in range(1, last + 1)}

    def stop(self):
        """{counter: value} of its last line."""
        self.agent.send_signal(signal.SIGTERM)
        assert self.agent.wait(20) == 0
        self.note()
        line = [line for line in self.world.log(self.name).splitlines() if "msg=stopped" in line][-1]
        return {key: int(value) for key, value in re.findall(r" (\w+)=(\d+)\b", line)}

    def close(self):
        self.cutter.close()
        if self.witness:
            self.witness.close()


class World(Installation):
    def __init__(self, disk_mib, spools):
        """spools: {host: (size, witnessed)}"""
        super().__init__()
        self.disk_mib, self.spools, self.hosts = disk_mib, spools, {}
        self.disk = self.path / "disk"
        self.database = self.disk / "sonde.db"

    def __enter__(self):
        super().__enter__()
        self.disk.mkdir()
        self.mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={self.disk_mib}m", "tmpfs", self.disk], check=False).returncode == 0
        try:
            self.start_backend()
            for name, (size, witnessed) in self.spools.items():
                self.hosts[name] = Host(self, name, size, witnessed)
            wait_for(lambda: len(self.ranges()) == len(self.hosts), 90, "the first snapshots are stored")
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *exception):
        for host in self.hosts.values():
            host.close()
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

    def query(self, sql):
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)) as db:
            return db.execute(sql).fetchall()

    def ranges(self):
        found = defaultdict(list)
        for instance, first, last in self.query("SELECT instance, first, last FROM streams ORDER BY instance, first"):
            found[instance].append((first, last))
        return found

    def stored(self):
        """{(instance, sequence)} and how many rows there are."""
        rows = self.query("SELECT instance, sequence FROM hot")
        return set(rows), len(rows)

    # Outages of the backend: each is a context that leaves it serving again.

    @contextlib.contextmanager
    def killed(self):
        self.backend.kill()
        self.backend.wait()
        yield
        self.start_backend()

    @contextlib.contextmanager
    def stopped(self):
        self.backend.send_signal(signal.SIGSTOP)
        yield
        self.backend.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def full(self):
        ballast = self.disk / "ballast"
        with open(ballast, "wb") as f:
            size = 64 << 20
            while size >= 4096:
                try:
                    os.posix_fallocate(f.fileno(), os.fstat(f.fileno()).st_size, size)
                except OSError:
                    size //= 2
        yield
        ballast.unlink()

    @contextlib.contextmanager
    def locked(self):
        lock = sqlite3.connect(self.database, isolation_level=None, timeout=10)
        lock.execute("BEGIN EXCLUSIVE")
        yield
        lock.execute("ROLLBACK")
        lock.close()

    @contextlib.contextmanager
    def silent(self, host, reset):
        """The network takes everything and passes nothing."""
        host.cutter.hold()
        yield
        host.cutter.release(reset)

    # What must hold

    def drained(self):
        """All that waits now is stored before long."""
        due = {name: host.due() for name, host in self.hosts.items()}

        def left():
            durable = {(instance, n) for instance, ranges in self.ranges().items() for a, b in ranges for n in range(a, b + 1)}
            return [(name, snapshot) for name, host in self.hosts.items() for snapshot in due[name] - durable if not self.lost(host, snapshot)]
        wait_for(lambda: not left(), 90, "everything in the spools is stored")

    def lost(self, host, snapshot):
        if not host.witness:
            return False
        with host.witness.lock:
            return snapshot in host.witness.gone

    def judge(self, test):
        """At any time, with everything running: waits for what is under way, then counts."""
        self.drained()
        stored, rows = self.stored()
        test.assertEqual(rows, len(stored), "nothing twice")
        for host in self.hosts.values():
            test.assertIsNone(host.agent.poll())
            if host.witness:
                with held_still(host.agent):
                    host.witness.judge(test, self.stored()[0])
        self.judge_logs(test)

    def judge_logs(self, test):
        for line in "\n".join(self.log(name) for name in (*self.hosts, "backend")).splitlines():
            test.assertNotRegex(line, "ERROR: |WARNING: ThreadSanitizer|runtime error|conflict|was refused")

    def judge_end(self, test):
        """The agents end; every sequence they ever took is stored once, or was dropped and counted."""
        self.drained()
        counters = {name: host.stop() for name, host in self.hosts.items()}
        stored, rows = self.stored()
        test.assertEqual(rows, len(stored), "nothing twice")
        test.assertEqual({snapshot for instance, ranges in self.ranges().items() for a, b in ranges for snapshot in
                          ((instance, n) for n in range(a, b + 1))}, stored, "streams says what is stored")
        taken = set()
        for name, host in self.hosts.items():
            said = counters[name]
            test.assertEqual((said["unsent"], said["rejected"]), (0, 0))
            if host.witness:
                nevertheless = host.witness.judge(test, stored)
                test.assertEqual(said["dropped"], host.witness.dropped)
                taken |= host.witness.seen
                print(f"{name}: {host.witness.dropped} dropped, {nevertheless} of them stored nevertheless, {host.witness.corrupt} torn", flush=True)
            else:
                test.assertEqual(said["dropped"], 0)
                taken |= host.all_taken()
                test.assertEqual({s for s in stored if s[0] in host.taken},
                                 {s for s in taken if s[0] in host.taken}, f"{name}: all of it and no more")
        test.assertLessEqual(stored, taken, "nothing that nobody sent")
        test.assertEqual(self.query("PRAGMA integrity_check"), [("ok",)])
        self.judge_logs(test)
        print(f"{rows} snapshots of {len({i for i, _ in stored})} instances of {len(self.hosts)} hosts", flush=True)
        return rows

