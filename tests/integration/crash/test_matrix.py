"""The crash matrix: real agents and the real backend, and at random moments one of them is killed or stopped, the disk is full, the
database locked, the connection cut, the spool overflows. Every sequence of every instance an agent has ever been is in the database once, or
is one that the agent dropped; and the agent counts exactly those it dropped.

20 rounds, drawn by SONDE_SEED or a seed that is printed; --slow: 200, and some of the pauses are as long as a minute. SONDE_ROUNDS=40-49
runs those of a seed alone. The order of events is the seed's, what a process is doing at that moment is not."""
import os
import random
import sys
import threading
import time
import unittest

from world import World, held_still, wait_for

SLOW = "--slow" in sys.argv
ROUNDS = 200 if SLOW else 20
JUDGED_EVERY = 10
SEED = int(os.environ.get("SONDE_SEED") or random.randrange(1 << 32))
FAULTS = ("kill_backend", "kill_agent", "kill_both", "stop_backend", "stop_agent", "full_disk", "locked", "cut", "overflow")


def chosen_rounds():
    first, _, last = os.environ.get("SONDE_ROUNDS", f"0-{ROUNDS - 1}").partition("-")
    return range(int(first), int(last or first) + 1)


def drawn(*what):
    """A generator of its own for each round and boundary, so that one can be run without those before it."""
    return random.Random("/".join(map(str, (SEED, *what))))


class Round:
    def __init__(self, world, number, fault):
        self.world, self.number, self.fault = world, number, fault
        self.random = drawn("round", number)
        self.pause = self.random.uniform(0.05, 2.0)
        self.host = world.hosts[self.random.choice(sorted(world.hosts))]
        self.long = SLOW and self.random.random() < 0.1

    def run(self):
        print(f"{self.number} {self.fault} {self.pause:.2f} {self.host.name}", flush=True)
        getattr(self, self.fault)()
        time.sleep(self.random.uniform(0, 1.0))

    def kill_backend(self):
        with self.world.killed():
            time.sleep(self.pause)

    def kill_agent(self):
        self.host.kill()
        time.sleep(self.pause)
        self.host.start()

    def kill_both(self):
        self.host.kill()
        with self.world.killed():
            time.sleep(self.pause / 2)
            self.host.start()
            time.sleep(self.pause / 2)

    def stop_backend(self):
        with self.world.stopped():
            time.sleep(62 if self.long else self.pause)

    def stop_agent(self):
        with held_still(self.host.agent):
            time.sleep(62 if self.long else self.pause)

    def full_disk(self):
        with self.world.full():
            time.sleep(self.pause)

    def locked(self):
        with self.world.locked():
            time.sleep(self.pause)

    def cut(self):
        cutter, before = self.host.cutter, self.host.cutter.cuts
        boundary = (self.random.choice(("up", "down")), self.random.choice(("frame", "message")), self.random.randint(1, 15))
        cutter.cut_next(boundary, self.random.random() < 0.5)
        wait_for(lambda: cutter.cuts > before, 60, f"the connection is cut behind {boundary}")

    def overflow(self):
        """An outage of some kind, until the small spool has dropped some; in half of them the agent dies in its course."""
        small, world = self.world.hosts["small"], self.world
        kinds = [world.killed, world.stopped, world.locked, lambda: world.silent(small, self.random.random() < 0.5)]
        if world.mounted:
            kinds.append(world.full)
        kind, dies, more = self.random.randrange(len(kinds)), self.random.random() < 0.5, self.random.randint(1, 12)
        print(f"  outage {kind}, {'with' if dies else 'without'} death, until {more} more are dropped", flush=True)
        with kinds[kind]():
            before = small.witness.dropped
            if dies:
                time.sleep(self.pause)
                small.kill()
                small.start()
            wait_for(lambda: small.witness.dropped >= before + more, 60, "the small spool overflows")


class CrashTest(unittest.TestCase):
    def replayable(self, rounds):
        print(f"to replay: SONDE_SEED={SEED} SONDE_ROUNDS={rounds} {sys.executable} {sys.argv[0]}{' --slow' * SLOW} {self.id().split('.', 1)[1]}",
              flush=True)

    def test_matrix(self):
        with World(2048 if SLOW else 512, {"large": ("64MiB", False), "small": ("256KiB", True)}) as world:
            faults = [f for f in FAULTS if f != "full_disk" or world.mounted]
            if not world.mounted:
                print("full_disk is left out: this user may not mount a small file system")
            order = (faults * (ROUNDS // len(faults) + 1))[:ROUNDS]
            drawn("order").shuffle(order)
            judged = chosen_rounds()[0]
            for number in chosen_rounds():
                try:
                    Round(world, number, order[number]).run()
                    if number % JUDGED_EVERY == JUDGED_EVERY - 1:
                        world.judge(self)
                        judged = number + 1
                except BaseException:
                    self.replayable(f"{judged}-{number}")
                    raise
            try:
                rows = world.judge_end(self)
            except BaseException:
                self.replayable(f"{judged}-{chosen_rounds()[-1]}")
                raise
            self.assertGreater(rows, len(chosen_rounds()) * 5)

    # The first frames and messages of a connection, to steady traffic.
    BOUNDARIES = [(direction, unit, n) for direction, unit, last in (("up", "frame", 24), ("down", "frame", 18), ("up", "message", 16),
                                                                     ("down", "message", 12)) for n in range(1, last + 1)]

    def cut_each(self, host, boundaries, faults):
        try:
            for boundary in boundaries:
                before = host.cutter.cuts
                host.cutter.cut_fresh(boundary, drawn("boundary", *boundary).random() < 0.5)
                wait_for(lambda: host.cutter.cuts > before, 90, f"{host.name}: a connection is cut behind {boundary}")
                # Without a Welcome between them the agent's pauses would grow: one connection lives.
                wait_for(lambda: host.cutter.passed()["down", "message"] >= 2, 90, f"{host.name}: a connection lives after {boundary}")
                assert host.agent.poll() is None
        except BaseException as e:
            faults.append(e)

    def test_cut_behind_every_boundary(self):
        """Each frame and each message of a new connection is in turn its last, either way: all with --slow, else 16 drawn ones."""
        boundaries = list(self.BOUNDARIES)
        drawn("boundaries").shuffle(boundaries)
        boundaries = boundaries if SLOW else boundaries[:16]
        print(f"SONDE_SEED={SEED} boundaries {boundaries}", flush=True)
        faults = []
        with World(512, {f"host-{n}": ("64MiB", False) for n in range(4)}) as world:
            threads = [threading.Thread(target=self.cut_each, args=(host, boundaries[n::4], faults))
                       for n, host in enumerate(world.hosts.values())]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            try:
                self.assertEqual(faults, [])
                world.judge_end(self)
            except BaseException:
                self.replayable("0")
                raise
            self.assertEqual(sum(host.cutter.cuts for host in world.hosts.values()), len(boundaries))


if __name__ == "__main__":
    if SLOW:
        sys.argv.remove("--slow")
    print(f"SONDE_SEED={SEED}", flush=True)
    unittest.main(verbosity=2)
