"""A proxy between agent and backend that knows where HTTP/2 frames and gRPC messages end: it can cut a connection behind any of them, in
either direction, a frame torn in two where a message ends inside it; or pass nothing for a while."""
import socket
import struct
import threading
from collections import Counter

PREFACE = 24
DATA, PADDED = 0, 8


class Messages:
    """Where gRPC messages end in the DATA of one direction, whatever frames they are cut into."""

    def __init__(self):
        self.streams = {}  # {stream: (prefix bytes so far, body bytes to come)}

    def ends(self, kind, flags, stream, payload):
        """Offsets in this frame's payload behind each message that ends in it."""
        if kind != DATA:
            return []
        at, end = (1, len(payload) - payload[0]) if flags & PADDED else (0, len(payload))
        prefix, left = self.streams.get(stream, (b"", 0))
        found = []
        while at < end:
            if left == 0:
                take = payload[at:min(end, at + 5 - len(prefix))]
                prefix, at = prefix + take, at + len(take)
                if len(prefix) < 5:
                    break
                left = int.from_bytes(prefix[1:], "big")
            step = min(left, end - at)
            at, left = at + step, left - step
            if left == 0:
                found.append(at)
                prefix = b""
        self.streams[stream] = prefix, left
        return found


class Connection:
    def __init__(self, agent, backend):
        self.sockets = agent, backend
        self.counts = Counter()  # {(direction, unit): how many have passed}
        self.messages = {"up": Messages(), "down": Messages()}


class Cutter:
    """A boundary is (direction "up" or "down", unit "frame" or "message", n)."""

    def __init__(self, target):
        self.target, self.lock = target, threading.Lock()
        self.boundary, self.reset, self.base = None, False, Counter()
        self.cuts, self.open = 0, set()
        self.passing = threading.Event()
        self.passing.set()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.newest = None  # the last Connection
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.passing.set()
        self.server.close()
        with self.lock:
            self.end_all(False)

    def cut_next(self, boundary, reset):
        """Of the connection that is there, the n-th of these to pass from now on is the last."""
        with self.lock:
            self.boundary, self.reset = boundary, reset
            self.base = Counter(self.newest.counts) if self.newest in self.open else Counter()

    def cut_fresh(self, boundary, reset):
        """Of a connection from its beginning: what is there now ends."""
        with self.lock:
            self.boundary, self.reset, self.base = boundary, reset, Counter()
            self.end_all(False)

    def hold(self):
        self.passing.clear()

    def release(self, reset):
        """Passes again; connections of the time before are gone."""
        with self.lock:
            self.end_all(reset)
        self.passing.set()

    def passed(self):
        """{(direction, unit): number} of the newest connection, nothing when it has ended."""
        with self.lock:
            return Counter(self.newest.counts) if self.newest in self.open else Counter()

    def accept(self):
        while True:
            try:
                agent, _ = self.server.accept()
            except OSError:
                return
            try:
                backend = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                agent.close()
                continue
            backend.settimeout(None)
            connection = Connection(agent, backend)
            with self.lock:
                self.base = Counter()
                self.newest = connection
                self.open.add(connection)
            for source, to, direction, skip in ((agent, backend, "up", PREFACE), (backend, agent, "down", 0)):
                threading.Thread(target=self.pump, args=(connection, source, to, direction, skip), daemon=True).start()

    def end_all(self, reset):
        for connection in list(self.open):
            self.end(connection, reset)

    def end(self, connection, reset):
        """A reset costs what is in the kernel's buffers too. The lock is held."""
        if connection not in self.open:
            return
        self.open.discard(connection)
        for s in connection.sockets:
            try:
                if reset:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.shutdown(socket.SHUT_RDWR)  # or the other thread's recv() would keep it
            except OSError:
                pass
            s.close()

    def count(self, connection, direction, unit):
        """True when this was the last one to pass."""
        with self.lock:
            counter = (direction, unit)
            connection.counts[counter] += 1
            if self.boundary is None or connection is not self.newest or connection not in self.open:
                return False
            if self.boundary[:2] != counter or connection.counts[counter] - self.base[counter] < self.boundary[2]:
                return False
            self.boundary = None
            self.cuts += 1
            return True

    def frame(self, connection, direction, header, payload):
        """The number of bytes of this frame that still pass, or None: all, and the connection lives."""
        stream = int.from_bytes(header[5:9], "big")
        for end in connection.messages[direction].ends(header[3], header[4], stream, payload):
            if self.count(connection, direction, "message"):
                return 9 + end
        return 9 + len(payload) if self.count(connection, direction, "frame") else None

    def pump(self, connection, source, to, direction, skip):
        buffer, reset = b"", False
        try:
            while data := source.recv(65536):
                self.passing.wait()
                buffer += data
                if skip and len(buffer) < skip:
                    continue
                at, skip = skip, 0
                while len(buffer) >= at + 9 and len(buffer) >= (end := at + 9 + int.from_bytes(buffer[at:at + 3], "big")):
                    last = self.frame(connection, direction, buffer[at:at + 9], buffer[at + 9:end])
                    if last is not None:
                        to.sendall(buffer[:at + last])
                        reset = self.reset
                        raise OSError
                    at = end
                if at:
                    to.sendall(buffer[:at])
                    buffer = buffer[at:]
        except OSError:
            pass
        with self.lock:
            self.end(connection, reset)
