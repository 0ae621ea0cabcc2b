"""What an agent may say to the backend and what it hears, on the wire, against the real program."""
import sqlite3
import time
import unittest
import uuid

import grpc
from backend import MESSAGES, Backend, wait_for
from sonde_proto import ranges

Status = grpc.StatusCode


def rejected(ack):
    return [(r.range.first, r.range.last, r.reason) for r in ack.rejected]


MALFORMED, TOO_LARGE, CONFLICT, WRONG_INSTANCE = 1, 2, 3, 4


class StreamTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.backend = Backend().__enter__()

    @classmethod
    def tearDownClass(cls):
        code = cls.backend.stop()
        cls.backend.__exit__(None, None, None)
        assert code == 0, f"SIGTERM ended the backend with {code}"

    def stored(self, double):
        with sqlite3.connect(f"file:{self.backend.database}?mode=ro", uri=True) as db:
            return [row[0] for row in db.execute("SELECT sequence FROM hot WHERE instance = ? ORDER BY sequence", [double.instance])]

    def opened(self, **options):
        double = self.backend.double(**options)
        stream = double.stream()
        return double, stream, stream.welcome()

    def test_what_is_acknowledged_is_stored(self):
        double, stream, welcome = self.opened(hostname="good")
        self.assertEqual(welcome.hostname, "good")
        self.assertEqual(ranges(welcome.durable), [])
        self.assertFalse(welcome.want_descriptor_set)
        self.assertFalse(welcome.warning)
        ack = stream.deliver(*[double.snapshot(n) for n in (1, 2, 3, 7)])
        self.assertEqual(ranges(ack.accepted), [(1, 3), (7, 7)])
        self.assertEqual(rejected(ack), [])
        self.assertEqual(self.stored(double), [1, 2, 3, 7])
        stream.half_close()
        self.assertEqual(stream.error()[0], Status.OK)

    def test_a_resend_is_acknowledged_again_and_stored_once(self):
        double, stream, _ = self.opened()
        batch = [double.snapshot(n) for n in (1, 2)]
        for _ in range(3):
            self.assertEqual(ranges(stream.deliver(*batch).accepted), [(1, 2)])
        again = double.stream()
        self.assertEqual(ranges(again.welcome().durable), [(1, 2)])
        self.assertEqual(ranges(again.deliver(*batch, double.snapshot(3)).accepted), [(1, 3)])
        self.assertEqual(self.stored(double), [1, 2, 3])

    def test_other_contents_of_one_sequence_are_a_conflict(self):
        double, stream, _ = self.opened()
        stream.deliver(double.snapshot(1), double.snapshot(2))
        ack = stream.deliver(double.snapshot(2, cpu_busy_ratio=0.75), double.snapshot(3))
        self.assertEqual((ranges(ack.accepted), rejected(ack)), ([(3, 3)], [(2, 2, CONFLICT)]))
        self.assertIn("two machines", ack.rejected[0].detail)

    def test_bad_snapshots_are_refused_alone(self):
        double, stream, _ = self.opened()
        good = [double.snapshot(n).SerializeToString() for n in range(1, 8)]
        foreign = double.snapshot(4)
        foreign.instance = b"x" * 16
        torn = good[1] + b"\x52\xff\x01cut"  # a summary that claims more bytes than there are
        wrong_type = good[4] + b"\x58\x01"  # cpu as a number
        large = good[5] + b"\xfa\x06" + b"\x80\x80\x50" + bytes(80 * 128 * 128)
        ack = stream.deliver(good[0], torn, good[2], foreign, wrong_type, large, good[6])
        self.assertEqual(ranges(ack.accepted), [(1, 1), (3, 3), (7, 7)])
        self.assertEqual(rejected(ack), [(2, 2, MALFORMED), (4, 4, WRONG_INSTANCE), (5, 5, MALFORMED), (6, 6, TOO_LARGE)])
        self.assertTrue(all(r.detail for r in ack.rejected))
        self.assertEqual(rejected(stream.deliver(double.snapshot(0))), [(0, 0, MALFORMED)])
        self.assertEqual(rejected(stream.deliver(b"\xff")), [(0, 0, MALFORMED)])
        self.assertEqual(ranges(stream.deliver(double.snapshot(9)).accepted), [(9, 9)], "the stream goes on")

    def test_protocol_faults_end_the_stream(self):
        double = self.backend.double()
        for name, faults in {
            "AgentMessage": lambda s: s.send_raw(b"\xff\xff"),
            "Batch": lambda s: s.send(2, b"\x0a\x05abc"),
            "must ascend": lambda s: s.send(2, double.batch(double.snapshot(5), double.snapshot(4))),
            "at most 1000": lambda s: s.send(2, double.batch(*[double.snapshot(1)] * 1001)),
            "second time": lambda s: s.send(1, double.hello()),
            "DescriptorSet": lambda s: s.send(3, b"\x0a\x05abc"),
            "SHA-256": lambda s: s.send(3, b"\x0a\x03abc"),
        }.items():
            with self.subTest(name):
                stream = double.stream()
                stream.welcome()
                faults(stream)
                code, text = stream.error()
                self.assertEqual(code, Status.INVALID_ARGUMENT, text)
                self.assertIn(name, text)
        stream = double.stream()
        stream.send(2, b"")
        self.assertEqual(stream.error(), (Status.INVALID_ARGUMENT, "the first message must be Hello"))

    def test_a_hello_that_is_wrong_names_its_field(self):
        double = self.backend.double()
        for field, values in {
            "host_id": [None, "", "nonsense", str(uuid.uuid4()) + "\n", "z" * 36], "hostname": [None, "", "a" * 254, "a\nb", "a\x7f", "a\u0085b"],
            "instance": [None, b"", b"x" * 15, b"x" * 17], "boot_id": [None, b"x"], "descriptor_hash": [None, b"", b"x" * 31],
        }.items():
            for value in values:
                with self.subTest(field=field, value=value):
                    stream = double.stream()
                    stream.send(1, double.hello(**{field: value}))
                    code, text = stream.error()
                    self.assertEqual(code, Status.INVALID_ARGUMENT)
                    self.assertIn(f"Hello.{field}", text)
        self.assertEqual(double.stream().welcome(hostname="ä" * 126).hostname, "ä" * 126)

    def test_keys(self):
        for key, words in (("", "key create"), ("sonde_" + "A" * 43, "unknown or revoked"), ("x" * 500, "key create")):
            with self.subTest(key[:10]):
                code, text = self.backend.double(key=key).stream().error()
                self.assertEqual(code, Status.UNAUTHENTICATED)
                self.assertIn(words, text)

    def test_a_newer_stream_of_an_instance_ends_the_older(self):
        double, old, _ = self.opened()
        new = double.stream()
        new.welcome()
        self.assertEqual(old.error()[0], Status.ABORTED)
        self.assertEqual(ranges(new.deliver(double.snapshot(1)).accepted), [(1, 1)])

    def test_a_restarted_agent_may_overlap_with_its_predecessor(self):
        double, old, _ = self.opened()
        successor = self.backend.double(host_id=double.host_id)
        new = successor.stream()
        new.welcome()
        self.assertEqual(ranges(new.deliver(successor.snapshot(1)).accepted), [(1, 1)])
        self.assertEqual(ranges(old.deliver(double.snapshot(1)).accepted), [(1, 1)])

    def test_two_hosts_of_one_name(self):
        self.opened(hostname="twin")
        _, _, welcome = self.opened(hostname="twin")
        self.assertEqual(welcome.hostname, "twin-2")
        self.assertIn("twin", welcome.warning)

    def test_push(self):
        double = self.backend.double(hostname="pusher")
        reply = double.push(double.hello(), double.batch(double.snapshot(1), b"\xff", double.snapshot(2)))
        self.assertEqual(reply.hostname, "pusher")
        self.assertEqual(ranges(reply.acknowledgement.accepted), [(1, 1), (2, 2)])
        self.assertEqual(rejected(reply.acknowledgement), [(0, 0, MALFORMED)])
        self.assertEqual(self.stored(double), [1, 2])
        begin = time.monotonic()
        for n in range(3, 23):
            self.assertEqual(ranges(double.push(double.hello(), double.batch(double.snapshot(n))).acknowledgement.accepted), [(n, n)])
        self.assertLess(time.monotonic() - begin, 5)
        with self.assertRaises(grpc.RpcError) as failure:
            double.push(double.hello(hostname=None), b"")
        self.assertEqual(failure.exception.code(), Status.INVALID_ARGUMENT)
        with self.assertRaises(grpc.RpcError) as failure:
            stranger = self.backend.double(key="sonde_" + "B" * 43)
            stranger.push(stranger.hello(), b"")
        self.assertEqual(failure.exception.code(), Status.UNAUTHENTICATED)

    def test_many_batches_in_flight_are_all_acknowledged(self):
        double, stream, _ = self.opened()
        for n in range(0, 2000, 20):
            stream.send(2, double.batch(*[double.snapshot(n + i + 1) for i in range(20)]))
        acknowledged = []
        while len(acknowledged) < 2000:
            for first, last in ranges(stream.receive().acknowledgement.accepted):
                acknowledged += range(first, last + 1)
        self.assertEqual(acknowledged, list(range(1, 2001)))
        self.assertEqual(self.stored(double), acknowledged)


class QueueTest(unittest.TestCase):
    def test_a_locked_database_stops_nothing_and_loses_nothing(self):
        with Backend() as backend:
            double = backend.double(hostname="patient")
            stream = double.stream()
            stream.welcome()
            stream.deliver(double.snapshot(1))
            lock = sqlite3.connect(backend.database, isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            for n in range(2, 302):  # each batch has 40 snapshots; more than the store's queue holds
                stream.send(2, double.batch(*[double.snapshot(40 * n + i) for i in range(40)]))
            time.sleep(3)
            lock.execute("ROLLBACK")
            lock.close()
            acknowledged = 0
            while acknowledged < 300 * 40:
                acknowledged += sum(last - first + 1 for first, last in ranges(stream.receive().acknowledgement.accepted))
            with sqlite3.connect(f"file:{backend.database}?mode=ro", uri=True) as db:
                self.assertEqual(db.execute("SELECT count(*), count(DISTINCT sequence) FROM hot").fetchone(), (12001, 12001))


if __name__ == "__main__":
    unittest.main(verbosity=2)
