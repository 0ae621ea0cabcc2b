"""The ordinary system test on PostgreSQL, and what only a server can do to the product: be away for a while. Agents keep their data, the
live view goes on, storage and sealing catch up. --slow: away for a minute, a server that stands still, and all of the system test."""
import json
import signal
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system"), str(HERE.parent / "lib")]
import programs  # noqa: E402
import test_main_job  # noqa: E402
from postgres import Postgres  # noqa: E402
from websocket import WebSocket  # noqa: E402

SLOW = "--slow" in sys.argv
AWAY_S = 60 if SLOW else 4
POSTGRES = None
NUMBER = iter(range(1 << 30))


class OnPostgres(programs.Installation):
    """An installation with a database of its own; `database` is its name there."""

    def __enter__(self):
        super().__enter__()
        self.database = f"sonde_{next(NUMBER)}"
        self.url = POSTGRES.database(self.database)
        return self

    def start_backend(self, *extra):
        return super().start_backend("--store", self.url, *extra)


def setUpModule():
    global POSTGRES
    POSTGRES = Postgres(durable=True).__enter__()
    unittest.addModuleCleanup(POSTGRES.__exit__, None, None, None)
    test_main_job.Installation = OnPostgres
    test_main_job.stored_sequences = POSTGRES.sequences


class MainJobOnPostgres(test_main_job.MainJob):
    """Without --slow the whole way once; test_kills.py has what can happen to the store."""
    if not SLOW:
        test_nothing_without_a_login = test_killed_backend_loses_nothing = test_paused_backend_loses_nothing = None
        test_restarted_agent_is_a_new_instance_of_the_same_host = None


class Away(unittest.TestCase):
    def watch(self, it, token):
        """Frames of the live view, one after the other."""
        ws = WebSocket(it.http_port, "/api/ws/metrics", [f"Authorization: Bearer {token}", f"Cookie: sonde_token={token}"])
        self.addCleanup(ws.close)
        self.assertEqual(ws.status, 101)
        while True:
            frame = json.loads(ws.receive())
            if frame["type"] == "snapshot":
                yield frame["sequence"]

    def check(self, leave, come_back):
        with OnPostgres() as it:
            it.start_backend("--seal-every", "1s")
            it.start_agent("agent", "--interval", "200ms")
            token = it.login()
            programs.wait_for(lambda: it.get("/api/servers", token).get("servers"), 60, "the host is listed")
            frames = self.watch(it, token)
            for _ in range(5):
                last = next(frames)
            leave()
            end = time.monotonic() + AWAY_S
            seen = 0
            while time.monotonic() < end:
                sequence = next(frames)
                self.assertGreater(sequence, last)
                last, seen = sequence, seen + 1
                begin = time.monotonic()
                self.assertEqual(it.get("/api/servers", token)["servers"][0]["status"], "live")
                self.assertLess(time.monotonic() - begin, 5, "what needs no database does not wait for it")
            self.assertGreater(seen, AWAY_S, "the live view went on")
            programs.wait_for(lambda: "the database cannot be written" in it.log("backend"), 20, "the log says so")
            come_back()
            programs.wait_for(lambda: "the database is written again" in it.log("backend"), 30, "storage catches up")
            it.agents[0].send_signal(signal.SIGTERM)
            self.assertEqual(it.agents[0].wait(20), 0)
            unsealed = "SELECT count(*) FROM sonde.hot JOIN sonde.hosts USING (host) WHERE received_us > sealed_us"
            programs.wait_for(lambda: POSTGRES.psql(unsealed, it.database) == [["0"]], 60, "sealing catches up")
            it.backend.send_signal(signal.SIGTERM)
            self.assertEqual(it.backend.wait(15), 0)
            _, ranges = POSTGRES.sequences(it.database)
            (((first, newest),),) = ranges.values()
            self.assertEqual(first, 1)
            self.assertGreaterEqual(newest, last)
            # The hour's rows may be gone by now: the chunks' heads say how many snapshots are in them.
            ticks = POSTGRES.psql("SELECT sum(get_byte(data, 8) + (get_byte(data, 9) << 8) + (get_byte(data, 10) << 16)) FROM (SELECT data FROM"
                                  " sonde.sealed_raw UNION ALL SELECT data FROM sonde.compacted_raw) c", it.database)
            self.assertEqual(ticks, [[str(newest)]], "every sequence once, none missing")

    def test_server_is_down(self):
        self.check(POSTGRES.stop, POSTGRES.start)

    @unittest.skipUnless(SLOW, "a frozen server is noticed after ten seconds: --slow")
    def test_server_stands_still(self):
        self.check(lambda: POSTGRES.signal(signal.SIGSTOP), lambda: POSTGRES.signal(signal.SIGCONT))


if __name__ == "__main__":
    if SLOW:
        sys.argv.remove("--slow")
    unittest.main(verbosity=2)
