"""python3-grpcio (the C core) against the server library: every kind of call, every way to end one, health, reflection."""
import queue
import sys
import threading
import time
import unittest

import harness
from harness import until

harness.need_grpcio()

import grpc  # noqa: E402
from google.protobuf import descriptor_pb2  # noqa: E402

MESSAGES = harness.load_messages("echo.proto", "sonde/v1/ingest.proto", "grpc/health/v1/health.proto",
                                 "grpc/reflection/v1/reflection.proto", "grpc/reflection/v1alpha/reflection.proto")
Request = MESSAGES["sonde.test.EchoRequest"]
Health = MESSAGES["grpc.health.v1.HealthCheckRequest"]
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server()
        cls.channel = grpc.insecure_channel(cls.server.target)
        cls.echo = harness.Stub(cls.channel, "sonde.test.Echo", MESSAGES, harness.ECHO)
        cls.health = harness.Stub(cls.channel, "grpc.health.v1.Health", MESSAGES, harness.HEALTH)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.stop()

    def fails(self, code, call, details=None):
        with self.assertRaises(grpc.RpcError) as caught:
            result = call()
            if hasattr(result, "__next__"):
                list(result)
        self.assertEqual(caught.exception.code(), code)
        if details is not None:
            self.assertEqual(caught.exception.details(), details)
        return caught.exception


class Calls(Case):
    def test_empty_unary(self):
        self.assertEqual(self.echo.Unary(Request()).payload, b"")

    def test_large_unary(self):
        payload = bytes(range(256)) * 10000
        self.assertEqual(self.echo.Unary(Request(payload=payload)).payload, payload)

    def test_compressed_unary(self):
        payload = b"compress me " * 20000
        reply = self.echo.Unary(Request(payload=payload), compression=grpc.Compression.Gzip)
        self.assertEqual(reply.payload, payload)

    def test_compressed_stream(self):
        requests = (Request(payload=b"z" * 50000) for _ in range(20))
        reply = self.echo.ClientStream(requests, compression=grpc.Compression.Gzip)
        self.assertEqual((reply.messages, reply.bytes), (20, 20 * 50000))

    def test_too_large_only_after_decompression(self):
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED,
                   lambda: self.echo.Unary(Request(payload=b"\0" * (5 << 20)), compression=grpc.Compression.Gzip),
                   "the message is larger than allowed after decompression")

    def test_too_large(self):
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: self.echo.Unary(Request(payload=b"\0" * (5 << 20))),
                   "the message is larger than allowed")

    def test_too_large_for_the_method(self):
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: self.echo.Sample(Request(payload=b"\0" * 1100)))

    def test_unsupported_encoding(self):
        self.fails(grpc.StatusCode.UNIMPLEMENTED,
                   lambda: self.echo.Unary(Request(payload=b"x" * 1000), compression=grpc.Compression.Deflate))

    def test_client_streaming(self):
        reply = self.echo.ClientStream(Request(payload=b"x" * n) for n in (27182, 8, 1828, 45904))
        self.assertEqual((reply.messages, reply.bytes), (4, 74922))

    def test_server_streaming(self):
        replies = list(self.echo.ServerStream(Request(replies=500, reply_bytes=1000)))
        self.assertEqual([len(r.payload) for r in replies], [1000] * 500)

    def test_server_streaming_more_than_any_queue(self):
        total = sum(len(r.payload) for r in self.echo.ServerStream(Request(replies=64, reply_bytes=1 << 20)))
        self.assertEqual(total, 64 << 20)

    def test_ping_pong(self):
        sent = queue.Queue()
        replies = self.echo.BidiStream(iter(sent.get, None))
        for size in (1, 31415, 9, 2653, 58979):
            sent.put(Request(payload=b"p" * size))
            self.assertEqual(len(next(replies).payload), size)
        sent.put(None)
        self.assertEqual(list(replies), [])
        self.assertEqual(replies.code(), grpc.StatusCode.OK)

    def test_empty_stream(self):
        self.assertEqual(list(self.echo.BidiStream(iter(()))), [])

    def test_status_code_and_message(self):
        request = Request(status=2, status_message="test status message")
        self.fails(grpc.StatusCode.UNKNOWN, lambda: self.echo.Unary(request), "test status message")
        self.fails(grpc.StatusCode.UNKNOWN, lambda: self.echo.BidiStream(iter([request])), "test status message")

    def test_special_status_message(self):
        text = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
        self.fails(grpc.StatusCode.UNKNOWN, lambda: self.echo.Unary(Request(status=2, status_message=text)), text)

    def test_every_status(self):
        for code in grpc.StatusCode:
            number = code.value[0]
            if number != 0:
                self.fails(code, lambda: self.echo.Unary(Request(status=number)))

    def test_status_after_replies(self):
        replies = self.echo.ServerStream(Request(replies=3, reply_bytes=5, status=8, status_message="enough"))
        got = []
        error = self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: got.extend(replies), "enough")
        self.assertIsNotNone(error)
        self.assertEqual(len(got), 3)

    def test_refused_at_start(self):
        self.fails(grpc.StatusCode.UNAUTHENTICATED,
                   lambda: self.echo.Unary(Request(), metadata=[("x-refuse", "no key")]), "no key")
        self.fails(grpc.StatusCode.UNAUTHENTICATED,
                   lambda: self.echo.ClientStream((Request(payload=b"x" * 100000) for _ in range(50)),
                                                  metadata=[("x-refuse", "no key")]), "no key")

    def test_unimplemented_method(self):
        self.fails(grpc.StatusCode.UNIMPLEMENTED, lambda: self.echo.Missing(Request()),
                   "the service has no such method")

    def test_unimplemented_service(self):
        other = harness.Stub(self.channel, "sonde.test.NotThere", MESSAGES, harness.ECHO)
        self.fails(grpc.StatusCode.UNIMPLEMENTED, lambda: other.Unary(Request()), "the server has no such service")

    def test_garbage_message(self):
        raw = self.channel.unary_unary("/sonde.test.Echo/Unary")
        self.fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: raw(b"\xff\xff\xff"))

    def test_unary_method_with_none_or_two_messages(self):
        stream = self.channel.stream_unary("/sonde.test.Echo/Unary")
        self.fails(grpc.StatusCode.UNIMPLEMENTED, lambda: stream(iter([b"", b""])))
        self.fails(grpc.StatusCode.UNIMPLEMENTED, lambda: stream(iter([])))

    def test_large_headers(self):
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED,
                   lambda: self.echo.Unary(Request(), metadata=[("x-large", "y" * 9000)]))
        self.echo.Unary(Request(), metadata=[("x-large", "y" * 7000)])

    def test_many_at_once(self):
        futures = [self.echo.Unary.future(Request(payload=b"%d" % i, sleep_ms=i % 7)) for i in range(400)]
        self.assertEqual([f.result().payload for f in futures], [b"%d" % i for i in range(400)])


class Endings(Case):
    def tearDown(self):
        self.assertTrue(until(lambda: self.server.stats()["open"] == 0), "a call was never closed")
        self.assertEqual(self.server.stats()["active"], 0)

    def test_timeout_on_sleeping_server(self):
        start = time.monotonic()
        self.fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: self.echo.Unary(Request(sleep_ms=5000), timeout=0.1))
        self.fails(grpc.StatusCode.DEADLINE_EXCEEDED,
                   lambda: self.echo.BidiStream(iter([Request(pause_ms=5000)]), timeout=0.1))
        self.assertLess(time.monotonic() - start, 2)

    def test_cancel_after_begin(self):
        sent = queue.Queue()
        call = self.echo.ClientStream.future(iter(sent.get, None))
        self.assertTrue(until(lambda: self.server.stats()["open"] == 1))
        call.cancel()
        self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)
        self.assertTrue(until(lambda: self.server.stats()["open"] == 0))
        sent.put(None)

    def test_cancel_after_first_response(self):
        sent = queue.Queue()
        sent.put(Request(payload=b"x"))
        call = self.echo.BidiStream(iter(sent.get, None))
        self.assertEqual(next(call).payload, b"x")
        call.cancel()
        self.fails(grpc.StatusCode.CANCELLED, lambda: next(call))
        sent.put(None)

    def test_cancel_during_backpressure(self):
        call = self.echo.ServerStream(Request(replies=1000, reply_bytes=1 << 20))
        next(call)
        call.cancel()

    def test_lost_connection(self):
        channel = grpc.insecure_channel(self.server.target, options=[("grpc.use_local_subchannel_pool", 1)])
        echo = harness.Stub(channel, "sonde.test.Echo", MESSAGES, harness.ECHO)
        sent = queue.Queue()
        sent.put(Request(payload=b"x"))
        call = echo.BidiStream(iter(sent.get, None))
        next(call)
        channel.close()
        sent.put(None)

    def test_pause_stops_the_peer(self):
        produced = []

        def requests():
            yield Request(pause_ms=700)
            for _ in range(300):
                produced.append(time.monotonic())
                yield Request(payload=b"x" * 50000)

        call = self.echo.ClientStream.future(requests())
        time.sleep(0.4)
        # 15 MB wait; the window and the client's buffers take a small part of it while the server reads nothing.
        self.assertLess(len(produced), 150)
        reply = call.result()
        self.assertEqual((reply.messages, reply.bytes), (301, 300 * 50000))

    def test_a_paused_call_does_not_stall_others(self):
        channel = grpc.insecure_channel(self.server.target, options=[("grpc.use_local_subchannel_pool", 1)])
        echo = harness.Stub(channel, "sonde.test.Echo", MESSAGES, harness.ECHO)
        stuck = [echo.ClientStream.future(iter([Request(pause_ms=1500)] + [Request(payload=b"x" * 100000)] * 20))
                 for _ in range(8)]
        start = time.monotonic()
        self.assertEqual(len(echo.Unary(Request(payload=b"y" * 1000000)).payload), 1000000)
        self.assertLess(time.monotonic() - start, 1)
        for call in stuck:
            self.assertEqual(call.result().messages, 21)
        channel.close()


class HealthChecks(Case):
    def test_check(self):
        self.server.set_health("", True)
        self.server.set_health("a.Service", False)
        self.assertEqual(self.health.Check(Health()).status, SERVING)
        self.assertEqual(self.health.Check(Health(service="a.Service")).status, NOT_SERVING)
        self.fails(grpc.StatusCode.NOT_FOUND, lambda: self.health.Check(Health(service="no.such")))

    def test_list(self):
        self.server.set_health("", True)
        self.server.set_health("a.Service", False)
        statuses = self.health.List(MESSAGES["grpc.health.v1.HealthListRequest"]()).statuses
        self.assertEqual(statuses[""].status, SERVING)
        self.assertEqual(statuses["a.Service"].status, NOT_SERVING)

    def test_watch(self):
        self.server.set_health("b.Service", False)
        known, unknown = (self.health.Watch(Health(service=s)) for s in ("b.Service", "c.Service"))
        self.assertEqual(next(known).status, NOT_SERVING)
        self.assertEqual(next(unknown).status, SERVICE_UNKNOWN)
        self.server.set_health("b.Service", True)
        self.assertEqual(next(known).status, SERVING)
        self.server.set_health("b.Service", True)  # no news
        self.server.set_health("b.Service", False)
        self.assertEqual(next(known).status, NOT_SERVING)
        self.server.set_health("c.Service", True)
        self.assertEqual(next(unknown).status, SERVING)
        known.cancel()
        unknown.cancel()
        self.assertTrue(until(lambda: self.server.stats()["active"] == 0))

    def test_garbage(self):
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check")
        for garbage in (b"\x0a\xff", b"\x0a\x02\xff\xff", b"\x0a\x03a\x00b"):
            self.fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: check(garbage))


class Reflection(Case):
    version = "v1"

    def ask(self, *requests):
        kind = MESSAGES[f"grpc.reflection.{self.version}.ServerReflectionRequest"]
        stub = harness.Stub(self.channel, f"grpc.reflection.{self.version}.ServerReflection", MESSAGES,
                            harness.reflection(self.version))
        return list(stub.ServerReflectionInfo(iter([kind(**r) for r in requests])))

    def files(self, reply):
        self.assertEqual(reply.WhichOneof("message_response"), "file_descriptor_response")
        return [descriptor_pb2.FileDescriptorProto.FromString(f)
                for f in reply.file_descriptor_response.file_descriptor_proto]

    def test_list_services(self):
        (reply,) = self.ask({"list_services": "", "host": "here"})
        self.assertEqual([s.name for s in reply.list_services_response.service],
                         ["sonde.test.Echo", "grpc.testing.TestService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                          "grpc.reflection.v1alpha.ServerReflection"])
        self.assertEqual(reply.valid_host, "here")
        self.assertEqual(reply.original_request.host, "here")

    def test_file_by_filename_comes_with_its_imports(self):
        (reply,) = self.ask({"file_by_filename": "sonde/v1/ingest.proto"})
        names = [f.name for f in self.files(reply)]
        self.assertEqual(names[0], "sonde/v1/ingest.proto")
        self.assertEqual(len(names), len(set(names)))
        for name in ("sonde/v1/snapshot.proto", "sonde/v1/metric.proto", "google/protobuf/descriptor.proto",
                     "google/protobuf/timestamp.proto"):
            self.assertIn(name, names)

    def test_symbols_of_every_kind(self):
        cases = {"sonde.v1.Snapshot": "sonde/v1/snapshot.proto",
                 "sonde.v1.Snapshot.memory": "sonde/v1/snapshot.proto",
                 "sonde.v1.Ingest": "sonde/v1/ingest.proto",
                 "sonde.v1.Ingest.Stream": "sonde/v1/ingest.proto",
                 "sonde.v1.AgentMessage.message": "sonde/v1/ingest.proto",
                 "sonde.v1.Rejection.Reason": "sonde/v1/ingest.proto",
                 "sonde.v1.Rejection.REASON_MALFORMED": "sonde/v1/ingest.proto",
                 "sonde.v1.metric": "sonde/v1/metric.proto",
                 "grpc.health.v1.Health": "grpc/health/v1/health.proto"}
        replies = self.ask(*({"file_containing_symbol": s} for s in cases))
        self.assertEqual([self.files(r)[0].name for r in replies], list(cases.values()))

    def test_extensions(self):
        (numbers,) = self.ask({"all_extension_numbers_of_type": "google.protobuf.FieldOptions"})
        answer = numbers.all_extension_numbers_response
        self.assertEqual(answer.base_type_name, "google.protobuf.FieldOptions")
        self.assertTrue(answer.extension_number)
        replies = self.ask(*({"file_containing_extension": {"containing_type": "google.protobuf.FieldOptions",
                                                            "extension_number": n}}
                             for n in answer.extension_number))
        for reply in replies:
            self.assertEqual(self.files(reply)[0].name, "sonde/v1/metric.proto")

    def test_errors_do_not_end_the_stream(self):
        replies = self.ask({"file_by_filename": "no.proto"}, {"file_containing_symbol": "no.Symbol"},
                           {"file_containing_symbol": "x" * 5000}, {"all_extension_numbers_of_type": "no.Type"},
                           {"file_containing_extension": {"containing_type": "no.Type", "extension_number": 1}}, {},
                           {"list_services": ""})
        self.assertEqual([r.error_response.error_code for r in replies], [5, 5, 5, 5, 5, 3, 0])
        self.assertEqual(replies[1].original_request.file_containing_symbol, "no.Symbol")

    def test_a_peer_that_does_not_read(self):
        """Many large answers: nothing is lost, and the server keeps no more than its queue."""
        replies = self.ask(*([{"file_by_filename": "sonde/v1/ingest.proto"}] * 300))
        self.assertEqual(len(replies), 300)
        self.assertGreater(len(self.files(replies[299])), 5)

    def test_garbage(self):
        raw = self.channel.stream_stream(f"/grpc.reflection.{self.version}.ServerReflection/ServerReflectionInfo")
        self.fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: raw(iter([b"\x1a\xff"])))


class ReflectionV1Alpha(Reflection):
    version = "v1alpha"


class Stopping(unittest.TestCase):
    def start(self):
        server = harness.Server()
        channel = grpc.insecure_channel(server.target)
        self.addCleanup(server.stop)
        self.addCleanup(channel.close)
        return server, channel, harness.Stub(channel, "sonde.test.Echo", MESSAGES, harness.ECHO)

    def test_what_is_under_way_is_finished(self):
        server, channel, echo = self.start()
        call = echo.Unary.future(Request(payload=b"x", sleep_ms=800))
        self.assertTrue(until(lambda: server.stats()["open"] == 1))
        server.begin_stop(5000)
        time.sleep(0.2)
        with self.assertRaises(grpc.RpcError) as caught:
            other = grpc.insecure_channel(server.target, options=[("grpc.use_local_subchannel_pool", 1)])
            harness.Stub(other, "sonde.test.Echo", MESSAGES, harness.ECHO).Unary(Request(), timeout=1)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(call.result().payload, b"x")
        server.process.wait(3)

    def test_what_outlasts_the_grace_is_unavailable(self):
        server, channel, echo = self.start()
        sent = queue.Queue()
        sent.put(Request(payload=b"x"))
        call = echo.BidiStream(iter(sent.get, None))
        next(call)
        start = time.monotonic()
        server.begin_stop(600)
        with self.assertRaises(grpc.RpcError) as caught:
            next(call)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(caught.exception.details(), "the server is shutting down")
        self.assertGreater(time.monotonic() - start, 0.5)
        sent.put(None)
        server.process.wait(3)

    def test_a_taken_port_is_said(self):
        server, channel, echo = self.start()
        for workers in ("1", "3"):
            with self.assertRaisesRegex(RuntimeError, "is taken by another program"):
                harness.Server("--port", str(server.port), "--workers", workers)

    def test_a_bad_address_is_said(self):
        with self.assertRaisesRegex(RuntimeError, "is not an IPv4 or IPv6 address"):
            harness.Server("--address", "localhost:1")

    def test_stop_while_calls_start(self):
        server, channel, echo = self.start()
        stop = threading.Event()

        def hammer():
            while not stop.is_set():
                try:
                    echo.Unary(Request(payload=b"x"), timeout=1)
                except grpc.RpcError as e:
                    self.assertIn(e.code(), (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED))
                    return

        threads = [threading.Thread(target=hammer) for _ in range(4)]
        for t in threads:
            t.start()
        time.sleep(0.3)
        server.stop(300)
        stop.set()
        for t in threads:
            t.join()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[1:])
