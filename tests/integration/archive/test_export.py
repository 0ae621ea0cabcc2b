"""Export: what was sent is what is read, as CSV, JSON lines and OpenMetrics (promtool reads it, and a stricter parser here); steps; an export
that is interrupted again and again and resumed is the same to the byte."""
import csv
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import unittest
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "ingest"), str(HERE.parent / "lib")]
from backend import BUILD, Backend, wait_for  # noqa: E402

BEGIN = int(time.time()) - 3000
N = 40
RAW_WINDOW = 2 * 3600  # backend/history/tiers.h
WEIRD = 'a "b" \\ c,\nd é \''


def stamp(moment):
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def openmetrics(text):
    """{family: (type, unit)} and [(name, labels, value, time)]; stricter than most: what the specification forbids fails."""
    families, samples, done, current, seen = {}, [], set(), None, set()
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""], lines[-3:]
    for line in lines[:-2]:
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            assert word in ("TYPE", "UNIT", "HELP"), line
            if word == "TYPE":
                assert name not in families, f"{name} twice"
                current = name
                families[name] = [rest, None]
            assert name == current, line
            if word == "UNIT":
                assert name.endswith("_" + rest), line
                families[name][1] = rest
            continue
        m = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+) (\d+\.\d{6})', line)
        assert m, line
        name, labels, value, moment = m.groups()
        kind = families[current][0]
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(kind, [""])
        assert name in [current + s for s in suffixes], (name, current, kind)
        labels = {k: v.replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
                  for k, v in re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"', labels)}
        point = (name, tuple(sorted(labels.items())), moment)
        assert point not in seen, f"twice: {line}"
        seen.add(point)
        metric = (current, tuple(sorted((k, v) for k, v in labels.items() if k != "le")))
        if not samples or samples[-1][4] != metric:
            assert metric not in done, f"interleaved: {line}"
            done.add(metric)
        elif float(moment) < float(samples[-1][3]):
            raise AssertionError(f"goes back: {line}")
        float(value)
        samples.append((name, labels, value, moment, metric))
    return families, samples


class Export(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.it = Backend().__enter__()
        cls.addClassCleanup(cls.it.__exit__, None, None, None)
        for hostname in ["alpha", "beta"]:
            double = cls.it.double(hostname=hostname)
            stream = double.stream()
            stream.welcome()
            for i in range(1, N + 1):
                stream.deliver(cls.snapshot(double, i))
            stream.cancel() if hasattr(stream, "cancel") else None

    @staticmethod
    def snapshot(double, i, seconds=None):
        s = double.snapshot(i, seconds=seconds or BEGIN + i, cpu_busy_ratio=1 / (i + 2))
        s.cpu.state.code = 1
        for cpu in range(2):
            core = s.cpu.cores.add()
            core.cpu, core.user_us = cpu, 2**53 + 1 + i * 1000001 + cpu
        s.block_io.state.code = 1
        device = s.block_io.devices.add()
        device.device = "sda"
        operation = device.operations.add()
        h = operation.device_latency_ns
        h.scheme, h.sum = 1, i * 1000
        h.indexes.extend([0, 57, 251])
        h.counts.extend([1, i, 2])
        s.custom.state.code = 1
        for name, kind, unit, field, value in [("jobs_total", 1, 1, "uint_value", 2**64 - 1 if i == 1 else i), ("room", 2, 11, "double_value", 21.5),
                                               ("debt", 2, 1, "int_value", -i), ("odd.name", 2, 1, "double_value", float("nan"))]:
            metric = s.custom.metrics.add(name=name, kind=kind, unit=unit)
            setattr(metric, field, value)
            metric.labels.add(name="what", value=WEIRD)
        return s

    def export(self, fmt, *arguments, code=0):
        done = subprocess.run([BUILD / "sonde-backend", "export", "--store", f"sqlite:{self.it.database}", "--format", fmt, *map(str, arguments)],
                              capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertNotIn(b"\x1b", done.stderr, "no bar where there is no terminal")
        return done.stdout.decode() if code == 0 else done.stderr.decode()

    def test_csv(self):
        rows = list(csv.reader(self.export("csv").splitlines(True) and self.export("csv").split("\r\n")[:-1]))
        self.assertEqual(rows[0], ["time", "host", "metric", "labels", "value"])
        user = [r for r in rows if r[1:4] == ["beta", "cpu.cores.user_us", 'cpu="1"']]
        self.assertEqual(user, [[stamp(BEGIN + i), "beta", "cpu.cores.user_us", 'cpu="1"', str(2**53 + 2 + i * 1000001)] for i in range(1, N + 1)])
        busy = [float(r[4]) for r in rows if r[1:3] == ["alpha", "summary.cpu_busy_ratio"]]
        self.assertEqual(busy, [1 / (i + 2) for i in range(1, N + 1)], "to the bit")

    def test_jsonl(self):
        lines = [json.loads(line) for line in self.export("jsonl").splitlines()]
        mine = [v for v in lines if v["host"] == "alpha" and v["metric"] == "custom.jobs_total"]
        self.assertEqual([int(v["value"]) for v in mine], [2**64 - 1, *range(2, N + 1)])
        self.assertEqual(mine[0]["labels"], {"what": WEIRD})
        self.assertEqual([v["value"] for v in lines if v["host"] == "beta" and v["metric"] == "custom.debt"], [-i for i in range(1, N + 1)])
        self.assertEqual({v["value"] for v in lines if v["metric"] == "custom.odd.name"}, {"NaN"})
        latency = [v for v in lines if v["host"] == "beta" and v["metric"] == "block_io.devices.operations.device_latency_ns"]
        self.assertEqual(latency[3]["value"], {"sum": 4000, "buckets": {"0": 1, "57": 4, "251": 2}})
        order = [(v["metric"], v["host"], json.dumps(v["labels"]), v["time"]) for v in lines]
        self.assertEqual(len(order), len(set(order)))

    def test_openmetrics(self):
        text = self.export("openmetrics")
        families, samples = openmetrics(text)
        self.assertEqual(families["sonde_cpu_cores_user_seconds"], ["counter", "seconds"])
        user = [s for s in samples if s[0] == "sonde_cpu_cores_user_seconds_total" and s[1] == {"host": "alpha", "cpu": "0"}]
        microseconds = [2**53 + 1 + i * 1000001 for i in range(1, N + 1)]
        self.assertEqual([s[2] for s in user], [f"{v // 10**6}.{v % 10**6:06}" for v in microseconds], "all digits")
        self.assertEqual([s[3] for s in user], [f"{BEGIN + i}.000000" for i in range(1, N + 1)])
        name = "sonde_block_io_devices_operations_device_latency_seconds"
        buckets = [s for s in samples if s[0] == name + "_bucket" and s[1]["host"] == "beta" and s[3] == f"{BEGIN + 5}.000000"]
        self.assertEqual([s[2] for s in buckets], ["1", "6", "8"])
        self.assertEqual(buckets[-1][1]["le"], "+Inf")
        self.assertEqual([s[2] for s in samples if s[0] == "odd_name" and s[1]["host"] == "beta"], ["NaN"] * N)
        self.assertIn(WEIRD, [s[1].get("what") for s in samples])
        if shutil.which("promtool"):
            path = self.it.path / "out.om"
            path.write_text(text)
            done = subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", path, self.it.path / "blocks"], capture_output=True,
                                  text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_selectors_and_ranges(self):
        lines = self.export("jsonl", "--metric", 'cpu.cores.user_us{cpu="1",host=~"al.*"}', "--from", stamp(BEGIN + 10), "--to", BEGIN + 20).splitlines()
        self.assertEqual(len(lines), 10)
        self.assertEqual({json.loads(line)["host"] for line in lines}, {"alpha"})
        self.assertEqual(len(self.export("jsonl", "--metric", "debt", "--host", "beta").splitlines()), N)
        rates = self.export("csv", "--metric", "cpu.cores.user_us", "--host", "beta", "--step", "10s", "--function", "rate", "--from", BEGIN, "--to",
                            BEGIN + N).splitlines()
        self.assertGreater(len(rates), 4)
        for line in rates[2:]:
            self.assertIn("cpu.cores.user_us:rate", line)
            self.assertAlmostEqual(float(line.rsplit(",", 1)[1]), 1000001, places=0)
        for wrong, reason in [(["--host", "gamma"], "no host is called"), (["--metric", "cpu{"], "."), (["--resume"], "--output"),
                              (["--from", "tomorrow"], "no moment"), (["--step", "1m"], "belong together")]:
            done = subprocess.run([BUILD / "sonde-backend", "export", "--store", f"sqlite:{self.it.database}", "--format", "csv", *wrong],
                                  capture_output=True, text=True, timeout=60, check=False)
            self.assertIn(done.returncode, (1, 2))
            self.assertRegex(done.stderr, reason)

    def test_resumed_is_the_same(self):
        for fmt in ["csv", "openmetrics", "jsonl"]:
            whole, again = self.it.path / f"whole.{fmt}", self.it.path / f"again.{fmt}"
            to = ["--to", BEGIN + 1000]
            self.export(fmt, *to, "-o", whole)
            self.assertIn("is there already", self.export(fmt, *to, "-o", whole, code=1))
            command = [BUILD / "sonde-backend", "export", "--store", f"sqlite:{self.it.database}", "--format", fmt, *map(str, to), "-o", again]
            interrupted, resumed = 0, 0
            for attempt in range(60):
                process = subprocess.Popen([*command, "--resume"], stderr=subprocess.PIPE, text=True)
                time.sleep(0.05 + 0.01 * attempt)
                # Now and then without a word.
                process.send_signal(signal.SIGKILL if attempt % 4 == 3 else signal.SIGINT)
                said = process.communicate()[1]
                self.assertIn(process.returncode, (0, 130, -signal.SIGKILL, -signal.SIGINT), said)
                resumed += "since it was resumed" in said
                if again.exists():
                    break
                interrupted += 1
            self.assertGreater(interrupted, 0)
            self.assertEqual(again.read_bytes(), whole.read_bytes(), (fmt, interrupted))
            self.assertEqual(list(self.it.path.glob("again*part*")), [], "nothing is left behind")
        part = self.it.path / "other.csv"
        (self.it.path / "other.csv.part").write_text("x" * 50)
        (self.it.path / "other.csv.part.json").write_text('{"request": "other", "from_us": 0, "to_us": 1, "offset": 3, "metric": "a", "host": "b", '
                                                         '"named": true}')
        self.assertIn("other flags", self.export("csv", "-o", part, "--resume", code=1))
        (self.it.path / "other.csv.part.json").write_text('{"request":')
        self.export("csv", "-o", part, "--resume")


class Sealed(unittest.TestCase):
    """Rows, sealed and compacted chunks, and what was backed up and restored: an export says the same of them."""

    def test_whatever_it_is_kept_as(self):
        step, n = 60, 8 * 60
        begin = (int(time.time()) // 21600 - 3) * 21600 + 1000
        windows = (1000 + n * step) // RAW_WINDOW - (1000 + step) // RAW_WINDOW + 1
        with Backend() as it:
            double = it.double(hostname="kept")
            stream = double.stream()
            stream.welcome()
            for first in range(1, n + 1, 100):
                last = min(first + 99, n)
                stream.send(2, double.batch(*[Export.snapshot(double, i, begin + i * step) for i in range(first, last + 1)]))
                while not any(r.last >= last for r in stream.receive().acknowledgement.accepted):
                    pass
            rows = self.export(it.database)
            self.assertGreater(rows.count("\n"), n * 7)
            self.assertIn("custom.debt", rows)
            it.stop()
            it.start_backend("--seal-every", "1s")
            wait_for(lambda: self.count(it, "SELECT count(*) FROM chunks WHERE compacted = 0") > 0, 30, "rows are sealed")
            self.assertEqual(self.export(it.database), rows)
            wait_for(lambda: self.count(it, "SELECT count(*) FROM chunks WHERE compacted = 1 AND tier = 1") == windows and
                     self.count(it, "SELECT count(*) FROM chunks WHERE compacted = 0 AND tier = 1") == 0, 30, "windows are compacted")
            self.assertEqual(self.export(it.database), rows)
            archive = it.path / "kept.bak"
            for command in (["backup", "--store", f"sqlite:{it.database}", archive], ["restore", "--store", f"sqlite:{it.path}/again.db", archive]):
                subprocess.run([BUILD / "sonde-backend", *command], check=True, capture_output=True, timeout=60)
            self.assertEqual(self.export(it.path / "again.db"), rows)

    def export(self, database):
        return subprocess.run([BUILD / "sonde-backend", "export", "--store", f"sqlite:{database}", "--format", "jsonl"], check=True, capture_output=True,
                              text=True, timeout=60).stdout

    def count(self, it, sql):
        with sqlite3.connect(f"file:{it.database}?mode=ro", uri=True, timeout=20) as db:
            return db.execute(sql).fetchone()[0]


if __name__ == "__main__":
    unittest.main(verbosity=2)
