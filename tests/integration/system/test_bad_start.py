"""Bad input at start: each ends non-zero with one line that says what to do, and nothing that was stored is touched."""
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
from programs import BUILD, Installation, free_port, wait_for  # noqa: E402


def run(program, *arguments, **environment):
    result = subprocess.run([str(BUILD / program), *map(str, arguments)], capture_output=True, text=True, timeout=30,
                            stdin=subprocess.DEVNULL, env={**os.environ, **environment})
    return result.returncode, result.stderr.strip()


class BadStart(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="sonde-test-")
        self.path = Path(self.directory.name)
        self.addCleanup(self.directory.cleanup)

    def backend(self, *arguments, **environment):
        return run("sonde-backend", "--store", f"sqlite:{self.path}/sonde.db", "--http-listen", f"127.0.0.1:{free_port()}",
                   "--grpc-listen", f"127.0.0.1:{free_port()}", *arguments, **{"SONDE_ADMIN_PASSWORD": "long enough", **environment})

    def agent(self, *arguments):
        return run("sonde-agent", "--state-dir", self.path, *arguments)

    def refused(self, outcome, *words):
        code, text = outcome
        self.assertNotEqual(code, 0, text)
        self.assertGreater(code, 0, f"ended by a signal: {text}")
        self.assertEqual(len(text.splitlines()), 1, f"one line: {text}")
        for word in words:
            self.assertIn(word, text)

    def file(self, name, text):
        (self.path / name).write_text(text)
        (self.path / name).chmod(0o600)
        return self.path / name

    def test_unknown_configuration_keys_name_the_line(self):
        self.refused(self.backend("--config", self.file("b.yaml", "log_level: info\nhttp_lisen: 127.0.0.1:1\n")), "http_lisen", "2")
        self.refused(self.agent("--config", self.file("a.yaml", "interval: 1s\nintervall: 2s\n"), "--once"), "intervall", "2")

    def test_unreadable_files(self):
        self.refused(self.backend("--config", self.path / "absent.yaml"), "absent.yaml")
        self.refused(self.agent("--config", self.path / "absent.yaml", "--once"), "absent.yaml")
        self.refused(self.agent("--backend", "127.0.0.1:1", "--key-file", self.path / "absent.key"), "absent.key")
        self.refused(self.agent("--backend", "127.0.0.1:1", "--key-file", self.file("empty.key", "\n")), "empty.key")

    def test_bad_values_and_flags(self):
        for arguments in (["--interval", "1"], ["--interval", "5ms"], ["--interval", "2h"], ["--interval", "-1s"], ["--format", "xml"],
                          ["--disable", "gpu"], ["--frobnicate"]):
            with self.subTest(arguments):
                self.refused(self.agent("--once", *arguments), arguments[-1].lstrip("-"))
        for arguments in (["--http-listen", "nonsense"], ["--grpc-listen", "127.0.0.1:99999"], ["--store", "mysql://x"], ["--frobnicate"]):
            with self.subTest(arguments):
                self.refused(self.backend(*arguments), arguments[0])
        self.refused(self.agent("--backend", "nowhere", "--key-file", self.file("k", "sonde_x")), "nowhere")

    def test_plaintext_beyond_loopback_must_be_asked_for(self):
        self.refused(self.backend("--grpc-listen", f"0.0.0.0:{free_port()}", "--tls=false"), "plaintext")
        self.refused(self.backend("--http-listen", f"0.0.0.0:{free_port()}"), "plaintext")

    def test_short_first_password(self):
        self.refused(self.backend(SONDE_ADMIN_PASSWORD="short"), "8")

    def test_taken_ports(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.refused(self.backend("--http-listen", f"127.0.0.1:{port}"), str(port), "--http-listen")
            self.refused(self.backend("--grpc-listen", f"127.0.0.1:{port}"), str(port), "--grpc-listen")

    def test_a_corrupt_database_is_refused_and_left_alone(self):
        for name, contents in (("text", b"this is not a database\n" * 100), ("torn", b"SQLite format 3\0" + os.urandom(8192))):
            with self.subTest(name):
                path = self.path / f"{name}.db"
                path.write_bytes(contents)
                before = hashlib.sha256(path.read_bytes()).hexdigest()
                self.refused(self.backend("--store", f"sqlite:{path}"), f"{name}.db")
                self.assertEqual(hashlib.sha256(path.read_bytes()).hexdigest(), before)

    def test_second_backend_on_one_database(self):
        with Installation() as it:
            it.start_backend()
            self.refused(self.backend("--store", f"sqlite:{it.database}"), "another", str(it.backend.pid))
            self.assertTrue(it.healthy())

    def test_a_wrong_key_is_said_once_and_harms_nobody(self):
        with Installation() as it:
            it.start_backend()
            wrong = self.file("wrong.key", "sonde_" + "A" * 43 + "\n")
            agent = it.spawn("stranger", "sonde-agent", "--backend", f"127.0.0.1:{it.grpc_port}", "--key-file", wrong,
                             "--state-dir", it.state_dir("stranger"))
            it.agents.append(agent)
            line = wait_for(lambda: [x for x in it.log("stranger").splitlines() if "no connection" in x], 10, "the agent says why")
            self.assertIn("does not know this agent key", line[0])
            it.start_agent()
            token = it.login()
            wait_for(lambda: it.get("/api/servers", token).get("servers"), 15, "the agent with the right key is served")
            self.assertIsNone(agent.poll(), "it goes on trying")
            self.assertEqual(len([x for x in it.log("stranger").splitlines() if "does not know" in x]), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
