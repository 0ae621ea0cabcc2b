"""Fleets of hosts as in a recording (bench_fleet) against a real backend on SQLite: a day that goes by in less than an hour, and a thousand hosts
that come back after ten hours."""
import http.client
import json
import os
import select
import sqlite3
import statistics
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent / "lib"), str(HERE.parents[1] / "integration" / "lib")]
from measure import process_cpu_ns, pss_mib  # noqa: E402
from programs import BUILD, Installation, memory_mib  # noqa: E402

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
SECTIONS = {"some": (10, 11, 12, 13, 14), "most": (10, 11, 12, 13, 14, 16, 17, 18, 20, 21, 22, 25, 28), "all": ()}


@contextmanager
def environment(**values):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Fleet:
    """bench_fleet on a backend. One snapshot of `every` of the recording's is sent."""

    def __init__(self, it, recording, sections, **options):
        arguments = [word for number in SECTIONS[sections] for word in ("--only", number)]
        for name, value in options.items():
            arguments += [f"--{name}", value]
        self.error = (it.path / "fleet.log").open("a")
        self.program = subprocess.Popen([str(BUILD / "bench_fleet"), str(recording), "--port", str(it.grpc_port), "--key-file", str(it.key_file),
                                         *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.error, text=True)

    def connected(self):
        if self.program.stdout.readline() != "CONNECTED\n":
            sys.exit(f"bench_fleet does not connect: {Path(self.error.name).read_text()}")
        return self

    def lines(self):
        """What it says of itself when it has ended, or None while it goes on."""
        return self.program.stdout.readline() if select.select([self.program.stdout], [], [], 0)[0] else None

    def phase(self):
        """What happened since the last time, and whether all is done."""
        done = self.lines()
        if done is None:
            try:
                self.program.stdin.write("\n")
                self.program.stdin.flush()
            except BrokenPipeError:
                pass
            done = self.program.stdout.readline()
        if not done:
            sys.exit(f"bench_fleet has ended: {Path(self.error.name).read_text()}")
        return json.loads(done)

    def finish(self):
        """When everything is acknowledged."""
        while self.program.stdout.readline():
            pass
        if self.program.wait() != 0:
            sys.exit(f"bench_fleet has ended: {Path(self.error.name).read_text()}")

    def end(self):
        """Sends nothing more and waits for what is on its way."""
        self.program.stdin.close()
        self.program.stdin = None
        return json.loads(self.program.communicate()[0].splitlines()[-1])

    def kill(self):
        if self.program.poll() is None:
            self.program.kill()
        self.program.wait()
        self.error.close()


def token_of(it):
    """Signs in. A server whose clock runs fast gives up on a request soon: on a busy machine it is tried again."""
    for _ in range(50):
        try:
            return it.login()
        except (OSError, http.client.HTTPException):
            time.sleep(1)
    sys.exit("nobody can sign in")


def counters(it):
    """The backend's own, by name."""
    token, found = token_of(it), {}
    request = urllib.request.Request(f"http://127.0.0.1:{it.http_port}/metrics", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        for line in reply.read().decode().splitlines():
            if line and line[0] != "#":
                name, value = line.rsplit(" ", 1)
                found[name] = float(value)
    return found


def peak_since(process):
    """The most it has held since the last call, MiB."""
    peak = memory_mib(process, "VmHWM")
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    return peak


def database_mib(it):
    return sum(path.stat().st_size for path in it.path.glob("sonde.db*") if path.suffix != ".reserve") / (1 << 20)


def database(it, sql):
    with sqlite3.connect(f"file:{it.database}?mode=ro", uri=True, timeout=60) as db:
        return db.execute(sql).fetchall()


def durable(it):
    """How many snapshots the backend holds for stored, of all hosts."""
    return database(it, "SELECT coalesce(sum(last - first + 1), 0) FROM streams")[0][0]


def unsealed(it):
    return database(it, "SELECT count(*) FROM hot LEFT JOIN sealing USING (host) WHERE received_us > coalesce(sealed_us, 0)")[0][0]


def slope(points):
    """Least squares: of (x, y), y a unit of x."""
    xs, ys = zip(*points)
    mean_x, mean_y = statistics.mean(xs), statistics.mean(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x in xs)


# --- a day ---

def panels(it, hosts, now):
    """What people would ask: a fleet and single hosts, over the day."""
    token = token_of(it)
    asked = 0
    for metric in ("memory.available_bytes", "cpu.cores.user_us", "pressure.cpu.some.total_us"):
        for hours, step in ((24, 300), (6, 60), (0.25, 1)):
            function = "avg" if metric.endswith("bytes") else "rate"
            wish = urllib.parse.urlencode({"metric": metric, "from": now - hours * 3600, "to": now, "step": step, "function": function})
            for host in hosts:
                it.get(f"/api/servers/{host}/metrics?{wish}", token)
                asked += 1
    return asked


def day(options):
    """The clock of the backend runs `rate` times as fast; hosts send in its time."""
    hosts, rate, hours = options.agents, options.rate, options.hours
    with Installation() as it:
        preload = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"+0 x{rate}", "NO_FAKE_STAT": "1"}
        begin, zero = time.time(), time.monotonic_ns()
        with environment(**preload):
            it.start_backend("--seal-every", "10m", "--retention-raw", "12h", "--retention-processes", "3h", "--host-max-rows", "0")
        token_of(it)
        fleet = Fleet(it, options.recording, options.sections, every=options.every, hosts=hosts, hours=hours, rate=rate,
                      begin=f"{begin:.6f}", zero=zero).connected()
        try:
            print(f"\n{hosts} hosts, a snapshot each {options.every} s, sections: {options.sections}; the backend's clock x{rate}, {hours} h of it\n\n"
                  "| hour | resident MiB | PSS MiB | most in the hour | database MiB | snapshots | samples each | acknowledged p99 ms | latest s behind | backend, % of a core |\n"
                  "|---|---|---|---|---|---|---|---|---|---|", flush=True)
            points = follow(it, fleet, zero, rate, hours)
            tell_slope(points)
            fleet.finish()
            accepted = durable(it)
            time.sleep(13 * 60 / rate)
            print(f"\ndurable {accepted}; rows not sealed thirteen minutes later {unsealed(it)}")
            tell_counters(it)
            peak_since(it.backend)
            names = [name for name, in database(it, "SELECT hostname FROM hosts")]
            asked = panels(it, names, begin + (time.monotonic_ns() - zero) / 1e9 * rate)
            print(f"after {asked} panels of all hosts: resident {memory_mib(it.backend):.1f} MiB, at most {memory_mib(it.backend, 'VmHWM'):.1f}", flush=True)
        finally:
            fleet.kill()


def follow(it, fleet, zero, rate, hours):
    """Each ten minutes a point (hour, resident, most since the point before), each hour a line."""
    points, cpu, shown = [], process_cpu_ns(it.backend.pid), zero
    for step in range(1, hours * 6 + 1):
        time.sleep(max(0, zero / 1e9 + step * 600 / rate - time.monotonic()))
        points.append((step / 6, memory_mib(it.backend), peak_since(it.backend)))
        if step % 6 != 0:
            continue
        phase, now, spent = fleet.phase(), time.monotonic_ns(), process_cpu_ns(it.backend.pid)
        print(f"| {step // 6} | {points[-1][1]:.1f} | {pss_mib(it.backend.pid):.1f} | {max(p[2] for p in points[-6:]):.1f} | {database_mib(it):.0f} | "
              f"{phase['accepted']} | {phase['samples'] / max(1, phase['sent']):.0f} | {phase['p99_ms']:.0f} | {phase['late_ms'] / 1000:.1f} | "
              f"{(spent - cpu) / (now - shown) * 100:.0f} |", flush=True)
        cpu, shown = spent, now
    return points


def tell_slope(points):
    for title, column in (("resident", 1), ("most in ten minutes", 2)):
        of = [(p[0], p[column]) for p in points]
        print(f"{title}, MiB: first hour {statistics.mean(y for _, y in of[:6]):.1f}, second {statistics.mean(y for _, y in of[6:12]):.1f}, "
              f"last {statistics.mean(y for _, y in of[-6:]):.1f}, at most {max(y for _, y in of):.1f}, "
              f"slope from the second hour on {slope(of[6:]) * 24:+.2f} a day", flush=True)


def tell_counters(it):
    for name, value in sorted(counters(it).items()):
        if "history" in name or "store" in name:
            print(f"  {name} {value:.0f}")
