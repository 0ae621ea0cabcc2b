"""The commands beside serving, and starts that must fail with one line."""
import os
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path

from backend import BUILD, Backend, free_port


def run(*arguments, stdin="", **environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SONDE_")}
    return subprocess.run([str(BUILD / "sonde-backend"), *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=30,
                          env={**kept, **environment})


class CommandsTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="sonde-test-")
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name)
        self.store = f"sqlite:{self.path}/sonde.db"

    def one_line(self, result, code, *words):
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_help_and_version(self):
        self.assertIn("--http-listen", run("--help").stdout)
        self.assertIn("0.1.0", run("--version").stdout)

    def test_usage_errors_exit_with_2(self):
        for arguments in (["--frobnicate"], ["key"], ["key", "create"], ["user", "set-password"], ["--store"], ["--name", "x"],
                          ["--http-listen", "nonsense"], ["--grpc-workers", "0"], ["one", "two", "three", "four", "five"]):
            with self.subTest(arguments):
                self.one_line(run(*arguments), 2)

    def test_bad_configuration_exits_with_1(self):
        file = self.path / "b.yaml"
        for text, words in (("log_level: info\n# why\nhttp_lisen: x\n", ["line 3", "http_lisen"]), ("store: [\n", ["b.yaml"]),
                            ("log_level: loud\n", ["line 1", "log_level", "loud", "debug"]), ("- a\n", ["b.yaml"]),
                            ("http_listen: 0.0.0.0:8000\n", ["plaintext", "--allow-plaintext"])):
            with self.subTest(text):
                file.write_text(text)
                self.one_line(run("--config", file), 1, *words)
        self.one_line(run("--config", self.path), 1, str(self.path))
        self.one_line(run(SONDE_LOG_FORMAT="xml"), 1, "SONDE_LOG_FORMAT", "xml")

    def test_unwritable_key_file(self):
        self.one_line(run("--store", self.store, "--agent-key-file", "/proc/none/agent.key", "--http-listen", "127.0.0.1:0",
                          "--grpc-listen", "127.0.0.1:0", SONDE_ADMIN_PASSWORD="long enough"), 1, "/proc/none/agent.key", "key create")

    def test_keys_made_while_it_is_stopped(self):
        first = run("key", "create", "--name", "web", "--store", self.store)
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertIn("admin password: ", first.stdout, "the first start, whatever it was for")
        key = first.stdout.splitlines()[-1]
        self.assertRegex(key, r"^sonde_[A-Za-z0-9_-]{43}$")
        mode = stat.S_IMODE((self.path / "agent.key").stat().st_mode)
        self.assertEqual(mode, 0o600)
        second = run("key", "create", "--name", "db", "--store", self.store)
        self.assertRegex(second.stdout, r"^sonde_[A-Za-z0-9_-]{43}\n$")
        self.assertNotEqual(second.stdout.strip(), key)

    def test_a_running_backend_has_the_database_for_itself(self):
        with Backend() as backend:
            self.one_line(run("key", "create", "--name", "x", "--store", f"sqlite:{backend.database}"), 1, str(backend.backend.pid))

    def test_lost_passwords(self):
        with Backend() as backend:
            self.assertEqual(backend.stop(), 0)
            store = ["--store", f"sqlite:{backend.database}"]
            self.one_line(run("user", "set-password", "admin", *store, stdin="short\n"), 1, "8")
            self.one_line(run("user", "set-password", "admin", *store), 1, "8")
            self.one_line(run("user", "set-password", "nobody", *store, stdin="long enough\n"), 1, "nobody")
            self.assertEqual(run("user", "set-password", "admin", *store, stdin="quite another one\n").returncode, 0)
            backend.start_backend()
            with self.assertRaises(OSError):
                backend.login()

    def test_a_generated_password_is_printed_once(self):
        ports = ["--http-listen", f"127.0.0.1:{free_port()}", "--grpc-listen", f"127.0.0.1:{free_port()}"]
        for printed in (1, 0):
            program = subprocess.Popen([str(BUILD / "sonde-backend"), "--store", self.store, *ports], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            for line in program.stderr:
                if "msg=started" in line:
                    break
            program.terminate()
            out, _ = program.communicate(timeout=15)
            self.assertEqual(program.returncode, 0)
            self.assertEqual(out.count("admin password: "), printed)


if __name__ == "__main__":
    unittest.main(verbosity=2)
