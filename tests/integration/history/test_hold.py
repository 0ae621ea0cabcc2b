"""A backlog that has to wait does not keep the live snapshots of the same agent waiting: agents are told to hold it, go on with what is live, and
bring it when they are told; of agents and backends that do not know the word nothing is lost either."""
import os
import random
import sqlite3
import struct
import subprocess
import sys
import time
import unittest
import uuid
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / folder) for folder in ("ingest", "crash", "delivery")]
from backend import BUILD, Backend, wait_for  # noqa: E402
from cutter import Cutter  # noqa: E402
import grpc  # noqa: E402
from sonde_proto import ranges  # noqa: E402
from test_spool import last_sequences  # noqa: E402

QUICK = ("--interval", "100ms", "--disable", "perf,block_io,tcp,scheduler,interrupts,processes,cgroups")
DISK_MIB, FREE_MIB = 128, 28
BATCH = 64  # of an agent
SEAL_S = 60
ROWS, ROW_BYTES = 450, 8192  # more than a tenth of what is free, less than a fourteenth of the disk


def seconds_to_turn(host_id):
    """Until history makes columns of a host's rows (seal_due_us() in backend/history/seal.c)."""
    phase = 0xcbf29ce484222325
    for byte in uuid.UUID(host_id).bytes:
        phase = (phase ^ byte) * 0x100000001b3 % 2**64
    return (phase / 1e6 - time.time()) % SEAL_S


def host_with_a_late_turn():
    while True:
        host_id = str(uuid.uuid4())
        if SEAL_S - 12 < seconds_to_turn(host_id) < SEAL_S - 6:
            return host_id


def large(double, sequence, size, seconds=None):
    s = double.snapshot(sequence, seconds=seconds)
    s.processes.state.code = 1
    s.processes.processes.add(pid=1, start_time_us=5, cpu_us=7, command_line=random.randbytes(size // 2).hex())
    return s


class Flooded(Backend):
    """A backend on a small disk. What else lies there makes the rows it has too many, until it is taken away."""

    def __init__(self):
        super().__init__()
        self.disk = self.path / "disk"
        self.database, self.ballast = self.disk / "sonde.db", self.disk / "ballast"

    def __enter__(self):
        if os.geteuid() != 0:
            raise unittest.SkipTest("wants root, to mount a small disk")
        self.disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", self.disk], check=True)
        with open(self.ballast, "wb") as f:
            os.posix_fallocate(f.fileno(), 0, (DISK_MIB - FREE_MIB) << 20)
        try:
            return super().__enter__()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __exit__(self, *exception):
        result = None
        if self.backend and self.backend.poll() is None:
            self.backend.kill()
            self.backend.wait()
        if exception[0]:
            for log in sorted(self.path.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}")
        for agent in self.agents:
            if agent.poll() is None:
                agent.kill()
                agent.wait()
        subprocess.run(["umount", "-l", self.disk], check=True)
        super().__exit__(None, None, None)
        return result

    def start_backend(self, *extra):
        return super().start_backend("--seal-every", f"{SEAL_S}s", *extra)

    def flood(self):
        feeder = self.double(hostname="feeder", host_id=host_with_a_late_turn())
        stream = feeder.stream()
        stream.welcome()
        accepted = 0
        for first in range(1, ROWS + 1, 50):
            stream.send(2, feeder.batch(*[large(feeder, n, ROW_BYTES) for n in range(first, first + 50)]))
        while accepted < ROWS:
            accepted += sum(last - first + 1 for first, last in ranges(stream.receive().acknowledgement.accepted))
        wait_for(lambda: "more snapshots wait to become columns" in self.log("backend"), 20, "the backend says that it is too much")
        probe = self.double(hostname="probe")
        wait_for(lambda: self.refuses(probe), 10, "it does as it says")

    def refuses(self, probe):
        """Something old: what is refused may be sent again."""
        try:
            probe.push(probe.hello(), probe.batch(probe.snapshot(1, seconds=1)))
        except grpc.RpcError as e:
            assert e.code() == grpc.StatusCode.UNAVAILABLE and "history has caught up" in e.details(), e
            return True
        probe.instance = os.urandom(16)
        return False

    def subside(self):
        self.ballast.unlink()
        wait_for(lambda: "few again" in self.log("backend"), 20, "the backend says that it has room")


class ShiftedAgent:
    """A real agent whose clock stands ten hours back until it is set, behind a connection that passes nothing until it is let through."""

    def __init__(self, it, name):
        self.it, self.name, self.cutter, self.taken = it, name, Cutter(it.grpc_port), {}
        self.cutter.hold()
        self.clock = it.path / f"{name}.clock"
        self.clock.write_bytes(struct.pack("=q", -36000))
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.cutter.close()

    def start(self):
        self.process = self.it.spawn(self.name, "sonde-agent", "--backend", f"127.0.0.1:{self.cutter.port}", "--key-file", self.it.key_file,
                                     "--state-dir", self.it.state_dir(self.name), *QUICK, LD_PRELOAD=str(BUILD.resolve() / "libshifted_clock.so"),
                                     SHIFTED_CLOCK=str(self.clock))
        self.it.agents.append(self.process)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def set_clock(self):
        with open(self.clock, "r+b") as f:
            f.write(struct.pack("=q", 0))

    def waits(self):
        """{instance: the newest snapshot it ever put into its spool}"""
        spool = self.it.state_dir(self.name) / "spool"
        return last_sequences(spool) if spool.exists() else {}


class HoldTest(unittest.TestCase):
    def hours_ago(self, double, first, last):
        begin = int(time.time()) - 36000
        return double.batch(*[double.snapshot(n, seconds=begin + n) for n in range(first, last + 1)])

    def accepted(self, stream, *numbers):
        """The next words are acknowledgements of these."""
        missing = set(numbers)
        while missing:
            for first, last in ranges(stream.receive().acknowledgement.accepted):
                missing -= set(range(first, last + 1))

    def test_agents_are_told(self):
        """Word by word, beside an agent of before, to which none of it may be said."""
        with Flooded() as it:
            knows, old = it.double(hostname="knows"), it.double(hostname="old")
            stream, old_stream = knows.stream(), old.stream()
            stream.welcome(takes_hold=True)
            old_stream.welcome()
            self.accepted_now(stream, knows, 100)
            it.flood()
            # Who sends three batches before it has heard of it is told of each; and is shown and stored as before.
            for first in (1, 11, 21):
                stream.send(2, self.hours_ago(knows, first, first + 9))
            for last in (10, 20, 30):
                hold = stream.receive().hold
                self.assertEqual((hold.wait_ms, hold.refused_sequence), (30000, last))
                self.assertIn("until history has caught up", hold.reason)
            for n in range(101, 104):
                self.accepted_now(stream, knows, n)
            # What is live for an agent whose clock is behind is shown, and refused like what is old.
            stream.send(2, self.hours_ago(knows, 104, 104))
            self.assertEqual(stream.receive().hold.refused_sequence, 104)
            self.assertEqual(it.get("/api/servers/knows", it.login())["snapshot"]["sequence"], 104)
            # The other one's stream is read in order, as it always was.
            old_stream.send(2, self.hours_ago(old, 1, 10))
            old_stream.send(2, old.batch(old.snapshot(11)))
            it.subside()
            over = stream.receive()
            self.assertEqual((over.WhichOneof("message"), over.hold.wait_ms, over.hold.HasField("refused_sequence")), ("hold", 0, False))
            stream.send(2, self.hours_ago(knows, 1, 30))
            stream.send(2, self.hours_ago(knows, 104, 104))
            self.accepted(stream, *range(1, 31), 104)
            self.accepted(old_stream, *range(1, 12))

    def accepted_now(self, stream, double, sequence):
        begin = time.monotonic()
        self.assertEqual(ranges(stream.deliver(double.snapshot(sequence)).accepted), [(sequence, sequence)])
        self.assertLess(time.monotonic() - begin, 5)

    def test_live_goes_on_while_a_backlog_is_held(self):
        """Of a real agent: what one before it left, and its own from a time without a connection."""
        with Flooded() as it, ShiftedAgent(it, "agent") as agent:
            wait_for(lambda: sum(agent.waits().values()) >= 5, 20, "the first agent has a backlog")
            agent.kill()
            agent.start()
            it.flood()
            # More than a batch: one that is late in parts is none.
            wait_for(lambda: max(agent.waits().values()) > BATCH, 20, "the second one has a backlog too")
            due = agent.waits()
            agent.set_clock()
            agent.cutter.release(True)
            wait_for(lambda: "asks for the backlog later" in it.log("agent"), 20, "the agent is told to hold it")
            begin = time.monotonic()
            wait_for(lambda: sum(map(len, self.of(it, due).values())) >= 20, 20, "live snapshots are stored")
            print(f"20 live snapshots took {time.monotonic() - begin:.1f} s", flush=True)
            (own, live), = self.of(it, due).items()
            self.assertGreater(live[0], BATCH, "nothing that is late")
            self.assertEqual(live, list(range(live[0], live[0] + len(live))), "and without a gap")
            self.assertNotIn("few again", it.log("backend"))
            host, = [h["hostname"] for h in it.get("/api/servers", it.login())["servers"] if h["hostname"] not in ("feeder", "probe")]
            shown = it.get(f"/api/servers/{host}", it.login())["snapshot"]
            self.assertGreaterEqual(shown["agent"]["backlog_holds"], 1)
            it.subside()
            begin = time.monotonic()
            wait_for(lambda: all(len(self.of(it, due)[i]) >= n for i, n in due.items()), 30, "the backlog of both is stored")
            print(f"the backlog came within {time.monotonic() - begin:.1f} s", flush=True)
            agent.process.terminate()
            self.assertEqual(agent.process.wait(20), 0)
            self.assertIn("rejected=0 dropped=0 unsent=0", it.log("agent"))
            for instance, last in agent.waits().items():
                self.assertEqual(self.of(it, due)[instance], list(range(1, last + 1)), "each once")

    def test_live_is_shown_while_the_database_is_too_slow_for_a_backlog(self):
        with Backend() as it:
            token = it.login()
            knows, others = it.double(hostname="knows"), [it.double(hostname=f"other-{n}") for n in range(4)]
            stream, streams = knows.stream(), [other.stream() for other in others]
            stream.welcome(takes_hold=True)
            for other in streams:
                other.welcome()
            self.accepted_now(stream, knows, 10000)
            lock = sqlite3.connect(it.database, isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            # The queue of backlogs has room for four of these. The fifth is kept for a moment, those sent before that was heard are not.
            for n in range(7):
                stream.send(2, self.megabytes(knows, 1 + 4 * n))
            hold = stream.receive().hold
            self.assertEqual((hold.wait_ms, hold.refused_sequence), (5000, 20))
            self.assertIn("too slow", hold.reason)
            for refused in (24, 28):
                hold = stream.receive().hold
                self.assertEqual(hold.refused_sequence, refused)
                self.assertTrue(3000 < hold.wait_ms <= 5001, hold)
            self.shown(it, token, stream, knows, 10001)
            # Four batches of others are nearly all that is kept of backlogs: half a minute, and at once.
            for other, double in zip(streams, others):
                other.send(2, self.megabytes(double, 1))
            wait_for(lambda: all("clock is off\" host=" + double.hostname in it.log("backend") for double in others), 20, "they are looked at")
            stream.send(2, self.megabytes(knows, 29))
            self.assertEqual(stream.receive().hold.wait_ms, 30000)
            self.shown(it, token, stream, knows, 10002)
            lock.execute("ROLLBACK")
            lock.close()
            self.accepted(stream, *range(1, 17), 10001, 10002)

    def shown(self, it, token, stream, double, sequence):
        stream.send(2, double.batch(double.snapshot(sequence)))
        wait_for(lambda: int(it.get("/api/servers/knows", token)["snapshot"]["sequence"]) == sequence, 5, "what is live is shown")

    def megabytes(self, double, first):
        return double.batch(*[large(double, first + n, 900_000, int(time.time()) - 36000) for n in range(4)])

    def of(self, it, due):
        """{instance: what of it is durable}, as rows or columns by now."""
        with sqlite3.connect(f"file:{it.database}?mode=ro", uri=True, timeout=20) as db:
            found = defaultdict(list)
            for instance, first, last in db.execute("SELECT instance, first, last FROM streams ORDER BY instance, first"):
                if instance in due:
                    found[instance] += range(first, last + 1)
            return found


if __name__ == "__main__":
    unittest.main(verbosity=2)
