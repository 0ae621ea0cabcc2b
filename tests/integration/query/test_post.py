"""POST /api/metrics: what a script or an agent of one's own sends is stored as an agent's snapshots are, before the answer, or refused with
what to do; hostile bodies cost nobody but their sender."""
import json
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "ingest"))
sys.path.insert(0, str(Path(__file__).parent.parent / "web"))
from backend import BUILD, Backend, memory_mib, wait_for  # noqa: E402
from raw import read_reply, request  # noqa: E402

INSTANCE, OTHER = "00" * 15 + "01", "00" * 15 + "02"


def snapshot(sequence, instance=INSTANCE, **more):
    return {"instance": instance, "sequence": sequence, "timestamp": "2026-11-21T10:00:00Z", "interval_ms": 1000,
            "summary": {"state": {"code": "ok"}, "cpu_busy_ratio": 0.5}, **more}


def queue(value):
    return {"custom": {"metrics": [{"name": "queue_depth", "labels": [{"name": "queue", "value": "mail"}], "double_value": value}]}}


class Limited(Backend):
    flags = ()

    def start_backend(self, *extra):
        return super().start_backend(*self.flags, *extra)


class Case(unittest.TestCase):
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.backend = Limited()
        cls.backend.flags = cls.flags
        cls.backend.__enter__()
        cls.addClassCleanup(cls.backend.__exit__, None, None, None)
        cls.token = cls.backend.login()

    def post(self, body, query="hostname=web-1", secret=None, headers=None, timeout=30):
        body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        headers = {"Authorization": f"Bearer {secret or self.backend.key}", **(headers or {})}
        reply = request(self.backend.http_port, "POST", f"/api/metrics?{query}", headers, body, timeout=timeout)
        self.assertIsNotNone(reply, "the server answers")
        return reply

    def accepted(self, body, stored, **more):
        reply = self.post(body, **more)
        self.assertEqual(reply.status, 200, reply.body)
        self.assertEqual(reply.json()["stored"], stored)
        return reply.json()

    def refused(self, status, words, *arguments, **more):
        reply = self.post(*arguments, **more)
        self.assertEqual(reply.status, status, reply.body)
        self.assertIn(words, reply.json()["error"]["message"])
        return reply

    def sequences(self, hostname="web-1", instance=INSTANCE):
        with sqlite3.connect(f"file:{self.backend.database}?mode=ro", uri=True) as db:
            rows = db.execute("SELECT sequence FROM hot JOIN hosts USING (host) WHERE hostname = ? AND instance = ? ORDER BY sequence",
                              (hostname, bytes.fromhex(instance))).fetchall()
        return [row[0] for row in rows]


class Accepted(Case):
    def test_what_the_agent_prints_can_be_piped_in(self):
        printed = subprocess.run([BUILD / "sonde-agent", "--once", "--format", "json"], check=True, capture_output=True).stdout
        for _ in range(2):  # again is harmless
            said = self.accepted(printed, 1, query="hostname=piped")
        self.assertEqual(said["hostname"], "piped")
        shown = self.backend.get("/api/servers/piped", self.token)["snapshot"]
        given = json.loads(printed)
        self.assertEqual(set(given), set(shown))
        self.assertEqual((shown["memory"], shown["cpu"]), (given["memory"], given["cpu"]))
        self.assertEqual(self.backend.get("/api/servers/piped", self.token)["server"]["host_id"], said["host_id"])

    def test_several_in_each_form(self):
        forms = (json.dumps([snapshot(1), snapshot(2)]), f"{json.dumps(snapshot(3))}\n{json.dumps(snapshot(4))}\n",
                 json.dumps(snapshot(5)) + json.dumps([snapshot(6), snapshot(1, OTHER)]) + json.dumps(snapshot(7)))
        for body, stored in zip(forms, (2, 2, 4)):
            self.accepted(body, stored)
            self.accepted(body, stored)
        self.assertEqual(self.sequences(), [1, 2, 3, 4, 5, 6, 7])
        self.assertEqual(self.sequences(instance=OTHER), [1])

    def test_without_numbers_they_are_numbered_also_when_many_come_at_once(self):
        replies = []
        threads = [threading.Thread(target=lambda n=n: replies.append(self.post([queue(n), queue(n)], query="hostname=script"))) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([reply.status for reply in replies], [200] * 12, [reply.body for reply in replies])
        with sqlite3.connect(f"file:{self.backend.database}?mode=ro", uri=True) as db:
            rows = db.execute("SELECT sequence FROM hot JOIN hosts USING (host) WHERE hostname = 'script' ORDER BY sequence").fetchall()
        self.assertEqual([row[0] for row in rows], list(range(1, 25)))
        line = self.backend.get('/api/servers/script/metrics?metric=queue_depth%7Bqueue=%22mail%22%7D&from=-1m&step=1m&function=max', self.token)
        self.assertEqual([v for v in line["series"][0]["values"] if v is not None][-1], 11)
        self.assertEqual(line.get("gaps", []), [], "who does not say how often it speaks is never late")

    def test_an_administrator_may_send_for_any_host_and_a_key_for_its_own(self):
        self.accepted(snapshot(1), 1, query="hostname=of-the-key")
        self.accepted(snapshot(2), 1, query="hostname=of-the-key", secret=self.token)
        self.accepted(snapshot(1), 1, query="hostname=of-nobody", secret=self.token)
        self.refused(403, "bound to another agent key", snapshot(2), query="hostname=of-nobody")
        self.assertEqual(self.sequences("of-nobody"), [1])
        host_id = self.accepted(snapshot(3), 1, query="hostname=of-the-key")["host_id"]
        self.assertEqual(self.accepted(snapshot(4), 1, query=f"host_id={host_id}")["hostname"], "of-the-key")
        double = self.backend.double(hostname="streams")
        stream = double.stream()
        stream.welcome()
        stream.deliver(double.snapshot(1))
        self.assertEqual(self.accepted(snapshot(1), 1, query="hostname=streams")["host_id"], double.host_id)
        self.assertEqual(self.backend.get("/api/servers/streams", self.token)["server"]["facts"], {"agent_version": "test"},
                         "what the agent said of its host stays")

    def test_durable_before_the_answer(self):
        backend = Backend()
        with backend:
            for sequence in range(1, 6):
                body = json.dumps(snapshot(sequence))
                reply = request(backend.http_port, "POST", "/api/metrics?hostname=web-1", {"Authorization": f"Bearer {backend.key}"}, body)
                self.assertEqual(reply.status, 200)
            backend.backend.send_signal(signal.SIGKILL)
            backend.backend.wait()
            with sqlite3.connect(backend.database) as db:
                self.assertEqual(db.execute("SELECT count(*) FROM hot").fetchone(), (5,))

    def test_the_live_view_shows_it(self):
        self.accepted(snapshot(1, summary={"state": {"code": "ok"}, "cpu_busy_ratio": 0.125}), 1, query="hostname=shown")
        recent = self.backend.get("/api/metrics/recent?hostname=shown&sections=summary", self.token)["snapshots"][0]
        self.assertEqual(recent["snapshot"]["summary"]["cpu_busy_ratio"], 0.125)


class Refused(Case):
    def test_who_may_not(self):
        for secret in ("sonde_" + "x" * 43, "sonde_", "nonsense", "sonde_" + "x" * 500):
            reply = self.refused(401, "", snapshot(1), secret=secret)
            self.assertTrue(reply.headers["www-authenticate"].startswith("Bearer"))
        self.assertEqual(request(self.backend.http_port, "POST", "/api/metrics?hostname=a", {}, "{}").status, 401)
        # A browser of another site has the cookie, and may not use it.
        cookie = {"Cookie": f"sonde_token={self.token}", "Origin": "https://evil.example"}
        self.assertEqual(request(self.backend.http_port, "POST", "/api/metrics?hostname=a", cookie, "{}").status, 403)
        # A key is for sending only.
        self.assertEqual(request(self.backend.http_port, "GET", "/api/servers", {"Authorization": f"Bearer {self.backend.key}"}).status, 401)

    def test_the_same_sequence_with_other_contents(self):
        self.accepted(snapshot(1), 1, query="hostname=twice")
        self.refused(409, "the other 1 snapshots are stored", [snapshot(1, interval_ms=2000), snapshot(2)], query="hostname=twice")
        self.assertEqual(self.sequences("twice"), [1, 2])

    def test_nothing_is_stored_of_what_is_refused(self):
        wide = snapshot(2, cpu={"cores": [{"user_us": i} for i in range(100001)]})
        long = snapshot(2, custom={"metrics": [{"name": f"m{i}", "help": "x" * 1000, "double_value": 1} for i in range(1100)]})
        for words, second in (("100,000 values", wide), ("larger than 1 MiB", long), ("instance and sequence", {"sequence": 2}),
                              ("instance and sequence", {"instance": INSTANCE}), ("must ascend", snapshot(1)), ("can be read with", snapshot(2, instance="AAAA")),
                              ("can be read with", snapshot(1 << 63))):
            with self.subTest(words):
                reply = self.refused(400, words, [snapshot(1), second], query="hostname=none")
                self.assertIn("nothing is stored", reply.json()["error"]["message"])
        self.assertEqual(self.sequences("none"), [])

    def test_bodies_that_are_none(self):
        for words, body in (("ends too early", ""), ("ends too early", '[{"cpu":'), ("none in the body", "[]"), ("no value", "<xml/>"),
                            ("must be an object", "1"), ("must be an object", "[null]"), ("is not known here", '{"cpus":{}}'),
                            ("there twice", '{"cpu":{"load1":1,"load1":2}}'), ("must be a number", '{"cpu":{"load1":"1"}}'),
                            ("must be an array", '{"cpu":{"cores":{"cpu":1}}}'), ("out of range", '{"sequence":1e999}'.replace("1e999", "9" * 30)),
                            ("too large", '{"cpu":{"load1":1e999}}'), ("400 characters", '{"cpu":{"load1":' + "1" * 5000 + "}}"),
                            ("must be an object", '{"cpu":' + "[" * 200000), ("not known", '{"a":' * 50000), ("UTF-8", b'{"cpu":{"state":{"reason":"\xff"}}}'),
                            ("must be a time", '{"timestamp":"1795258800"}'), ("no value", b"\x1f\x8b\x08\x00garbage"), ("no value", b"\x00" * 100)):
            with self.subTest(body=body[:40]):
                reply = self.refused(400, words, body)
                self.assertEqual(reply.json()["error"]["code"], "invalid_argument")

    def test_names_that_are_none(self):
        for query in ("", "hostname=", "hostname=%0a", "hostname=" + "x" * 254, "hostname=a&hostname=b", "host_id=1", "hostname=a&host_id=1", "hostname=%ff",
                      "hostname=a&snapshots=1"):
            with self.subTest(query):
                self.assertEqual(self.post(snapshot(1), query=query).status, 400 if query != "host_id=1" else 404)

    def test_too_many_and_too_large(self):
        self.refused(400, "at most 1000", [snapshot(i) for i in range(1, 1002)])
        self.refused(400, "64 instances", [snapshot(1, f"{i:032x}") for i in range(1, 70)])
        reply = self.post(b" " * (4 << 20) + b"{}", query="hostname=big")
        self.assertEqual((reply.status, reply.json()["error"]["code"]), (413, "too_large"))
        self.accepted(b" " * ((4 << 20) - 2) + b"{}", 1, query="hostname=big")

    def test_one_byte_at_a_time(self):
        body = json.dumps(snapshot(1)).encode()
        head = (f"POST /api/metrics?hostname=slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.backend.key}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        with socket.create_connection(("127.0.0.1", self.backend.http_port)) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in head + body:
                s.send(bytes([byte]))
                time.sleep(0.0005)
            self.assertEqual(read_reply(s.makefile("rb")).status, 200)
        self.assertEqual(self.sequences("slow"), [1])

    def test_bodies_that_would_be_large_trees_cost_their_length(self):
        bodies = (b'{"cpu":{"cores":[' + b"{}," * 1300000 + b"{}]}}", b"[" * 4000000, b"[" + b"{}," * 1300000 + b"{}]",
                  b'{"custom":{"metrics":[' + b'{"name":"a"},' * 300000 + b"{}]}}")
        before = memory_mib(self.backend.backend)
        for body in bodies:
            self.assertEqual(self.post(body, query="hostname=tree").status, 400)
        self.assertLess(memory_mib(self.backend.backend) - before, 60)

    def refusals(self, sockets):
        answered = select.select(sockets, [], [], 0.1)[0]
        for s in answered:
            reply = read_reply(s.makefile("rb"))
            self.assertEqual((reply.status, reply.headers["retry-after"]), (503, "1"))
        return answered

    def test_many_large_bodies_that_never_end(self):
        head = f"POST /api/metrics?hostname=x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Length: {4 << 20}\r\n\r\n".encode()
        before, sockets = memory_mib(self.backend.backend), []
        try:
            for _ in range(12):
                s = socket.create_connection(("127.0.0.1", self.backend.http_port))
                s.settimeout(30)
                sockets.append(s)
                s.sendall(head + b" " * (3900 << 10))
            # 47 MiB are sent, 32 kept: whoever goes over it is refused, and what it had sent is let go.
            refused = []
            wait_for(lambda: refused.extend(self.refusals([s for s in sockets if s not in refused])) or len(refused) >= 3, 30, "some are refused")
            self.assertLess(memory_mib(self.backend.backend) - before, 90)
            self.accepted(snapshot(1), 1, query="hostname=small")  # others go on
        finally:
            for s in sockets:
                s.close()
        time.sleep(0.3)
        self.accepted(b" " * (2 << 20) + json.dumps(snapshot(2)).encode(), 1, query="hostname=small")


class Slow(Case):
    flags = ("--key-max-bytes", "2000")

    def test_above_the_limits_and_when_to_come_again(self):
        self.accepted([snapshot(i, summary={"state": {"reason": "x" * 900}}) for i in range(1, 25)], 24)
        reply = self.refused(429, "send it again later", snapshot(25))
        self.assertIn(int(reply.headers["retry-after"]), (1, 2, 3))
        time.sleep(int(reply.headers["retry-after"]))
        self.accepted(snapshot(25), 1)

    def test_a_database_that_cannot_be_written(self):
        self.accepted(snapshot(1), 1, query="hostname=late", secret=self.token)
        lock = sqlite3.connect(self.backend.database, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        reply = self.refused(503, "send it again", snapshot(2), query="hostname=late", secret=self.token)
        self.assertEqual(reply.headers["retry-after"], "5")
        self.assertEqual(self.backend.get("/api/servers/late", self.token)["server"]["hostname"], "late")
        lock.execute("ROLLBACK")
        lock.close()
        self.accepted(snapshot(2), 1, query="hostname=late", secret=self.token)
        self.assertEqual(self.sequences("late"), [1, 2])


if __name__ == "__main__":
    unittest.main(verbosity=2)
