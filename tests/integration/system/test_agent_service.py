"""The agent as a service: what a service manager hears of it, SIGHUP, the rights it keeps, and what it says it lacks."""
import json
import os
import signal
import socket
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
from programs import BUILD, Installation, wait_for  # noqa: E402
from websocket import WebSocket  # noqa: E402

CAPABILITIES = {"SYSLOG": 34, "DAC_READ_SEARCH": 2, "SYS_PTRACE": 19, "PERFMON": 38, "BPF": 39}


class Manager:
    """The socket a service manager would listen on."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)
        self.heard = []

    def hear(self):
        try:
            while True:
                self.heard.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return self.heard

    def heard_line(self, beginning):
        return any(line.startswith(beginning) for message in self.hear() for line in message.split("\n"))


def effective(pid):
    """Effective capabilities of each thread of a process."""
    sets = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = dict(line.split(":\t") for line in (task / "status").read_text().splitlines() if ":\t" in line)
        sets[int(task.name)] = int(fields["CapEff"], 16)
    return sets


class Service(unittest.TestCase):
    def setUp(self):
        self.it = self.enterContext(Installation())
        self.it.start_backend()
        self.config = self.it.path / "agent.yaml"

    def write(self, text):
        self.config.write_text(text)

    def snapshot(self):
        token = self.it.login()
        servers = self.it.get("/api/servers", token).get("servers")
        return self.it.get(f"/api/servers/{servers[0]['hostname']}", token).get("snapshot") if servers else None

    def test_service_manager(self):
        manager = Manager(self.it.path / "notify")
        agent = self.it.spawn("agent", "sonde-agent", "--backend", f"127.0.0.1:{self.it.grpc_port}", "--key-file", self.it.key_file,
                              "--state-dir", self.it.state_dir("agent"), NOTIFY_SOCKET=str(self.it.path / "notify"),
                              WATCHDOG_USEC="1500000")
        self.it.agents.append(agent)
        wait_for(lambda: manager.heard_line("READY=1"), 10, "READY=1")
        wait_for(lambda: sum(m == "WATCHDOG=1" for m in manager.hear()) >= 3, 10, "signs of life")
        wait_for(lambda: manager.heard_line("STATUS="), 15, "a status line")
        agent.send_signal(signal.SIGHUP)
        wait_for(lambda: manager.heard_line("RELOADING=1"), 10, "RELOADING=1")
        wait_for(lambda: sum(m == "READY=1" for m in manager.hear()) == 2, 10, "ready again")
        agent.send_signal(signal.SIGTERM)
        self.assertEqual(agent.wait(15), 0)
        self.assertTrue(manager.heard_line("STOPPING=1"))

    def test_reload(self):
        self.write("interval: 200ms\n")
        agent = self.it.start_agent("agent", "--config", self.config)
        first = wait_for(self.snapshot, 15, "a snapshot")
        self.assertEqual(first["interval_ms"], 200)
        self.assertIn("slab_bytes", first["memory"])

        self.write("interval: 300ms\ndisable: [vmstat]\nexclude: [memory.slab_bytes]\nintervals: [perf=1h]\n")
        agent.send_signal(signal.SIGHUP)
        later = wait_for(lambda: (s := self.snapshot())["interval_ms"] == 300 and s, 15, "the new interval")
        self.assertEqual(later["vmstat"]["state"]["code"], "disabled")
        self.assertNotIn("slab_bytes", later["memory"])
        self.assertIn("free_bytes", later["memory"])
        self.assertEqual(later["instance"], first["instance"])
        self.assertGreater(int(later["sequence"]), int(first["sequence"]))

        self.write("interval: 300ms\nnonsense: 1\n")
        agent.send_signal(signal.SIGHUP)
        wait_for(lambda: "cannot be reloaded" in self.it.log("agent"), 10, "a refusal")
        self.assertIn("nonsense", self.it.log("agent"))
        before = int(self.snapshot()["sequence"])
        wait_for(lambda: int(self.snapshot()["sequence"]) > before + 2, 10, "more snapshots")
        self.assertEqual(self.snapshot()["interval_ms"], 300)
        agent.send_signal(signal.SIGTERM)
        self.assertEqual(agent.wait(15), 0)

    def test_a_watched_section_comes_at_every_tick(self):
        """Memory is due once an hour here, unless a live client names the host and the section."""
        self.it.start_agent("agent", "--interval", "200ms", "--intervals", "memory=1h")
        first = wait_for(self.snapshot, 15, "a snapshot")
        self.assertIn("free_bytes", first["memory"])
        # Not due by now, and what was read first is still shown.
        later = wait_for(lambda: (s := self.snapshot())["sequence"] > 5 and s, 15, "later snapshots")
        self.assertEqual(later["memory"]["state"]["collected_at_us"], first["memory"]["state"]["collected_at_us"])
        self.assertIn("free_bytes", later["memory"])

        client = WebSocket(self.it.http_port, "/api/ws/metrics", [f"Authorization: Bearer {self.it.login()}"])
        frames = lambda: iter(lambda: json.loads(client.receive()), None)
        client.send(json.dumps({"type": "subscribe", "hosts": [socket.gethostname()], "sections": ["memory"]}))
        deadline, run = time.monotonic() + 15, 0
        for frame in frames():
            if frame["type"] == "snapshot":
                run = run + 1 if "free_bytes" in frame["memory"] else 0
            if run == 5:
                break
            self.assertLess(time.monotonic(), deadline, "five snapshots in a row with memory")
        client.close()
        at = lambda: self.snapshot()["memory"]["state"]["collected_at_us"]
        wait_for(lambda: (was := at(), time.sleep(1), at())[2] == was, 15, "the section is left alone again")

    @unittest.skipUnless(os.geteuid() == 0, "wants root, to see what it gives up")
    def test_rights_that_are_kept(self):
        agent = self.it.start_agent("agent")
        wait_for(self.snapshot, 15, "a snapshot")
        sets = effective(agent.pid)
        allowed = sum(1 << number for number in CAPABILITIES.values())
        for thread, held in sets.items():
            self.assertEqual(held & ~allowed, 0, f"thread {thread} holds {held:x}")
        self.assertIn(0, sets.values(), "the sender holds nothing")

    @unittest.skipUnless(os.geteuid() == 0, "wants root, to become somebody else")
    def test_without_rights(self):
        state = self.it.state_dir("agent")
        nobody = 65534
        os.chmod(self.it.path, 0o755)
        for path in (state, self.it.key_file):
            os.chown(path, nobody, nobody)
        with open(self.it.path / "agent.log", "wb") as log:
            agent = subprocess.Popen([BUILD / "sonde-agent", "--backend", f"127.0.0.1:{self.it.grpc_port}", "--key-file",
                                      self.it.key_file, "--state-dir", state], stdout=log, stderr=log, user=nobody, group=nobody,
                                     extra_groups=[])
        self.it.agents.append(agent)
        snapshot = wait_for(self.snapshot, 15, "a snapshot")
        self.assertEqual(snapshot["cpu"]["state"]["code"], "ok")
        log = self.it.log("agent")
        for name in CAPABILITIES:
            self.assertRegex(log, f"capability=CAP_{name} cost=")
        self.assertEqual(set(effective(agent.pid).values()), {0})


if __name__ == "__main__":
    unittest.main(verbosity=2)
