"""Rows become chunks, chunks become fewer, minutes are made, the old is forgotten: by a backend that takes snapshots meanwhile. The
agent's clock is in the test's hand: hours are sent in seconds, and a period of sealing is a second."""
import re
import sys
import time
import unittest
import urllib.parse
import urllib.request
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent / name) for name in ("ingest", "store")]
from backend import Backend, wait_for  # noqa: E402
from postgres import Postgres, programs  # noqa: E402

STEP = 10
WINDOW = 2 * 3600  # backend/history/tiers.h
RAW_TIER, PROCESS_TIER, MINUTE_TIER = "raw", "processes", "minute"


class Keeper:
    """A backend that keeps history, and what it says of that."""

    def __init__(self, backend, *extra):
        self.backend, self.extra = backend, extra
        self.restart()

    def restart(self, *more):
        if self.backend.backend.poll() is None:
            begin = time.monotonic()
            self.backend.stop()
            self.stopping = time.monotonic() - begin
        self.backend.start_backend("--seal-every", "1s", *self.extra, *more)
        self.token = self.backend.login()

    def metrics(self):
        request = urllib.request.Request(f"http://127.0.0.1:{self.backend.http_port}/metrics",
                                         headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        found = {}
        for line in lines:
            match = re.fullmatch(r'sonde_backend_history_(\w+)(?:\{tier="(\w+)"\})? ([-+.e\d]+)', line)
            if match:
                found[match[1], match[2]] = float(match[3])
        return found

    def value(self, name, tier=None):
        return self.metrics()[name, tier]

    def range(self, begin, end, step, function="", metric="summary.cpu_busy_ratio"):
        reply = self.backend.get(f"/api/servers/keeper/metrics?metric={metric}&from={begin}&to={end}&step={step}s{function}", self.token)
        return [v for line in reply["series"] for v in line["values"]]


class KeeperTest(unittest.TestCase):
    def setUp(self):
        self.backend = self.enterContext(Backend()) if hasattr(self, "enterContext") else self.opened()

    def opened(self):
        backend = Backend()
        backend.__enter__()
        self.addCleanup(backend.__exit__, None, None, None)
        return backend

    def send(self, stream, double, times, first):
        """One snapshot at each of these times; returns the next sequence."""
        for at in range(0, len(times), 500):
            batch = [self.snapshot(double, first + at + i, t) for i, t in enumerate(times[at:at + 500])]
            stream.send(2, double.batch(*batch))
            wanted = first + at + len(batch) - 1
            while not any(r.last >= wanted for r in stream.receive().acknowledgement.accepted):
                pass
        return first + len(times)

    def snapshot(self, double, sequence, seconds):
        s = double.snapshot(sequence, seconds=seconds, cpu_busy_ratio=(seconds // STEP % 997) / 1024)
        s.memory.state.code = 1
        s.memory.total_bytes = 1 << 34
        for cpu in range(2):
            s.cpu.cores.add(cpu=cpu, user_us=seconds * 1000 * (cpu + 1))
        s.processes.state.code = 1
        s.processes.processes.add(pid=1, start_time_us=5, cpu_us=seconds * 7)
        return s

    def ratio(self, seconds):
        return (seconds // STEP % 997) / 1024

    def test_all_steps_on_sqlite(self):
        self.all_steps()

    def test_all_steps_on_postgresql(self):
        if not programs():
            self.skipTest("PostgreSQL's programs are not installed (apt-get install postgresql)")
        server = Postgres()
        server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        self.all_steps("--store", server.database("keeper"))

    def all_steps(self, *extra):
        keeper = Keeper(self.backend, *extra)
        double = self.backend.double(hostname="keeper")
        stream = double.stream()
        stream.welcome()
        now = int(time.time()) // 60 * 60 - 60  # nothing below is of the future, which no retention reaches
        ended = (now - 600) // WINDOW * WINDOW  # the window before it is over, and something is behind it
        begin = ended - 2 * 3600
        times = list(range(begin, now, STEP))
        missing = set(range(begin + 600, begin + 1200, STEP))
        before = [t for t in times if t not in missing]
        following = self.send(stream, double, before, 1)
        wait_for(lambda: keeper.value("sealed_snapshots_total") == len(before), 30, "all is sealed")
        wait_for(lambda: keeper.value("compacted_chunks_total") > 0 and keeper.value("minute_bytes_total") > 0, 30, "a window is compacted")
        self.assertEqual(keeper.value("bad_snapshots_total"), 0)
        self.assertEqual(keeper.value("errors_total"), 0)

        # What was sent is what is read, every snapshot, from chunks alone, across the seam of windows.
        self.assertEqual(keeper.range(begin, begin + 600, STEP), [self.ratio(t) for t in range(begin, begin + 600, STEP)])
        self.assertEqual(keeper.range(ended - 300, ended + 50, STEP), [self.ratio(t) for t in range(ended - 300, ended + 50, STEP)])

        # What was missing comes late, while more comes: it takes its place.
        minutes_made = keeper.value("minute_bytes_total")
        following = self.send(stream, double, sorted(missing), following)
        self.send(stream, double, list(range(now, now + 50, STEP)), following)
        wait_for(lambda: keeper.value("sealed_snapshots_total") == len(times) + 5, 30, "the late ones are sealed")
        wait_for(lambda: keeper.value("minute_bytes_total") > minutes_made, 30, "the window is compacted again, and its minutes made anew")
        self.assertEqual(keeper.range(begin, begin + 1800, STEP), [self.ratio(t) for t in range(begin, begin + 1800, STEP)])

        # Minutes, from their own chunks: nothing that is exact becomes less so.
        minutes = list(range(begin + 60, ended - 60, 60))
        most = keeper.range(minutes[0], minutes[-1], 60, "&function=max")
        self.assertEqual(most, [max(self.ratio(t) for t in range(m, m + 60, STEP)) for m in minutes[:-1]])
        grown = keeper.range(minutes[0], minutes[-1], 60, "&function=increase", urllib.parse.quote('cpu.cores.user_us{cpu="1"}'))
        self.assertEqual(set(grown), {60 * 2000.0})

        # Stopping does not wait for what is left to do; the next one finds it.
        keeper.restart()
        self.assertLess(keeper.stopping, 3)
        self.assertEqual(keeper.range(begin, begin + 1800, STEP), [self.ratio(t) for t in range(begin, begin + 1800, STEP)])

        # Of what is too old, windows that are over go; processes have a time of their own.
        wait_for(lambda: keeper.value("bytes", PROCESS_TIER) > 0, 20, "sizes are known")
        raw = keeper.value("bytes", RAW_TIER)
        self.assertGreater(keeper.value("bytes", MINUTE_TIER), 0)
        keeper.restart("--retention-processes", "1s", "--retention-raw", f"{int(time.time()) - ended}s")
        wait_for(lambda: keeper.value("bytes", PROCESS_TIER) == 0, 30, "processes are gone")
        wait_for(lambda: 0 < keeper.value("bytes", RAW_TIER) < raw, 30, "the window that is too old is gone")
        # Fewer bytes than before they may be: in the hours after midnight the day of most of them is over, and compacted.
        self.assertGreater(keeper.value("bytes", MINUTE_TIER), 0)
        self.assertGreater(keeper.value("dropped_bytes_total"), 0)
        # It is answered from minutes.
        self.assertEqual(keeper.range(minutes[0], minutes[-1], 60, "&function=max"), most)

        # A cap: nothing of a tier is left that is larger than that.
        keeper.restart("--retention-minute-bytes", "1")
        wait_for(lambda: keeper.value("bytes", MINUTE_TIER) <= 1, 30, "minutes are within their cap")
        expected = ("an agent's clock is off", "PostgreSQL runs with fsync off")
        self.assertEqual([line for line in self.backend.warnings() if not any(words in line.replace("\\", "") for words in expected)], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
