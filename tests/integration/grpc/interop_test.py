"""python3-grpcio passes gRPC's interoperability cases against the server library; what no client library shows (which
bytes travel compressed) is looked at on the wire."""
import gzip
import sys
import unittest
from pathlib import Path

import harness
import interop

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
import h2  # noqa: E402
from h2 import END_HEADERS, END_STREAM, frame, message, request  # noqa: E402

harness.need_grpcio()
interop.need_protos()

import grpc  # noqa: E402

RPC = harness.load_messages("google_rpc.proto", include=["/usr/include"])


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server("--workers", "2")
        cls.channel = grpc.insecure_channel(cls.server.target)
        cls.interop = interop.Interop(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.stop()


class Interop(Case):
    def test_cases(self):
        for name in interop.CASES:
            with self.subTest(case=name):
                getattr(self.interop, name)()
        self.assertEqual(len(interop.CASES), 18)

    def tearDown(self):
        self.assertTrue(harness.until(lambda: self.server.stats()["open"] == 0), "a call was never closed")


class OnTheWire(Case):
    def ask(self, path, body=b"", flag=0, **headers):
        connection = h2.Connection(self.server.port)
        self.addCleanup(connection.close)
        connection.send(frame(h2.HEADERS, END_HEADERS, 1, request(path, **headers)) +
                        frame(h2.DATA, END_STREAM, 1, message(body, flag)))
        return connection.response()

    # response_size 1000, response_compressed
    COMPRESSED = b"\x10\xe8\x07\x32\x02\x08\x01"
    REPLY = b"\x0a\xeb\x07\x12\xe8\x07" + b"\0" * 1000

    def test_a_reply_is_compressed_for_who_accepts_it(self):
        for accepted in ("gzip", "identity,deflate,gzip", "identity, gzip ;q=1, x"):
            reply = self.ask("/grpc.testing.TestService/UnaryCall", self.COMPRESSED, grpc_accept_encoding=accepted)
            self.assertEqual(reply["headers"]["grpc-encoding"], b"gzip")
            self.assertEqual(reply["data"][0], 1)
            self.assertEqual(gzip.decompress(reply["data"][5:]), self.REPLY)
            self.assertEqual(int.from_bytes(reply["data"][1:5], "big"), len(reply["data"]) - 5)

    def test_and_plain_for_who_does_not(self):
        for accepted in (None, "identity", "gzipped", "deflate"):
            reply = self.ask("/grpc.testing.TestService/UnaryCall", self.COMPRESSED, grpc_accept_encoding=accepted)
            self.assertNotIn("grpc-encoding", reply["headers"])
            self.assertEqual(reply["data"], message(self.REPLY))

    def test_what_does_not_shrink_goes_plain(self):
        reply = self.ask("/sonde.test.Echo/Unary", b"\x0a\x03abc", grpc_accept_encoding="gzip", x_gzip="1")
        self.assertEqual(reply["headers"]["grpc-encoding"], b"gzip")
        self.assertEqual(reply["data"], message(b"\x0a\x03abc"))

    def test_each_message_of_a_stream_as_asked(self):
        body = b"\x12\x07\x08\xe8\x07\x1a\x02\x08\x01" + b"\x12\x03\x08\xe8\x07"
        reply = self.ask("/grpc.testing.TestService/StreamingOutputCall", body, grpc_accept_encoding="gzip")
        length = int.from_bytes(reply["data"][1:5], "big")
        self.assertEqual(reply["data"][0], 1)
        self.assertEqual(gzip.decompress(reply["data"][5:5 + length]), self.REPLY)
        self.assertEqual(reply["data"][5 + length:], message(self.REPLY))

    def test_a_large_reply_of_reflection_is_compressed_by_itself(self):
        body = b"\x1a\x15" + b"sonde/v1/metric.proto"
        plain = self.ask("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", body)
        small = self.ask("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", body, grpc_accept_encoding="gzip")
        self.assertEqual(gzip.decompress(small["data"][5:]), plain["data"][5:])
        self.assertLess(len(small["data"]), len(plain["data"]) // 2)

    def test_initial_metadata_may_come_before_the_first_message(self):
        connection = h2.Connection(self.server.port)
        self.addCleanup(connection.close)
        connection.send(frame(h2.HEADERS, END_HEADERS, 1, request("/sonde.test.Echo/BidiStream", x_early="1", x_echo="here")))
        kind = None
        while kind != h2.HEADERS:
            kind, flags, _, payload = connection.read()
        self.assertFalse(flags & END_STREAM)
        self.assertEqual(payload["x-echo"], b"here")

    def test_initial_metadata_with_an_error(self):
        reply = self.ask("/sonde.test.Echo/Unary", b"\x10\x05", x_echo="here")
        self.assertEqual((reply["headers"]["x-echo"], reply["headers"]["grpc-status"]), (b"here", b"5"))
        self.assertEqual(reply["frames"].count(h2.HEADERS), 2)


class Details(Case):
    def test_a_client_gets_what_it_can_act_on(self):
        call = self.channel.unary_unary("/sonde.test.Echo/Unary")
        with self.assertRaises(grpc.RpcError) as caught:
            call(b"", metadata=[("x-details", "1")])
        error = caught.exception
        self.assertEqual((error.code(), error.details()),
                         (grpc.StatusCode.FAILED_PRECONDITION, "details are with it"))
        status = RPC["google.rpc.Status"].FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
        self.assertEqual((status.code, status.message), (9, "details are with it"))
        found = {}
        for detail in status.details:
            kind = detail.type_url.removeprefix("type.googleapis.com/")
            found[kind] = RPC[kind].FromString(detail.value)
        delay = found["google.rpc.RetryInfo"].retry_delay
        self.assertEqual((delay.seconds, delay.nanos), (1, 500000000))
        violation = found["google.rpc.BadRequest"].field_violations[0]
        self.assertEqual((violation.field, violation.description), ("payload", 'is not what "it" should be \u263a'))
        self.assertEqual(found["google.rpc.ErrorInfo"].reason, "TOO_BUSY")
        self.assertEqual(found["google.rpc.ResourceInfo"].resource_name, "h1")

    def test_values_under_one_name_keep_their_order(self):
        call = self.channel.unary_unary("/sonde.test.Echo/Unary")
        _, done = call.with_call(b"", metadata=[("x-echo", "one"), ("x-other", "x"), ("x-echo", "two")])
        self.assertEqual([v for k, v in done.initial_metadata() if k == "x-echo"], ["one", "two"])


class Ageing(unittest.TestCase):
    def test_connections_end_and_calls_do_not(self):
        server = harness.Server("--max-age-ms", "300", "--max-age-grace-ms", "8000")
        self.addCleanup(server.stop)
        channel = grpc.insecure_channel(server.target)
        self.addCleanup(channel.close)
        messages = harness.load_messages("echo.proto")
        echo = harness.Stub(channel, "sonde.test.Echo", messages, harness.ECHO)
        request = messages["sonde.test.EchoRequest"](payload=b"x", sleep_ms=20)
        for _ in range(60):
            self.assertEqual(echo.Unary(request).payload, b"x")
        self.assertGreaterEqual(server.stats()["aged"], 2)
        # One that lasts longer than the age, within the grace.
        request.sleep_ms = 1000
        self.assertEqual(echo.Unary(request).payload, b"x")

    def test_a_call_that_outlasts_the_grace_is_unavailable(self):
        server = harness.Server("--max-age-ms", "200", "--max-age-grace-ms", "200")
        self.addCleanup(server.stop)
        connection = h2.Connection(server.port)
        self.addCleanup(connection.close)
        connection.send(frame(h2.HEADERS, END_HEADERS, 1, request("/sonde.test.Echo/BidiStream")))
        reply = connection.response()
        self.assertEqual(reply["headers"]["grpc-status"], b"14")
        connection.until_closed()
        self.assertEqual([g[:2] for g in connection.goaways], [(2**31 - 1, 0), (1, 0)])


class Keepalive(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server("--keepalive-ms", "200", "--keepalive-answer-ms", "300", "--ping-interval-ms", "100")
        self.addCleanup(self.server.stop)

    def test_who_answers_stays(self):
        connection = h2.Connection(self.server.port)
        self.addCleanup(connection.close)
        pings = 0
        while pings < 4:
            kind, flags, _, payload = connection.read()
            if kind == h2.PING and not flags & h2.ACK:
                pings += 1
                connection.send(frame(h2.PING, h2.ACK, 0, payload))
        self.assertEqual(connection.call()["headers"]["grpc-status"], b"0")

    def test_who_does_not_is_hung_up_on(self):
        connection = h2.Connection(self.server.port)
        self.addCleanup(connection.close)
        connection.until_closed()
        self.assertTrue(harness.until(lambda: self.server.stats()["connections"] == 0))

    def test_a_header_block_that_never_ends(self):
        connection = h2.Connection(self.server.port)
        self.addCleanup(connection.close)
        connection.send(frame(h2.HEADERS, 0, 1, request()))
        connection.until_closed()

    def test_pings_at_the_allowed_pace(self):
        import time
        connection = h2.Connection(self.server.port)
        self.addCleanup(connection.close)
        for _ in range(14):
            connection.send(frame(h2.PING, 0, 0, b"12345678"))
            time.sleep(0.13)
        self.assertEqual(connection.call()["headers"]["grpc-status"], b"0")
        self.assertEqual(connection.goaways, [])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[1:])
