"""However the agent ends, nothing of it stays in the kernel: no program, no map, no link, no pin."""
import os
import random
import signal
import sys
import time
import unittest

from running import BPFTOOL, Agent, exists, expect_gone, left_over, pins, wait_for


class LeavesNothing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0 or not BPFTOOL:
            raise unittest.SkipTest("wants root and bpftool")
        cls.pins = pins()

    def ends_with(self, number):
        with Agent("--extra", "off_cpu,run_queue_cgroups,tcp_rtt") as agent:
            held = agent.held()
            self.assertTrue(held["prog"] and held["map"] and held["link"], held)
            for kind, numbers in held.items():
                for one in numbers:
                    self.assertTrue(exists(kind, one), "bpftool does not see what is there")
            self.assertFalse(pins() - self.pins, "something is pinned")
            status = agent.end(number)
            expect_gone(held)
        self.assertFalse(pins() - self.pins, "something stayed pinned")
        return status

    def test_killed(self):
        self.assertEqual(self.ends_with(signal.SIGKILL), -signal.SIGKILL)

    def test_stopped(self):
        self.assertEqual(self.ends_with(signal.SIGTERM), 0)

    def test_crashed(self):
        self.ends_with(signal.SIGABRT)

    def test_killed_while_it_starts(self):
        """At any moment: while programs are loaded, between loading and attaching, before the first tick."""
        seen = 0
        chance = random.Random(1)
        for _ in range(12):
            with Agent(wait=False) as agent:
                time.sleep(chance.uniform(0.01, 0.4))
                agent.process.send_signal(signal.SIGSTOP)
                time.sleep(0.005)
                held = agent.held()
                seen += bool(held)
                agent.end(signal.SIGKILL)
                expect_gone(held)
        self.assertGreater(seen, 0, "it never held anything: the moments were chosen badly")
        self.assertFalse(pins() - self.pins)

    def test_reload_frees_what_was_there(self):
        """A reload makes every probe anew; the old ones go."""
        with Agent() as agent:
            before = agent.held()
            agent.process.send_signal(signal.SIGHUP)
            expect_gone({"prog": before["prog"], "link": before["link"]})
            wait_for(lambda: not left_over({"map": before["map"] - agent.held().get("map", set())}), 20, "the old maps are freed")

    def test_reload_by_admin_alone(self):
        """Where CAP_SYS_ADMIN was given instead of the two that came out of it, probes are made anew by it."""
        caps = "-bpf,-perfmon"
        with Agent(under=["setpriv", f"--inh-caps={caps}", f"--bounding-set={caps}"]) as agent:
            before = agent.held()["link"]
            agent.process.send_signal(signal.SIGHUP)
            wait_for(lambda: len(agent.held().get("link", set()) - before) >= len(before), 20, "the programs are attached anew")


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=sys.argv[:1])
