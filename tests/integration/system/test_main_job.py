"""The whole product on this host: agent -> gRPC -> backend -> SQLite -> REST and WebSocket; and what happens to it when the backend
is killed, paused or restarted, and when the agent stops."""
import json
import signal
import socket
import sqlite3
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
from programs import Installation, wait_for  # noqa: E402
from websocket import WebSocket  # noqa: E402

SECTIONS = ["cpu", "memory", "disks", "network", "perf", "vmstat", "block_io"]


def stored_sequences(database):
    """{instance: [sequence, ...]} of the rows and {instance: [(first, last), ...]} of the ranges, read behind the backend's back."""
    rows, ranges = {}, {}
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    for instance, sequence in connection.execute("SELECT instance, sequence FROM hot ORDER BY instance, sequence"):
        rows.setdefault(instance, []).append(sequence)
    for instance, first, last in connection.execute("SELECT instance, first, last FROM streams ORDER BY instance, first"):
        ranges.setdefault(instance, []).append((first, last))
    connection.close()
    return rows, ranges


def newest(installation, token):
    servers = installation.get("/api/servers", token).get("servers", [])
    if not servers:
        return None
    return installation.get(f"/api/servers/{servers[0]['hostname']}", token).get("snapshot")


class MainJob(unittest.TestCase):
    def assert_nothing_missing(self, database, at_least):
        rows, ranges = stored_sequences(database)
        self.assertEqual(len(rows), 1, "one agent start is one instance")
        (instance, sequences), = rows.items()
        self.assertGreaterEqual(len(sequences), at_least)
        self.assertEqual(sequences, list(range(1, sequences[-1] + 1)), "every sequence once, none missing")
        self.assertEqual(ranges[instance], [(1, sequences[-1])])

    def test_live_view_over_rest_and_websocket(self):
        with Installation() as it:
            it.start_backend()
            it.start_agent()
            begin = time.monotonic()
            token = it.login()
            servers = wait_for(lambda: it.get("/api/servers", token).get("servers"), 15, "the host is listed")
            self.assertEqual([s["hostname"] for s in servers], [socket.gethostname()])
            self.assertEqual(servers[0]["status"], "live")
            ws = WebSocket(it.http_port, "/api/ws/metrics", [f"Authorization: Bearer {token}", f"Cookie: sonde_token={token}"])
            self.assertEqual(ws.status, 101)
            frames, arrivals = [], []
            while len(frames) < 5:
                frame = json.loads(ws.receive())
                if frame["type"] == "snapshot":
                    frames.append(frame)
                    arrivals.append(time.monotonic())
            ws.close()
            self.assertLess(arrivals[0] - begin, 15)
            for frame in frames:
                for section in SECTIONS:
                    self.assertIn(section, frame)
                    self.assertIn(frame[section]["state"]["code"], ("ok", "unavailable", "denied", "degraded"))
                    if frame[section]["state"]["code"] != "ok":
                        self.assertTrue(frame[section]["state"]["detail"], "what cannot be measured says why")
                self.assertRegex(frame["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$")
            sequences = [f["sequence"] for f in frames]
            self.assertEqual(sequences, list(range(sequences[0], sequences[0] + 5)))
            pace = (arrivals[-1] - arrivals[0]) / 4
            self.assertTrue(0.8 < pace < 1.2, f"one frame a second, not one in {pace:.2f} s")
            busy = [sum(v for k, v in f["cpu"]["total"].items() if k.endswith("_us")) for f in frames]
            self.assertTrue(all(a < b for a, b in zip(busy, busy[1:])), "CPU time grows")

    def test_nothing_without_a_login(self):
        with Installation() as it:
            it.start_backend()
            for path in ("/api/servers", f"/api/servers/{socket.gethostname()}", "/api/metrics/catalogue"):
                with self.assertRaises(OSError) as failure:
                    it.get(path, None)
                self.assertEqual(failure.exception.code, 401)

    def test_killed_backend_loses_nothing(self):
        with Installation() as it:
            it.start_backend()
            it.start_agent()
            token = it.login()
            wait_for(lambda: newest(it, token), 15, "a snapshot came")
            time.sleep(3)
            it.backend.send_signal(signal.SIGKILL)
            it.backend.wait()
            time.sleep(10)
            it.start_backend()
            token = it.login()
            before = (newest(it, token) or {}).get("sequence", 0)
            wait_for(lambda: newest(it, token)["sequence"] > before + 2 and newest(it, token)["agent"]["queue_length"] <= 3, 60,
                     "the agent came back and its queue ran empty")
            it.agents[0].send_signal(signal.SIGTERM)
            self.assertEqual(it.agents[0].wait(10), 0)
            it.backend.send_signal(signal.SIGTERM)
            self.assertEqual(it.backend.wait(15), 0)
            self.assert_nothing_missing(it.database, at_least=15)

    def test_paused_backend_loses_nothing(self):
        with Installation() as it:
            it.start_backend()
            it.start_agent("agent", "--interval", "200ms")
            token = it.login()
            wait_for(lambda: newest(it, token), 15, "a snapshot came")
            it.backend.send_signal(signal.SIGSTOP)
            time.sleep(5)
            it.backend.send_signal(signal.SIGCONT)
            time.sleep(3)
            it.agents[0].send_signal(signal.SIGTERM)
            self.assertEqual(it.agents[0].wait(10), 0)
            it.backend.send_signal(signal.SIGTERM)
            self.assertEqual(it.backend.wait(15), 0)
            self.assert_nothing_missing(it.database, at_least=35)

    def test_restarted_agent_is_a_new_instance_of_the_same_host(self):
        with Installation() as it:
            it.start_backend()
            token = it.login()
            seen = set()
            for _ in range(2):
                agent = it.start_agent()
                came = lambda: (s := newest(it, token)) and s["instance"] not in seen and s["sequence"] >= 2 and s["instance"]
                seen.add(wait_for(came, 15, "snapshots of a new instance came"))
                agent.send_signal(signal.SIGTERM)
                self.assertEqual(agent.wait(10), 0)
                time.sleep(0.5)
            self.assertEqual(len(it.get("/api/servers", token)["servers"]), 1)
            rows, _ = stored_sequences(it.database)
            self.assertEqual(len(rows), 2)
            for sequences in rows.values():
                self.assertEqual(sequences, list(range(1, len(sequences) + 1)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
