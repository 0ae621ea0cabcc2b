"""From what an agent sends to what Query, REST, health and reflection say."""
import sys
import time
import unittest

import grpc
from backend import MESSAGES, Backend, wait_for
from sonde_proto import load, newer_schema, ranges

Status = grpc.StatusCode
LIVE, STALE, OFFLINE = 1, 2, 3


class HostTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.backend = Backend().__enter__()
        cls.token = cls.backend.login()

    @classmethod
    def tearDownClass(cls):
        cls.backend.__exit__(None, None, None)

    def get_host(self, name, messages=MESSAGES):
        return self.backend.query("GetHost", messages.GetHostRequest(hostname=name), messages.GetHostReply, self.token)

    def delivered(self, *sequences, **options):
        double = self.backend.double(**options)
        stream = double.stream()
        welcome = stream.welcome()
        for n in sequences:
            stream.deliver(double.snapshot(n, cpu_busy_ratio=n / 1000))
        return double, stream, welcome

    def test_hosts_by_name_and_id(self):
        double, *_ = self.delivered(1, 2, 3, hostname="shown")
        for name in ("shown", double.host_id):
            reply = self.get_host(name)
            self.assertEqual((reply.server.hostname, reply.server.host_id, reply.server.status), ("shown", double.host_id, LIVE))
            self.assertEqual(reply.server.facts.agent_version, "test")
            self.assertEqual(reply.server.interval_ms, 1000)
            self.assertEqual(reply.server.summary.cpu_busy_ratio, 0.003)
            self.assertEqual(reply.snapshot.sequence, 3)
            self.assertLess(abs(reply.server.last_seen.seconds - time.time()), 10)
        servers = self.backend.query("ListHosts", MESSAGES.ListHostsRequest(), MESSAGES.ListHostsReply, self.token).servers
        names = [s.hostname for s in servers]
        self.assertIn("shown", names)
        self.assertEqual(names, sorted(names))
        self.assertEqual([s["hostname"] for s in self.backend.get("/api/servers", self.token)["servers"]], names)
        over_rest = self.backend.get("/api/servers/shown", self.token)
        self.assertEqual(over_rest["server"]["status"], "live")
        self.assertEqual(over_rest["snapshot"]["summary"]["cpu_busy_ratio"], 0.003)

    def test_old_data_does_not_become_the_newest(self):
        double, stream, _ = self.delivered(10, hostname="ordered")
        stream.deliver(double.snapshot(4), double.snapshot(5))
        self.assertEqual(self.get_host("ordered").snapshot.sequence, 10)
        again = double.stream()
        again.welcome()
        self.assertEqual(ranges(again.deliver(double.snapshot(6)).accepted), [(6, 6)])
        self.assertEqual(self.get_host("ordered").snapshot.sequence, 10)

    def test_clock_skew_is_marked(self):
        double = self.backend.double(hostname="skewed")
        stream = double.stream()
        stream.welcome()
        stream.deliver(double.snapshot(1, seconds=int(time.time()) - 3600))
        self.assertLess(abs(self.get_host("skewed").server.clock_skew_ms + 3600000), 5000)

    def test_a_silent_host_goes_stale(self):
        self.delivered(1, hostname="silent")
        self.assertEqual(self.get_host("silent").server.status, LIVE)
        wait_for(lambda: self.get_host("silent").server.status == STALE, 10, "three intervals, at least 5 s, without a snapshot")

    def test_a_clone_is_shown_with_a_warning(self):
        double, stream, _ = self.delivered(1, hostname="cloned")
        stream.deliver(double.snapshot(1, cpu_busy_ratio=0.9))
        self.assertIn("two machines", wait_for(lambda: self.get_host("cloned").server.warning, 5, "the warning"))

    def test_a_host_is_bound_to_its_key(self):
        double, *_ = self.delivered(1, hostname="bound")
        self.assertEqual(self.backend.stop(), 0)
        made = self.backend_key("other")
        self.backend.start_backend()
        thief = self.backend.double(key=made, host_id=double.host_id, hostname="thief")
        stream = thief.stream()
        stream.send(1, thief.hello())
        self.assertEqual(stream.error(), (Status.PERMISSION_DENIED, f"host id {double.host_id} is bound to another key"))
        honest = self.backend.double(key=made, hostname="honest").stream()
        self.assertEqual(honest.welcome().hostname, "honest")
        self.assertEqual(self.get_host("bound").snapshot.sequence, 1, "a restarted backend shows the last known state")
        self.assertEqual(self.get_host("bound").server.summary.cpu_busy_ratio, 0.001)

    def backend_key(self, name):
        import subprocess
        from backend import BUILD
        return subprocess.run([str(BUILD / "sonde-backend"), "key", "create", "--name", name, "--store", f"sqlite:{self.backend.database}"],
                              check=True, capture_output=True, text=True).stdout.strip()

    def test_a_newer_agent_is_shown_whole(self):
        messages, data, digest = newer_schema(
            "Summary", 'optional double moon_phase_ratio = 4711 [(metric) = {kind: METRIC_KIND_GAUGE unit: UNIT_RATIO help: "Moon"}];')
        double = self.backend.double(messages=messages, hostname="newer", schema_hash=digest)
        stream = double.stream()
        self.assertTrue(stream.welcome().want_descriptor_set)
        stream.send(3, messages.DescriptorSet(file_descriptor_set=data))
        self.assertEqual(ranges(stream.deliver(double.snapshot(1, moon_phase_ratio=0.5)).accepted), [(1, 1)])
        self.assertEqual(self.get_host("newer", messages).snapshot.summary.moon_phase_ratio, 0.5)
        self.assertEqual(self.backend.get("/api/servers/newer", self.token)["snapshot"]["summary"]["moon_phase_ratio"], 0.5)
        self.assertFalse(double.stream().welcome().want_descriptor_set, "it is known now")

    def test_hostile_descriptor_sets(self):
        import hashlib
        for data in (b"", b"\xff\xff\xff", b"\x0a\x03\x0a\x01a", bytes(100000)):
            with self.subTest(data[:4]):
                double = self.backend.double(schema_hash=hashlib.sha256(data).digest())
                stream = double.stream()
                self.assertTrue(stream.welcome().want_descriptor_set)
                stream.send(3, MESSAGES.DescriptorSet(file_descriptor_set=data))
                self.assertEqual(stream.error()[0], Status.INVALID_ARGUMENT)

    def test_query_wants_a_token(self):
        for token, words in (("", "no access token"), ("abc.def.ghi", "not valid"), (self.backend.key, "not valid")):
            with self.assertRaises(grpc.RpcError) as failure:
                self.backend.query("ListHosts", MESSAGES.ListHostsRequest(), MESSAGES.ListHostsReply, token)
            self.assertEqual(failure.exception.code(), Status.UNAUTHENTICATED)
            self.assertIn(words, failure.exception.details())

    def test_questions_that_have_no_answer(self):
        for name, code in (("nobody", Status.NOT_FOUND), ("", Status.INVALID_ARGUMENT), ("x" * 2000, Status.INVALID_ARGUMENT)):
            with self.assertRaises(grpc.RpcError) as failure:
                self.get_host(name)
            self.assertEqual(failure.exception.code(), code)

    def test_catalogue(self):
        metrics = self.backend.query("ListMetrics", MESSAGES.ListMetricsRequest(), MESSAGES.ListMetricsReply, self.token).metrics
        by_path = {m.path: m for m in metrics}
        busy = by_path["summary.cpu_busy_ratio"]
        self.assertEqual((busy.kind, busy.unit, busy.help), (2, 7, "CPU time not idle and not waiting for I/O"))
        self.assertGreater(len(by_path), 100)
        over_rest = self.backend.get("/api/metrics/catalogue", self.token)["metrics"]
        self.assertEqual([m["path"] for m in over_rest], [m.path for m in metrics])

    def test_health_of_the_whole_and_of_services(self):
        with grpc.insecure_channel(f"127.0.0.1:{self.backend.grpc_port}") as channel:
            request, reply = MESSAGES.of("grpc.health.v1.HealthCheckRequest"), MESSAGES.of("grpc.health.v1.HealthCheckResponse")
            check = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=lambda m: m.SerializeToString(),
                                        response_deserializer=reply.FromString)
            for service in ("", "sonde.v1.Ingest", "sonde.v1.Query"):
                self.assertEqual(check(request(service=service), timeout=5).status, 1)
        health = self.backend.get("/health", None)
        self.assertEqual((health["status"], health["store"]), ("ok", "ok"))
        self.assertGreater(health["uptime_seconds"], 0)

    def test_reflection_lists_the_services(self):
        with grpc.insecure_channel(f"127.0.0.1:{self.backend.grpc_port}") as channel:
            request, reply = (MESSAGES.of(f"grpc.reflection.v1.ServerReflection{x}") for x in ("Request", "Response"))
            info = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                                         request_serializer=lambda m: m.SerializeToString(), response_deserializer=reply.FromString)
            answer = next(info(iter([request(list_services="")]), timeout=5))
            names = {s.name for s in answer.list_services_response.service}
            self.assertLessEqual({"sonde.v1.Ingest", "sonde.v1.Query", "grpc.health.v1.Health"}, names)


if __name__ == "__main__":
    unittest.main(verbosity=2)
