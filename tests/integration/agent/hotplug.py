"""A CPU goes and comes back under a running agent: three recordings of one host, replayed in order through one agent that keeps
its files open. Each recording is written over the last one's files while the agent is stopped, so that it sees all of it or
nothing, and stopped as long as the host took: what grows faster than time passes is no CPU's."""

import os
import shutil
import signal
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "delivery"))
from agent import Agent, accept, sequences  # noqa: E402
from fake_backend import FakeBackend  # noqa: E402

HOSTS = Path(__file__).parents[2] / "fixtures/hosts"
BEFORE, WITHOUT, AFTER = (HOSTS / f"debian12-6.1-x86_64-hotplug-{name}" for name in ("1-before", "2-without", "3-after"))
MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def overwrite(root, tree):
    """Makes root like the tree; files that are in both stay the same files."""
    want = {path.relative_to(tree) for path in tree.rglob("*") if path.is_file()}
    for path in [path for path in root.rglob("*") if path.is_file() and path.relative_to(root) not in want]:
        path.unlink()
    for name in want:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(root / name, os.O_WRONLY | os.O_CREAT, 0o644)
        os.ftruncate(fd, os.write(fd, (tree / name).read_bytes()))
        os.close(fd)
    for path in (root / "proc").glob("[0-9]*"):
        if not any(path.iterdir()):
            path.rmdir()


def uptime(tree):
    return float((tree / "proc/uptime").read_text().split()[0])


def times(tree):
    """{CPU: its times in ticks}"""
    lines = [line.split() for line in (tree / "proc/stat").read_text().splitlines() if line.startswith("cpu")]
    return {int(line[0][3:]): [int(value) for value in line[1:9]] for line in lines if line[0] != "cpu"}


def busy(earlier, later):
    """The share of the time of the CPUs there are in both readings; what went backwards counts as nothing."""
    delta = [sum(max(later[cpu][i] - earlier[cpu][i], 0) for cpu in earlier.keys() & later.keys()) for i in range(len(MODES))]
    return (sum(delta) - delta[3] - delta[4]) / sum(delta)


class HotplugTest(unittest.TestCase):
    def snapshots(self, call, until, seconds=15):
        """Those that arrive until one satisfies."""
        deadline, taken = time.monotonic() + seconds, []
        while not (taken and until(taken[-1])):
            self.assertLess(time.monotonic(), deadline, "the change never showed")
            batch = call.batch()
            call.send(accept(sequences(batch)))
            taken += batch.snapshots
        return taken

    def check(self, snapshot, online):
        self.assertEqual([core.cpu for core in snapshot.cpu.cores], online)
        self.assertEqual((snapshot.cpu.online, snapshot.cpu.present, snapshot.cpu.offline), (len(online), 3, 3 - len(online)))
        self.assertEqual(snapshot.summary.cpus_online, len(online))
        for collector in snapshot.agent.collectors:
            self.assertEqual(collector.failures, 0, collector.collector)
        for field, value in snapshot.summary.ListFields():
            if field.name.endswith("_ratio"):
                self.assertTrue(0 <= value <= 1, f"{field.name} {value}")
            elif field.name.endswith("_per_second"):
                self.assertGreaterEqual(value, 0, field.name)

    def test_replay(self):
        with tempfile.TemporaryDirectory(prefix="sonde-test-") as directory, FakeBackend() as backend:
            root = Path(directory) / "host"
            shutil.copytree(BEFORE, root, symlinks=True)
            with Agent(backend.port, "100ms", "--root", str(root)) as agent:
                call = backend.call()
                call.open()
                earlier = BEFORE
                for snapshot in self.snapshots(call, lambda snapshot: snapshot.sequence >= 3):
                    self.check(snapshot, [0, 1, 2])
                for later, old, new in ((WITHOUT, [0, 1, 2], [0, 2]), (AFTER, [0, 2], [0, 1, 2])):
                    os.kill(agent.process.pid, signal.SIGSTOP)
                    overwrite(root, later)
                    time.sleep(uptime(later) - uptime(earlier))
                    os.kill(agent.process.pid, signal.SIGCONT)
                    taken = self.snapshots(call, lambda snapshot: [core.cpu for core in snapshot.cpu.cores] == new)
                    for snapshot in taken[:-1]:
                        self.check(snapshot, old)
                        self.assertFalse(snapshot.summary.HasField("cpu_busy_ratio"), "no time has passed on any CPU")
                    self.check(taken[-1], new)
                    self.assertTrue(taken[-1].summary.HasField("cpu_busy_ratio"))
                    self.assertAlmostEqual(taken[-1].summary.cpu_busy_ratio, busy(times(earlier), times(later)), 6)
                    after = self.snapshots(call, lambda snapshot: snapshot.sequence >= taken[-1].sequence + 3)
                    for snapshot in after:
                        self.check(snapshot, new)
                    for core in after[-1].cpu.cores:
                        values = [getattr(core, f"{mode}_us") // 10000 for mode in MODES]
                        self.assertEqual(values, times(later)[core.cpu])
                    self.assertEqual([row.cpu for row in after[-1].network.softnet], new)
                    processes = sorted(int(path.name) for path in (later / "proc").glob("[0-9]*"))
                    self.assertEqual(sorted(process.pid for process in after[-1].processes.processes), processes)
                    earlier = later


unittest.main()
