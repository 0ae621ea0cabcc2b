"""The units of deploy/systemd allow what the programs do: no system call and no address family is missing from their lists."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
from programs import BUILD, PASSWORD, SOURCE, Installation, wait_for  # noqa: E402

UNITS = SOURCE / "deploy" / "systemd"
for needed, package in (("strace", "strace"), ("systemd-analyze", "systemd")):
    if not shutil.which(needed):
        print(f"SKIP: {package} is not installed")
        sys.exit(77)


def setting(unit, name):
    return re.search(rf"^{name}=(.*)$", (UNITS / f"sonde-{unit}.service").read_text(), re.M)[1].split()


def expand(name):
    """The system calls of a set, with those of the sets in it."""
    out = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True).stdout
    found = set()
    for line in map(str.strip, out.splitlines()[1:]):
        if line and not line.startswith("#"):
            found |= expand(line) if line.startswith("@") else {line}
    return found


def allowed(unit):
    return set().union(*(expand(call) if call.startswith("@") else {call} for call in setting(unit, "SystemCallFilter")))


class Units(unittest.TestCase):
    def test_systemd_takes_every_line(self):
        with tempfile.TemporaryDirectory() as folder:
            for unit in ("backend", "agent"):
                copy = Path(folder) / f"sonde-{unit}.service"
                copy.write_text((UNITS / copy.name).read_text().replace("ExecStart=", f"ExecStart={BUILD.absolute()}/"))
                done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
                self.assertEqual((done.returncode, [line for line in done.stderr.splitlines() if copy.name in line]), (0, []))

    @unittest.skipUnless(os.geteuid() == 0, "wants root, or the agent tries little of what it does as a service")
    def test_nothing_is_refused_that_the_programs_do(self):
        with Installation() as it:
            def trace(name, program, *arguments):
                with open(it.path / f"{name}.log", "wb") as log:
                    return subprocess.Popen(["strace", "-f", "-qq", "-o", it.path / f"{name}.trace", BUILD / program, *map(str, arguments)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "SONDE_ADMIN_PASSWORD": PASSWORD})
            it.backend = trace("backend", "sonde-backend", "--store", f"sqlite:{it.database}", "--tls", "--http-listen",
                               f"127.0.0.1:{it.http_port}", "--grpc-listen", f"127.0.0.1:{it.grpc_port}", "--agent-key-file", it.key_file)
            wait_for(it.healthy, 30, "the backend answers")
            agent = trace("agent", "sonde-agent", "--backend", f"127.0.0.1:{it.grpc_port}", "--key-file", it.key_file, "--state-dir",
                          it.state_dir("agent"), "--interval", "300ms", "--extra", "tcp_rtt,off_cpu")
            it.agents.append(agent)
            token = it.login()
            wait_for(lambda: (s := it.get("/api/servers", token).get("servers")) and
                     it.get(f"/api/servers/{s[0]['hostname']}", token).get("snapshot", {}).get("sequence", 0) > 5, 60, "snapshots")
            for process in (agent, it.backend):
                child = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
                os.kill(child, signal.SIGTERM)
                self.assertEqual(process.wait(30), 0)
            for unit in ("backend", "agent"):
                text = (it.path / f"{unit}.trace").read_text(errors="replace")
                calls = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", text, re.M))
                self.assertIn("execve", calls)
                self.assertEqual(calls - allowed(unit), set(), f"sonde-{unit}.service lists no such system call")
                families = set(re.findall(r"socket\((AF_[A-Z0-9]+)", text))
                self.assertEqual(families - set(setting(unit, "RestrictAddressFamilies")), set())


if __name__ == "__main__":
    unittest.main()
