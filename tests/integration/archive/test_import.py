"""Import: what was exported from one store and imported into another is exported from there the same, a real agent's data included; a file that
is imported twice is stored once; lines that cannot be taken are refused with their place, and nothing of their file is stored."""
import json
import random
import sqlite3
import subprocess
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "ingest"), str(HERE.parent / "lib")]
import test_export  # noqa: E402
from backend import BUILD, Backend  # noqa: E402
from programs import Installation, wait_for  # noqa: E402

HISTOGRAM = "sonde_block_io_devices_operations_device_latency_seconds"




class Import(unittest.TestCase):
    def setUp(self):
        self.it = Installation()
        self.addCleanup(self.it.directory.cleanup)
        self.path = self.it.path

    def run_command(self, command, database, *arguments, code=0):
        done = subprocess.run([BUILD / "sonde-backend", command, "--store", f"sqlite:{database}", *map(str, arguments)], capture_output=True, text=True,
                              timeout=120, check=False)
        self.assertEqual(done.returncode, code, (arguments, done.stderr))
        return done.stdout if command == "export" else done.stderr

    def load(self, text, *arguments, fmt="openmetrics", database="new.db", code=0):
        path = self.path / "file.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.run_command("import", self.path / database, "--format", fmt, *arguments, path, code=code)

    def rows(self, database="new.db"):
        with sqlite3.connect(self.path / database) as db:
            return db.execute("SELECT count(*) FROM hot").fetchone()[0]

    def test_jsonl_of_a_real_agent(self):
        with Backend() as source:
            source.start_agent("agent", "--interval", "250ms")
            wait_for(lambda: source.backend and len(source.stored()) >= 20, 30, "twenty snapshots")
            database = source.database
            for process in source.agents:
                process.terminate()
                process.wait()
            for fmt in ["jsonl", "openmetrics"]:
                text = self.run_command("export", database, "--format", fmt)
                self.assertGreater(len(text), 1_000_000)
                said = self.load(text, fmt=fmt, database=f"{fmt}.db")
                self.assertIn(" 0 of which were there already; 1 new hosts", said)
                again = self.run_command("export", self.path / f"{fmt}.db", "--format", fmt)
                if text != again:
                    different = [pair for pair in zip(text.splitlines(), again.splitlines()) if pair[0] != pair[1]][:5]
                    self.fail(f"{fmt}: {len(text)} and {len(again)} bytes: {different}")

    def test_exact(self):
        with Backend() as source:
            double = source.double(hostname="alpha")
            stream = double.stream()
            stream.welcome()
            for i in range(1, 30):
                stream.deliver(test_export.Export.snapshot(double, i))
            text = self.run_command("export", source.database, "--format", "jsonl")
            first = text.splitlines(True)
            random.Random(5).shuffle(first)
            self.load("".join(first), fmt="jsonl")
            self.assertEqual(self.rows(), 29, "a snapshot for each time, whatever the order of lines")
            self.assertEqual(self.run_command("export", self.path / "new.db", "--format", "jsonl"), text)
            self.assertIn("29 of which were there already; 0 new hosts", self.load("".join(first), fmt="jsonl"))
            self.assertEqual(self.rows(), 29)

    def test_openmetrics_of_others(self):
        begin = 1_700_000_000
        lines = ["# TYPE room_celsius gauge", "# UNIT room_celsius celsius", "# HELP room_celsius How warm"]
        lines += [f'room_celsius{{room="hall \\"A\\"",host="web"}} {20 + i / 8} {begin + i}.5' for i in range(5)]
        lines += ["# TYPE http_requests counter"] + [f'http_requests_total{{host="db",code="200"}} {i}e3 {begin + i} # {{id="x"}} 1' for i in range(5)]
        lines += ["# TYPE rpc_seconds histogram"]
        for i in range(3):
            lines += [f'rpc_seconds_bucket{{le="0.3"}} {i} {begin + i}', f'rpc_seconds_bucket{{le="+Inf"}} {i * 2} {begin + i}',
                      f'rpc_seconds_count {i * 2} {begin + i}', f'rpc_seconds_sum {i / 4} {begin + i}']
        lines += ["# TYPE sonde_cpu_cores_user_seconds counter", f'sonde_cpu_cores_user_seconds_total{{cpu="3"}} 12.345678 {begin}',
                  f'sonde_cpu_cores_user_seconds_total{{cpu="3",job="node"}} 1 {begin}',
                  f'{HISTOGRAM}_bucket{{device="sda",operation="read",le="0.000049152"}} 3 {begin}',
                  f'{HISTOGRAM}_bucket{{device="sda",operation="read",le="+Inf"}} 5 {begin}',
                  f'{HISTOGRAM}_sum{{device="sda",operation="read"}} 0.001 {begin}', f'{HISTOGRAM}_count{{device="sda",operation="read"}} 5 {begin}',
                  "# EOF", ""]
        self.assertIn("3 new hosts", self.load("\n".join(lines), "--host", "other"))
        out = [json.loads(line) for line in self.run_command("export", self.path / "new.db", "--format", "jsonl").splitlines()]
        value = {}
        for v in out:
            value.setdefault((v["host"], v["metric"], json.dumps(v["labels"])), []).append(v["value"])
        self.assertEqual(value["web", "custom.room_celsius", json.dumps({"room": 'hall "A"'})], [20, 20.125, 20.25, 20.375, 20.5])
        self.assertEqual(value["db", "custom.http_requests_total", '{"code": "200"}'], [0, 1000, 2000, 3000, 4000])
        self.assertEqual(value["other", "custom.rpc_seconds_bucket", '{"le": "0.3"}'], [0, 1, 2])
        self.assertEqual(value["other", "cpu.cores.user_us", '{"cpu": 3}'], [12345678])
        self.assertEqual(value["other", "custom.sonde_cpu_cores_user_seconds_total", '{"cpu": "3", "job": "node"}'], [1])
        foreign = self.run_command("export", self.path / "new.db", "--format", "csv", "--metric", "custom.sonde_cpu_cores_user_seconds_total")
        self.assertIn('"cpu=""3"",job=""node""",1', foreign)
        self.assertEqual(value["other", "block_io.devices.operations.device_latency_ns", '{"device": "sda", "operation": "read"}'],
                         [{"sum": 1000000, "buckets": {"57": 3, "251": 2}}])
        kinds = {v["metric"]: (v["kind"], v["unit"]) for v in out if "kind" in v}
        self.assertEqual(kinds["custom.room_celsius"], (2, 11))
        self.assertEqual(kinds["custom.http_requests_total"], (1, 1))
        # A running backend answers for it.
        self.it.database = self.path / "new.db"
        with self.it:
            self.it.start_backend()
            token = self.it.login()
            self.assertEqual(sorted(s["hostname"] for s in self.it.get("/api/servers", token)["servers"]), ["db", "other", "web"])
            reply = self.it.get(f"/api/servers/web/metrics?metric=room_celsius&from={begin}&to={begin + 10}&step=1s", token)
            self.assertIn("20.125", json.dumps(reply))

    def test_what_is_refused(self):
        good = f"a 1 {int(time.time())}\n"
        for text, where, reason in [
                ("a 1\n# EOF\n", "line 1", "no timestamp"), ("# TYPE a gauge\na{b=\"c} 1 2\n# EOF\n", "line 2, character 12", "closing quote"),
                (good + "a one 2\n# EOF\n", "line 2, character", "no number"), (good, "line 1", "# EOF"), (good + "a 1 2", "line 2", "cut off"),
                ("# EOF\n" + good, "line 2", "behind # EOF"), ("\x00\x01\x02\n", "line 1, character 1", "no metric's name"),
                ("x" * 1_200_000, "line 1", "1 MiB"), ('a{b="\xff"} 1 2\n# EOF\n'.encode("latin-1"), "line 1", "UTF-8"),
                ('a{host=""} 1 2\n# EOF\n', "line 1", "hostname"), ("a 1 -5\n# EOF\n", "line 1", "timestamp"), ("a 1 1e300\n# EOF\n", "line 1", "timestamp"),
                ('sonde_cpu_cores_user_seconds_total{cpu="0"} NaN 5\n# EOF\n', "line 1", "does not fit"),
                (f'{HISTOGRAM}_bucket{{device="a",operation="read",le="0.3"}} 1 5\n# EOF\n', "line 1", "bound"),
                ('a{b="1",b="2"} 1 2\n# EOF\n', "line 1", "twice"), ("a 1 2 3\n# EOF\n", "line 1", "behind the timestamp")]:
            said = self.load(text, "--host", "h", code=1)
            self.assertIn(where, said)
            self.assertIn(reason, said)
        self.assertIn("--host", self.load(good + "# EOF\n", code=1))
        for line, reason in [("{", "character"), ("[]", "no object"), ("{}", '"time"'), ('{"time":"2026-11-21T00:00:00Z"}', '"metric"'),
                             ('{"time":"2026-11-21T00:00:00Z","metric":"cpu.cores.user_us","labels":{"cpu":0},"value":1.5}', "whole number"),
                             ('{"time":"2026-11-21T00:00:00Z","metric":"a","value":"x"}', "value"),
                             ('{"time":"2026-11-21T00:00:00Z","metric":"a","labels":{"b":[]},"value":1}', "label"),
                             ('{"time":"2026-11-21T00:00:00Z","metric":"a","function":"avg","value":1}', "--step"),
                             ('{"time":"2026-11-21T00:00:00Z","metric":"block_io.devices.operations.device_latency_ns","value":3}', "histogram")]:
            self.assertIn(reason, self.load(line + "\n", "--host", "h", fmt="jsonl", code=1))
        self.assertEqual(self.rows(), 0, "nothing of a file that is refused")
        self.assertIn("No such file", self.run_command("import", self.path / "new.db", "--format", "jsonl", self.path / "absent", code=1))
        self.run_command("import", self.path / "new.db", "--format", "csv", self.path / "file.txt", code=2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
