"""Many agents at once, taking over their own streams, while others ask and the backend is told to stop: locks and lifetimes under
load. Worth most when the backend is built with ThreadSanitizer or AddressSanitizer (SONDE_BUILD=build/tsan)."""
import threading
import time
import unittest

import grpc
from backend import MESSAGES, Backend
from asker import Asker
from sonde_proto import ranges

AGENTS, STREAMS, BATCHES, SNAPSHOTS = 24, 4, 25, 4


class CrowdTest(unittest.TestCase):
    def agent(self, backend, number, acknowledged, faults):
        double = backend.double(hostname=f"crowd-{number % 20}")
        try:
            sequence, old = 0, None
            for _ in range(STREAMS):
                stream = double.stream()
                for first, last in ranges(stream.welcome().durable):
                    acknowledged.update((double.instance, n) for n in range(first, last + 1))
                for _ in range(BATCHES):
                    batch = [double.snapshot(sequence + i + 1) for i in range(SNAPSHOTS)]
                    sequence += SNAPSHOTS
                    stream.send(2, double.batch(*batch))
                if old and number % 3 == 0:
                    old.call.cancel()
                missing = BATCHES * SNAPSHOTS
                while missing > 0:
                    for first, last in ranges(stream.receive().acknowledgement.accepted):
                        acknowledged.update((double.instance, n) for n in range(first, last + 1))
                        missing -= last - first + 1
                sequence += 1
                reply = double.push(double.hello(), double.batch(double.snapshot(sequence)))
                for first, last in ranges(reply.acknowledgement.accepted):
                    acknowledged.update((double.instance, n) for n in range(first, last + 1))
                old = stream  # not closed: the next one takes over
        except grpc.RpcError as e:
            faults.append(e)

    def crowd(self, backend, faults, acknowledged):
        threads = [threading.Thread(target=self.agent, args=(backend, n, acknowledged, faults)) for n in range(AGENTS)]
        for thread in threads:
            thread.start()
        return threads

    def test_nothing_is_lost_or_doubled_in_a_crowd(self):
        with Backend() as backend:
            faults, acknowledged = [], set()
            token = backend.login()
            asker = Asker(backend, token, "GetHost", 3)
            asker.start()
            for thread in self.crowd(backend, faults, acknowledged):
                thread.join()
            self.assertEqual(faults + asker.end(), [])
            rows = backend.stored()
            self.assertEqual(len(rows), AGENTS * STREAMS * (BATCHES * SNAPSHOTS + 1))
            self.assertEqual(set(rows), acknowledged)
            self.assertEqual(len(backend.query("ListHosts", MESSAGES.ListHostsRequest(), MESSAGES.ListHostsReply, token).servers), AGENTS)
            self.assertEqual(backend.stop(), 0)

    def test_sigterm_amid_traffic(self):
        with Backend() as backend:
            faults, acknowledged = [], set()
            threads = self.crowd(backend, faults, acknowledged)
            time.sleep(0.7)
            self.assertEqual(backend.stop(), 0)
            for thread in threads:
                thread.join()
            self.assertLessEqual({e.code() for e in faults}, {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN})
            rows = backend.stored()
            self.assertEqual(len(rows), len(set(rows)))
            self.assertLessEqual(acknowledged, set(rows))


if __name__ == "__main__":
    unittest.main(verbosity=2)
