"""Real agents at a real backend that lets their key send less than they make: they wait as they are told, nothing is lost, and the rate
keeps to the limit."""
import re
import sqlite3
import time
import unittest

from backend import wait_for
from test_limits import Limited

RATE, BURST = 10, 100  # snapshots a second of the key, and what it may save up
BATCH = 64  # the most that one agent sends at once: what has come is taken


class ThrottleTest(unittest.TestCase):
    def rows(self, backend):
        with sqlite3.connect(f"file:{backend.database}?mode=ro", uri=True) as db:
            return db.execute("SELECT instance, sequence, received_us FROM hot WHERE instance != ? ORDER BY received_us", [self.spender]).fetchall()

    def by_instance(self, backend):
        sequences = {}
        for instance, sequence, _ in self.rows(backend):
            sequences.setdefault(instance, []).append(sequence)
        return {instance: sorted(numbers) for instance, numbers in sequences.items()}

    def spend(self, backend):
        """Takes what the key has saved up, so that the limit is felt at once."""
        double = backend.double(hostname="spender")
        stream = double.stream()
        stream.welcome()
        stream.deliver(*[double.snapshot(n) for n in range(1, BURST + 1)])
        return double

    def agents(self, backend, interval):
        return [backend.start_agent(f"agent-{n}", "--interval", interval, "--disable", "block_io,perf,tcp,scheduler,interrupts,processes,cgroups")
                for n in range(2)]

    def stop(self, agents):
        for agent in agents:
            agent.terminate()
        for agent in agents:
            self.assertEqual(agent.wait(20), 0)

    def made(self, backend, n):
        """What an agent says at its end: how many snapshots are acknowledged, how many wait."""
        return [int(x) for x in re.findall(r"acknowledged=(\d+) .*unsent=(\d+)", backend.log(f"agent-{n}"))[0]]

    def test_agents_wait_as_they_are_told(self):
        with Limited("--key-max-snapshots", str(RATE)) as backend:
            self.spender = self.spend(backend).instance
            token = backend.login()
            agents = self.agents(backend, "100ms")
            time.sleep(7)
            for n in range(2):
                lines = [line for line in backend.log(f"agent-{n}").splitlines() if "asks for a pause" in line]
                self.assertEqual(len(lines), 1, backend.log(f"agent-{n}"))
                self.assertIn("above its limits", lines[0])
                self.assertNotIn("no connection", backend.log(f"agent-{n}"))
            hosts = [host["hostname"] for host in backend.get("/api/servers", token)["servers"] if host["hostname"] != "spender"]
            for name in hosts:
                own = backend.get(f"/api/servers/{name}", token)["snapshot"]["agent"]
                self.assertGreaterEqual(own["throttles"], 1)
                self.assertTrue(1000 <= own["throttled_ms"] < 15000, own["throttled_ms"])
            self.assertEqual(len(hosts), 2)
            self.stop(agents)
            made = [self.made(backend, n) for n in range(2)]
            self.assertGreater(sum(waiting for _, waiting in made), 5, "more was made than might be sent")
            # Those that come after them bring it, by Push, and are told to wait in another way: by the status.
            agents = self.agents(backend, "2s")
            due = sorted(sum(m) for m in made)
            wait_for(lambda: sorted(map(len, self.by_instance(backend).values()))[-2:] == due, 30, "all that waited is delivered")
            rows = self.rows(backend)
            self.stop(agents)
            whole = sorted(self.by_instance(backend).values(), key=len)[-2:]
            for sequences in whole:
                self.assertEqual(sequences, list(range(1, len(sequences) + 1)), "a gap or a double")
            # From any moment to the end no more came than the rate and a batch of each agent.
            times = [received / 1e6 for *_, received in rows]
            for i, first in enumerate(times):
                allowed = RATE * (times[-1] - first) + 2 * BATCH
                self.assertLessEqual(len(times) - i, allowed)
            for n in range(2):
                self.assertNotIn("cannot be delivered", backend.log(f"agent-{n}"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
