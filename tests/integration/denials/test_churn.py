"""Processes, disks and control groups that come and go: what the probes keep is bounded, what they miss is counted, nothing leaks.

A million short-lived processes with --slow, a twentieth of it otherwise. The same churn runs several times; the first round may fill tables, the others
must not add to them."""
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from running import BUILD, BPFTOOL, Agent, expect_gone

SLOW = "--slow" in sys.argv
PROCESSES = 1_000_000 if SLOW else 50_000
DISKS = 2_000 if SLOW else 120
CGROUPS = 20_000 if SLOW else 600
ROUNDS = 3
EXITED_ROWS = 2 * 1024  # TASKS_EXITED_MAX
GROWTH_BYTES = 1 << 20  # from the last round but one to the last: allocator's noise


def churn(*arguments):
    done = subprocess.run([BUILD / "churn", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"churn {arguments}: {done.stderr}")


def own_cgroup():
    """A directory of a hierarchy in which this process may make cgroups, or None."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for base in (f"/sys/fs/cgroup/{controllers}" if controllers else "/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            directory = f"{base}{path}"
            if os.path.isdir(directory) and ("memory" in controllers or not controllers) and os.access(directory, os.W_OK):
                return directory
    return None


def settle(agent):
    """The table forgets who is gone after two ticks."""
    before = agent.metrics()
    while (now := agent.metrics())["sonde_agent_ticks_total"] < before["sonde_agent_ticks_total"] + 4:
        time.sleep(0.2)
    return now


class Churn(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0 or not BPFTOOL:
            raise unittest.SkipTest("wants root and bpftool")

    def rounds(self, agent, *command):
        """Runs the churn in rounds. Returns the metrics before and after."""
        before, maps = settle(agent), agent.map_bytes()
        figures = []
        # A table that met more rows in a tick than ever before has doubled, and does not do so in the round after; what leaks goes on.
        while len(figures) < ROUNDS or (len(figures) == ROUNDS and figures[-1][1] > figures[-2][1] + GROWTH_BYTES):
            churn(*command)
            after = settle(agent)
            figures.append((agent.descriptors(), agent.memory_bytes(), agent.map_bytes()))
        print(f"{command}: descriptors, memory, maps after each round: {figures}")
        self.assertLessEqual(figures[-1][0], figures[0][0] + 8, "descriptors leak")
        self.assertLessEqual(figures[-1][1], figures[-2][1] + GROWTH_BYTES, "memory leaks")
        for _, _, now in figures:
            self.assertLessEqual(now, maps, "maps have grown")
        return before, after

    def test_processes(self):
        with Agent() as agent:
            before, after = self.rounds(agent, "processes", PROCESSES // ROUNDS)
            rows = [name for name in after if name.startswith("sonde_processes_exited_exits_total")]
            left_out = after["sonde_processes_exits_left_out_total"] - before["sonde_processes_exits_left_out_total"]
            counted = sum(after[name] for name in rows) - sum(value for name, value in before.items()
                                                             if name.startswith("sonde_processes_exited_exits_total"))
            print(f"{PROCESSES} processes: {len(rows)} rows are shown, {counted:.0f} exits in them, {left_out:.0f} left out")
            self.assertLessEqual(len(rows), EXITED_ROWS)
            self.assertGreater(left_out, PROCESSES * 0.5, "what has no row is counted as left out")
            held = agent.held()
            agent.end(15)
            expect_gone(held)

    def test_disks(self):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as directory, Agent() as agent:
            before, after = self.rounds(agent, "disks", DISKS // ROUNDS, directory)
            name = "sonde_block_io_requests_without_slot_total"
            print(f"{DISKS} disks: {after[name] - before[name]:.0f} requests without a slot")
            # Two requests and the kernel's own of each; the slots of those that went are given back between two ticks.
            self.assertLess(after[name] - before[name], DISKS * 40)
            devices = {line for line in after if line.startswith("sonde_block_io_devices_")}
            self.assertLess(len(devices), 16 * 400, "rows of disks that are gone")

    def test_cgroups(self):
        directory = own_cgroup()
        if not directory:
            self.skipTest("no hierarchy in which this process may make control groups")
        with Agent("--extra", "run_queue_cgroups") as agent:
            before, after = self.rounds(agent, "cgroups", CGROUPS // ROUNDS, directory)
            gone = [name for name in after if '/churn' in name and "exited" not in name]
            self.assertFalse(gone[:3], "rows of cgroups that are gone")
            self.assertIn("sonde_cgroups_left_out", after)


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=sys.argv[:1])
