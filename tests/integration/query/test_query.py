"""The Query service over gRPC and as REST: values against the samples that were pushed, and the same answer on both wires."""
import gzip
import json
import math
import os
import re
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "ingest"))
from backend import MESSAGES, SOURCE, Backend, wait_for  # noqa: E402

import grpc  # noqa: E402
import h2  # noqa: E402
from google.protobuf import descriptor_pb2  # noqa: E402,F401

Status = grpc.StatusCode
OK, NOT_DUE = 1, 2


def start_of_history():
    return int(time.time()) - 300


class History:
    """What the test agent pushed: 100 s of two CPUs with a gap, a reboot and sections that are not always due."""

    def __init__(self, backend):
        self.t0 = start_of_history()
        self.user = {0: {}, 1: {}}  # cpu -> second -> counter
        self.busy = {}
        first = backend.double(hostname="web-1")
        self.host_id = first.host_id
        self.push(first, range(0, 40), sequence=1)
        self.push(first, range(50, 70), sequence=51)  # ten were lost
        second = backend.double(hostname="web-1", host_id=first.host_id)
        self.push(second, range(72, 100), sequence=1, reboot=True)
        other = backend.double(hostname="db")
        self.other_id = other.host_id
        self.push(other, range(0, 100), sequence=1, keep=False)

    def snapshot(self, double, second, sequence, reboot, keep):
        s = double.snapshot(sequence, seconds=self.t0 + second, cpu_busy_ratio=second / 1000)
        s.cpu.state.code = OK
        for cpu in (0, 1):
            core = s.cpu.cores.add(cpu=cpu)
            core.user_us = (second - 72 if reboot else second + 1000) * 1000 * (cpu + 1)
            if keep:
                self.user[cpu][second] = core.user_us
        if keep:
            self.busy[second] = second / 1000
        s.filesystems.state.code = OK if second % 20 == 0 else NOT_DUE
        if second % 20 == 0:
            s.filesystems.filesystems.add(mount_point="/", size_bytes=second)
        s.processes.state.code = OK
        s.processes.keyframe = second % 10 == 0
        pids = [1, 2, 3, 100 + second // 10] if second % 10 == 0 else [3]
        for pid in pids:
            s.processes.processes.add(pid=pid, start_time_us=pid, comm=f"p{pid}", cpu_us=second * 1000 * pid, resident_bytes=1000 - pid)
        histogram = s.block_io.devices.add(device="sda", diskseq=3).operations.add(operation="read").request_latency_ns
        histogram.scheme, histogram.sum = 1, second * 100
        histogram.indexes[:] = [10, 20]
        histogram.counts[:] = [90 * (second + 1), 10 * (second + 1)]
        return s

    def push(self, double, seconds, sequence, reboot=False, keep=True):
        stream = double.stream()
        stream.welcome()
        snapshots = [self.snapshot(double, second, sequence + i, reboot, keep) for i, second in enumerate(seconds)]
        acknowledged = stream.deliver(*snapshots)
        assert [(r.first, r.last) for r in acknowledged.accepted] == [(sequence, sequence + len(snapshots) - 1)], acknowledged
        stream.half_close()


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.backend = Backend()
        cls.backend.__enter__()
        cls.history = History(cls.backend)
        cls.token = cls.backend.login()
        cls.t0 = cls.history.t0

    @classmethod
    def tearDownClass(cls):
        cls.backend.__exit__(None, None, None)

    def grpc(self, method, **fields):
        request = getattr(MESSAGES, f"{method}Request")(**fields)
        return self.backend.query(method, request, getattr(MESSAGES, f"{method}Reply"), self.token)

    def rest(self, path, **parameters):
        query = urllib.parse.urlencode(parameters, doseq=True)
        return self.backend.get(f"{path}?{query}" if query else path, self.token)

    def rest_error(self, path, **parameters):
        with self.assertRaises(urllib.error.HTTPError) as failure:
            self.rest(path, **parameters)
        return failure.exception.code, json.load(failure.exception)["error"]

    def range(self, metric, begin, end, step="1s", hostname="web-1", function=0, **more):
        return self.grpc("QueryRange", hostname=hostname, metric=metric, step=step, function=function,
                         **{"from": str(self.t0 + begin)}, to=str(self.t0 + end), **more)

    def lines(self, reply):
        return {tuple((label.name, label.value) for label in s.labels): list(s.values) for s in reply.series}

    def equal(self, values, expected):
        self.assertEqual(len(values), len(expected))
        for i, (value, want) in enumerate(zip(values, expected)):
            if want is None:
                self.assertTrue(math.isnan(value), f"point {i}: {value}")
            else:
                self.assertAlmostEqual(value, want, places=9, msg=f"point {i}")


class Range(Case):
    def test_gauge_at_every_second_with_its_gaps(self):
        reply = self.range("summary.cpu_busy_ratio", 0, 100)
        self.assertEqual((reply.kind, reply.unit, reply.function, reply.points, reply.step_seconds), (2, 7, 1, 100, 1.0))
        self.equal(self.lines(reply)[(("host", "web-1"),)], [self.history.busy.get(i) for i in range(100)])
        gaps = [(g.hostname, getattr(g, "from").seconds - self.t0, g.to.seconds - self.t0, g.cause)
                for g in reply.gaps]
        self.assertEqual(gaps, [("web-1", 39, 50, "lost"), ("web-1", 69, 72, "host_restarted")])

    def test_functions_of_a_gauge(self):
        for function, fold in ((1, lambda v: sum(v) / len(v)), (2, min), (3, max), (4, sum), (5, lambda v: v[-1])):
            reply = self.range("summary.cpu_busy_ratio", 0, 30, "10s", function=function)
            expected = [fold([self.history.busy[i] for i in range(k, k + 10)]) for k in (0, 10, 20)]
            self.equal(list(reply.series[0].values), expected)

    def test_rate_of_counters_by_series(self):
        reply = self.range("cpu.cores.user_us", 0, 20)
        lines = self.lines(reply)
        self.assertEqual(set(lines), {(("host", "web-1"), ("cpu", "0")), (("host", "web-1"), ("cpu", "1"))})
        self.equal(lines[(("host", "web-1"), ("cpu", "0"))], [None] + [1000] * 19)
        self.equal(lines[(("host", "web-1"), ("cpu", "1"))], [None] + [2000] * 19)
        self.assertEqual(reply.function, 6)

    def test_a_reboot_is_no_rate_and_no_increase(self):
        values = self.lines(self.range('cpu.cores.user_us{cpu="0"}', 65, 80))[(("host", "web-1"), ("cpu", "0"))]
        self.equal(values, [1000] * 5 + [None] * 3 + [1000] * 7)
        increase = self.range('cpu.cores.user_us{cpu="0"}', 60, 100, "40s", function=7).series[0].values
        self.equal(list(increase), [(69 - 59) * 1000 + (99 - 72) * 1000])

    def test_histograms(self):
        metric = "block_io.devices.operations.request_latency_ns"
        for function, expected in ((0, 71.5), (8, 12.5), (9, 12.5), (10, 71.5), (1, 1.0), (6, 100.0), (7, 1000.0)):
            reply = self.range(metric, 10, 30, "10s", function=function)
            self.assertEqual(list(self.lines(reply)), [(("host", "web-1"), ("device", "sda"), ("operation", "read"))])
            self.equal(list(reply.series[0].values), [expected, expected])

    def test_matchers(self):
        for matchers, cpus in (('cpu="1"', {"1"}), ('cpu!="1"', {"0"}), ('cpu=~"[01]"', {"0", "1"}), ('cpu!~"0|7"', {"1"}),
                               ('cpu=~"1.*",host="web-1"', {"1"}), ('host="db"', set()), ('cpu="0 OR 1=1"', set()), ('nothing=""', {"0", "1"})):
            with self.subTest(matchers):
                reply = self.range(f"cpu.cores.user_us{{{matchers}}}", 0, 10)
                self.assertEqual({dict((x.name, x.value) for x in s.labels)["cpu"] for s in reply.series}, cpus)

    def test_groups_and_hosts(self):
        every = self.range("cpu.cores.user_us", 0, 20, hostname="*", group_by=["host"])
        self.assertEqual({k: v[5] for k, v in self.lines(every).items()}, {(("host", "db"),): 3000.0, (("host", "web-1"),): 3000.0})
        by_cpu = self.range("cpu.cores.user_us", 0, 20, hostname="", group_by=["cpu"])
        self.assertEqual({k: v[5] for k, v in self.lines(by_cpu).items()}, {(("cpu", "0"),): 2000.0, (("cpu", "1"),): 4000.0})
        one = self.range("cpu.cores.user_us", 0, 20, hostname="", group_by=[""], aggregate=2)
        self.assertEqual({k: v[5] for k, v in self.lines(one).items()}, {(): 1500.0})
        narrowed = self.range('cpu.cores.user_us{host=~"web.*"}', 0, 20, hostname="*", group_by=["host"])
        self.assertEqual(list(self.lines(narrowed)), [(("host", "web-1"),)])

    def test_exposition_names_are_names(self):
        a, b = self.range("cpu.cores.user_us", 0, 20), self.range("sonde_cpu_cores_user_seconds_total", 0, 20)
        self.assertEqual([list(s.values)[1:] for s in a.series], [list(s.values)[1:] for s in b.series])

    def test_limits_are_named(self):
        for fields, code, field, words in (
                (dict(metric="summary.cpu_busy_ratio", begin=-20000, end=0), Status.INVALID_ARGUMENT, "step", "11000"),
                (dict(metric="summary.cpu_busy_ratio", begin=10, end=10), Status.INVALID_ARGUMENT, "from", "before"),
                (dict(metric="summary.cpu_busy_ratio", begin=0, end=10, function=6), Status.INVALID_ARGUMENT, "function", "gauge"),
                (dict(metric="cpu.cores.user_us", begin=0, end=10, function=8), Status.INVALID_ARGUMENT, "function", "histograms"),
                (dict(metric="no.such", begin=0, end=10), Status.NOT_FOUND, None, "no.such"),
                (dict(metric="a{b=~\"(\"}", begin=0, end=10), Status.INVALID_ARGUMENT, "metric", "regular expression"),
                (dict(metric="a{b=~\"" + "(" * 300 + "\"}", begin=0, end=10), Status.INVALID_ARGUMENT, "metric", "regular expression"),
                (dict(metric="a" * 9000, begin=0, end=10), Status.INVALID_ARGUMENT, "metric", "8192"),
                (dict(metric="'; DROP TABLE hot; --", begin=0, end=10), Status.INVALID_ARGUMENT, "metric", "character 1"),
                (dict(metric="cpu.cores.user_us", begin=0, end=10, hostname="nobody' OR ''='"), Status.NOT_FOUND, None, "nobody")):
            with self.subTest(str(fields)[:80]):
                with self.assertRaises(grpc.RpcError) as failure:
                    self.range(**fields)
                self.assertEqual(failure.exception.code(), code, failure.exception.details())
                self.assertIn(words, failure.exception.details())
                details = dict(failure.exception.trailing_metadata()).get("grpc-status-details-bin", b"")
                self.assertEqual(b"google.rpc.BadRequest" in details, field is not None)
                if field:
                    self.assertIn(field.encode(), details)


class Moments(Case):
    def test_whole_host_at_a_moment(self):
        reply = self.grpc("GetSnapshot", hostname="web-1", at=str(self.t0 + 35.5))
        s = reply.snapshot
        self.assertEqual((reply.host_id, reply.hostname, s.timestamp.seconds - self.t0, s.sequence), (self.history.host_id, "web-1", 35, 36))
        self.assertEqual((s.filesystems.state.code, s.filesystems.filesystems[0].size_bytes), (OK, 20), "read last at second 20")
        self.assertEqual({p.pid: p.cpu_us for p in s.processes.processes},
                         {1: 30000, 2: 60000, 3: 105000, 103: 103 * 30000}, "the keyframe of second 30, and newer rows")
        self.assertTrue(s.processes.keyframe)
        self.assertEqual(reply.processes_complete_at.seconds - self.t0, 30)

    def test_nothing_is_taken_across_a_restart(self):
        s = self.grpc("GetSnapshot", hostname="web-1", at=str(self.t0 + 75)).snapshot
        self.assertEqual((s.sequence, s.filesystems.state.code, len(s.filesystems.filesystems)), (4, NOT_DUE, 0))
        self.assertFalse(s.processes.keyframe)

    def test_before_the_first(self):
        with self.assertRaises(grpc.RpcError) as failure:
            self.grpc("GetSnapshot", hostname="web-1", at=str(self.t0 - 1))
        self.assertEqual(failure.exception.code(), Status.NOT_FOUND)
        with self.assertRaises(grpc.RpcError) as failure:
            self.grpc("GetSnapshot", hostname="web-1", at="yesterday")
        self.assertEqual(failure.exception.code(), Status.INVALID_ARGUMENT)

    def test_processes(self):
        reply = self.grpc("ListProcesses", hostname="web-1", at=str(self.t0 + 35))
        self.assertEqual((reply.total, reply.processes[0].process.pid), (4, 3))
        self.assertAlmostEqual(reply.processes[0].cpu_ratio, 0.003)
        by_memory = self.grpc("ListProcesses", hostname="web-1", at=str(self.t0 + 35), sort=2, limit=2)
        self.assertEqual([p.process.pid for p in by_memory.processes], [1, 2])
        by_pid = self.grpc("ListProcesses", hostname="web-1", at=str(self.t0 + 35), sort=4)
        self.assertEqual([p.process.pid for p in by_pid.processes], [1, 2, 3, 103])


class Live(Case):
    def subscribe(self, channel, token=None, **fields):
        call = channel.unary_stream("/sonde.v1.Query/Subscribe", request_serializer=lambda m: m.SerializeToString(),
                                    response_deserializer=MESSAGES.SubscribeReply.FromString)
        return call(MESSAGES.SubscribeRequest(**fields), timeout=60,
                    metadata=[("authorization", f"Bearer {self.token if token is None else token}")])

    def test_frames_of_what_was_asked_for(self):
        a, b = self.backend.double(hostname="live-a"), self.backend.double(hostname="live-b")
        streams = [double.stream() for double in (a, b)]
        for stream in streams:
            stream.welcome()
        with grpc.insecure_channel(f"127.0.0.1:{self.backend.grpc_port}") as channel:
            frames = self.subscribe(channel, hosts=["live-b"], sections=["cpu"])
            frames.initial_metadata()
            time.sleep(0.3)  # the request follows its headers
            for sequence in range(1, 4):
                for double, stream in zip((a, b), streams):
                    s = double.snapshot(sequence)
                    s.cpu.forks = sequence
                    stream.deliver(s)
            got = []
            for frame in frames:
                got.append(frame)
                if frame.snapshot.sequence == 3:
                    break
            self.assertEqual({(f.hostname, f.host_id) for f in got}, {("live-b", b.host_id)})
            self.assertEqual([f.snapshot.cpu.forks for f in got], [f.snapshot.sequence for f in got])
            self.assertFalse(any(f.snapshot.HasField("summary") for f in got))
            frames.cancel()

    def test_a_slow_reader_gets_the_newest_and_is_told(self):
        double = self.backend.double(hostname="live-fast")
        stream = double.stream()
        stream.welcome()
        options = [("grpc.http2.lookahead_bytes", 16384), ("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{self.backend.grpc_port}", options=options) as channel:
            frames = self.subscribe(channel, hosts=["*"])
            frames.initial_metadata()
            time.sleep(0.3)
            last = 100
            for sequence in range(1, last + 1):
                s = double.snapshot(sequence)
                for i in range(300):
                    s.custom.metrics.add(name=f"filler_{i}", double_value=i, help="x" * 200)
                stream.deliver(s)
            got = []
            for frame in frames:
                got.append((frame.snapshot.sequence, frame.dropped))
                if frame.snapshot.sequence == last:
                    break
            frames.cancel()
        sequences = [sequence for sequence, _ in got]
        self.assertEqual(sequences, sorted(set(sequences)))
        self.assertEqual(len(got) + got[-1][1], last, "what was not given was counted")
        self.assertGreater(got[-1][1], 0)

    def watch_after(self, double, stream, sequence):
        """What the backend tells the agent to show whole, after one more snapshot; None when it says nothing new."""
        stream.send(2, double.batch(double.snapshot(sequence)))
        told, acknowledged = None, False
        double.push(double.hello(), double.batch(double.snapshot(sequence)))  # by then all that the batch caused has been sent
        while not acknowledged:
            message = stream.receive()
            told = message.watch if message.HasField("watch") else told
            acknowledged = acknowledged or message.HasField("acknowledgement")
        return told

    def test_who_subscribes_to_sections_of_a_host_makes_its_agent_show_them_whole(self):
        double = self.backend.double(hostname="live-watched")
        stream = double.stream()
        stream.welcome()
        self.assertIsNone(self.watch_after(double, stream, 1))
        with grpc.insecure_channel(f"127.0.0.1:{self.backend.grpc_port}") as channel:
            for n, (hosts, told) in enumerate(((["*"], False), (["live-b"], False), (["live-watched"], True), ([double.host_id.upper()], True))):
                frames = self.subscribe(channel, hosts=hosts, sections=["processes", "cgroups", "processes"])
                frames.initial_metadata()
                time.sleep(0.3)
                watch = self.watch_after(double, stream, 2 * n + 2) or self.watch_after(double, stream, 2 * n + 3)
                self.assertEqual(list(watch.sections) if watch else None, ["processes", "cgroups"] if told else None)
                self.assertTrue(not watch or watch.seconds >= 30)
                frames.cancel()
                if told:
                    wait_for(lambda: self.agent_is_let_go(double, stream), 5, "the agent hears that nobody looks any more")

    def agent_is_let_go(self, double, stream):
        self.sequence = getattr(self, "sequence", 100) + 1
        watch = self.watch_after(double, stream, self.sequence)
        return watch is not None and watch.seconds == 0

    def test_bad_requests(self):
        with grpc.insecure_channel(f"127.0.0.1:{self.backend.grpc_port}") as channel:
            for fields, code in ((dict(), Status.INVALID_ARGUMENT), (dict(hosts=["*"], sections=["no"]), Status.INVALID_ARGUMENT),
                                 (dict(hosts=["x" * 300]), Status.INVALID_ARGUMENT), (dict(hosts=["*"], token="x"), Status.UNAUTHENTICATED)):
                with self.assertRaises(grpc.RpcError) as failure:
                    next(self.subscribe(channel, **fields))
                self.assertEqual(failure.exception.code(), code)


class Wires(Case):
    def test_rest_says_what_grpc_says(self):
        begin, end = str(self.t0), str(self.t0 + 60)
        reply = self.range("cpu.cores.user_us", 0, 60)
        rest = self.rest("/api/servers/web-1/metrics", metric="cpu.cores.user_us", to=end, step="1s", function="rate", **{"from": begin})
        self.assertEqual([[None if math.isnan(v) else v for v in s.values] for s in reply.series], [s["values"] for s in rest["series"]])
        self.assertEqual([[(x.name, x.value) for x in s.labels] for s in reply.series],
                         [[(x["name"], x["value"]) for x in s["labels"]] for s in rest["series"]])
        self.assertEqual((rest["kind"], rest["unit"], rest["function"], rest["points"]), ("counter", "microseconds", "rate", 60))
        self.assertEqual([g["cause"] for g in rest["gaps"]], ["lost"])
        grouped = self.rest("/api/metrics/range", metric="cpu.cores.user_us", to=end, step="1s", group_by=["host"], **{"from": begin})
        self.assertEqual([s["labels"][0]["value"] for s in grouped["series"]], ["db", "web-1"])
        at = str(self.t0 + 35)
        self.assertEqual(self.rest("/api/servers/web-1/snapshot", at=at)["snapshot"]["sequence"],
                         self.grpc("GetSnapshot", hostname="web-1", at=at).snapshot.sequence)
        self.assertEqual([p["process"]["pid"] for p in self.rest("/api/servers/web-1/processes", at=at, sort="memory")["processes"]],
                         [p.process.pid for p in self.grpc("ListProcesses", hostname="web-1", at=at, sort=2).processes])

    def test_grpc_js_says_the_same(self):
        begin, end, at = str(self.t0), str(self.t0 + 60), str(self.t0 + 35)
        moment = {"hostname": "web-1", "at": at}
        calls = [("ListHosts", {}), ("GetHost", {"hostname": "db"}), ("ListMetrics", {}), ("GetSnapshot", moment), ("ListProcesses", moment),
                 ("QueryRange", {"hostname": "web-1", "metric": "summary.cpu_busy_ratio", "from": begin, "to": end, "step": "1s"}),
                 ("ListRecent", {"sections": ["summary"]}), ("ListAlerts", {}), ("GetHost", {"hostname": "nobody"}),
                 ("Subscribe", {"hosts": []})]
        client = subprocess.run([os.environ.get("SONDE_NODE", "node"), "tests/integration/query/query_client.mjs",
                                 f"127.0.0.1:{self.backend.grpc_port}", self.token], input=json.dumps(calls), capture_output=True, text=True,
                                timeout=60, cwd=SOURCE)
        if client.returncode == 77:
            self.skipTest(client.stdout.strip())
        self.assertEqual(client.returncode, 0, client.stderr)
        hosts, host, metrics, snapshot, processes, line, recent, alerts, nobody, subscribed = json.loads(client.stdout)
        self.assertEqual([h["hostname"] for h in hosts["servers"]], ["db", "web-1"])
        self.assertEqual((host["server"]["host_id"], host["snapshot"]["sequence"]), (self.history.other_id, 100))
        self.assertEqual(len(metrics["metrics"]), len(self.grpc("ListMetrics").metrics))
        self.assertEqual(snapshot["snapshot"]["sequence"], 36)
        self.assertEqual([p["process"]["pid"] for p in processes["processes"]],
                         [p.process.pid for p in self.grpc("ListProcesses", **moment).processes])
        same = self.range("summary.cpu_busy_ratio", 0, 60).series[0].values
        self.assertEqual(line["series"][0]["values"], [None if math.isnan(v) else v for v in same])
        self.assertEqual([s["hostname"] for s in recent["snapshots"]], ["db", "web-1"])
        self.assertEqual(alerts["state"], "not_evaluated")
        self.assertEqual((nobody["code"], subscribed["code"]), (5, 3))

    def test_recent_and_alerts(self):
        recent = self.rest("/api/metrics/recent", sections=["summary"])["snapshots"]
        self.assertEqual([s["hostname"] for s in recent], ["db", "web-1"])
        self.assertTrue(all("summary" in s["snapshot"] and "cpu" not in s["snapshot"] for s in recent))
        self.assertEqual([s["durable"] for s in recent], [True, True], "committed by now, whatever they were when they came")
        self.assertEqual([set(s["snapshot"]) & {"summary", "cpu", "processes"} for s in self.rest("/api/metrics/recent", sections="summary,cpu")["snapshots"]],
                         [{"summary", "cpu"}] * 2)
        self.assertIn("one of avg, min, max, sum, last, rate, increase, p50, p90, p99",
                      self.rest_error("/api/servers/db/metrics", metric="cpu.cores.user_us", function="median")[1]["message"])
        self.assertEqual([s.hostname for s in self.grpc("ListRecent", limit=1).snapshots], ["db"])
        self.assertEqual(self.grpc("ListRecent", limit=1).left_out, 1)
        self.assertEqual(self.rest("/api/alerts/recent")["state"], "not_evaluated")
        self.assertEqual(self.grpc("ListAlerts").state, "not_evaluated")

    def test_rest_errors(self):
        for path, parameters, code, field in (
                ("/api/servers/web-1/metrics", {}, 400, "metric"),
                ("/api/servers/web-1/metrics", {"metric": "cpu.cores.user_us{", "step": "1s"}, 400, "metric"),
                ("/api/servers/web-1/metrics", {"metric": "cpu.cores.user_us", "step": "0"}, 400, "step"),
                ("/api/servers/web-1/metrics", {"metric": "cpu.cores.user_us", "step": "1e9"}, 400, "step"),
                ("/api/servers/web-1/metrics", {"metric": "cpu.cores.user_us", "from": "\u202e"}, 400, "from"),
                ("/api/servers/web-1/metrics", {"metric": "cpu.cores.user_us", "group_by": "x" * 100}, 400, "group_by"),
                ("/api/servers/web-1/metrics", {"metric": "cpu.cores.user_us", "function": "exec"}, 400, None),
                ("/api/servers/nobody/metrics", {"metric": "cpu.cores.user_us"}, 404, None),
                ("/api/servers/web-1'--/metrics", {"metric": "cpu.cores.user_us"}, 404, None),
                ("/api/servers/web-1/processes", {"limit": "0"}, 400, "limit"),
                ("/api/servers/web-1/snapshot", {"at": "1" * 60}, 400, "at"),
                ("/api/metrics/recent", {"sections": "passwords"}, 400, "sections")):
            with self.subTest((path, str(parameters)[:60])):
                status, error = self.rest_error(path, **parameters)
                self.assertEqual((status, error.get("field")), (code, field), error)

    def text(self, path):
        request = urllib.request.Request(f"http://127.0.0.1:{self.backend.http_port}{path}", headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.headers["Content-Type"], reply.read().decode()

    def test_openapi_describes_what_is_served(self):
        document = self.backend.get("/openapi.json", None)
        self.assertEqual(document["openapi"], "3.1.0")
        schemas = document["components"]["schemas"]
        references = re.findall(r'"#/components/schemas/([^"]*)"', json.dumps(document))
        self.assertEqual(set(references) - set(schemas), set(), "nothing is referred to that is not there")
        paths = document["paths"]
        self.assertLessEqual({"/api/servers", "/api/servers/{hostname}/metrics", "/api/metrics/recent", "/api/alerts/recent", "/api/storage", "/metrics"}, set(paths))
        parameters = {p["name"]: p for p in paths["/api/servers/{hostname}/metrics"]["get"]["parameters"]}
        self.assertEqual((parameters["hostname"]["in"], parameters["group_by"]["schema"]["type"]), ("path", "array"))
        self.assertIn("p99", schemas["sonde.v1.RangeFunction"]["enum"])
        self.assertEqual(paths["/api/health"]["get"]["security"], [])
        reply = self.rest("/api/servers/web-1/metrics", metric="cpu.cores.user_us", step="10s")
        self.assertLessEqual(set(reply), set(schemas["sonde.v1.QueryRangeReply"]["properties"]))

    def test_large_answers_are_compressed_for_who_takes_them(self):
        url = f"http://127.0.0.1:{self.backend.http_port}/api/metrics/catalogue"
        for encodings, packed in (("gzip, br", True), ("br", False), ("gzip;q=0", False), ("", False)):
            request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.token}", "Accept-Encoding": encodings})
            with urllib.request.urlopen(request, timeout=10) as reply:
                body = reply.read()
                self.assertEqual((reply.headers["Content-Encoding"], reply.headers["Vary"]), ("gzip" if packed else None, "accept-encoding"))
            if packed:
                self.assertLess(len(body), len(gzip.decompress(body)) / 4)
            self.assertEqual(json.loads(gzip.decompress(body) if packed else body), self.rest("/api/metrics/catalogue"))
        for accepted, packed in (("identity, gzip", True), ("identity", False)):
            connection = h2.Connection(self.backend.grpc_port)
            connection.send(h2.frame(h2.SETTINGS, 0, 0, b"\0\x04\0\x10\0\0") + h2.frame(h2.WINDOW_UPDATE, 0, 0, b"\0\x10\0\0"))  # 1 MiB
            reply = connection.call(path="/sonde.v1.Query/ListMetrics", authorization=f"Bearer {self.token}", grpc_accept_encoding=accepted)
            connection.close()
            self.assertEqual(reply["headers"].get("grpc-encoding"), b"gzip" if packed else None)
            body = gzip.decompress(reply["data"][5:]) if packed else reply["data"][5:]
            self.assertEqual((reply["data"][0], len(MESSAGES.ListMetricsReply.FromString(body).metrics)),
                             (int(packed), len(self.grpc("ListMetrics").metrics)))

    def test_pages_about_it_need_nothing_from_elsewhere(self):
        for path, kind in (("/docs", "text/html"), ("/docs/metrics", "text/html"), ("/docs/docs.js", "text/javascript")):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.backend.http_port}{path}", timeout=10) as reply:
                text = reply.read().decode()
                self.assertTrue(reply.headers["Content-Type"].startswith(kind))
                self.assertIn("default-src 'self'", reply.headers["Content-Security-Policy"])
            self.assertNotRegex(text, r"https?://", "no foreign host")
            self.assertNotRegex(text, r"<script>|\son\w+=|innerHTML", "nothing that the policy forbids, no text as markup")
        status = [urllib.request.Request(f"http://127.0.0.1:{self.backend.http_port}/docs", method=m) for m in ("POST", "DELETE")]
        for request in status:
            with self.assertRaises(urllib.error.HTTPError) as failure:
                urllib.request.urlopen(request, timeout=10)
            self.assertEqual((failure.exception.code, failure.exception.headers["Allow"]), (405, "GET, HEAD"))

    def test_storage(self):
        # The keeper may have looked just before the first snapshot came.
        wait_for(lambda: self.rest("/api/storage")["rows"] > 0, 60, "it is looked at")
        reply = self.rest("/api/storage")
        self.assertEqual((reply["status"], [t["name"] for t in reply["tiers"]]), ("ok", ["raw", "processes", "minute"]))
        self.assertEqual([t.get("keep_seconds") for t in reply["tiers"]], [14 * 86400, 3 * 86400, 400 * 86400])
        self.assertNotIn("max_bytes", reply)
        self.assertGreater(reply["total_bytes"], reply["row_bytes"])
        self.assertGreater(reply["disk_free_bytes"], 0)
        self.assertEqual(self.grpc("GetStorage").rows, reply["rows"], "one look for all")

    def test_exposition(self):
        kind, own = self.text("/metrics")
        self.assertEqual(kind, "text/plain; version=0.0.4; charset=utf-8")
        self.assertIn("\nsonde_backend_hosts 2\n", own)
        self.assertIn("\nsonde_backend_store_up 1\n", own)
        for path in ("/metrics?host=db", "/metrics?hostname=db", "/api/servers/db/prometheus"):
            self.assertIn('\nsonde_cpu_cores_user_seconds_total{host="db",cpu="1"} 2.198\n', self.text(path)[1])
        self.assertEqual(self.rest_error("/metrics", host="nobody")[0], 404)

    def test_nothing_without_a_token(self):
        for path in ("/api/servers/web-1/metrics?metric=cpu.cores.user_us", "/api/metrics/recent", "/api/alerts/recent",
                     "/api/servers/web-1/snapshot", "/api/servers/web-1/processes", "/api/metrics/range?metric=x", "/metrics", "/api/storage", "/metrics?host=db",
                     "/api/servers/db/prometheus"):
            with self.assertRaises(urllib.error.HTTPError) as failure:
                self.backend.get(path, None)
            self.assertEqual(failure.exception.code, 401)


if __name__ == "__main__":
    unittest.main(verbosity=1)
