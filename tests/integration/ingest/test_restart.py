"""Kill -9 at any moment: what was acknowledged is in the database, once; and SIGTERM ends streams politely."""
import random
import sqlite3
import threading
import time
import unittest

import grpc
from backend import Backend
from sonde_proto import ranges


class RestartTest(unittest.TestCase):
    def test_acknowledged_is_durable_through_kill_9(self):
        random.seed(7)
        with Backend() as backend:
            double = backend.double(hostname="survivor")
            acknowledged, sent = set(), 0
            for _ in range(5):
                stream = double.stream()
                for first, last in ranges(stream.welcome().durable):
                    acknowledged.update(range(first, last + 1))
                unacknowledged = [n for n in range(1, sent + 1) if n not in acknowledged]
                # Made before the clock runs: building them takes the client longer than sending.
                resent = double.batch(*[self.same(double, n) for n in unacknowledged]) if unacknowledged else None
                fresh = [double.batch(self.same(double, n)) for n in range(sent + 1, sent + 401)]
                sent += 400
                killer = threading.Timer(random.uniform(0.1, 0.6), backend.backend.kill)
                killer.start()
                try:
                    if resent:
                        stream.send(2, resent)
                    for batch in fresh:
                        stream.send(2, batch)
                    while True:
                        for first, last in ranges(stream.receive().acknowledgement.accepted):
                            acknowledged.update(range(first, last + 1))
                except grpc.RpcError as e:
                    self.assertIn(e.code(), (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN))
                killer.join()
                backend.backend.wait()
                with sqlite3.connect(backend.database) as db:
                    rows = [r[0] for r in db.execute("SELECT sequence FROM hot ORDER BY sequence")]
                self.assertEqual(len(rows), len(set(rows)), "nothing twice")
                self.assertLessEqual(acknowledged, set(rows), "nothing acknowledged is missing")
                backend.start_backend()
            self.assertGreater(len(acknowledged), 400)

    def same(self, double, sequence):
        """The same bytes for the same sequence every time, as an agent's queue gives them."""
        return double.snapshot(sequence, seconds=1700000000 + sequence)

    def test_sigterm_acknowledges_what_came_and_ends_streams(self):
        with Backend() as backend:
            double = backend.double()
            stream = double.stream()
            stream.welcome()
            self.assertEqual(ranges(stream.deliver(double.snapshot(1)).accepted), [(1, 1)])
            begin = time.monotonic()
            self.assertEqual(backend.stop(), 0)
            self.assertLess(time.monotonic() - begin, 3, "an idle stream does not hold the backend up")
            self.assertEqual(stream.error()[0], grpc.StatusCode.UNAVAILABLE)
            self.assertEqual(backend.warnings(), [])
            backend.start_backend()
            again = double.stream()
            self.assertEqual(ranges(again.welcome().durable), [(1, 1)])


if __name__ == "__main__":
    unittest.main(verbosity=2)
