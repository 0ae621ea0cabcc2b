"""Everything at once for a while: agents that stream, take over and go, POSTs, subscribers and WebSockets that watch, read slowly, change
their mind and leave, questions over both wires, and SIGTERM in the middle of it. Nothing may fail that should not; with a backend built with
ThreadSanitizer (the tsan preset) no report may come. SECONDS of it: the first argument."""
import json
import os
import random
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "ingest"))
from backend import BUILD, MESSAGES, SOURCE, Backend  # noqa: E402
from sonde_proto import ranges  # noqa: E402
from websocket import WebSocket  # noqa: E402

import grpc  # noqa: E402

SECONDS = float(sys.argv.pop(1)) if len(sys.argv) > 1 else 5
HOSTS = 6
SECTIONS = ["processes", "cgroups", "summary", "cpu"]
ENDED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN}  # what the backend's end looks like


class Crowd:
    def __init__(self, backend):
        self.backend, self.token = backend, backend.login()
        self.stop, self.stopping = threading.Event(), False
        self.faults, self.done, self.lock = [], {}, threading.Lock()

    def count(self, what, n=1):
        with self.lock:
            self.done[what] = self.done.get(what, 0) + n

    def loop(self, what, seed):
        chance = random.Random(seed)
        while not self.stop.is_set():
            try:
                getattr(self, what)(chance, seed)
                self.count(what)
            except (grpc.RpcError, OSError, EOFError, StopIteration) as e:
                if self.stop.is_set():
                    return
                if isinstance(e, grpc.RpcError) and self.stopping and e.code() in ENDED:
                    return
                self.faults.append(f"{what}: {e!r}"[:2000])
                return

    # --- what they do ---------------------------------------------------------------------------------------------

    def agent(self, chance, seed):
        double = self.backend.double(hostname=f"together-{seed}", host_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, f"together-{seed}")))
        sequence, old = 0, None
        for _ in range(3):  # the later stream takes over from the one before
            stream = double.stream()
            stream.welcome()
            for _ in range(chance.randrange(5, 15)):
                batch = []
                for _ in range(chance.randrange(1, 4)):
                    sequence += 1
                    s = double.snapshot(sequence)
                    s.cpu.state.code = s.processes.state.code = 1
                    s.cpu.cores.add(cpu=0).user_us = sequence
                    for pid in range(50):
                        s.processes.processes.add(pid=pid, start_time_us=1, comm="x" * 40, cpu_us=sequence)
                    batch.append(s)
                stream.send(2, double.batch(*batch))
                missing = len(batch)
                while missing > 0:
                    missing -= sum(last - first + 1 for first, last in ranges(stream.receive().acknowledgement.accepted))
                self.count("snapshots", len(batch))
                if self.stop.wait(0.02):
                    return
            if old is not None and chance.random() < 0.5:
                old.call.cancel()
            old = stream
        old.half_close()
        double.close()

    def post(self, chance, seed):
        for body in ('{"custom":{"metrics":[{"name":"a","double_value":1}]}}', '[{},{}]', '{"cpu":{"cores":[{"cpu":-1}]}}', "[" * 1000):
            request = urllib.request.Request(f"http://127.0.0.1:{self.backend.http_port}/api/metrics?hostname=posted-{seed}", body.encode(),
                                             {"Authorization": f"Bearer {self.backend.key}"})
            try:
                with urllib.request.urlopen(request, timeout=20) as reply:
                    reply.read()
            except urllib.error.HTTPError as e:
                assert e.code == 400, e.read()

    def subscriber(self, chance, seed):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.lookahead_bytes", 16384), ("grpc.http2.bdp_probe", 0)]
        with grpc.insecure_channel(f"127.0.0.1:{self.backend.grpc_port}", options=options) as channel:
            call = channel.unary_stream("/sonde.v1.Query/Subscribe", request_serializer=lambda m: m.SerializeToString(),
                                        response_deserializer=MESSAGES.SubscribeReply.FromString)
            hosts = ["*"] if chance.random() < 0.4 else [f"together-{i}" for i in chance.sample(range(HOSTS), 3)]
            sections = chance.sample(SECTIONS, chance.randrange(0, 3))
            frames = call(MESSAGES.SubscribeRequest(hosts=hosts, sections=sections), timeout=60, metadata=[("authorization", f"Bearer {self.token}")])
            last = {}
            for _ in range(chance.randrange(1, 60)):
                frame = next(frames)
                self.count("frames")
                key = (frame.host_id, frame.snapshot.instance)
                assert hosts == ["*"] or frame.hostname.startswith("together-"), frame.hostname
                assert frame.snapshot.sequence > last.get(key, 0), "the newest comes last"
                last[key] = frame.snapshot.sequence
                if chance.random() < 0.1:
                    time.sleep(0.2)  # a slow reader
                if self.stop.is_set():
                    break
            frames.cancel()

    def websocket(self, chance, seed):
        socket = WebSocket(self.backend.http_port, "/api/ws/metrics", [f"Authorization: Bearer {self.token}"], timeout=20)
        try:
            for _ in range(chance.randrange(1, 5)):
                hosts = chance.choice((["*"], ["together-1"], [f"together-{i}" for i in range(HOSTS)]))
                socket.send(json.dumps({"type": "subscribe", "hosts": hosts, "sections": chance.sample(SECTIONS, chance.randrange(0, 3))}))
                for _ in range(chance.randrange(1, 40)):
                    if self.stop.is_set() or socket.receive() is None:
                        return
                    self.count("messages")
        finally:
            socket.close()

    def questions(self, chance, seed):
        paths = ["/api/servers", "/api/metrics/recent?sections=summary", "/api/metrics/catalogue", "/metrics", "/openapi.json",
                 "/api/metrics/range?metric=cpu.cores.user_us&from=-1m&group_by=host&step=1s", "/docs", "/api/health"]
        for path in chance.sample(paths, 3):
            request = urllib.request.Request(f"http://127.0.0.1:{self.backend.http_port}{path}", headers={"Authorization": f"Bearer {self.token}",
                                                                                                           "Accept-Encoding": "gzip"})
            with urllib.request.urlopen(request, timeout=20) as reply:
                reply.read()
        for server in self.backend.query("ListHosts", MESSAGES.ListHostsRequest(), MESSAGES.ListHostsReply, self.token).servers[:2]:
            self.backend.query("GetHost", MESSAGES.GetHostRequest(hostname=server.host_id), MESSAGES.GetHostReply, self.token)
            self.backend.query("ListProcesses", MESSAGES.ListProcessesRequest(hostname=server.host_id), MESSAGES.ListProcessesReply, self.token)

    def node(self, chance, seed):
        calls = [("ListHosts", {}), ("Subscribe", {"hosts": ["*"], "sections": ["cpu"]}), ("ListRecent", {}),
                 ("QueryRange", {"metric": "cpu.cores.user_us", "from": "-1m"}), ("Subscribe", {"hosts": ["together-2"], "sections": ["processes"]})]
        client = subprocess.run([os.environ.get("SONDE_NODE", "node"), "tests/integration/query/query_client.mjs",
                                 f"127.0.0.1:{self.backend.grpc_port}", self.token], input=json.dumps(calls), capture_output=True, text=True,
                                timeout=120, cwd=SOURCE, env={**os.environ, "SONDE_SOURCE": str(SOURCE)})
        if client.returncode == 77:
            print(client.stdout.strip(), "(grpc-js takes no part)")
            self.stop.wait()
            return
        assert client.returncode == 0, client.stderr
        replies = json.loads(client.stdout)
        assert self.stop.is_set() or all("code" not in reply for reply in replies), client.stdout[:2000]


class Together(unittest.TestCase):
    def test_for_a_while(self):
        with Backend() as backend:
            crowd = Crowd(backend)
            kinds = {"agent": HOSTS, "post": 2, "subscriber": 4, "websocket": 3, "questions": 2, "node": 1}
            threads = [threading.Thread(target=crowd.loop, args=(kind, n)) for kind, count in kinds.items() for n in range(count)]
            for thread in threads:
                thread.start()
            time.sleep(SECONDS)
            self.assertEqual(crowd.faults, [])
            crowd.stopping = True
            crowd.stop.set()
            code = backend.stop()  # amid all of it
            for thread in threads:
                thread.join()
            print(", ".join(f"{n} {what}" for what, n in sorted(crowd.done.items())))
            reports = [line for line in backend.log("backend").splitlines() if "Sanitizer" in line]
            if reports:
                print(backend.log("backend")[:20000])
            self.assertEqual(reports, [])
            self.assertEqual(code, 0)
            self.assertEqual(crowd.faults, [])
            for what in ("snapshots", "post", "frames", "messages", "questions"):
                self.assertGreater(crowd.done.get(what, 0), 0, f"{what}: {crowd.done}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
