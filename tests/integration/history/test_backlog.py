"""A backlog that comes faster than history can make columns of it waits with the agents; what is live goes on, and in the end all is there. What a
burst took of memory is given back."""
import os
import sqlite3
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "ingest"))
from backend import Backend, memory_mib, wait_for  # noqa: E402
import grpc  # noqa: E402
from sonde_proto import ranges  # noqa: E402

BATCHES, OF = 16, 100
BURSTS, BURST_BYTES = 20, 100_000  # of each of 16 agents, twice these bytes: all of it waits when nothing can be written


class BacklogTest(unittest.TestCase):
    def test_a_backlog_waits_and_live_goes_on(self):
        with Backend() as backend:
            # Rows may be a tenth of what the database may: two megabytes.
            backend.stop()
            backend.start_backend("--store-max-bytes", "20MiB", "--seal-every", "5s")
            late, live = backend.double(hostname="late"), backend.double(hostname="live")
            late_stream, live_stream = late.stream(), live.stream()
            late_stream.welcome()
            live_stream.welcome()
            hours_ago = int(time.time()) - 10 * 3600
            sent = 0
            for _ in range(BATCHES):
                late_stream.send(2, late.batch(*[self.large(late, sent + i + 1, hours_ago + sent + i) for i in range(OF)]))
                sent += OF
            wait_for(lambda: "more snapshots wait to become columns" in backend.log("backend"), 30, "the backend says that it is too much")
            # From now on a backlog of an agent that died waits too, and is told when to come again ...
            former = backend.double(hostname="late", host_id=late.host_id)
            with self.assertRaises(grpc.RpcError) as refused:
                former.push(former.hello(), former.batch(self.large(former, 1, hours_ago)))
            self.assertEqual(refused.exception.code(), grpc.StatusCode.UNAVAILABLE)
            self.assertIn("history has caught up", refused.exception.details())
            # ... while what is live is durable at once.
            for sequence in range(1, 4):
                begin = time.monotonic()
                self.assertEqual(ranges(live_stream.deliver(live.snapshot(sequence)).accepted), [(sequence, sequence)])
                self.assertLess(time.monotonic() - begin, 5)
            accepted = set()
            while len(accepted) < sent:
                for first, last in ranges(late_stream.receive().acknowledgement.accepted):
                    accepted.update(range(first, last + 1))
            self.assertEqual(accepted, set(range(1, sent + 1)))
            self.assertIn("few again", backend.log("backend"))
            reply = former.push(former.hello(), former.batch(self.large(former, 1, hours_ago)))
            self.assertEqual(ranges(reply.acknowledgement.accepted), [(1, 1)])

    def test_what_a_burst_took_goes_back(self):
        with Backend() as backend:
            agents = [backend.double(hostname=f"burst-{i}") for i in range(16)]
            streams = [agent.stream() for agent in agents]
            for stream in streams:
                stream.welcome()
            before = memory_mib(backend.backend)
            lock = sqlite3.connect(backend.database, isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            for agent, stream in zip(agents, streams):
                for n in range(BURSTS):
                    stream.send(2, agent.batch(self.large(agent, n + 1, None, size=BURST_BYTES)))
            wait_for(lambda: memory_mib(backend.backend) > before + 50, 60, "snapshots wait in memory")
            lock.execute("ROLLBACK")
            lock.close()
            for stream in streams:
                accepted = 0
                while accepted < BURSTS:
                    accepted += sum(last - first + 1 for first, last in ranges(stream.receive().acknowledgement.accepted))
            wait_for(lambda: memory_mib(backend.backend) < before + 25, 60, "the backend gives memory back")

    def large(self, double, sequence, seconds, size=2048):
        s = double.snapshot(sequence, seconds=seconds)
        s.processes.state.code = 1
        s.processes.processes.add(pid=1, start_time_us=5, cpu_us=7, command_line=os.urandom(size).hex())
        return s


if __name__ == "__main__":
    unittest.main(verbosity=2)
