"""An agent keeps its place: however a connection ends, what was acknowledged never comes again, and what comes twice is at most what was
not acknowledged when it ended. Counted by a backend that acknowledges late, behind a proxy that ends connections."""
import collections
import os
import socket
import struct
import sys
import tempfile
import threading
import time
import unittest
from concurrent import futures
from pathlib import Path

import grpc
from agent import MESSAGES, Agent, accept, sequences, welcome
from programs import wait_for

os.environ.setdefault("SONDE_SOURCE", ".")
os.environ.setdefault("SONDE_BUILD", "build/dev")
sys.path.insert(0, str(Path(__file__).parent.parent / "grpc"))
from harness import make_certificate  # noqa: E402

LATE_S = 0.4  # an acknowledgement: at a snapshot each 100 ms some are always on their way


class CountingBackend:
    def __init__(self, credentials=None):
        self.lock, self.credentials, self.port = threading.Lock(), credentials, 0
        self.received, self.acknowledged = collections.Counter(), set()
        self.calls, self.tells_durable = 0, False
        self.start()

    def start(self):
        handler = grpc.stream_stream_rpc_method_handler(self.serve, MESSAGES.AgentMessage.FromString, MESSAGES.BackendMessage.SerializeToString)
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("sonde.v1.Ingest", {"Stream": handler})])
        address = f"127.0.0.1:{self.port}"
        self.port = self.server.add_secure_port(address, self.credentials) if self.credentials else self.server.add_insecure_port(address)
        assert self.port
        self.server.start()

    def stop(self, grace):
        self.server.stop(grace).wait()

    def serve(self, requests, context):
        out, due = collections.deque(), threading.Condition()
        over = threading.Event()

        def read():
            try:
                for message in requests:
                    if message.WhichOneof("message") != "batch":
                        continue
                    numbers = sequences(message.batch)
                    with self.lock:
                        self.received.update(numbers)
                    with due:
                        out.append((time.monotonic() + LATE_S, numbers))
                        due.notify()
            except Exception:  # the stream was lost: what was read is what was received
                pass
            over.set()
            with due:
                due.notify()

        with self.lock:
            self.calls += 1
            known = [MESSAGES.SequenceRange(first=n, last=n) for n in sorted(self.received)] if self.tells_durable else []
        yield welcome(durable=known)
        threading.Thread(target=read, daemon=True).start()
        while True:
            with due:
                while not out and not over.is_set():
                    due.wait(1)
                if not out:
                    return
                at, numbers = out.popleft()
            time.sleep(max(at - time.monotonic(), 0))
            if not context.is_active():
                return
            with self.lock:
                self.acknowledged |= set(numbers)
            yield accept(numbers)

    def state(self):
        with self.lock:
            return self.received.copy(), set(self.acknowledged), self.calls


class Proxy:
    def __init__(self, backend):
        self.backend, self.pairs, self.frozen = backend, [], False
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                agent = self.server.accept()[0]
            except OSError:
                return
            try:
                pair = agent, socket.create_connection(("127.0.0.1", self.backend.port), 5)
            except OSError:
                agent.close()
                continue
            self.end(False)
            self.pairs = [pair]
            for source, target in (pair, pair[::-1]):
                source.settimeout(0.02)
                threading.Thread(target=self.pump, args=(source, target), daemon=True).start()

    def pump(self, source, target):
        """Never long inside a call, so that close() is the end."""
        frozen = self.frozen
        try:
            while True:
                try:
                    data = source.recv(65536)
                except TimeoutError:
                    continue
                if self.frozen and not frozen:
                    return  # and both ends stay open
                if not data:
                    break
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def end(self, reset):
        for pair in self.pairs:
            for end in pair:
                if reset and end.fileno() >= 0:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.close()

    def close(self):
        self.server.close()
        self.end(False)


class PlaceTest(unittest.TestCase):
    def round(self, name, backend, agent, end):
        """One end of a connection: {what came twice because of it}."""
        received, *_ = backend.state()
        newest = max(received, default=0)
        wait_for(lambda: backend.acknowledged and max(backend.acknowledged) > newest + 3, 60, f"{name}: it streams; {agent.log()}")
        calls = backend.state()[2]
        end()
        before, acknowledged, _ = backend.state()
        wait_for(lambda: backend.state()[2] > calls, 60, f"{name}: it comes back; {agent.log()}")
        wait_for(lambda: backend.acknowledged and max(backend.acknowledged) > max(before) + 3, 30, f"{name}: it goes on")
        after, _, _ = backend.state()
        twice = {n for n, count in after.items() if count > before[n] and before[n] > 0}
        window = set(before) - acknowledged
        # What was acknowledged in the moment of the end may have been lost with it.
        self.assertLessEqual(len(twice), len(window) + 5, f"{name}: {sorted(twice)}")
        self.assertFalse({n for n in twice if n < min(window | {max(before)}) - 5}, name)
        wait_for(lambda: set(range(1, max(before) + 1)) <= set(backend.received), 20, f"{name}: nothing is missing")
        return twice

    def run_rounds(self, credentials, extra, ends):
        backend = CountingBackend(credentials)
        proxy = Proxy(backend)
        twice = {}
        try:
            with Agent(proxy.port, "100ms", "--disable", "block_io,perf,tcp,scheduler,interrupts,processes,cgroups", *extra) as agent:
                for name, end in ends(backend, proxy):
                    twice.setdefault(name, []).append(len(self.round(name, backend, agent, end)))
        finally:
            proxy.close()
            backend.stop(0)
        return twice

    def restarted(self, backend, grace):
        """GOAWAY; with TLS the end is said in it as well."""
        def end():
            backend.stop(grace)
            backend.start()
        return end

    def plain(self):
        def ends(backend, proxy):
            for _ in range(3):
                yield "closed", lambda: proxy.end(False)
                yield "reset", lambda: proxy.end(True)
            yield "goaway", self.restarted(backend, 2)
            yield "gone", self.restarted(backend, 0)
            backend.tells_durable = True
            yield "durable is told", lambda: proxy.end(False)
        twice = self.run_rounds(None, (), ends)
        self.assertGreater(sum(sum(twice[name]) for name in ("closed", "reset")), 0, "there was something to lose")
        self.assertEqual(twice["durable is told"], [0], "what the backend says it has is not sent again")
        return twice

    def tls(self):
        with tempfile.TemporaryDirectory(prefix="sonde-test-") as folder:
            make_certificate(folder, "ca")
            pem = Path(make_certificate(folder, "server", "ca")).read_bytes()
            credentials = grpc.ssl_server_credentials([(Path(folder, "server.key").read_bytes(), pem[pem.index(b"-----BEGIN CERT"):])])

            def ends(backend, proxy):
                yield "TLS, cut", lambda: proxy.end(False)
                yield "TLS, reset", lambda: proxy.end(True)
                yield "TLS, closed", self.restarted(backend, 0)
                yield "TLS, goaway", self.restarted(backend, 2)
            return self.run_rounds(credentials, ("--ca-file", str(Path(folder, "ca.crt"))), ends)

    def half_open(self):
        def ends(backend, proxy):
            def freeze():
                proxy.frozen = True
                time.sleep(1)
                proxy.frozen = False
            yield "half open", freeze
        return self.run_rounds(None, (), ends)

    def test_what_is_acknowledged_never_comes_again(self):
        with futures.ThreadPoolExecutor(3) as pool:
            running = [pool.submit(scenario) for scenario in (self.plain, self.tls, self.half_open)]
            for scenario in running:
                print("came twice:", scenario.result())


if __name__ == "__main__":
    unittest.main(verbosity=2)
