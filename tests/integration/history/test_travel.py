"""A host at past moments, over REST: what is answered from rows is answered from sealed chunks, and from compacted ones, the same;
and so it is where the one goes on in the other. The agent's clock is in the test's hand."""
import sys
import time
import unittest
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "ingest"), str(Path(__file__).parent.parent / "store")]
from backend import Backend, wait_for  # noqa: E402
from postgres import Postgres, programs  # noqa: E402
from test_keeper import STEP, WINDOW, Keeper  # noqa: E402

OK, NOT_DUE, UNAVAILABLE = 1, 2, 3
KEYFRAME_EVERY, DUE_EVERY = 6, 3


def in_any_order(value):
    """Rows come by their labels out of chunks, as the agent had them out of rows."""
    if isinstance(value, dict):
        return {name: in_any_order(v) for name, v in value.items()}
    if isinstance(value, list):
        return sorted((in_any_order(v) for v in value), key=repr)
    return value


class TravelTest(unittest.TestCase):
    def setUp(self):
        self.backend = Backend()
        self.backend.__enter__()
        self.addCleanup(self.backend.__exit__, None, None, None)

    def restart(self, *extra):
        self.backend.stop()
        self.backend.start_backend(*extra)
        self.token = self.backend.login()

    def snapshot(self, double, sequence, seconds):
        s = double.snapshot(sequence, seconds=seconds, cpu_busy_ratio=seconds % 97 / 128)

        def state(section, code=OK, **more):
            section.state.code = code
            for name, value in more.items():
                setattr(section.state, name, value)
            if code != NOT_DUE:
                section.state.collected_at_us = s.boottime_us
        state(s.summary)
        state(s.cpu)
        for cpu in (1, 0):
            s.cpu.cores.add(cpu=cpu, user_us=seconds * 1000 * (cpu + 1))
        state(s.perf, UNAVAILABLE, reason="no_pmu", detail="no counters here; \"quoted\", 'quoted' -- \N{SNOWMAN}")
        due = sequence % DUE_EVERY == 1
        state(s.filesystems, OK if due else NOT_DUE)
        if due:
            s.filesystems.filesystems.add(mount_point="/", device="vda1", size_bytes=1 << 40, free_bytes=seconds)
        state(s.processes)
        s.processes.source = "proc"
        keyframe = sequence % KEYFRAME_EVERY == 1
        if keyframe:
            s.processes.keyframe = True
        for pid in range(1, 40):
            if keyframe or (pid + sequence) % 7 == 0:
                s.processes.processes.add(
                    pid=pid, start_time_us=pid * 10000 + (sequence // 100 if pid % 5 == 0 else 0), parent_pid=1,
                    comm=f"task-{pid}", command_line=f"/bin/task-{pid} --run {sequence // 50}", user="root",
                    process_state=1 + (pid * sequence) % 3, cpu_us=seconds * pid, resident_bytes=pid << 20)
        state(s.events)
        if sequence % 10 == 0:
            s.events.events.add(kind=3, severity=2, boottime_us=s.boottime_us, subject="sda", message=f"number {sequence}")
        return s

    def send(self, stream, double, times, first):
        for at in range(0, len(times), 250):
            batch = [self.snapshot(double, first + at + i, t) for i, t in enumerate(times[at:at + 250])]
            stream.send(2, double.batch(*batch))
            while not any(r.last >= first + at + len(batch) - 1 for r in stream.receive().acknowledgement.accepted):
                pass
        return first + len(times)

    def at(self, moments):
        return {(what, m): in_any_order(self.backend.get(f"/api/servers/travel/{what}at={m}", self.token))
                for m in moments for what in ("snapshot?", "processes?", "processes?sort=memory&limit=5&")}

    def compare(self, expected, found):
        for key, value in expected.items():
            self.assertEqual(found[key], value, f"{key[0]} at {key[1]}")

    def test_a_moment_is_the_same_in_rows_and_in_chunks(self):
        self.rows_and_chunks()

    def test_a_moment_is_the_same_on_postgresql(self):
        if not programs():
            self.skipTest("PostgreSQL's programs are not installed (apt-get install postgresql)")
        server = Postgres()
        server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        self.rows_and_chunks("--store", server.database("travel"))

    def rows_and_chunks(self, *extra):
        self.restart(*extra)
        double = self.backend.double(hostname="travel")
        stream = double.stream()
        stream.welcome()
        ended = (int(time.time()) - 600) // WINDOW * WINDOW
        # On both sides of where a window ends, and an hour in it.
        times = list(range(ended - 4000, ended - 3200, STEP)) + list(range(ended - 300, ended + 200, STEP))
        following = self.send(stream, double, times, 1)
        moments = [times[0], times[0] + 35, ended - 3601, ended - 3600, ended - 3300.5, ended - 3201, ended - 1000, ended - 250, ended - 5,
                   ended, ended + 10, ended + 95.5, ended + 199]
        from_rows = self.at(moments)
        # It is not nothing that is compared.
        whole = from_rows["snapshot?", moments[4]]["snapshot"]
        self.assertEqual(len(whole["processes"]["processes"]), 39)
        self.assertEqual(whole["filesystems"]["filesystems"][0]["mount_point"], "/")
        self.assertIn("command_line", whole["processes"]["processes"][0])
        self.assertEqual(whole["perf"]["state"]["reason"], "no_pmu")

        keeper = Keeper(self.backend, *extra)
        self.token = keeper.token
        wait_for(lambda: keeper.value("sealed_snapshots_total") == len(times), 30, "all is sealed")
        self.compare(from_rows, self.at(moments))
        wait_for(lambda: keeper.value("compacted_chunks_total") > 0, 30, "a window is compacted")
        self.compare(from_rows, self.at(moments))

        # What comes then lies in rows: the moment after the seam has sections and processes from before it.
        self.restart(*extra)
        stream = double.stream()
        stream.welcome()
        self.send(stream, double, list(range(ended + 200, ended + 220, STEP)), following)
        self.compare(from_rows, self.at(moments))
        behind = self.backend.get(f"/api/servers/travel/snapshot?at={ended + 215}", self.token)["snapshot"]
        self.assertEqual(behind["sequence"], following + 1)
        self.assertEqual(len({p["pid"] for p in behind["processes"]["processes"]}), 39)
        self.assertEqual(behind["filesystems"]["state"]["code"], "ok")


if __name__ == "__main__":
    unittest.main(verbosity=2)
