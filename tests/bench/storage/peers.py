"""The same samples in Prometheus (promtool's blocks of a day) and VictoriaMetrics (a forced merge), each in a directory that stays, and their
servers started on it. Wants Debian's prometheus and victoria-metrics."""
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "integration" / "lib"))
from programs import BUILD, free_port, wait_for  # noqa: E402


def size(directory):
    return sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())


def export(recording, form, arguments, out):
    """bench_export into a file or pipe; the process."""
    return subprocess.Popen([str(BUILD / "bench_export"), str(recording), form, *map(str, arguments)], stdout=out, stderr=subprocess.PIPE, text=True)


def samples_of(exporter):
    counts = exporter.stderr.read()
    if exporter.wait() != 0:
        raise SystemExit(f"bench_export: {counts}")
    return int(counts.rsplit("samples ", 1)[1])


class Server:
    """Started on a directory, on loopback; ended with the block."""

    def __init__(self, directory):
        self.directory, self.process = Path(directory), None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.stop()

    def start(self):
        self.port = free_port()
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.ready, 120, f"{self.name} answers")

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def ready(self):
        try:
            return self.get(self.health) is not None
        except OSError:
            return False

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=600) as reply:
            return reply.read()

    def range(self, query, begin, end, step):
        """The path of a query: the last point is of the end."""
        return "/api/v1/query_range?" + urllib.parse.urlencode({"query": query, "start": begin, "end": end, "step": step, **self.extra})

    @staticmethod
    def points(body):
        """{labels: {time: value}}"""
        return {tuple(sorted((k, v) for k, v in series["metric"].items() if k != "__name__")): {float(t): float(v) for t, v in series["values"]}
                for series in json.loads(body)["data"]["result"]}


class Prometheus(Server):
    name, health, extra = "Prometheus", "/-/ready", {}

    def command(self):
        return ["prometheus", f"--config.file={self.directory.parent / 'prometheus.yml'}", f"--storage.tsdb.path={self.directory}",
                f"--web.listen-address=127.0.0.1:{self.port}", "--storage.tsdb.retention.time=100y"]

    def start(self):
        (self.directory.parent / "prometheus.yml").write_text("{}\n")
        super().start()

    @classmethod
    def load(cls, directory, recording, arguments, days):
        """A day after the other, as promtool reads its file anew for each block. Samples, and seconds promtool took."""
        shutil.rmtree(directory, ignore_errors=True)
        text, samples, seconds = Path(f"{directory}.text"), 0, 0.0
        end = arguments[arguments.index("--end") + 1]
        rest = [a for i, a in enumerate(arguments) if not (a in ("--end", "--hours") or i > 0 and arguments[i - 1] in ("--end", "--hours"))]
        for day in range(1, days + 1):
            with open(text, "wb") as out:
                samples += samples_of(export(recording, "openmetrics", [*rest, "--hours", day * 24, "--skip-hours", (day - 1) * 24,
                                                                        "--end", end - (days - day) * 86400], out))
            begin = time.monotonic()
            subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=24h", str(text), str(directory)],
                           check=True, stdout=subprocess.DEVNULL)
            seconds += time.monotonic() - begin
        text.unlink()
        return {"samples": samples, "seconds": seconds, "bytes": size(directory)}


class VictoriaMetrics(Server):
    name, health, extra = "VictoriaMetrics", "/health", {"nocache": "1"}

    def command(self):
        return ["victoria-metrics", f"-storageDataPath={self.directory}", f"-httpListenAddr=127.0.0.1:{self.port}", "-retentionPeriod=100y",
                "-search.maxStalenessInterval=5m"]

    @classmethod
    def load(cls, directory, recording, arguments, days):
        shutil.rmtree(directory, ignore_errors=True)
        with cls(directory) as it:
            begin = time.monotonic()
            exporter = export(recording, "victoria", arguments, subprocess.PIPE)
            subprocess.run(["curl", "-sfT", "-", "-X", "POST", f"http://127.0.0.1:{it.port}/api/v1/import/prometheus"], check=True,
                           stdin=exporter.stdout)
            exporter.stdout.close()
            samples, seconds = samples_of(exporter), time.monotonic() - begin
            time.sleep(3)
            it.get("/internal/force_flush")
            it.get("/internal/force_merge")
            return {"samples": samples, "seconds": seconds, **it.merged(samples)}

    def metrics(self):
        values = {}
        for line in self.get("/metrics").decode().splitlines():
            if line and line[0] != "#":
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    def merged(self, samples):
        """Waits for the forced merge; bytes as it counts them."""
        before, quiet = None, 0
        while quiet < 10:
            time.sleep(1)
            found = self.metrics()
            now = {part: sum(v for k, v in found.items() if k.startswith(f'vm_data_size_bytes{{type="{part}')) for part in ("storage", "indexdb")}
            active = sum(v for k, v in found.items() if k.startswith("vm_active_merges"))
            quiet, before = (quiet + 1 if now == before and active == 0 else 0), now
        if found['vm_rows_inserted_total{type="prometheus"}'] != samples:
            raise SystemExit("VictoriaMetrics has not taken all samples")
        return {"data": int(now["storage"]), "index": int(now["indexdb"]), "bytes": int(now["storage"] + now["indexdb"])}
