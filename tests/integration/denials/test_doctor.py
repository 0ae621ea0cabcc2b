"""sonde-agent doctor as a person or a script runs it: text and JSON, exit codes, files, limits, the backend and the key."""
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from programs import BUILD, Installation, free_port  # noqa: E402

AGENT = BUILD.resolve() / "sonde-agent"


def run(*arguments, **options):
    return subprocess.run([AGENT, "doctor", "--config", "/dev/null", "--interval", "100ms", *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, **options)


def findings(*arguments, **options):
    done = run("--format", "json", *arguments, **options)
    report = json.loads(done.stdout)
    bad = [f for f in report["findings"] if f["verdict"] in ("limited", "failed")]
    assert report["well"] == (not bad) and done.returncode == (1 if bad else 0), (done.returncode, bad)
    assert report["left_out"] == 0
    return {(f["group"], f["name"]): f for f in report["findings"]}


class Doctor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.it = Installation(web_root=Path("/nonexistent"))
        cls.it.__enter__()
        cls.addClassCleanup(cls.it.__exit__, None, None, None)
        cls.it.start_backend()
        cls.backend = ["--backend", f"127.0.0.1:{cls.it.grpc_port}", "--key-file", cls.it.key_file]

    def test_every_collector_is_listed(self):
        found = findings()
        snapshot = json.loads(subprocess.run([AGENT, "--once", "--config", "/dev/null", "--interval", "100ms"], capture_output=True, text=True).stdout)
        names = {collector["collector"] for collector in snapshot["agent"]["collectors"]}
        self.assertGreater(len(names), 10)
        listed = {name for group, name in found if group == "sections"}
        self.assertFalse(names - listed)
        for name in names:
            code = snapshot[name]["state"]["code"]
            if code in ("ok", "disabled"):
                self.assertIn(found["sections", name]["verdict"], ("ok", "note", "limited"), name)
        programs = {f"{p['probe']}/{p['program']}" for p in snapshot["agent"].get("programs", [])}
        self.assertEqual(programs, {name for group, name in found if group == "eBPF programs"})

    def test_text(self):
        done = run()
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], r"^sonde-agent \S+ on .+, Linux " + os.uname().release)
        self.assertIn("  ok       cpu ", done.stdout)
        self.assertIn(done.returncode, (0, 1))
        self.assertRegex(lines[-1], "works")
        self.assertEqual(done.stderr, "")

    def test_disabled_is_no_fault(self):
        finding = findings("--disable", "block_io")["sections", "block_io"]
        self.assertEqual(finding["verdict"], "note")

    def test_wrong_use(self):
        self.assertEqual(run("--format", "prometheus").returncode, 2)
        self.assertEqual(run("--no-such-thing").returncode, 2)
        self.assertEqual(run("--root", "/nonexistent").returncode, 2)

    def test_backend_and_key(self):
        found = findings(*self.backend)
        self.assertEqual(found["backend", "address"]["verdict"], "ok", found["backend", "address"])
        self.assertEqual(found["backend", "key"]["value"], "the backend knows it")
        self.assertEqual(found["files", "agent key"]["verdict"], "ok")
        # Nothing was said about this host.
        token = self.it.login()
        self.assertEqual(self.it.get("/api/servers", token).get("servers", []), [])

    def test_wrong_key(self):
        key = self.it.path / "wrong.key"
        key.write_text("sonde_notakey\n")
        key.chmod(0o644)
        found = findings(*self.backend[:2], "--key-file", key)
        self.assertEqual((found["backend", "key"]["verdict"], found["backend", "key"]["reason"]), ("failed", "unknown_key"))
        self.assertRegex(found["backend", "key"]["remedy"], "sonde-backend key create")
        self.assertEqual(found["files", "agent key"]["reason"], "key_exposed")
        self.assertRegex(found["files", "agent key"]["remedy"], "chmod 600")

    def test_missing_key(self):
        found = findings(*self.backend[:2], "--key-file", self.it.path / "no.key")
        self.assertEqual((found["files", "agent key"]["verdict"], found["backend", "key"]["verdict"]), ("failed", "failed"))

    def test_nobody_answers(self):
        found = findings("--backend", f"127.0.0.1:{free_port()}", "--key-file", self.it.key_file)
        self.assertEqual(found["backend", "address"]["reason"], "no_connection")
        self.assertNotIn(("backend", "key"), found)
        found = findings("--backend", "no-such-host.invalid:4317")
        self.assertEqual(found["backend", "address"]["reason"], "no_such_name")

    def test_not_a_backend(self):
        found = findings("--backend", f"127.0.0.1:{self.it.http_port}", "--key-file", self.it.key_file)
        self.assertEqual(found["backend", "address"]["verdict"], "ok")
        self.assertEqual(found["backend", "key"]["verdict"], "failed")

    def test_silent_backend(self):
        """Accepts, and says nothing: a few seconds, then a sentence."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            found = findings("--backend", f"127.0.0.1:{server.getsockname()[1]}", "--key-file", self.it.key_file)
        self.assertEqual(found["backend", "key"]["reason"], "no_answer")

    def test_state_directory(self):
        directory = self.it.path / "state" / "deep"
        found = findings("--state-dir", directory)
        self.assertEqual(found["files", "state directory"]["verdict"], "ok")
        self.assertFalse(directory.exists(), "the doctor makes nothing")
        if os.geteuid() == 0:
            found = findings("--state-dir", "/proc/sys/none")
            self.assertEqual(found["files", "state directory"]["verdict"], "failed")
        found = findings("--state-dir", self.it.path, "--spool-bytes", "64GiB")
        room = shutil.disk_usage(self.it.path).free >= 64 << 30
        self.assertEqual(found["files", "spool"]["verdict"], "ok" if room else "limited")
        self.assertEqual(findings("--spool-bytes", "0")["files", "spool"]["verdict"], "note")

    def test_few_descriptors(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        finding = findings(preexec_fn=limit)["limits", "open files (RLIMIT_NOFILE)"]
        self.assertEqual((finding["verdict"], finding["value"]), ("limited", "256, at most 256"))
        self.assertRegex(finding["remedy"], "LimitNOFILE")

    def test_recorded_host(self):
        """Of another host: its files are told, the running kernel's probes are not."""
        hosts = Path(os.environ["SONDE_SOURCE"]) / "tests/fixtures/hosts"
        host = sorted(hosts.iterdir())[0]
        found = findings("--root", host)
        self.assertEqual(found["sections", "cpu"]["verdict"], "ok")
        self.assertEqual(found["sections", "block_io"]["reason"], "recorded_host")


if __name__ == "__main__":
    unittest.main(verbosity=2)
