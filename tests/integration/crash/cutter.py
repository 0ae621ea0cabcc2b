"""A proxy between agent and backend that knows where HTTP/2 frames end: it can cut a connection behind any of them."""
import random
import socket
import struct
import threading

PREFACE = 24
DATA = 0


class Cutter:
    """cut_after(n) cuts the connection, now and in future, once n more frames have passed in either direction; None lets all pass."""

    def __init__(self, target):
        self.target, self.lock, self.left, self.cuts, self.open = target, threading.Lock(), None, 0, set()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.passed = []  # of the newest connection: (direction, kind)
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.server.close()
        with self.lock:
            for connection in list(self.open):
                self.end(connection)

    def cut_after(self, frames):
        with self.lock:
            self.left = frames

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
            with self.lock:
                self.passed = []
                pair = (agent, backend)
                self.open.add(pair)
            for source, to, name, skip in ((agent, backend, "up", PREFACE), (backend, agent, "down", 0)):
                threading.Thread(target=self.pump, args=(pair, source, to, name, skip), daemon=True).start()

    def end(self, pair):
        """Half of the time with a reset, so that what is in the kernel's buffers is lost too. The lock is held."""
        if pair not in self.open:
            return
        self.open.discard(pair)
        reset = random.random() < 0.5
        for s in pair:
            try:
                if reset:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def count(self, pair, name, kind):
        """False when this frame was the last one to pass."""
        with self.lock:
            self.passed.append((name, kind))
            if self.left is None:
                return True
            self.left -= 1
            if self.left > 0:
                return True
            self.left = None
            self.cuts += 1
            return False

    def pump(self, pair, source, to, name, skip):
        buffer = b""
        try:
            while data := source.recv(65536):
                buffer += data
                if skip and len(buffer) < skip:
                    continue
                at = skip
                while len(buffer) >= at + 9:
                    end = at + 9 + int.from_bytes(buffer[at:at + 3], "big")
                    if len(buffer) < end:
                        break
                    kind = buffer[at + 3]
                    at = end
                    if not self.count(pair, name, kind):
                        to.sendall(buffer[:at])
                        raise OSError
                if at:
                    to.sendall(buffer[:at])
                    buffer, skip = buffer[at:], 0
        except OSError:
            pass
        with self.lock:
            self.end(pair)
