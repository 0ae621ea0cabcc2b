"""What is wrong with an agent, its host's clock, name or identity: both real programs, and where a person sees it."""
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import unittest
from pathlib import Path

from backend import Backend, wait_for

sys.path.insert(0, str(Path(__file__).parent.parent / "delivery"))
from test_spool import HEADER, RECORD, crc32c, records  # noqa: E402

LIGHT = ("--disable", "block_io,perf,tcp,scheduler,interrupts,processes,cgroups")
CLOCK = """#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *t)
{
	int r = (int)syscall(SYS_clock_gettime, clock, t);
	const char *shift = getenv("SHIFT_S");
	if (r == 0 && clock == CLOCK_REALTIME && shift)
		t->tv_sec += atol(shift);
	return r;
}
"""


class WarningsTest(unittest.TestCase):
    def warning(self, backend, token, name):
        return backend.get(f"/api/servers/{name}", token)["server"].get("warning", "")

    def servers(self, backend, token):
        return backend.get("/api/servers", token).get("servers", [])

    def sequences(self, backend):
        with sqlite3.connect(f"file:{backend.database}?mode=ro", uri=True) as db:
            return [row[0] for row in db.execute("SELECT sequence FROM hot ORDER BY sequence")]

    def spoil(self, spool, victim):
        """Makes a label's text of one snapshot invalid, as no disk would do by chance: the sums are right."""
        data = bytearray(spool.read_bytes())
        headers = [(HEADER.unpack_from(data, slot)[6], bytes(data[slot + 24:slot + 32])) for slot in (0, 512)]
        file_id = max(headers)[1]
        at, fields = next((at, fields) for at, fields in records(spool) if fields[3] == victim)
        payload = slice(at + RECORD.size, at + RECORD.size + fields[7])
        label = data.index(b"filesystems", payload.start, payload.stop)
        data[label + 4] = 0xFF
        changed = list(fields)
        changed[8] = crc32c(data[payload])
        RECORD.pack_into(data, at, *changed)
        changed[9] = crc32c(data[at:at + RECORD.size - 8], crc32c(file_id))
        RECORD.pack_into(data, at, *changed)
        spool.write_bytes(data)

    def test_invalid_utf8_is_refused_alone_and_let_go(self):
        with Backend() as backend:
            token = backend.login()
            backend.stop()
            agent = backend.start_agent("agent", "--interval", "100ms", *LIGHT)
            spool = backend.state_dir("agent") / "spool"
            wait_for(lambda: spool.exists() and len(list(records(spool))) > 8, 10, "snapshots wait in the spool")
            agent.kill()
            agent.wait()
            before = len(list(records(spool)))
            self.spoil(spool, 5)
            backend.start_backend()
            agent = backend.start_agent("agent", "--interval", "1s", *LIGHT)
            wait_for(lambda: "an earlier agent left has been delivered" in backend.log("agent"), 15, "the spool is empty")
            refused = [line for line in backend.log("agent").splitlines() if "refused snapshots for good" in line]
            self.assertEqual(len(refused), 1, refused)
            self.assertIn("first=5 last=5", refused[0])
            self.assertIn("not a snapshot that can be read with the announced schema", refused[0])
            said = [line for line in backend.warnings() if "a snapshot was refused" in line]
            self.assertEqual(len(said), 1, said)
            self.assertIn("sequence=5", said[0])
            name = self.servers(backend, token)[0]["hostname"]
            wait_for(lambda: backend.get(f"/api/servers/{name}", token)["snapshot"]["agent"].get("rejected_snapshots") == 1, 5,
                     "the agent counts it")
            agent.terminate()
            self.assertEqual(agent.wait(10), 0)
            stored = self.sequences(backend)
            with sqlite3.connect(f"file:{backend.database}?mode=ro", uri=True) as db:
                first = max(db.execute("SELECT count(*) FROM hot GROUP BY instance").fetchall())[0]
            self.assertEqual((first, stored.count(4) >= 1, stored.count(6) >= 1), (before - 1, True, True))

    def test_clocks_that_are_off(self):
        with Backend() as backend:
            token = backend.login()
            source, library = backend.path / "clock.c", backend.path / "clock.so"
            source.write_text(CLOCK)
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
            shifts = {"ahead": 7200, "behind": -86400, "right": 0, "delayed": -300}
            hosts = {}
            for name, shift in shifts.items():
                known = {server["host_id"] for server in self.servers(backend, token)}
                agent = backend.spawn(name, "sonde-agent", "--backend", f"127.0.0.1:{backend.grpc_port}", "--key-file", backend.key_file,
                                      "--state-dir", backend.state_dir(name), "--interval", "200ms", *LIGHT,
                                      LD_PRELOAD=str(library), SHIFT_S=str(shift), ASAN_OPTIONS="verify_asan_link_order=0")
                backend.agents.append(agent)
                hosts[name] = wait_for(lambda: [server["host_id"] for server in self.servers(backend, token)
                                                if server["host_id"] not in known], 10, "the host is there")[0]
            wait_for(lambda: all(self.server(backend, token, host).get("clock_skew_ms") is not None for host in hosts.values()), 10, "snapshots")
            skews = {name: self.server(backend, token, host) for name, host in hosts.items()}
            for name, shift in shifts.items():
                self.assertLess(abs(skews[name]["clock_skew_ms"] - 1000 * shift), 3000, name)
            self.assertRegex(skews["ahead"]["warning"], r"its clock is 7(199|200) s ahead of the backend's")
            self.assertRegex(skews["behind"]["warning"], r"its clock is 8640\d s behind the backend's")
            for name in ("right", "delayed"):
                self.assertNotIn("clock", skews[name].get("warning", ""))
            lines = [line for line in backend.warnings() if "clock is off" in line]
            self.assertEqual(len(lines), 2, lines)
            for agent in backend.agents:
                agent.terminate()
                self.assertEqual(agent.wait(10), 0)
            for name in shifts:
                self.assertRegex(backend.log(name), r"rejected=0 dropped=0 unsent=0", "skew is no reason to refuse")

    def server(self, backend, token, host):
        return backend.get(f"/api/servers/{host}", token)["server"]

    def test_two_hosts_of_one_name(self):
        with Backend() as backend:
            token = backend.login()
            backend.start_agent("one", "--interval", "200ms", *LIGHT)
            name = wait_for(lambda: self.servers(backend, token), 10, "the first")[0]["hostname"]
            backend.start_agent("two", "--interval", "200ms", *LIGHT)
            other = wait_for(lambda: [s for s in self.servers(backend, token) if s["hostname"] == f"{name}-2"], 10, "the second")[0]
            self.assertIn(f'another host is called "{name}"', other["warning"])
            self.assertNotIn("another host", self.warning(backend, token, name))
            self.assertIn("another host is called", backend.log("two"))
            self.assertEqual(len([line for line in backend.warnings() if "two hosts claim one name" in line]), 1)

    def test_machines_with_one_identity(self):
        with Backend() as backend:
            token = backend.login()
            first = backend.start_agent("original", "--interval", "200ms", *LIGHT)
            name = wait_for(lambda: self.servers(backend, token), 10, "the host")[0]["hostname"]
            shutil.copytree(backend.state_dir("original"), backend.state_dir("copy"), dirs_exist_ok=True)
            # An agent that was started anew, and one that hangs, are no rivals.
            first.send_signal(signal.SIGSTOP)
            second = backend.start_agent("copy", "--interval", "200ms", *LIGHT)
            time.sleep(13)
            self.assertNotIn("two agents", self.warning(backend, token, name))
            first.send_signal(signal.SIGCONT)
            wait_for(lambda: "two agents send as this host" in self.warning(backend, token, name), 10, "the host's row says so")
            lines = [line for line in backend.warnings() if "two agents send as one host" in line]
            self.assertEqual(len(lines), 1, lines)
            self.assertEqual(len(self.servers(backend, token)), 1)
            second.terminate()
            self.assertEqual(second.wait(10), 0)
            wait_for(lambda: "two agents" not in self.warning(backend, token, name), 5, "it is taken back")
            first.terminate()
            self.assertEqual(first.wait(10), 0)
            with sqlite3.connect(f"file:{backend.database}?mode=ro", uri=True) as db:
                rows = db.execute("SELECT count(*), max(sequence), count(DISTINCT sequence) FROM hot GROUP BY instance").fetchall()
            self.assertEqual(len(rows), 2, "kept apart")
            for row in rows:
                self.assertEqual(len(set(row)), 1, f"a gap or a double: {rows}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
