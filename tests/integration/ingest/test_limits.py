"""Agents that send more than the backend can or may take: they are slowed down, nothing of it is lost, and memory does not grow."""
import itertools
import mmap
import os
import re
import sqlite3
import threading
import time
import unittest

import grpc
from backend import BUILD, Backend, memory_mib, wait_for
from sonde_proto import ranges, snapshot_schema, varint


def built_with(symbol):
    with open(BUILD / "sonde-backend", "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as program:
        return program.find(symbol) >= 0


THREAD_SANITIZER = built_with(b"__tsan_init")
if built_with(b"__asan_init"):
    # It keeps 256 MiB of what was freed, to find who still uses it: here what is not kept is to be measured.
    os.environ["ASAN_OPTIONS"] = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=1:thread_local_quarantine_size_kb=64")))


class Limited(Backend):
    def __init__(self, *flags):
        super().__init__()
        self.flags = flags

    def start_backend(self, *extra):
        return super().start_backend(*self.flags, *extra)


def padded(double, sequence, size):
    """A snapshot with a section of a newer schema, of that size."""
    return double.snapshot(sequence).SerializeToString() + varint(100 << 3 | 2) + varint(size) + bytes(size)


def retry_seconds(error):
    """google.rpc.RetryInfo of an error's status details, read by hand: the package is no dependency of ours."""
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    at = details.index(b"type.googleapis.com/google.rpc.RetryInfo") + len(b"type.googleapis.com/google.rpc.RetryInfo")
    assert details[at] == 0x12, details
    delay = details[at + 2:at + 2 + details[at + 1]]
    assert delay[0] == 0x0A, delay
    fields, body, seconds = {}, delay[2:2 + delay[1]], 0.0
    while body:
        tag, body, value, shift = body[0] >> 3, body[1:], 0, 0
        while True:
            byte, body = body[0], body[1:]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        fields[tag] = value
    seconds = fields.get(1, 0) + fields.get(2, 0) / 1e9
    return seconds


class LimitsTest(unittest.TestCase):
    def test_a_stream_above_its_rate_is_slowed_down(self):
        with Limited("--key-max-snapshots", "100") as backend:
            double = backend.double(hostname="eager")
            stream = double.stream()
            stream.welcome()
            # Made before the clock runs: a burst of 1,000, and 300 more.
            batches = [double.batch(*[double.snapshot(100 * n + i) for i in range(1, 101)]) for n in range(13)]
            begin = time.monotonic()
            for batch in batches:
                stream.send(2, batch)
            acknowledged = 0
            while acknowledged < 1300:
                acknowledged += sum(last - first + 1 for first, last in ranges(stream.receive().acknowledgement.accepted))
            self.assertGreater(time.monotonic() - begin, 1.5)
            slowed = [line for line in backend.warnings() if "slowed down" in line]
            self.assertEqual(len(slowed), 1, slowed)

    def test_push_above_its_rate_is_told_when(self):
        with Limited("--key-max-bytes", "1000") as backend:
            double = backend.double(hostname="pusher")
            reply = double.push(double.hello(), double.batch(padded(double, 1, 12000)))
            self.assertEqual(ranges(reply.acknowledgement.accepted), [(1, 1)])
            with self.assertRaises(grpc.RpcError) as refusal:
                double.push(double.hello(), double.batch(double.snapshot(2)))
            self.assertEqual(refusal.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
            seconds = retry_seconds(refusal.exception)
            self.assertTrue(0 < seconds < 4, seconds)
            time.sleep(seconds + 0.1)
            reply = double.push(double.hello(), double.batch(double.snapshot(2)))
            self.assertEqual(ranges(reply.acknowledgement.accepted), [(2, 2)])

    def test_more_values_than_a_host_may_have(self):
        with Backend() as backend:
            double = backend.double(hostname="wide")
            wide = double.snapshot(1)
            for i in range(100001):
                wide.cpu.cores.add(user_us=i)
            stream = double.stream()
            stream.welcome()
            reply = stream.deliver(wide, double.snapshot(2))
            self.assertEqual([(r.reason, ranges([r.range])) for r in reply.rejected], [(5, [(1, 1)])])
            self.assertEqual(ranges(reply.accepted), [(2, 2)])

    def custom(self, double, sequence, labels):
        snapshot = double.snapshot(sequence)
        for label in labels:
            for name in ("jobs_done", "jobs_failed"):
                metric = snapshot.custom.metrics.add(name=name, uint_value=sequence)
                metric.labels.add(name="job", value=label)
        return snapshot

    def test_names_that_never_come_again(self):
        """A job's number in a label: few at a time, ever new ones. The limit is 100 rows; two metrics of a label are two."""
        with Limited("--host-max-rows", "100") as backend:
            token = backend.login()
            double = backend.double(hostname="growing")
            stream = double.stream()
            stream.welcome()
            for n in range(1, 11):
                self.assertEqual(ranges(stream.deliver(self.custom(double, n, [f"job-{n}-{i}" for i in range(5)])).accepted), [(n, n)])
            reply = stream.deliver(self.custom(double, 11, ["job-11-0"]), self.custom(double, 12, ["job-3-1", "job-9-4"]), double.snapshot(13))
            self.assertEqual([(r.reason, ranges([r.range])) for r in reply.rejected], [(6, [(11, 11)])])
            self.assertIn("ever new names", reply.rejected[0].detail)
            self.assertEqual(ranges(reply.accepted), [(12, 13)], "what is known goes on")
            # It is the host's, not the stream's, and not that of others.
            again = double.stream()
            again.welcome()
            self.assertEqual(len(again.deliver(self.custom(double, 14, ["another"])).rejected), 1)
            other = backend.double(hostname="other")
            stream = other.stream()
            stream.welcome()
            self.assertEqual(ranges(stream.deliver(self.custom(other, 1, [f"job-{i}" for i in range(50)])).accepted), [(1, 1)])
            self.assertIn("more rows", backend.get("/api/servers/growing", token)["server"]["warning"])
            self.assertNotIn("warning", backend.get("/api/servers/other", token)["server"])
            lines = [line for line in backend.warnings() if "ever new names" in line]
            self.assertEqual(len(lines), 2, "once for each stream")

    def test_a_real_agent_with_names_that_never_come_again(self):
        with Limited("--host-max-rows", "400") as backend:
            token = backend.login()
            folder = backend.path / "custom"
            folder.mkdir()
            agent = backend.start_agent("agent", "--interval", "200ms", "--intervals", "custom=200ms", "--custom-dir", folder,
                                        "--disable", "block_io,perf,tcp,scheduler,interrupts,cgroups,sensors")
            new, old = folder / "new", folder / "jobs.prom"
            rounds = itertools.count()

            def refused():
                """Each time it is looked, the jobs are others."""
                time.sleep(0.2)
                new.write_text("".join(f'jobs_total{{job="{next(rounds)}"}} 1\n' for _ in range(60)))
                new.rename(old)
                return "refused snapshots for good" in backend.log("agent")
            wait_for(refused, 40, "a snapshot is refused")
            self.assertIn("more rows", backend.get("/api/servers", token)["servers"][0]["warning"])
            # Those names go, and the host is as it was.
            old.unlink()
            time.sleep(1)
            before = backend.get("/api/servers", token)["servers"][0]["last_seen"]
            time.sleep(1.5)
            self.assertGreater(backend.get("/api/servers", token)["servers"][0]["last_seen"], before)
            agent.terminate()
            self.assertEqual(agent.wait(10), 0)
            rejected, unsent = re.findall(r"rejected=(\d+) .*unsent=(\d+)", backend.log("agent"))[-1]
            self.assertGreater(int(rejected), 0)
            self.assertEqual(int(unsent), 0)

    def test_a_locked_database_slows_agents_and_does_not_grow_memory(self):
        """Another process has the database to itself for 20 s, and 200 agents send on: twice as much as the backend keeps."""
        agents, batches, size = 200, 20, 80000
        schema = snapshot_schema()[1]
        with Backend() as backend:
            doubles = [backend.double(hostname=f"many-{n}", schema_hash=schema) for n in range(agents)]
            streams = [double.stream() for double in doubles]
            for double, stream in zip(doubles, streams):
                stream.send(1, double.hello())
            for stream in streams:
                stream.receive()
            before = memory_mib(backend.backend)
            lock = sqlite3.connect(backend.database, isolation_level=None)
            lock.execute("BEGIN EXCLUSIVE")
            begin = time.monotonic()
            for n in range(batches):
                for double, stream in zip(doubles, streams):
                    stream.send(2, double.batch(padded(double, n + 1, size)))
            memory = []
            while time.monotonic() < begin + 20:
                time.sleep(0.25)
                memory.append(memory_mib(backend.backend) - before)
            late = backend.double(hostname="late", schema_hash=schema)
            with self.assertRaises(grpc.RpcError) as refusal:
                late.push(late.hello(), late.batch(late.snapshot(1)), timeout=20)
            self.assertIn(refusal.exception.code(), (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED))
            self.assertEqual(backend.get("/health", None)["status"], "degraded", "it says so, and at once")
            lock.execute("ROLLBACK")
            lock.close()
            print(f"backend: {max(memory):.0f} MiB more while {agents} agents wait for the database", end=" ", flush=True)
            settled = memory[len(memory) * 2 // 3:]
            if THREAD_SANITIZER:
                print("memory is not judged: ThreadSanitizer's shadow is several times what it watches", end=" ", flush=True)
            else:
                # Of 305 MiB: 64 in the store's queue; of each host the newest snapshot, a batch and the message behind it, and what its
                # window had let through: 58; and the allocator's share.
                self.assertGreater(max(memory), 40, "the queue was full")
                self.assertLess(max(memory), 170)
                self.assertLess(max(settled) - min(settled), 8, f"it does not go on growing: {memory}")
            threads = [threading.Thread(target=self.drain, args=(stream, batches)) for stream in streams]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            with sqlite3.connect(f"file:{backend.database}?mode=ro", uri=True) as db:
                rows = db.execute("SELECT instance, count(*), max(sequence) FROM hot GROUP BY instance HAVING max(sequence) > 1").fetchall()
            self.assertEqual([row[1:] for row in rows], [(batches, batches)] * agents)

    def drain(self, stream, missing):
        while missing:
            missing -= sum(last - first + 1 for first, last in ranges(stream.receive().acknowledgement.accepted))


if __name__ == "__main__":
    unittest.main(verbosity=2)
