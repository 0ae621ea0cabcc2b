"""--metrics-listen: what a scraper gets, and what the hostile get. The agent runs for real, without a backend that answers."""
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
from programs import BUILD, free_port, wait_for  # noqa: E402

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(\{{(?:{NAME}="(?:[^"\\\n]|\\[\\"n])*",?)*\}})? (NaN|[+-]Inf|[-+]?[0-9.]+(?:e[-+]?[0-9]+)?)')


def grammar(text):
    """The text format 0.0.4, read strictly: the samples as {name and labels: value}."""
    samples, types, helped, current = {}, {}, set(), None
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split(" ", 3)[2]
            assert current not in helped, f"HELP of {current} twice"
            helped.add(current)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, f"TYPE of {name} twice"
            assert kind in ("counter", "gauge", "histogram"), line
            types[name] = kind
            current = name
        else:
            matched = SAMPLE.fullmatch(line)
            assert matched, f"no sample: {line}"
            name = matched[1]
            family = name if name in types else re.sub("_(bucket|sum|count)$", "", name)
            assert family == current, f"{name} stands apart from its TYPE, behind that of {current}"
            assert (types[family] == "histogram") == (family != name), line
            assert types[family] != "counter" or name.endswith("_total"), line
            assert matched[0].rsplit(" ", 1)[0] not in samples, f"twice: {line}"
            samples[matched[0].rsplit(" ", 1)[0]] = float(matched[3])
    return samples, types


class Listener(unittest.TestCase):
    def setUp(self):
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="sonde-metrics-")))
        (self.directory / "key").write_text("sonde_agent_" + "a" * 43 + "\n")
        self.port = free_port()

    def arguments(self, *extra, address=None):
        return [BUILD / "sonde-agent", "--config", "/dev/null", "--backend", f"127.0.0.1:{free_port()}", "--key-file",
                self.directory / "key", "--state-dir", self.directory, "--spool-bytes", "0", "--metrics-listen",
                address or f"127.0.0.1:{self.port}", *extra]

    def start(self, *extra, healthy=True):
        with open(self.directory / "log", "wb") as log:
            self.agent = subprocess.Popen(list(map(str, self.arguments(*extra))), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.stop)
        wait_for(lambda: self.answers() in ((200,) if healthy else (200, 503)), 15, "an answer of the listener")

    def stop(self):
        if self.agent.poll() is None:
            self.agent.kill()
        self.agent.wait()

    def log(self):
        return (self.directory / "log").read_text(errors="replace")

    def answers(self):
        self.assertIsNone(self.agent.poll(), self.log())
        try:
            return self.get("/health")[0]
        except OSError:
            return None

    def get(self, path, method="GET", timeout=10, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body)
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read().decode()
        finally:
            connection.close()

    def late_ticks(self):
        samples, _ = grammar(self.get("/metrics")[2])
        return {name: value for name, value in samples.items() if re.match("sonde_agent_(late|missed)_ticks_total", name)}, \
            samples["sonde_agent_ticks_total"]

    def test_scrape(self):
        self.start("--interval", "200ms")
        status, headers, text = wait_for(lambda: (a := self.get("/metrics"))[0] == 200 and a, 10, "metrics")
        self.assertEqual(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        samples, types = grammar(text)
        self.assertGreater(len(samples), 300)
        with open("/proc/stat") as stat:
            boot = dict(line.split(" ", 1) for line in stat)["ctxt"]
        self.assertLessEqual(samples["sonde_cpu_context_switches_total"], int(boot))
        self.assertEqual(types["sonde_cpu_context_switches_total"], "counter")
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
            # Exit code 1 is what cannot be read; 3 is advice on names.
            self.assertIn(done.returncode, (0, 3), done.stderr)
            self.assertNotIn("error while linting", done.stderr)
        else:
            print("promtool is not installed: our own reading of the grammar alone", flush=True)

        # Counters go on, and the same snapshot gives the same text.
        wait_for(lambda: grammar(self.get("/metrics")[2])[0]["sonde_agent_ticks_total"] > samples["sonde_agent_ticks_total"], 10, "a tick")
        # What is measured every ten seconds stands in every scrape.
        wait_for(lambda: any(name.startswith("sonde_filesystems_") for name in grammar(self.get("/metrics")[2])[0]), 15, "file systems")
        for _ in range(5):
            time.sleep(0.25)
            self.assertIn("sonde_filesystems_", self.get("/metrics")[2])

    def test_sections_in_turns_are_whole(self):
        """What cgroups and network show every fifth second without a watcher, a scraper finds each time, from its second on."""
        def names():
            return {re.match(NAME, name)[0] for name in grammar(self.get("/metrics")[2])[0] if re.match("sonde_(cgroups|network)_", name)}
        self.start("--interval", "200ms")
        wait_for(lambda: self.get("/metrics")[0] == 200, 10, "metrics")
        time.sleep(1)
        first = names()
        self.assertGreater(len(first), 100)
        for _ in range(10):
            time.sleep(0.25)
            self.assertEqual(names(), first)

    def test_health(self):
        self.start("--interval", "200ms")
        self.assertEqual(self.get("/health")[0], 200)
        self.assertEqual(self.get("/health")[2], "ok\n")
        self.assertEqual(self.get("/nonsense")[0], 404)
        self.assertEqual(self.get("/")[0], 404)
        status, headers, _ = self.get("/metrics", "POST", body=b"x" * 100000)
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"))
        status, headers, text = self.get("/metrics", "HEAD")
        self.assertEqual((status, text), (200, ""))
        self.assertGreater(int(headers["Content-Length"]), 10000)
        self.assertEqual(self.get("/metrics", body=b"y" * 5000)[0], 200)
        self.agent.send_signal(signal.SIGTERM)
        self.assertEqual(self.agent.wait(15), 0)

    def test_before_the_first_snapshot(self):
        """At an interval of an hour it may be long in coming."""
        if time.monotonic() % 3600 > 3570:
            time.sleep(40)
        self.start("--interval", "1h", healthy=False)
        self.assertEqual(self.get("/health")[0], 503)
        status, _, text = self.get("/metrics")
        self.assertEqual((status, text), (503, "no snapshot yet\n"))

    def test_hostile(self):
        """Connections that say nothing, a byte a time, or do not read their answer: ticks go on, and the connections end."""
        self.start("--interval", "100ms")
        wait_for(lambda: self.get("/metrics")[0] == 200, 10, "metrics")
        before, ticks = self.late_ticks()
        rubbish = [b"\0" * 4000, b"GET " + b"/" * 100000, b"GET /metrics HTTP/9.9\r\n\r\n", b"\r\n" * 2000, b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 20000,
                   b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", bytes(range(256)) * 40]
        for text in rubbish:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
                try:
                    client.sendall(text)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass
                except OSError:
                    pass
        # 12 slow writers, 12 that ask over and over and never read.
        slow = [socket.create_connection(("127.0.0.1", self.port), timeout=5) for _ in range(24)]
        deaf = slow[12:]
        for client in deaf:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
        head, begun, ended = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 200, time.monotonic(), set()
        at = 0
        while len(ended) < 12 and time.monotonic() - begun < 30:
            for client in slow[:12]:
                try:
                    client.send(head[at % len(head):at % len(head) + 1])
                    client.settimeout(0.001)
                    if client.recv(1) == b"":
                        ended.add(client)
                except TimeoutError:
                    pass
                except OSError:
                    ended.add(client)
            for client in deaf:
                try:
                    client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
                except OSError:
                    pass
            at += 1
            if at % 10 == 0:  # there is room for others all the while
                self.assertEqual(self.get("/metrics")[0], 200)
            time.sleep(0.05)
        self.assertEqual(len(ended), 12, "a head has ten seconds")
        self.assertLess(time.monotonic() - begun, 25)
        after, ticks_after = self.late_ticks()
        passed = ticks_after - ticks
        print(f"{passed:.0f} ticks under attack, late and missed before {list(before.values())}, after {list(after.values())}", flush=True)
        self.assertGreater(passed, (time.monotonic() - begun) * 10 * 0.8)
        for client in slow:
            client.close()

    def test_what_is_refused(self):
        def refusal(*extra, address=None):
            done = subprocess.run(list(map(str, self.arguments(*extra, address=address))), capture_output=True, text=True, timeout=20)
            self.assertNotEqual(done.returncode, 0)
            return done.stderr
        for address in ("0.0.0.0:9101", "[::]:9101", "192.0.2.1:9101"):
            self.assertIn("metrics-plaintext", refusal(address=address))
        self.assertIn("ADDRESS:PORT", refusal(address="9101"))
        self.assertIn("no address", refusal("--metrics-plaintext", address="name.invalid:9101"))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.assertIn("in use", refusal(address=f"127.0.0.1:{taken.getsockname()[1]}").lower())

    def test_beyond_this_host(self):
        self.start("--interval", "200ms", "--metrics-plaintext", "--metrics-listen", f"0.0.0.0:{self.port}")
        self.assertEqual(wait_for(lambda: (a := self.get("/metrics"))[0] == 200 and a, 10, "metrics")[0], 200)

    @unittest.skipUnless(os.geteuid() == 0, "wants root, to see what is given up")
    def test_the_thread_has_no_rights(self):
        self.start("--interval", "200ms")
        held = [line.split()[1] for task in Path(f"/proc/{self.agent.pid}/task").iterdir()
                for line in (task / "status").read_text().splitlines() if line.startswith("CapPrm")]
        self.assertEqual(sum(int(h, 16) == 0 for h in held), 2, f"sender and listener: {held}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
