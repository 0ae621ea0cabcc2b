"""The real agent for the tests beside it, and what arrives from it, in whatever server it is pointed at."""
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE.parent / "grpc")]
import sonde_proto  # noqa: E402
from programs import BUILD, wait_for  # noqa: E402,F401

MESSAGES = sonde_proto.load()
KEY = "test-key-of-the-agent-0123456789abcdef"


class Agent:
    """sonde-agent every 100 ms against a port of this host. At exit it must have ended by itself, and without a sanitizer's word."""

    def __init__(self, port, interval="100ms", *extra):
        self.directory = tempfile.TemporaryDirectory(prefix="sonde-test-")
        self.path = Path(self.directory.name)
        key_file = self.path / "key"
        key_file.write_text(KEY + "\n")
        key_file.chmod(0o600)
        with open(self.path / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(BUILD / "sonde-agent"), "--backend", f"127.0.0.1:{port}", "--key-file", str(key_file), "--state-dir",
                 str(self.path), "--interval", interval, "--disable", "block_io,perf", *extra],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "SONDE_LOG_FORMAT": "logfmt"})

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        try:
            if self.process.poll() is None:
                self.stop()
            if not any(exception):
                assert self.process.returncode == 0, f"the agent ended with {self.process.returncode}\n{self.log()}"
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if any(exception):
                print(f"--- agent\n{self.log()[-4000:]}", file=sys.stderr)
            self.directory.cleanup()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """SIGTERM; how many seconds it took."""
        begin = time.monotonic()
        self.terminate()
        self.process.wait(20)
        return time.monotonic() - begin

    def log(self):
        return (self.path / "log").read_text(errors="replace")

    def losses(self):
        """The lines about the connection: one for each new reason."""
        return [line for line in self.log().splitlines() if "no connection to the backend" in line]

    def wait_for_loss(self, words, seconds=10):
        return wait_for(lambda: [line for line in self.losses() if words in line], seconds, f"a line with '{words}'; the log:\n{self.log()}")


def sequences(batch):
    return [s.sequence for s in batch.snapshots]


def welcome(**fields):
    return MESSAGES.BackendMessage(welcome=MESSAGES.Welcome(backend_version="test", hostname="here", **fields))


def ranges(numbers):
    return [MESSAGES.SequenceRange(first=n, last=n) for n in numbers]


def accept(numbers):
    return MESSAGES.BackendMessage(acknowledgement=MESSAGES.Acknowledgement(accepted=ranges(numbers)))
