"""VictoriaMetrics with the same samples as bench_swarm's agents send: as Prometheus text, or as Prometheus remote write (protobuf, snappy)."""
import ctypes
import http.client
import json
import os
import signal
import struct
import subprocess
import tempfile
import time
import urllib.parse

from measure import process_cpu_ns
from programs import free_port, wait_for

CORES = 50
FIELDS = "user nice system idle iowait irq softirq steal guest guest_nice".split()
PER_SNAPSHOT = CORES * len(FIELDS)
PERIOD_MS = 5000


def snapshot_values(turn):
    """bench_swarm's, in its order: 40% of them move."""
    return [1000000007 * (i + 1) + core * 7919 + (turn * (9973 + core) if i in (0, 2, 3, 6) else 0)
            for core in range(CORES) for i in range(len(FIELDS))]


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, body):
    return bytes([number << 3 | 2]) + varint(len(body)) + body


class Text:
    path, headers = "/api/v1/import/prometheus", {}

    def __init__(self, agents):
        self.names = [[f'sonde_cpu_cores_{name}_us{{host="swarm-{agent}",cpu="{core}"}} ' for core in range(CORES) for name in FIELDS]
                      for agent in range(agents)]

    def body(self, agents, values, now_ms):
        end = f" {now_ms}\n"
        return "".join(name + str(value) + end for agent in agents for name, value in zip(self.names[agent], values)).encode()


class RemoteWrite:
    path, headers = "/api/v1/write", {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}

    def __init__(self, agents):
        self.snappy = ctypes.CDLL("libsnappy.so.1")
        self.snappy.snappy_max_compressed_length.restype = ctypes.c_size_t
        self.snappy.snappy_max_compressed_length.argtypes = [ctypes.c_size_t]
        self.labels = [[self.series(agent, core, name) for core in range(CORES) for name in FIELDS] for agent in range(agents)]

    def series(self, agent, core, name):
        pairs = {"__name__": f"sonde_cpu_cores_{name}_us", "cpu": str(core), "host": f"swarm-{agent}"}
        return b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in pairs.items())

    def body(self, agents, values, now_ms):
        stamp = b"\x10" + varint(now_ms)
        samples = [field(2, b"\x09" + struct.pack("<d", value) + stamp) for value in values]
        return self.compressed(b"".join(field(1, labels + sample) for agent in agents for labels, sample in zip(self.labels[agent], samples)))

    def compressed(self, data):
        size = ctypes.c_size_t(self.snappy.snappy_max_compressed_length(len(data)))
        out = ctypes.create_string_buffer(size.value)
        assert self.snappy.snappy_compress(data, ctypes.c_size_t(len(data)), out, ctypes.byref(size)) == 0
        return out.raw[:size.value]


class VictoriaMetrics:
    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="sonde-bench-")
        self.port = free_port()
        self.start()
        return self

    def start(self):
        self.program = subprocess.Popen(["victoria-metrics", f"-storageDataPath={self.directory.name}", f"-httpListenAddr=127.0.0.1:{self.port}",
                                         "-retentionPeriod=1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.alive, 30, "VictoriaMetrics answers")
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def alive(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def request(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        reply = self.connection.getresponse()
        text = reply.read()
        if reply.status >= 300:
            raise SystemExit(f"VictoriaMetrics: {reply.status} {text[:300]!r}")
        return text

    def kill(self):
        self.connection.close()
        self.program.send_signal(signal.SIGKILL)
        self.program.wait()

    def __exit__(self, *exception):
        self.kill()
        self.directory.cleanup()

    def samples(self, at_ms, window_ms):
        """How many it has."""
        query = urllib.parse.urlencode({"query": f'sum(count_over_time({{host=~"swarm-.*"}}[{window_ms}ms]))', "time": f"{at_ms / 1000:.3f}",
                                        "nocache": "1"})
        result = json.loads(self.request("GET", f"/api/v1/query?{query}"))["data"]["result"]
        return int(float(result[0]["value"][1])) if result else 0


def measure(wire, agents, batches, agents_a_request):
    """The samples of `agents` that send `batches` snapshots each: CPU seconds of its process until all is answered, and until what it holds in
    memory is asked onto the disk; and how many are there when it is killed right behind the last answer."""
    form, groups = wire(agents), [range(n, min(agents, n + agents_a_request)) for n in range(0, agents, agents_a_request)]
    begin_ms = int(time.time() * 1000) - batches * PERIOD_MS
    end_ms = begin_ms + batches * PERIOD_MS

    def send(it):
        for turn in range(batches):
            values = snapshot_values(turn)
            for group in groups:
                it.request("POST", form.path, form.body(group, values, begin_ms + turn * PERIOD_MS), form.headers)
    with VictoriaMetrics() as it:
        begin, clock = process_cpu_ns(it.program.pid), time.monotonic()
        send(it)
        answered, seconds = process_cpu_ns(it.program.pid) - begin, time.monotonic() - clock
        it.request("GET", "/internal/force_flush")
        os.sync()
        flushed = process_cpu_ns(it.program.pid) - begin
        have = it.samples(end_ms, 2 * batches * PERIOD_MS)
    with VictoriaMetrics() as it:
        send(it)
        it.kill()
        it.start()
        survived = it.samples(end_ms, 2 * batches * PERIOD_MS)
    total = agents * batches * PER_SNAPSHOT
    if have != total:
        raise SystemExit(f"VictoriaMetrics has {have} of {total} samples: not the same work")
    return {"answered": total / (answered / 1e9), "flushed": total / (flushed / 1e9), "total": total, "survived": survived, "seconds": seconds}
