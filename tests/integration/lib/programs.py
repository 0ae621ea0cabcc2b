"""Starts and stops the real programs for integration tests, on ports the kernel picks, with all state in one temporary directory."""
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

BUILD = Path(os.environ.get("SONDE_BUILD", "build/dev"))
SOURCE = Path(os.environ.get("SONDE_SOURCE", "."))
PASSWORD = "correct horse battery"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, seconds, what):
    """Polls until condition() is true and returns its value; fails the test with `what` after that many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def memory_mib(process, field="VmRSS"):
    """What a process of ours holds, or with VmHWM the most it has held since it started."""
    return int(Path(f"/proc/{process.pid}/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


class Installation:
    """A backend and any number of agents. Use as a context manager: everything is ended and removed at exit."""

    def __init__(self, web_root=None):
        self.directory = tempfile.TemporaryDirectory(prefix="sonde-test-")
        self.path = Path(self.directory.name)
        self.database = self.path / "sonde.db"
        self.key_file = self.path / "agent.key"
        self.http_port, self.grpc_port = free_port(), free_port()
        self.web_root = web_root or SOURCE / "frontend" / "dist"
        self.backend = None
        self.agents = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for process in [*self.agents, self.backend]:
            if process and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        if exception[0]:
            for log in sorted(self.path.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}")
        self.directory.cleanup()

    def spawn(self, name, *arguments, **environment):
        with open(self.path / f"{name}.log", "ab") as log:
            return subprocess.Popen([str(BUILD / arguments[0]), *map(str, arguments[1:])], stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=log, env={**os.environ, **environment})

    def start_backend(self, *extra):
        self.backend = self.spawn("backend", "sonde-backend", "--store", f"sqlite:{self.database}",
                                  "--http-listen", f"127.0.0.1:{self.http_port}", "--grpc-listen", f"127.0.0.1:{self.grpc_port}",
                                  "--web-root", self.web_root, "--agent-key-file", self.key_file, *extra,
                                  SONDE_ADMIN_PASSWORD=PASSWORD, SONDE_SEAL_EVERY="1h")
        wait_for(self.healthy, 15, "the backend answers /health")
        return self.backend

    def start_agent(self, name="agent", *extra):
        agent = self.spawn(name, "sonde-agent", "--backend", f"127.0.0.1:{self.grpc_port}", "--key-file", self.key_file,
                           "--state-dir", self.state_dir(name), *extra)
        self.agents.append(agent)
        return agent

    def state_dir(self, name):
        directory = self.path / name
        directory.mkdir(exist_ok=True)
        return directory

    def healthy(self):
        if self.backend.poll() is not None:
            raise AssertionError(f"the backend ended with {self.backend.returncode}")
        try:
            return self.get("/health", token=None)["status"] == "ok"
        except (urllib.error.URLError, ConnectionError):
            return False

    def get(self, path, token):
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)

    def login(self):
        form = urllib.parse.urlencode({"username": "admin", "password": PASSWORD}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/token", form, timeout=10) as reply:
            return json.load(reply)["access_token"]

    def log(self, name):
        return (self.path / f"{name}.log").read_text(errors="replace")

    def complaints(self, name):
        """Lines of a log that a sanitizer wrote, or that say what should not happen."""
        return [line for line in self.log(name).splitlines() if re.search("ERROR: |WARNING: ThreadSanitizer|runtime error|level=error", line)]

    def stored(self):
        """(instance, sequence) of all snapshots the database holds, once for each row."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=20) as db:
            return db.execute("SELECT instance, sequence FROM hot").fetchall()
