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


def capabilities(pid, which="CapEff"):
    """Effective or permitted capabilities of each thread of a process."""
    sets = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            fields = dict(line.split(":\t") for line in (task / "status").read_text().splitlines() if ":\t" in line)
        except OSError:  # a thread that has ended
            continue
        sets[int(task.name)] = int(fields[which], 16)
    return sets


def mask(*names):
    return sum(1 << CAPABILITIES[name] for name in names)


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
        agent = self.it.start_agent("agent", "--interval", "100ms")
        wait_for(self.snapshot, 15, "a snapshot")
        allowed, raised, moments = mask(*CAPABILITIES), {}, 400
        for thread, held in capabilities(agent.pid, "CapPrm").items():
            self.assertEqual(held & ~allowed, 0, f"thread {thread} may have {held:x}")
        self.assertIn(0, capabilities(agent.pid, "CapPrm").values(), "the sender may have nothing")
        for _ in range(moments):
            for thread, held in capabilities(agent.pid).items():
                self.assertEqual(held & ~allowed, 0, f"thread {thread} holds {held:x}")
                raised[thread] = raised.get(thread, 0) + (held != 0)
            time.sleep(0.002)
        # For the moments of a tick in which a collector needs them: never on main or the sender, seldom elsewhere.
        self.assertEqual(raised[agent.pid], 0)
        self.assertLess(max(raised.values()), moments / 2, raised)

    def start_as_nobody(self, *arguments, names):
        """As somebody else with ambient capabilities, as a unit with User= and AmbientCapabilities= has it."""
        state, nobody = self.it.state_dir("agent"), 65534
        os.chmod(self.it.path, 0o755)
        for path in (state, *state.rglob("*"), self.it.key_file):
            os.chown(path, nobody, nobody)
        listed = ",".join(f"+{name.lower()}" for name in names)
        command = ["setpriv", "--reuid", str(nobody), "--regid", str(nobody), "--clear-groups", "--inh-caps", listed, "--ambient-caps",
                   listed, str(BUILD / "sonde-agent"), "--backend", f"127.0.0.1:{self.it.grpc_port}", "--key-file",
                   str(self.it.key_file), "--state-dir", str(state), *map(str, arguments)]
        with open(self.it.path / "agent.log", "wb") as log:
            agent = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.it.agents.append(agent)
        return agent

    def closed_directory(self, name):
        """Of root alone, with a file of metrics that everybody may read and a file system in it."""
        closed = self.it.path / name
        (closed / "mounted").mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "sonde-test", closed / "mounted"], check=True)
        self.addCleanup(subprocess.run, ["umount", closed / "mounted"], check=True)
        (closed / "some.prom").write_text("secret 1\n")
        closed.chmod(0o700)
        return closed

    @unittest.skipUnless(os.geteuid() == 0, "wants root, to become somebody else")
    def test_rights_are_raised_where_they_are_declared(self):
        """PTRACE and DAC_READ_SEARCH work for the collectors that declare them, and for nobody else."""
        try:
            closed = self.closed_directory("closed")
        except subprocess.CalledProcessError:
            self.skipTest("no file system can be mounted here")
        agent = self.start_as_nobody("--interval", "200ms", "--custom-dir", closed, "--top", 1000,
                                     names=("SYS_PTRACE", "DAC_READ_SEARCH"))
        own = wait_for(lambda: (s := self.snapshot()) and s["processes"].get("source") and s, 15, "the process table")
        self.assertNotEqual(own["processes"]["source"], "bpf", "it has no CAP_BPF")

        def process(snapshot):
            return next((row for row in snapshot["processes"].get("processes", []) if row["pid"] == self.it.backend.pid), None)

        row = wait_for(lambda: (s := self.snapshot()) and (row := process(s)) and "write_bytes" in row and row, 20,
                       "what root's process wrote: /proc/PID/io wants CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH")
        self.assertGreater(row["write_bytes"], 0)
        mounted = wait_for(lambda: next((f for f in self.snapshot().get("filesystems", {}).get("filesystems", [])
                                         if f.get("mount_point", "").endswith("closed/mounted") and "size_bytes" in f), None), 20,
                           "the size of a file system in a directory of root's")
        self.assertEqual(mounted["size_bytes"], 1 << 20)
        custom = wait_for(lambda: (c := self.snapshot()["custom"]) and c["state"]["code"] not in ("starting", "not_due") and c, 20,
                          "the custom section's first reading")
        self.assertNotIn("secret", json.dumps(custom), "custom declares nothing, and may read what nobody may")
        self.assertEqual(set(capabilities(agent.pid, "CapPrm").values()), {0, mask("SYS_PTRACE", "DAC_READ_SEARCH")})
        # What is started anew by a reload is made with the same rights.
        agent.send_signal(signal.SIGHUP)
        wait_for(lambda: "reloading" in self.it.log("agent"), 10, "the reload")
        before = self.snapshot()["sequence"]
        wait_for(lambda: (s := self.snapshot())["sequence"] > before + 5 and (row := process(s)) and "write_bytes" in row, 20,
                 "what root's process wrote, after the reload")

    @unittest.skipUnless(os.geteuid() == 0, "wants root, to become somebody else")
    def test_ambient_rights_are_enough_for_probes(self):
        """As root says of its own processes and block_io, so somebody else with these capabilities says."""
        as_root = self.it.start_agent("agent", "--interval", "200ms")
        seen = wait_for(self.snapshot, 15, "a snapshot")
        expected = {name: seen[name]["state"]["code"] for name in ("processes", "block_io", "perf")}
        as_root.terminate()
        as_root.wait(15)
        self.start_as_nobody("--interval", "200ms", names=CAPABILITIES)
        other = wait_for(lambda: (s := self.snapshot()) and s["instance"] != seen["instance"] and s, 15, "its snapshots")
        self.assertEqual({name: other[name]["state"]["code"] for name in expected}, expected)
        self.assertNotIn("running without a capability", self.it.log("agent"))

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
        self.assertEqual(set(capabilities(agent.pid).values()), {0})


if __name__ == "__main__":
    unittest.main(verbosity=2)
