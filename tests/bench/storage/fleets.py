"""Fleets of hosts as in a recording (bench_fleet) against a real backend on SQLite: a day that goes by in less than an hour, and a thousand hosts
that come back after ten hours."""
import http.client
import json
import os
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

    def phase(self):
        """What happened since the last time. Who has ended has said so on its own."""
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


def counters(it, token):
    """The backend's own, by name."""
    found = {}
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
                  "| hour | resident MiB | PSS MiB | most in the hour | database MiB | snapshots | samples each | acknowledged p99 ms | latest s behind | connections lost | backend, % of a core |\n"
                  "|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
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
              f"{phase['accepted']} | {phase['samples'] / max(1, phase['sent']):.0f} | {phase['p99_ms']:.0f} | {phase['late_ms'] / 1000:.1f} | {phase['reconnects']} | "
              f"{(spent - cpu) / (now - shown) * 100:.0f} |", flush=True)
        cpu, shown = spent, now
    return points


def tell_slope(points):
    """Nothing of less than two hours: the first is not looked at."""
    if len(points) < 12:
        return
    for title, column in (("resident", 1), ("most in ten minutes", 2)):
        of = [(p[0], p[column]) for p in points]
        print(f"{title}, MiB: first hour {statistics.mean(y for _, y in of[:6]):.1f}, second {statistics.mean(y for _, y in of[6:12]):.1f}, "
              f"last {statistics.mean(y for _, y in of[-6:]):.1f}, at most {max(y for _, y in of):.1f}, "
              f"slope from the second hour on {slope(of[6:]) * 24:+.2f} a day", flush=True)


def tell_counters(it):
    for name, value in sorted(counters(it, token_of(it)).items()):
        if "history" in name or "store" in name:
            print(f"  {name} {value:.0f}")


# --- a thousand hosts come back ---

LIVE_HOSTS, DRAWN = 100, 10


class Watch:
    """What a backend does while a backlog comes, a line of a table at a time."""
    head = ("| when | s | late acknowledged | rows wait | live a second | live p50 ms | p99 | worst | live, late sent away, late told to hold | resident MiB | most | database MiB | backend, % of a core |\n"
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|")

    def __init__(self, it, live):
        self.it, self.live, self.token = it, live, token_of(it)
        self.begin, self.cpu, self.shown = time.monotonic(), process_cpu_ns(it.backend.pid), time.monotonic_ns()
        self.most_mib, self.most_disk, self.accepted, self.late, self.reconnects, self.holds = 0, 0, 0, 0, 0, 0
        peak_since(it.backend)

    def waiting(self):
        """Snapshots that are durable and not columns."""
        return self.accepted - counters(self.it, self.token)["sonde_backend_history_sealed_snapshots_total"]

    def look(self, when, late=None):
        live = self.live.phase()
        late = late.phase() if late else None
        now, spent = time.monotonic_ns(), process_cpu_ns(self.it.backend.pid)
        self.late += late["accepted"] if late else 0
        self.reconnects += late["reconnects"] if late else 0
        self.holds += late["holds"] if late else 0
        self.accepted += live["accepted"] + (late["accepted"] if late else 0)
        peak, disk, waiting = peak_since(self.it.backend), database_mib(self.it), self.waiting()
        self.most_mib, self.most_disk = max(peak, self.most_mib), max(disk, self.most_disk)
        print(f"| {when} | {time.monotonic() - self.begin:.0f} | {self.late:,} | {waiting:,.0f} | {live['accepted'] / live['seconds']:.0f} | {live['p50_ms']:.1f} | "
              f"{live['p99_ms']:.1f} | {live['worst_ms']:.0f} | {live['reconnects']}, {late['reconnects'] if late else 0}, {late['holds'] if late else 0} | {memory_mib(self.it.backend):.0f} | {peak:.0f} | {disk:.0f} | "
              f"{(spent - self.cpu) / (now - self.shown) * 100:.0f} |", flush=True)
        self.cpu, self.shown = spent, now
        return waiting


def values_of(it, hostname):
    """How many values of one gauge can be read back."""
    done = subprocess.run([str(BUILD / "sonde-backend"), "export", "--store", f"sqlite:{it.database}", "--format", "jsonl", "--host", hostname,
                           "--metric", "memory.available_bytes"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"export: {done.stderr}")
    return len(done.stdout.splitlines())


def tell_lost(it, watch):
    """All hosts by what is durable and what became columns; a few by what can be read back."""
    hosts = database(it, "SELECT hostname, sum(last - first + 1), count(*) FROM hosts JOIN streams USING (host) WHERE hostname LIKE 'late-%' GROUP BY host")
    found = counters(it, watch.token)
    print(f"\nlate hosts {len(hosts)}, acknowledged {watch.late:,}, durable {sum(n for _, n, _ in hosts):,}, hosts with a gap {sum(r > 1 for *_, r in hosts)}; "
          f"not readable {found['sonde_backend_history_bad_snapshots_total']:.0f}, twice {found['sonde_backend_history_duplicate_snapshots_total']:.0f}")
    drawn = hosts[::max(1, len(hosts) // DRAWN)]
    lost = sum(sent - values_of(it, name) for name, sent, _ in drawn)
    print(f"of {len(drawn)} hosts read back: {sum(sent for _, sent, _ in drawn):,} values of memory.available_bytes sent, {lost} of them lost", flush=True)


def backlog(options):
    """Hosts that were away for ten hours, while others are live; until all of it is columns."""
    with Installation() as it:
        it.start_backend("--seal-every", "10m", "--host-max-rows", "0")
        live = Fleet(it, options.recording, options.sections, hosts=LIVE_HOSTS, hours=24, begin=f"{time.time():.6f}").connected()
        late = None
        try:
            watch = Watch(it, live)
            print(f"\n{options.late} hosts with {options.away} h at {options.late_every} s each, {LIVE_HOSTS} live at 1 s, sections: {options.sections}\n\n{Watch.head}")
            for _ in range(2):
                time.sleep(options.look)
                watch.look("before")
            late = Fleet(it, options.recording, options.sections, hosts=options.late, hours=options.away, every=options.late_every, first=LIVE_HOSTS,
                         backlog=1, begin=f"{time.time():.6f}").connected()
            began = time.monotonic()
            while late.program.poll() is None:
                time.sleep(options.look)
                watch.look("arriving", late)
            arrived = time.monotonic()
            while watch.look("sealing") > LIVE_HOSTS * 700:
                time.sleep(options.look)
            sealed = time.monotonic()
            for _ in range(2):
                time.sleep(options.look)
                watch.look("after")
            print(f"\narrived after {arrived - began:.0f} s ({watch.late / (arrived - began):,.0f} a second, {watch.reconnects} told to come again, {watch.holds} to hold it), columns "
                  f"{sealed - arrived:.0f} s later; memory at most {watch.most_mib:.0f} MiB, database at most {watch.most_disk:.0f} MiB")
            live.end()
            tell_lost(it, watch)
            tell_counters(it)
        finally:
            for fleet in (live, late):
                if fleet:
                    fleet.kill()
