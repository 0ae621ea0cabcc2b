"""Somebody who goes on asking while a test does something to the backend."""
import threading

import grpc


class Asker(threading.Thread):
    """Lists the hosts over both wires and asks for `what` (GetHost, GetSnapshot) of the first `most` of them, over and over until end(). An
    answer with one of the tolerated status codes is none. backend: that of tests/integration/ingest/backend.py."""

    def __init__(self, backend, token, what, most, tolerated=()):
        super().__init__()
        self.backend, self.token, self.what, self.most, self.tolerated = backend, token, what, most, tolerated
        self.stop, self.faults, self.asked = threading.Event(), [], 0

    def query(self, method, **fields):
        messages = self.backend.messages
        request = getattr(messages, f"{method}Request")(**fields)
        return self.backend.query(method, request, getattr(messages, f"{method}Reply"), self.token)

    def run(self):
        while not self.stop.is_set():
            try:
                for server in self.query("ListHosts").servers[:self.most]:
                    self.query(self.what, hostname=server.hostname)
                self.backend.get("/api/servers", self.token)
                self.asked += 1
            except (grpc.RpcError, OSError) as e:
                if isinstance(e, grpc.RpcError) and e.code() in self.tolerated:
                    continue
                self.faults.append(e)
                return

    def end(self):
        """What went wrong."""
        self.stop.set()
        self.join()
        return self.faults or ([] if self.asked else ["nothing was answered"])
