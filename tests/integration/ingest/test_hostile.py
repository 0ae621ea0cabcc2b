"""Hostile peers of the real backend's Ingest and Query, all at once, beside an agent that goes on being served: each gets the right status
or loses its connection, memory stays bounded, and the agent notices nothing. What they do to the server library alone is in
tests/integration/grpc/hostile_test.py."""
import gzip
import threading
import time
import unittest

from backend import BUILD, Backend, memory_mib
import h2
from h2 import END_HEADERS, END_STREAM, Closed, frame, message
from http2_attacks import PREFACE_WITHOUT_WINDOWS, continuations, header_bomb, rapid_resets, send_until_closed
from sonde_proto import ranges, varint

PUSH, STREAM, SUBSCRIBE = "/sonde.v1.Ingest/Push", "/sonde.v1.Ingest/Stream", "/sonde.v1.Query/Subscribe"
INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAUTHENTICATED = 3, 8, 16
MALFORMED = 1
SANITIZED = b"san_init" in (BUILD / "sonde-backend").read_bytes()
MOST_MIB = 40


class Peers:
    """Each method is a peer; it raises when it was not treated as it should have been."""

    def __init__(self, backend):
        self.backend, self.key = backend, backend.key
        self.double = backend.double(hostname="hostile")

    def connect(self, **options):
        return h2.Connection(self.backend.grpc_port, **options)

    def request(self, path, key=None, **headers):
        return h2.request(path, **{"authorization": f"Bearer {self.key if key is None else key}", **headers})

    def status(self, path, *data, key=None, **headers):
        """Of one call with that body, sent in frames of 16 KiB."""
        connection = self.connect()
        connection.send(frame(h2.HEADERS, END_HEADERS, 1, self.request(path, key, **headers)))
        body = b"".join(data)
        pieces = [body[i:i + 16384] for i in range(0, len(body), 16384)]
        try:
            for n, piece in enumerate(pieces):
                connection.send(frame(h2.DATA, END_STREAM if n == len(pieces) - 1 else 0, 1, piece))
        except Closed:
            pass
        response = connection.response()
        connection.close()
        return int(response["headers"].get("grpc-status", b"-1")), response["headers"]

    def expect(self, want, got):
        assert got[0] == want, f"{got}, not {want}"

    def pushed(self, batch):
        hello = self.double.hello().SerializeToString()
        return message(b"\x0a" + varint(len(hello)) + hello + b"\x12" + varint(len(batch)) + batch)

    def wrong_key(self):
        batch = self.pushed(self.double.batch(self.double.snapshot(1)))
        for key in ("wrong", "sonde_" + "x" * 40, "x" * 300, self.key[:-1]):
            self.expect(UNAUTHENTICATED, self.status(PUSH, batch, key=key))
        for authorization in (None, "Bearer", "Basic " + self.key, self.key):
            self.expect(UNAUTHENTICATED, self.status(PUSH, batch, authorization=authorization))
        self.expect(UNAUTHENTICATED, self.status(SUBSCRIBE, message(b""), key="wrong"))

    def wrong_content_type(self):
        for kind in ("application/json", "text/plain", None):
            _, headers = self.status(PUSH, message(b""), content_type=kind)
            assert headers[":status"] == b"415", headers

    def compressed_bomb(self):
        bomb = message(gzip.compress(bytes(40 << 20), 9), 1)  # within the first window of a stream
        for path, key in ((PUSH, self.key), (STREAM, self.key), (SUBSCRIBE, self.backend.login())):
            self.expect(RESOURCE_EXHAUSTED, self.status(path, bomb, key=key, grpc_encoding="gzip"))
        self.expect(UNAUTHENTICATED, self.status(STREAM, bomb, key="wrong", grpc_encoding="gzip"))

    def invalid_utf8(self):
        hello = self.double.hello().SerializeToString()
        at = hello.index(b"hostile")
        bad = hello[:at] + b"host\xff\xfee" + hello[at + 7:]
        got = self.status(STREAM, message(b"\x0a" + varint(len(bad)) + bad))
        self.expect(INVALID_ARGUMENT, got)
        snapshot = self.double.snapshot(1)
        snapshot.summary.state.reason = "here"
        stream = self.double.stream()
        stream.welcome()
        reply = stream.deliver(snapshot.SerializeToString().replace(b"here", b"h\xff\xfee"), self.double.snapshot(2).SerializeToString())
        assert [r.reason for r in reply.rejected] == [MALFORMED] and ranges(reply.accepted) == [(2, 2)], reply
        stream.half_close()

    def one_byte_at_a_time(self):
        connection = self.connect(preface=False)
        body = self.pushed(self.double.batch(self.double.snapshot(3)))
        whole = h2.PREFACE + frame(h2.SETTINGS) + frame(h2.HEADERS, END_HEADERS, 1, self.request(PUSH)) + \
            b"".join(frame(h2.DATA, END_STREAM if n == len(body) - 1 else 0, 1, body[n:n + 1]) for n in range(len(body)))
        for n in range(len(whole)):
            connection.send(whole[n:n + 1])
        self.expect(0, (int(connection.response()["headers"]["grpc-status"]),))
        connection.close()

    def slow_preface(self):
        """A byte now and then is no progress: the preface has ten seconds in all."""
        connection, begin = self.connect(preface=False, timeout=0.5), time.monotonic()
        for n in range(60):
            connection.send(h2.PREFACE[n % 24:n % 24 + 1])
            try:
                if not connection.socket.recv(1000):
                    break
            except TimeoutError:
                continue
            except ConnectionResetError:
                break
        assert 8 < time.monotonic() - begin < 20, time.monotonic() - begin

    def ended(self, frames):
        connection = self.connect()
        send_until_closed(connection, frames)
        connection.close()

    def rapid_reset(self):
        self.ended(rapid_resets(self.request(STREAM)))

    def continuation_flood(self):
        self.ended(continuations(self.request(STREAM)))

    def header_bomb(self):
        connection = self.connect()
        connection.send(header_bomb(self.request(STREAM)))
        assert connection.response()["rst"] is not None
        connection.close()

    def zero_windows(self):
        """10 agents that never take a byte: Welcome and acknowledgements wait for them, bounded."""
        connections = []
        for n in range(10):
            double = self.backend.double(hostname=f"mute-{n}")
            connection = self.connect(preface=False)
            connection.send(PREFACE_WITHOUT_WINDOWS + frame(h2.HEADERS, END_HEADERS, 1, self.request(STREAM)))
            hello = double.hello().SerializeToString()
            connection.send(frame(h2.DATA, 0, 1, message(b"\x0a" + varint(len(hello)) + hello)))
            for sequence in range(1, 11):
                batch = double.batch(double.snapshot(sequence))
                connection.send(frame(h2.DATA, 0, 1, message(b"\x12" + varint(len(batch)) + batch)))
            connections.append(connection)
        time.sleep(2)
        for connection in connections:
            connection.close()


PEERS = [name for name, value in vars(Peers).items() if callable(value) and not name.startswith("_") and
         name not in ("connect", "request", "status", "expect", "pushed", "ended")]


class HostileTest(unittest.TestCase):
    def neighbour(self, backend, ready, stop, waits, faults):
        try:
            double = backend.double(hostname="neighbour")
            stream, sequence = double.stream(), 0
            stream.welcome()
            while not stop.is_set():
                sequence += 1
                begin = time.monotonic()
                assert ranges(stream.deliver(double.snapshot(sequence)).accepted) == [(sequence, sequence)]
                waits.append(time.monotonic() - begin)
                ready.set()
                time.sleep(0.02)
        except BaseException as e:
            faults["neighbour"] = e
            ready.set()

    def peer(self, name, peers, faults):
        try:
            getattr(peers, name)()
        except BaseException as e:
            faults[name] = e

    def test_all_at_once(self):
        with Backend() as backend:
            ready, stop, waits, faults = threading.Event(), threading.Event(), [], {}
            neighbour = threading.Thread(target=self.neighbour, args=(backend, ready, stop, waits, faults))
            neighbour.start()
            ready.wait(20)
            before, peers = memory_mib(backend.backend, "VmHWM"), Peers(backend)
            threads = [threading.Thread(target=self.peer, args=(name, peers, faults)) for name in PEERS]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(100)
            stop.set()
            neighbour.join()
            self.assertEqual({name: repr(fault) for name, fault in faults.items()}, {})
            grown = memory_mib(backend.backend, "VmHWM") - before
            print(f"{len(PEERS)} peers; the neighbour was served {len(waits)} times, after {max(waits):.2f} s at most; {grown:.0f} MiB grown", flush=True)
            self.assertGreater(len(waits), 50)
            self.assertLess(max(waits), 5)
            if not SANITIZED:
                self.assertLess(grown, MOST_MIB)
            self.assertEqual(backend.stop(), 0)
            self.assertEqual(backend.complaints("backend"), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
