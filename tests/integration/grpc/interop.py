"""gRPC's interoperability cases, driven by python3-grpcio with the definitions of Debian's grpc-proto. Each function is one
case; the channel is any (plaintext, TLS)."""
import os
import queue
import time

import harness

PROTOS = "/usr/share/grpc-proto"
TEST = "grpc.testing.TestService"
METHODS = {
    "EmptyCall": ("unary_unary", "grpc.testing.Empty", "grpc.testing.Empty"),
    "UnaryCall": ("unary_unary", "grpc.testing.SimpleRequest", "grpc.testing.SimpleResponse"),
    "StreamingOutputCall": ("unary_stream", "grpc.testing.StreamingOutputCallRequest",
                            "grpc.testing.StreamingOutputCallResponse"),
    "StreamingInputCall": ("stream_unary", "grpc.testing.StreamingInputCallRequest",
                           "grpc.testing.StreamingInputCallResponse"),
    "FullDuplexCall": ("stream_stream", "grpc.testing.StreamingOutputCallRequest",
                       "grpc.testing.StreamingOutputCallResponse"),
    "UnimplementedCall": ("unary_unary", "grpc.testing.Empty", "grpc.testing.Empty"),
}
REQUESTS, REPLIES = (27182, 8, 1828, 45904), (31415, 9, 2653, 58979)
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"


def need_protos():
    if not os.path.exists(PROTOS + "/grpc/testing/test.proto"):
        harness.skip("grpc-proto is not installed")


class Interop:
    def __init__(self, channel):
        import grpc
        self.grpc, self.channel = grpc, channel
        self.m = harness.load_messages("grpc/testing/empty.proto", "grpc/testing/messages.proto", include=[PROTOS])
        self.stub = harness.Stub(channel, TEST, self.m, METHODS)

    def make(self, name, **fields):
        return self.m["grpc.testing." + name](**fields)

    def simple(self, size=314159, payload=271828, **fields):
        return self.make("SimpleRequest", response_size=size, payload={"body": b"\0" * payload}, **fields)

    def outputs(self, *sizes, payload=0, **fields):
        return self.make("StreamingOutputCallRequest", response_parameters=[{"size": s, **fields} for s in sizes],
                         payload={"body": b"\0" * payload})

    def fails(self, code, call, details=None):
        try:
            result = call()
            if hasattr(result, "__next__"):
                list(result)
        except self.grpc.RpcError as e:
            assert e.code() == code, (e.code(), e.details())
            assert details is None or e.details() == details, e.details()
            return e
        raise AssertionError(f"no {code}")

    def check_reply(self, reply, size=314159):
        assert len(reply.payload.body) == size and not reply.payload.body.strip(b"\0")

    # --- the cases -------------------------------------------------------------------------------------------------

    def empty_unary(self):
        assert self.stub.EmptyCall(self.make("Empty")) == self.make("Empty")

    def large_unary(self):
        self.check_reply(self.stub.UnaryCall(self.simple()))

    def client_compressed_unary(self):
        gzip, plain = self.grpc.Compression.Gzip, self.grpc.Compression.NoCompression
        # The probe: one that says it is compressed and is not.
        self.fails(self.grpc.StatusCode.INVALID_ARGUMENT,
                   lambda: self.stub.UnaryCall(self.simple(expect_compressed={"value": True}), compression=plain))
        self.check_reply(self.stub.UnaryCall(self.simple(expect_compressed={"value": True}), compression=gzip))
        self.check_reply(self.stub.UnaryCall(self.simple(expect_compressed={"value": False}), compression=plain))

    def server_compressed_unary(self):
        for wanted in (True, False):
            self.check_reply(self.stub.UnaryCall(self.simple(response_compressed={"value": wanted})))

    def client_streaming(self):
        reply = self.stub.StreamingInputCall(
            self.make("StreamingInputCallRequest", payload={"body": b"\0" * n}) for n in REQUESTS)
        assert reply.aggregated_payload_size == 74922

    def client_compressed_streaming(self):
        request = [self.make("StreamingInputCallRequest", payload={"body": b"\0" * n},
                             expect_compressed={"value": True}) for n in (27182, 45904)]
        self.fails(self.grpc.StatusCode.INVALID_ARGUMENT, lambda: self.stub.StreamingInputCall(iter(request[:1])))
        reply = self.stub.StreamingInputCall(iter(request), compression=self.grpc.Compression.Gzip)
        assert reply.aggregated_payload_size == 73086

    def server_streaming(self):
        got = [len(r.payload.body) for r in self.stub.StreamingOutputCall(self.outputs(*REPLIES))]
        assert tuple(got) == REPLIES, got

    def server_compressed_streaming(self):
        request = self.make("StreamingOutputCallRequest", response_parameters=[
            {"compressed": {"value": True}, "size": 31415}, {"compressed": {"value": False}, "size": 92653}])
        got = [len(r.payload.body) for r in self.stub.StreamingOutputCall(request)]
        assert got == [31415, 92653], got

    def ping_pong(self):
        sent = queue.Queue()
        replies = self.stub.FullDuplexCall(iter(sent.get, None))
        for reply, request in zip(REPLIES, REQUESTS):
            sent.put(self.outputs(reply, payload=request))
            self.check_reply(next(replies), reply)
        sent.put(None)
        assert list(replies) == [] and replies.code() == self.grpc.StatusCode.OK

    def empty_stream(self):
        replies = self.stub.FullDuplexCall(iter(()))
        assert list(replies) == [] and replies.code() == self.grpc.StatusCode.OK

    def custom_metadata(self):
        metadata = (("x-grpc-test-echo-initial", "test_initial_metadata_value"),
                    ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab"))
        _, unary = self.stub.UnaryCall.with_call(self.simple(), metadata=metadata)
        duplex = self.stub.FullDuplexCall(iter([self.outputs(314159, payload=271828)]), metadata=metadata)
        assert len(list(duplex)) == 1
        for call in (unary, duplex):
            assert dict(call.initial_metadata())["x-grpc-test-echo-initial"] == "test_initial_metadata_value"
            assert dict(call.trailing_metadata())["x-grpc-test-echo-trailing-bin"] == b"\xab\xab\xab"

    def status_code_and_message(self):
        status = {"code": 2, "message": "test status message"}
        unknown = self.grpc.StatusCode.UNKNOWN
        self.fails(unknown, lambda: self.stub.UnaryCall(self.make("SimpleRequest", response_status=status)),
                   status["message"])
        self.fails(unknown, lambda: self.stub.FullDuplexCall(
            iter([self.make("StreamingOutputCallRequest", response_status=status)])), status["message"])

    def special_status_message(self):
        self.fails(self.grpc.StatusCode.UNKNOWN, lambda: self.stub.UnaryCall(
            self.make("SimpleRequest", response_status={"code": 2, "message": SPECIAL})), SPECIAL)

    def unimplemented_method(self):
        self.fails(self.grpc.StatusCode.UNIMPLEMENTED, lambda: self.stub.UnimplementedCall(self.make("Empty")))

    def unimplemented_service(self):
        other = harness.Stub(self.channel, "grpc.testing.UnimplementedService", self.m,
                             {"UnimplementedCall": METHODS["UnimplementedCall"]})
        self.fails(self.grpc.StatusCode.UNIMPLEMENTED, lambda: other.UnimplementedCall(self.make("Empty")))

    def cancel_after_begin(self):
        sent = queue.Queue()
        call = self.stub.StreamingInputCall.future(iter(sent.get, None))
        call.cancel()
        assert call.cancelled() and call.code() == self.grpc.StatusCode.CANCELLED
        sent.put(None)

    def cancel_after_first_response(self):
        sent = queue.Queue()
        call = self.stub.FullDuplexCall(iter(sent.get, None))
        sent.put(self.outputs(31415, payload=27182))
        self.check_reply(next(call), 31415)
        call.cancel()
        self.fails(self.grpc.StatusCode.CANCELLED, lambda: next(call))
        sent.put(None)

    def timeout_on_sleeping_server(self):
        start = time.monotonic()
        self.fails(self.grpc.StatusCode.DEADLINE_EXCEEDED, lambda: self.stub.FullDuplexCall(
            iter([self.outputs(31415, payload=27182, interval_us=3000000)]), timeout=0.1))
        assert time.monotonic() - start < 2


CASES = [name for name in vars(Interop) if not name.startswith("_")
         and name not in ("make", "simple", "outputs", "fails", "check_reply")]
