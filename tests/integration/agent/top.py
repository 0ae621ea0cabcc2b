"""sonde-agent top in a real pseudo-terminal: what it shows, its keys, that it leaves the terminal as it was; and in a pipe."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest
from pathlib import Path

AGENT = Path(os.environ["SONDE_BUILD"]) / "sonde-agent"
COMMAND = [AGENT, "top", "--config", "/dev/null", "--interval", "200ms", "--disable", "perf,block_io"]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    def __init__(self, rows=30, columns=100):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(COMMAND, stdin=self.slave, stdout=self.slave, stderr=self.slave)
        self.text = ""

    def read(self, seconds=0.1):
        while select.select([self.master], [], [], seconds)[0]:
            self.text += os.read(self.master, 65536).decode(errors="replace")
        return self.text

    def wait(self, what, seconds=10):
        deadline = time.monotonic() + seconds
        while what not in self.read():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what!r} is not in {self.text[-3000:]!r}")

    def press(self, key):
        self.text = ""
        os.write(self.master, key)

    def pages(self):
        """Whole screens, without escapes."""
        return [ESCAPE.sub("", page) for page in self.read().split("\x1b[H")[1:-1]]

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class TopTest(unittest.TestCase):
    def setUp(self):
        self.terminal = Terminal()
        self.addCleanup(self.terminal.close)

    def ended(self):
        self.assertEqual(self.terminal.process.wait(10), 0)
        self.assertIn("\x1b[?1049l", self.terminal.read())
        self.assertEqual(termios.tcgetattr(self.terminal.slave), self.terminal.before)

    def test_pages_and_keys(self):
        t = self.terminal
        t.wait("by CPU")
        t.wait("PID USER")
        time.sleep(0.6)
        page = t.pages()[-1]
        lines = page.split("\r\n")
        self.assertLessEqual(len(lines), 30)
        self.assertLessEqual(max(map(len, lines)), 100)
        self.assertIn("sonde-agent", page)
        self.assertRegex(page, r"Cores +0 ")
        t.press(b"m")
        t.wait("by memory")
        t.press(b" ")
        t.wait("paused")
        time.sleep(0.3)
        t.read()
        t.text = ""
        time.sleep(0.7)
        self.assertEqual(t.read(), "", "nothing is drawn while paused")
        t.press(b" ")
        t.wait("by memory")
        os.write(t.master, b"q")
        self.ended()

    def test_interrupt(self):
        self.terminal.wait("PID USER")
        self.terminal.process.send_signal(signal.SIGINT)
        self.ended()

    def test_a_smaller_window(self):
        t = self.terminal
        t.wait("PID USER")
        fcntl.ioctl(t.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 60, 0, 0))
        time.sleep(0.6)
        t.read()
        t.text = ""
        time.sleep(0.8)
        for page in t.pages():
            lines = page.split("\r\n")
            self.assertLessEqual(len(lines), 10)
            self.assertLessEqual(max(map(len, lines)), 60)
        t.process.send_signal(signal.SIGTERM)
        self.ended()

    def test_in_a_pipe(self):
        done = subprocess.run([*COMMAND, "--once"], capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("\x1b", done.stdout)
        self.assertIn("PID USER", done.stdout)
        self.assertRegex(done.stdout, rf"(?m)^ *{os.getpid()} ")
        # A reader that has seen enough is not an error.
        reader = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(reader.stdout.readline())
        reader.stdout.close()
        self.assertEqual(reader.wait(10), 0)
        self.assertEqual(reader.stderr.read(), b"")
        reader.stderr.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
