"""What the internet sends: each peer gets the right answer or loses its connection, and nobody else notices."""
import gzip
import os
import random
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import harness

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
import h2  # noqa: E402
from h2 import END_HEADERS, END_STREAM, Closed, frame, literal, message, request  # noqa: E402
from http2_attacks import PREFACE_WITHOUT_WINDOWS, continuations, header_bomb, rapid_resets, send_until_closed  # noqa: E402
from programs import memory_mib  # noqa: E402


TLS = None  # what all connections go through, or nothing
ARGUMENTS = []


def use_tls(folder):
    """The same peers over TLS: they have shaken hands, and then misbehave."""
    global TLS, ARGUMENTS
    harness.make_certificate(folder, "ca")
    ARGUMENTS = ["--certificate", harness.make_certificate(folder, "server", "ca")]
    TLS = ssl.create_default_context(cafile=os.path.join(folder, "ca.crt"))
    TLS.set_alpn_protocols(["h2"])


class Connection(h2.Connection):
    def __init__(self, port, **options):
        super().__init__(port, tls=TLS, **options)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(*ARGUMENTS)
        cls.neighbour = Connection(cls.server.port)
        cls.next_stream = 1

    most_mib = 40  # that the server ever held, whatever the peers of the class did

    @classmethod
    def tearDownClass(cls):
        held = memory_mib(cls.server.process, "VmHWM")
        cls.neighbour.close()
        cls.server.stop()
        if "asan" not in harness.BUILD and "tsan" not in harness.BUILD:
            assert held < cls.most_mib, f"{cls.__name__}: {held:.0f} MiB"
        if os.environ.get("SHOW_MEMORY"):
            print(f"{cls.__name__}: at most {held:.1f} MiB")

    def connect(self, **options):
        connection = Connection(self.server.port, **options)
        self.addCleanup(connection.close)
        return connection

    def status(self, response):
        return int(response["headers"].get("grpc-status", b"-1"))

    def tearDown(self):
        """A connection that was there before, and a new one, are served as ever; nothing is left behind."""
        cls = type(self)
        for connection, stream in ((cls.neighbour, cls.next_stream), (Connection(self.server.port), 1)):
            start = time.monotonic()
            response = connection.call(b"\x0a\x02hi", stream)
            self.assertEqual((response["data"], self.status(response)), (message(b"\x0a\x02hi"), 0))
            self.assertLess(time.monotonic() - start, 2)
            if connection is not cls.neighbour:
                connection.close()
        cls.next_stream += 2
        self.doCleanups()
        for _ in range(200):
            stats = self.server.stats()
            if stats["open"] == 0 and stats["connections"] == 1:
                break
            time.sleep(0.01)
        self.assertEqual((stats["open"], stats["active"], stats["connections"]), (0, 0, 1))


class NotHttp2(Case):
    def test_garbage_is_hung_up_on(self):
        for garbage in (b"\x00" * 100, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00" + os.urandom(512),
                        h2.PREFACE[:-1] + b"X", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100):
            connection = self.connect(preface=False)
            connection.send(garbage)
            connection.until_closed()

    def test_silence_is_hung_up_on(self):
        connections = [self.connect(preface=False, timeout=15) for _ in range(3)]
        connections[1].send(h2.PREFACE[:10])
        connections[2].send(h2.PREFACE)
        start = time.monotonic()
        for connection in connections:
            while connection.socket.recv(1000):
                pass
        self.assertGreater(time.monotonic() - start, 8)

    def test_hang_up_anywhere(self):
        whole = h2.PREFACE + frame(h2.SETTINGS) + frame(h2.HEADERS, END_HEADERS, 1, request()) + \
            frame(h2.DATA, 0, 1, message(b"\x0a\x02hi"))
        for end in range(0, len(whole), 3):
            connection = self.connect(preface=False)
            connection.send(whole[:end])
            if end % 2:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    def test_random_frames(self):
        rng = random.Random(1)
        for _ in range(150):
            connection = self.connect()
            try:
                for _ in range(20):
                    connection.send(frame(rng.randrange(12), rng.randrange(256), rng.choice((0, 1, 2, 3, 2**31 - 1)),
                                          rng.randbytes(rng.choice((0, 4, 5, 8, 9, 40)))))
            except Closed:
                pass
            connection.close()


class Framing(Case):
    def test_byte_by_byte(self):
        connection = self.connect(preface=False)
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        whole = h2.PREFACE + frame(h2.SETTINGS) + frame(h2.HEADERS, END_HEADERS, 1, request()) + \
            frame(h2.DATA, 0, 1, message(b"\x0a\x05hello")) + frame(h2.DATA, END_STREAM, 1)
        for i in range(len(whole)):
            connection.send(whole[i:i + 1])
        response = connection.response()
        self.assertEqual((response["data"], self.status(response)), (message(b"\x0a\x05hello"), 0))

    def test_message_in_one_byte_frames_with_padding(self):
        connection = self.connect()
        connection.send(frame(h2.HEADERS, END_HEADERS, 1, request()))
        for byte in message(b"\x0a\x05hello"):
            connection.send(frame(h2.DATA, 8, 1, bytes([3, byte, 0, 0, 0])))
        connection.send(frame(h2.DATA, END_STREAM, 1))
        self.assertEqual(connection.response()["data"], message(b"\x0a\x05hello"))

    def test_oversized_frame(self):
        connection = self.connect()
        connection.send(frame(h2.DATA, 0, 1, b"x" * 20000))
        self.assertEqual(connection.until_closed(), h2.FRAME_SIZE_ERROR)

    def test_frame_that_never_ends(self):
        connection = self.connect()
        connection.send(frame(h2.HEADERS, END_HEADERS, 1, b"", length=16384))
        connection.send(b"\x00" * 100)

    def test_garbage_header_block(self):
        connection = self.connect()
        connection.send(frame(h2.HEADERS, END_HEADERS, 1, b"\xff" * 50))
        self.assertEqual(connection.until_closed(), h2.COMPRESSION_ERROR)

    def test_stream_ids_that_go_back(self):
        connection = self.connect()
        connection.call(stream=5)
        connection.send(frame(h2.HEADERS, END_HEADERS, 3, request()))
        connection.send(frame(h2.HEADERS, END_HEADERS, 4, request()))
        self.assertEqual(connection.until_closed(), h2.PROTOCOL_ERROR)

    def test_window_overflow(self):
        connection = self.connect()
        connection.send(frame(h2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1)))
        self.assertEqual(connection.until_closed(), h2.FLOW_CONTROL_ERROR)


class Floods(Case):
    most_mib = 80  # 20 queues of 1 MiB are among them

    def test_continuations(self):
        connection = self.connect()
        with self.assertRaises(Closed):
            for data in continuations(request()):
                connection.send(data)

    def test_header_bomb(self):
        connection = self.connect()
        start = time.monotonic()
        connection.send(header_bomb(request()))
        self.assertIsNotNone(connection.response()["rst"])
        self.assertLess(time.monotonic() - start, 2)

    def test_header_list_over_the_limit(self):
        connection = self.connect()
        response = connection.call(x_large="y" * 8500)
        self.assertEqual(self.status(response), 8)
        self.assertEqual(self.status(connection.call(stream=3, x_large="y" * 7500)), 0)

    def flood(self, connection, frames):
        """Sends until it is hung up on; the calls that it cost."""
        before = self.server.stats()["calls"]
        send_until_closed(connection, frames)
        return self.server.stats()["calls"] - before

    def test_rapid_reset(self):
        self.assertLess(self.flood(self.connect(), rapid_resets(request())), 1500)

    def test_streams_that_the_server_must_reset(self):
        """A window update of 0 is a stream error: the peer makes the server send the reset."""
        calls = self.flood(self.connect(), (
            frame(h2.HEADERS, END_HEADERS, stream, request("/sonde.test.Echo/ClientStream")) +
            frame(h2.WINDOW_UPDATE, 0, stream, struct.pack(">I", 0)) for stream in range(1, 40000, 2)))
        self.assertLess(calls, 1500)

    def test_pings(self):
        connection = self.connect()
        self.flood(connection, [frame(h2.PING, 0, 0, b"12345678")] * 1000)
        self.assertEqual(connection.goaways[-1][1], h2.ENHANCE_YOUR_CALM)
        self.assertIn(b"too_many_pings", [g[2] for g in connection.goaways])

    def test_few_pings_are_answered(self):
        connection = self.connect()
        connection.send(frame(h2.PING, 0, 0, b"12345678"))
        while True:
            kind, flags, _, payload = connection.read()
            if kind == h2.PING and flags & h2.ACK:
                break
        self.assertEqual(payload, b"12345678")

    def test_settings(self):
        """A peer that does not read the acknowledgements it asks for."""
        connection = self.connect()
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.socket.settimeout(2)
        with self.assertRaises((Closed, TimeoutError)):
            for _ in range(2000):
                connection.send(frame(h2.SETTINGS) * 1000)

    def test_too_many_streams(self):
        connection = self.connect()
        connection.send(b"".join(frame(h2.HEADERS, END_HEADERS, 2 * i + 1, request("/sonde.test.Echo/BidiStream"))
                                 for i in range(300)))
        time.sleep(0.2)
        self.assertLessEqual(self.server.stats()["open"], 100)

    def test_peers_that_do_not_read(self):
        """20 peers ask for 1 GB each and take nothing: the queues are bounded, the server goes on."""
        before = memory_mib(self.server.process)
        body = b"\x28" + b"\xe8\x07" + b"\x30" + b"\x80\x80\x40"  # replies 1000 of 1 MiB
        for _ in range(20):
            connection = self.connect()
            connection.send(frame(h2.HEADERS, END_HEADERS, 1, request("/sonde.test.Echo/ServerStream")) +
                            frame(h2.DATA, END_STREAM, 1, message(body)))
        for _ in range(500):
            if self.server.stats()["open"] == 20:
                break
            time.sleep(0.01)
        self.assertEqual(self.server.stats()["open"], 20)
        time.sleep(0.3)
        if "asan" not in os.environ["SONDE_BUILD"] and "tsan" not in os.environ["SONDE_BUILD"]:
            self.assertLess(memory_mib(self.server.process) - before, 150)

    def test_a_peer_that_reads_as_fast_as_it_can(self):
        """Windows of 2 GiB and 500 MiB to take: others on its worker get their turn between two pieces."""
        server = harness.Server("--workers", "1", *ARGUMENTS)
        self.addCleanup(server.stop)
        greedy, other = Connection(server.port, preface=False), Connection(server.port)
        self.addCleanup(greedy.close)
        self.addCleanup(other.close)
        window, wanted, taken = 2**31 - 1, 500 << 20, 0

        def drain():
            nonlocal taken
            block = bytearray(1 << 20)
            while taken < wanted:
                taken += greedy.socket.recv_into(block)
        greedy.send(h2.PREFACE + frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 4, window)) +
                    frame(h2.WINDOW_UPDATE, 0, 0, struct.pack(">I", window - 65535)) +
                    frame(h2.HEADERS, END_HEADERS, 1, request("/sonde.test.Echo/ServerStream")) +
                    frame(h2.DATA, END_STREAM, 1, message(b"\x28\xf4\x03\x30\x80\x80\x40")))  # replies 500 of 1 MiB
        thread = threading.Thread(target=drain)
        thread.start()
        shares, stream = [], 1
        while taken < wanted and stream < 10000:
            before = taken
            other.call(b"\x0a\x02hi", stream)
            shares.append((taken - before) >> 10)
            stream += 2
        thread.join()
        if os.environ.get("SHOW_MEMORY"):
            print(f"{len(shares)} answered, meanwhile the other got {sorted(shares)[len(shares) // 2]} KiB, at most {max(shares)}")
        self.assertGreater(len(shares), 50)

    def test_windows_of_nothing(self):
        """50 peers ask for 1 MiB each and open no window: what waits for them is bounded, and ends with them."""
        for _ in range(50):
            connection = self.connect(preface=False)
            connection.send(PREFACE_WITHOUT_WINDOWS)
            for stream in (1, 3):
                connection.send(frame(h2.HEADERS, END_HEADERS, stream, request("/sonde.test.Echo/ServerStream")) +
                                frame(h2.DATA, END_STREAM, stream, message(b"\x28\x01\x30\x80\x80\x10")))  # 256 KiB once
        self.assertTrue(harness.until(lambda: self.server.stats()["open"] == 100))

    def test_a_window_of_one_byte_at_a_time(self):
        """The peer makes a frame of each byte; what it gets is whole in the end."""
        connection = self.connect(preface=False)
        connection.send(PREFACE_WITHOUT_WINDOWS +
                        frame(h2.HEADERS, END_HEADERS, 1, request()) + frame(h2.DATA, END_STREAM, 1, message(b"\x0a\xc8\x01" + b"x" * 200)))
        got, sizes = b"", []
        while len(got) < 208:
            connection.send(frame(h2.WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)))
            kind = None
            while kind != h2.DATA:
                kind, _, _, payload = connection.read()
            got += payload
            sizes.append(len(payload))
        self.assertEqual(got, message(b"\x0a\xc8\x01" + b"x" * 200))
        self.assertEqual(max(sizes), 1)
        self.assertEqual(self.status(connection.response()), 0)

    def test_empty_frames(self):
        """DATA of no bytes, without end: it costs the peer as much as the server, and holds nothing."""
        connection = self.connect()
        connection.send(frame(h2.HEADERS, END_HEADERS, 1, request("/sonde.test.Echo/ClientStream")))
        for _ in range(200):
            connection.send(frame(h2.DATA, 0, 1) * 100)
        connection.send(frame(h2.DATA, END_STREAM, 1, message(b"\x0a\x02hi")))
        self.assertEqual(self.status(connection.response()), 0)

    def test_more_than_the_window(self):
        connection = self.connect()
        connection.send(frame(h2.HEADERS, END_HEADERS, 1, request("/sonde.test.Echo/ClientStream")) +
                        frame(h2.DATA, 0, 1, message(b"\x38" + b"\x90\x4e")))  # pause_ms 10000
        for _ in range(100):
            connection.send(frame(h2.DATA, 0, 1, b"\x00" * 16000))
        self.assertEqual(connection.response()["rst"], h2.FLOW_CONTROL_ERROR)
        self.assertEqual(self.status(connection.call(stream=3)), 0)


class Requests(Case):
    def answer(self, *data, end=True, **headers):
        """The response to a unary request with these DATA frames."""
        connection = self.connect()
        connection.send(frame(h2.HEADERS, END_HEADERS, 1, request(**headers)))
        for i, d in enumerate(data):
            connection.send(frame(h2.DATA, END_STREAM if end and i == len(data) - 1 else 0, 1, d))
        return connection.response(), connection

    def check(self, status, *data, **headers):
        response, _ = self.answer(*data, **headers)
        self.assertEqual(response["headers"][":status"], b"200")
        self.assertEqual(self.status(response), status, response["headers"])
        return response

    def test_not_grpc(self):
        for kind in ("application/json", "application/grpcx", "text/html", None):
            response, _ = self.answer(message(), content_type=kind)
            self.assertEqual(response["headers"][":status"], b"415")
        response, _ = self.answer(message(), method="GET")
        self.assertEqual(response["headers"][":status"], b"405")

    def test_content_types_with_more(self):
        for kind in ("application/grpc+proto", "application/grpc;foo=bar"):
            self.check(0, message(), content_type=kind)

    def test_trailers(self):
        self.assertEqual(self.check(0, message())["frames"][-1], h2.HEADERS)
        self.assertEqual(self.check(0, message())["frames"].count(h2.HEADERS), 2)
        refused = self.check(12, message(), path="/sonde.test.Echo/No")
        self.assertEqual(refused["frames"], [h2.HEADERS])

    def test_unknown_paths(self):
        for path in ("/", "/x", "//", "/sonde.test.Echo", "/sonde.test.Echo/", "/sonde.test.Echo/Unary/",
                     "/" + "x" * 4000):
            self.check(12, message(), path=path)
        for path in ("x", "*", ""):
            self.assertEqual(self.answer(message(), path=path)[0]["rst"], h2.PROTOCOL_ERROR)

    def test_flags_and_encodings(self):
        self.check(13, message(b"xx", flag=1))
        self.check(13, message(b"xx", flag=1), grpc_encoding="identity")
        self.check(13, message(b"xx", flag=2))
        self.check(13, message(b"xx", flag=255))
        refused = self.check(12, message(), grpc_encoding="snappy")
        self.assertEqual(refused["headers"]["grpc-accept-encoding"], b"identity,gzip")
        plain = b"\x0a\x05hello"
        self.assertEqual(self.check(0, message(gzip.compress(plain), 1), grpc_encoding="gzip")["data"], message(plain))
        self.assertEqual(self.check(0, message(plain), grpc_encoding="gzip")["data"], message(plain))

    def test_bad_gzip(self):
        good = gzip.compress(b"\x0a\x05hello")
        for bad in (b"", good[:-1], good[:10], good + b"x", good + good, b"\x1f\x8b", good[:-4] + b"\0\0\0\0",
                    os.urandom(100)):
            self.check(13, message(bad, 1), grpc_encoding="gzip")

    def test_gzip_bomb(self):
        bomb = gzip.compress(b"\0" * (200 << 20), 9)
        start = time.monotonic()
        data = message(bomb, 1)
        response, _ = self.answer(*(data[i:i + 16384] for i in range(0, len(data), 16384)), grpc_encoding="gzip")
        self.assertEqual(self.status(response), 8)
        self.assertLess(time.monotonic() - start, 3)

    def test_the_request_ends_inside_a_message(self):
        for part in (b"\x00", b"\x00\x00\x00\x00", message(b"hello")[:-1], message(b"", length=1)):
            self.check(13, part)
        self.check(12, b"")  # none at all

    def test_announced_too_large(self):
        for length in ((4 << 20) + 1, 2**32 - 1):
            self.check(8, message(b"", length=length))

    def test_garbage_protobuf(self):
        rng = random.Random(2)
        self.check(3, message(b"\xff\xff"))
        for _ in range(50):
            response, _ = self.answer(message(rng.randbytes(30)))
            self.assertIn(self.status(response), range(0, 17))

    def test_two_messages(self):
        self.check(12, message(), message())
        self.check(12, message() + message())

    def test_timeouts(self):
        for bad in ("", "1", "S", "123456789S", "1s", "-1S", "1.5S", "9" * 4000 + "S"):
            self.check(13, message(), grpc_timeout=bad)
        self.check(4, message(b"\x20\x90\x4e"), grpc_timeout="50m")  # sleep_ms 10000
        self.check(4, message(b"\x20\x90\x4e"), grpc_timeout="1n")
        self.check(0, message(), grpc_timeout="99999999H")

    def test_deadline_resets_a_stream_that_is_still_open(self):
        response, connection = self.answer(end=False, path="/sonde.test.Echo/ClientStream", grpc_timeout="50m")
        self.assertEqual(self.status(response), 4)
        self.assertEqual(connection.response()["rst"], h2.CANCEL)

    def test_early_end_resets_without_error(self):
        response, connection = self.answer(message(b"", length=2**31), end=False)
        self.assertEqual(self.status(response), 8)
        self.assertEqual(connection.response()["rst"], h2.NO_ERROR)

    def test_request_trailers(self):
        connection = self.connect()
        connection.send(frame(h2.HEADERS, END_HEADERS, 1, request()) + frame(h2.DATA, 0, 1, message()) +
                        frame(h2.HEADERS, END_HEADERS | END_STREAM, 1, literal("x-trailer", "y")))
        self.assertEqual(self.status(connection.response()), 0)

    def test_headers_that_http2_forbids(self):
        for bad in (literal("Upper", "x"), literal("x", b"a\x00b"), literal("connection", "close"),
                    literal(":path", "/again"), literal("x", b"a\r\nb")):
            connection = self.connect()
            connection.send(frame(h2.HEADERS, END_HEADERS | END_STREAM, 1, request() + bad))
            self.assertEqual(connection.response()["rst"], h2.PROTOCOL_ERROR)

    def test_reset_by_the_peer(self):
        connection = self.connect()
        connection.send(frame(h2.HEADERS, END_HEADERS, 1, request()) +
                        frame(h2.DATA, END_STREAM, 1, message(b"\x20\x90\x4e")))
        for _ in range(100):
            if self.server.stats()["open"] == 1:
                break
            time.sleep(0.01)
        self.assertEqual(self.server.stats()["open"], 1)
        connection.send(frame(h2.RST_STREAM, 0, 1, struct.pack(">I", h2.CANCEL)))
        for _ in range(100):
            if self.server.stats()["open"] == 0:
                break
            time.sleep(0.01)
        self.assertEqual(self.server.stats()["open"], 0)


class Draining(unittest.TestCase):
    def test_two_goaways(self):
        server = harness.Server("--workers", "1", *ARGUMENTS)
        self.addCleanup(server.stop)
        connection = Connection(server.port)
        self.addCleanup(connection.close)
        connection.call()
        connection.send(frame(h2.HEADERS, END_HEADERS, 3, request()))
        connection.send(frame(h2.DATA, END_STREAM, 3, message(b"\x20\x90\x03")))  # sleep_ms 400
        while server.stats()["open"] == 0:
            time.sleep(0.01)
        server.begin_stop(5000)
        start = time.monotonic()
        late_sent = False
        statuses = {}
        try:
            while True:
                kind, flags, stream, payload = connection.read()
                if kind == h2.PING and not flags & h2.ACK:
                    # A stream begun before the second GOAWAY is still served.
                    connection.send(frame(h2.HEADERS, END_HEADERS, 5, request()) +
                                    frame(h2.DATA, END_STREAM, 5, message()))
                    late_sent = True
                    connection.send(frame(h2.PING, h2.ACK, 0, payload))
                if kind == h2.HEADERS and "grpc-status" in payload:
                    statuses[stream] = payload["grpc-status"]
        except Closed:
            pass
        self.assertTrue(late_sent)
        self.assertEqual([g[:2] for g in connection.goaways], [(2**31 - 1, 0), (5, 0)])
        self.assertEqual(statuses, {3: b"0", 5: b"0"})
        self.assertLess(time.monotonic() - start, 2)
        self.assertEqual(server.process.wait(2), 0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        if "--tls" in sys.argv:
            sys.argv.remove("--tls")
            use_tls(folder)
        unittest.main()
