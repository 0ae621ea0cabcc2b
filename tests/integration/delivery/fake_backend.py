"""sonde.v1.Ingest/Stream on a stock gRPC server, with every word of the backend spoken by the test."""
import queue
import threading
import time
from concurrent import futures

import grpc
from agent import MESSAGES, accept, sequences, welcome


class Ended(Exception):
    pass


class Call:
    """One stream as the test sees it."""

    def __init__(self, context):
        self.context, self.metadata = context, dict(context.invocation_metadata())
        self.inbox, self.outbox = queue.Queue(), queue.Queue()

    def receive(self, seconds=10):
        """The agent's next message; Ended when there are no more, and an assertion when it says nothing."""
        try:
            message = self.inbox.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"the agent said nothing for {seconds} s") from None
        if message is None:
            self.inbox.put(None)
            raise Ended
        return message

    def receive_kind(self, kind, seconds=10):
        deadline = time.monotonic() + seconds
        while True:
            message = self.receive(max(deadline - time.monotonic(), 0.01))
            if message.WhichOneof("message") == kind:
                return getattr(message, kind)

    def batch(self, seconds=10):
        return self.receive_kind("batch", seconds)

    def send(self, message):
        self.outbox.put(message)

    def open(self, **fields):
        """Takes Hello and says Welcome."""
        first = self.receive()
        assert first.WhichOneof("message") == "hello", first
        self.send(welcome(**fields))
        return first.hello

    def collect(self, until, acknowledge=False, seconds=15):
        """Batches, each a list of sequences, until until(all sequences so far)."""
        batches, deadline = [], time.monotonic() + seconds
        while not until([n for b in batches for n in b]):
            assert time.monotonic() < deadline, f"only {batches}"
            numbers = sequences(self.batch())
            batches.append(numbers)
            if acknowledge:
                self.send(accept(numbers))
        return batches

    def abort(self, code=grpc.StatusCode.UNAVAILABLE, text="going away"):
        self.outbox.put((code, text))

    def finish(self):
        self.outbox.put(None)


class FakeBackend:
    def __init__(self, port=0):
        self.calls = queue.Queue()
        self.port = port
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()

    def start(self):
        """Again on the same port, after stop()."""
        handler = grpc.stream_stream_rpc_method_handler(self.serve, MESSAGES.AgentMessage.FromString,
                                                        MESSAGES.BackendMessage.SerializeToString)
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("sonde.v1.Ingest", {"Stream": handler})])
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        assert self.port
        self.server.start()

    def stop(self):
        self.server.stop(0).wait()

    def call(self, seconds=15):
        """The next stream an agent opens."""
        try:
            return self.calls.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"no stream within {seconds} s") from None

    def serve(self, requests, context):
        call = Call(context)

        def read():
            try:
                for message in requests:
                    call.inbox.put(message)
            except Exception:  # the stream was cancelled or lost: for the test it has ended
                pass
            call.inbox.put(None)

        threading.Thread(target=read, daemon=True).start()
        context.add_callback(call.finish)
        self.calls.put(call)
        while (message := call.outbox.get()) is not None:
            if isinstance(message, tuple):
                context.abort(*message)
            yield message
