"""A running agent, and what it holds in the kernel: by its own descriptors, so that other agents on the machine do not matter."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from programs import BUILD, free_port, wait_for  # noqa: E402

BPFTOOL = shutil.which("bpftool", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Agent:
    """With a backend that is not there, so that snapshots go round in a small spool; its numbers are read from its own Prometheus text."""

    def __init__(self, *arguments, wait=True, under=()):
        """under: a command that runs it."""
        self.directory = tempfile.TemporaryDirectory(prefix="sonde-running-")
        path = Path(self.directory.name)
        (path / "key").write_text("sonde_nobody_looks_at_it\n")
        (path / "key").chmod(0o600)
        self.port = free_port()
        self.log = open(path / "log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [*under, BUILD / "sonde-agent", "--config", "/dev/null", "--backend", f"127.0.0.1:{free_port()}", "--key-file", path / "key", "--state-dir", path,
             "--spool-bytes", "1MiB", "--interval", "200ms", "--metrics-listen", f"127.0.0.1:{self.port}", *arguments],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            # What a sanitizer's build frees it keeps for a while, 256 MiB of it by default: no leak.
            env={**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=1:thread_local_quarantine_size_kb=64"})
        if wait:
            wait_for(lambda: self.metrics() and "link" in self.held(), 30, "the agent's programs are attached, and it serves its numbers")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.end(signal.SIGKILL)
        if exception[0]:
            self.log.seek(0)
            print(self.log.read()[-4000:])
        self.log.close()
        self.directory.cleanup()

    def end(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def held(self):
        """{"prog": ids, "map": ids, "link": ids}, of its descriptors."""
        found = {}
        for file in Path(f"/proc/{self.process.pid}/fdinfo").glob("*"):
            try:
                text = file.read_text()
            except OSError:
                continue
            for kind in ("prog", "map", "link"):
                if match := re.search(rf"^{kind}_id:\t(\d+)$", text, re.M):
                    # A link's descriptor names its program too.
                    if kind != "prog" or not re.search(r"^link_id:", text, re.M):
                        found.setdefault(kind, set()).add(int(match[1]))
        return found

    def map_bytes(self):
        """What the kernel accounts its maps at, each once."""
        found = {}
        for file in Path(f"/proc/{self.process.pid}/fdinfo").glob("*"):
            try:
                text = file.read_text()
            except OSError:
                continue
            number, size = re.search(r"^map_id:\t(\d+)$", text, re.M), re.search(r"^memlock:\t(\d+)$", text, re.M)
            if number and size:
                found[int(number[1])] = int(size[1])
        return sum(found.values())

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory_bytes(self):
        """Its own: not libraries, whose share depends on who else uses them."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss_Anon:\s+(\d+) kB", text, re.M)[1]) << 10

    def metrics(self):
        """{name with labels: value}, or None while it does not serve."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as reply:
                text = reply.read().decode()
        except OSError:
            return None
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line and not line.startswith("#")}


def exists(kind, number):
    return subprocess.run([BPFTOOL, kind, "show", "id", str(number)], capture_output=True).returncode == 0


def left_over(held):
    return {f"{kind} {number}" for kind, numbers in held.items() for number in numbers if exists(kind, number)}


def expect_gone(held):
    """What the kernel frees it frees after a grace period."""
    wait_for(lambda: not left_over(held), 20, f"bpftool shows none of {held}")


def pins():
    return {str(path) for path in Path("/sys/fs/bpf").rglob("*")} if os.path.isdir("/sys/fs/bpf") else set()
