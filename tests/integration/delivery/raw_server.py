"""The server's side of HTTP/2 by hand: what a gRPC library would never send to the agent."""
import socket
import struct
import time

from agent import MESSAGES, accept, sequences, welcome
from h2 import (ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
                literal, message)

INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS = 4, 3
RESPONSE = literal(":status", "200") + literal("content-type", "application/grpc+proto")


class Closed(Exception):
    pass


class RawServer:
    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.close()

    def accept(self, seconds=15):
        """A bare connection."""
        self.socket.settimeout(seconds)
        connection, _ = self.socket.accept()
        connection.settimeout(10)
        return connection

    def peer(self, seconds=15, **options):
        return Peer(self.accept(seconds), **options)

    def welcomed(self, seconds=15, **options):
        """A connection after Hello and Welcome."""
        peer = self.peer(seconds, **options)
        peer.hello()
        peer.respond()
        peer.say(welcome())
        return peer


class Peer:
    """One connection from the agent. Windows are refilled as data comes, unless refill is off."""

    def __init__(self, connection, settings=(), refill=True):
        self.socket, self.refill, self.buffer, self.body = connection, refill, b"", b""
        self.stream, self.ended, self.pongs, self.data_bytes = 0, False, [], 0
        self.messages = []
        self.send(frame(SETTINGS, payload=b"".join(struct.pack(">HI", *s) for s in settings)))
        preface = self.take(len(PREFACE))
        assert preface == PREFACE, preface

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def take(self, n):
        while len(self.buffer) < n:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Closed
            self.buffer += data
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def frame(self):
        """The next frame: (kind, flags, stream, payload)."""
        head = self.take(9)
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        payload = self.take(int.from_bytes(head[:3], "big"))
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK))
        elif kind == PING and flags & ACK:
            self.pongs.append(payload)
        elif kind == HEADERS:
            self.stream = stream
        elif kind == DATA:
            assert stream == self.stream
            self.body += payload
            self.data_bytes += len(payload)
            if self.refill and payload:
                size = struct.pack(">I", len(payload))
                self.send(frame(WINDOW_UPDATE, 0, 0, size) + frame(WINDOW_UPDATE, 0, stream, size))
            self.deframe()
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self.ended = True
        return kind, flags, stream, payload

    def deframe(self):
        while len(self.body) >= 5:
            compressed, length = struct.unpack(">BI", self.body[:5])
            assert compressed == 0
            if len(self.body) < 5 + length:
                return
            self.messages.append(MESSAGES.AgentMessage.FromString(self.body[5:5 + length]))
            self.body = self.body[5 + length:]

    def read_for(self, seconds):
        """Whatever comes in that time: the frames."""
        frames, deadline = [], time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(max(left, 0.01))
            try:
                frames.append(self.frame())
            except TimeoutError:
                break
        self.socket.settimeout(10)
        return frames

    def receive(self):
        while not self.messages:
            self.frame()
        return self.messages.pop(0)

    def hello(self):
        first = self.receive()
        assert first.WhichOneof("message") == "hello", first
        return first.hello

    def batch(self):
        while True:
            m = self.receive()
            if m.WhichOneof("message") == "batch":
                return sequences(m.batch)

    def until_ended(self):
        """Batches until the agent ends its side."""
        batches = []
        while not self.ended:
            self.frame()
        while self.messages:
            batches.append(sequences(self.messages.pop(0).batch))
        return batches

    def until_closed(self, seconds=10):
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                self.frame()
        except (Closed, BrokenPipeError):  # it may close while we open its window
            return
        raise AssertionError(f"the agent still holds the connection after {seconds} s")

    def respond(self, block=RESPONSE):
        self.send(frame(HEADERS, END_HEADERS, self.stream, block))

    def say(self, reply):
        self.send(frame(DATA, 0, self.stream, message(reply.SerializeToString())))

    def acknowledge(self, numbers):
        self.say(accept(numbers))

    def trailers(self, status=0):
        self.send(frame(HEADERS, END_HEADERS | END_STREAM, self.stream, literal("grpc-status", str(status))))

    def reset(self, code):
        self.send(frame(RST_STREAM, 0, self.stream, struct.pack(">I", code)))

    def goaway(self, last, code=0, text=b""):
        self.send(frame(GOAWAY, 0, 0, struct.pack(">II", last, code) + text))
