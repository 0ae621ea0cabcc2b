"""The agent's side of TLS: it trusts what its key or its CA file names and nothing else, and says why it does not connect."""
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
import harness  # noqa: E402
from programs import BUILD, Installation, wait_for  # noqa: E402


class Case(unittest.TestCase):
    def setUp(self):
        self.place = Installation()
        self.place.__enter__()
        self.addCleanup(lambda: self.place.__exit__(None, None, None))
        self.folder = self.place.path / "given"
        self.folder.mkdir()

    def start(self, *arguments):
        self.place.start_backend(*(arguments or ("--tls=true",)))
        self.token = self.token if hasattr(self, "token") else self.place.login()

    def agent(self, name, *arguments, key=None, host="127.0.0.1"):
        key_file = self.place.key_file
        if key is not None:
            key_file = self.place.path / f"{name}.key"
            key_file.write_text(key)
            key_file.chmod(0o600)
        agent = self.place.spawn(name, "sonde-agent", "--backend", f"{host}:{self.place.grpc_port}", "--key-file", key_file,
                                 "--state-dir", self.place.state_dir(name), "--interval", "300ms", *arguments)
        self.place.agents.append(agent)
        return agent

    def connected(self):
        return self.place.get("/health", token=None)["agents_connected"]

    def wait_connected(self, number=1):
        wait_for(lambda: self.connected() == number, 15, f"{number} agents are connected")

    def wait_log(self, name, words):
        wait_for(lambda: words in self.place.log(name), 15, f"{name}'s log says: {words}")

    def end(self, agent):
        agent.terminate()
        self.assertEqual(agent.wait(15), 0)


class ByKey(Case):
    def test_first_contact_and_after(self):
        self.start()
        agent = self.agent("one")
        self.wait_connected()
        kept = self.place.path / "one" / "backend-ca.pem"
        self.assertEqual(kept.read_text(), (self.place.path / "tls" / "ca.pem").read_text())
        # A certificate that is renewed while it is connected, and a restart of the backend, change nothing for it.
        (self.place.path / "tls" / "server.pem").unlink()
        self.place.backend.send_signal(signal.SIGHUP)
        self.wait_log("backend", "certificate read again")
        self.assertEqual(self.connected(), 1)
        self.place.backend.terminate()
        self.assertEqual(self.place.backend.wait(15), 0)
        self.start()
        self.wait_connected()
        self.end(agent)

    def test_a_ca_that_is_not_sent_any_more_was_kept(self):
        self.start()
        self.agent("one")
        self.wait_connected()
        server = (self.place.path / "tls" / "server.pem").read_text()
        leaf = self.folder / "leaf.pem"
        leaf.write_text(server[:server.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n")
        self.place.backend.terminate()
        self.assertEqual(self.place.backend.wait(15), 0)
        self.start("--tls-cert", leaf)
        self.wait_connected()
        self.agent("other", "--spool-bytes", "0")
        self.wait_log("other", "not of the CA that the agent key names")

    def test_a_wrong_fingerprint_is_refused_and_said(self):
        self.start()
        key = self.place.key_file.read_text().strip()
        wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
        self.agent("wrong", key=wrong)
        self.wait_log("wrong", "not of the CA that the agent key names")
        self.assertEqual(self.connected(), 0)
        self.assertFalse((self.place.path / "wrong" / "backend-ca.pem").exists())
        self.assertNotIn(key.partition("#")[0], self.place.log("wrong") + self.place.log("backend"))

    def test_a_backend_of_another_name_is_refused(self):
        """Its CA is the right one, and its certificate is for another host."""
        self.start()
        shutil.rmtree(self.place.path / "tls" / "server.pem", ignore_errors=True)
        tls = self.place.path / "tls"
        (self.folder / "x.cnf").write_text("[leaf]\nsubjectAltName=DNS:other.example\n")
        for command in (["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                         "/CN=other", "-keyout", "x.key", "-out", "x.csr"],
                        ["openssl", "x509", "-req", "-in", "x.csr", "-CA", tls / "ca.pem", "-CAkey", tls / "ca.key", "-set_serial",
                         "7", "-extfile", "x.cnf", "-extensions", "leaf", "-days", "2", "-out", "x.crt"]):
            subprocess.run(command, check=True, capture_output=True, cwd=self.folder)
        chain = self.folder / "chain.pem"
        chain.write_text("".join((self.folder / p).read_text() for p in ("x.key", "x.crt")) + (tls / "ca.pem").read_text())
        self.place.backend.terminate()
        self.assertEqual(self.place.backend.wait(15), 0)
        self.start("--tls-cert", chain)
        self.agent("one")
        self.wait_log("one", "IP address mismatch")
        self.assertEqual(self.connected(), 0)


class ByFile(Case):
    def setUp(self):
        super().setUp()
        for name in ("ca", "other_ca", "client_ca"):
            harness.make_certificate(self.folder, name)
        self.server = harness.make_certificate(self.folder, "server", "ca")
        self.client = harness.make_certificate(self.folder, "client", "client_ca")

    def test_ca_file(self):
        self.start("--tls-cert", self.server)
        self.agent("good", "--ca-file", self.folder / "ca.crt", host="localhost")
        self.wait_connected()
        self.agent("other", "--ca-file", self.folder / "other_ca.crt")
        self.wait_log("other", "the certificate is refused")
        self.agent("missing", "--ca-file", self.folder / "none.crt")
        self.wait_log("missing", "none.crt holds no CA certificate")
        # A file that comes later is read then.
        shutil.copy(self.folder / "ca.crt", self.folder / "none.crt")
        self.wait_connected(2)

    def test_plaintext_and_tls_do_not_meet_silently(self):
        self.start("--tls-cert", self.server)
        self.agent("plain")
        self.wait_log("plain", "the backend speaks TLS")
        self.place.backend.terminate()
        self.place.backend.wait(15)
        self.start("--tls=false")
        self.agent("secured", "--ca-file", self.folder / "ca.crt")
        self.wait_connected(1)
        self.wait_log("secured", "no connection to the backend")

    def test_certificates_on_both_sides(self):
        self.start("--tls-cert", self.server, "--tls-client-ca", self.folder / "client_ca.crt")
        self.agent("with", "--ca-file", self.folder / "ca.crt", "--tls-cert", self.client)
        self.wait_connected()
        self.agent("without", "--ca-file", self.folder / "ca.crt")
        self.wait_log("without", "certificate required")
        self.assertEqual(self.connected(), 1)


class Names(Case):
    def test_every_address_of_a_name_is_tried(self):
        """The name has three, of which the last is the backend's; TLS is for the name."""
        if os.geteuid() != 0:
            self.skipTest("only root can give the agent an /etc/hosts of its own")
        self.start("--tls=true", "--tls-names=sonde.test")
        hosts = self.place.path / "hosts"
        hosts.write_text("127.0.0.98 sonde.test\n127.0.0.99 sonde.test\n127.0.0.1 sonde.test\n")
        with open(self.place.path / "one.log", "ab") as log:
            agent = subprocess.Popen(["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts,
                                      BUILD / "sonde-agent", "--backend", f"sonde.test:{self.place.grpc_port}", "--key-file",
                                      self.place.key_file, "--state-dir", self.place.state_dir("one")], stdout=log, stderr=log)
        self.place.agents.append(agent)
        self.wait_connected()


class Doctor(Case):
    def test_it_says_what_is_wrong(self):
        self.start()

        def doctor(key):
            path = self.place.path / "doctor.key"
            path.write_text(key)
            path.chmod(0o600)
            done = subprocess.run([BUILD / "sonde-agent", "doctor", "--backend", f"127.0.0.1:{self.place.grpc_port}",
                                   "--key-file", path, "--state-dir", self.place.state_dir("doctor")],
                                  capture_output=True, text=True, timeout=60)
            return done.stdout
        key = self.place.key_file.read_text().strip()
        good = doctor(key)
        self.assertIn("TLS, the CA that the key names", good)
        self.assertIn("the backend knows it", good)
        wrong = doctor(key[:-2] + ("00" if key[-2:] != "00" else "11"))
        self.assertIn("not of the CA that the agent key names", " ".join(wrong.split()))
        self.assertIn("the backend speaks TLS", " ".join(doctor(key.partition("#")[0]).split()))


if __name__ == "__main__":
    os.environ.pop("SSL_CERT_FILE", None)
    unittest.main(argv=[sys.argv[0]] + sys.argv[1:])
