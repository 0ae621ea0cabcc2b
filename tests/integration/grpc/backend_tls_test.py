"""The backend's own TLS: what first start makes, the key that names its CA, reload, and health in plaintext beside it."""
import hashlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
import h2  # noqa: E402
import harness  # noqa: E402
from programs import BUILD, Installation, free_port, wait_for  # noqa: E402

harness.need_grpcio()

import grpc  # noqa: E402

SERVING = b"\x08\x01"


def fingerprint(pem):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.read_text())).hexdigest()


class Case(unittest.TestCase):
    arguments = ("--tls=true",)

    def setUp(self):
        self.place = Installation()
        self.place.__enter__()
        self.addCleanup(lambda: self.place.__exit__(None, None, None))
        self.tls = self.place.path / "tls"
        self.health_port = free_port()

    def start(self, *arguments):
        self.place.start_backend("--health-listen", f"127.0.0.1:{self.health_port}", *(arguments or self.arguments))

    def context(self, ca=None):
        context = ssl.create_default_context(cafile=str(ca or self.tls / "ca.pem"))
        context.set_alpn_protocols(["h2"])
        return context

    def connect(self, ca=None):
        connection = h2.Connection(self.place.grpc_port, tls=self.context(ca))
        self.addCleanup(connection.close)
        return connection

    def serial(self, connection):
        return connection.socket.getpeercert()["serialNumber"]

    def served(self, connection, stream=1):
        return connection.call(stream=stream, block=h2.request("/grpc.health.v1.Health/Check"))["data"][5:] == SERVING

    def check(self, channel):
        self.addCleanup(channel.close)
        return channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)

    def reload(self):
        lines = self.place.log("backend").count("certificate")
        self.place.backend.send_signal(signal.SIGHUP)
        wait_for(lambda: self.place.log("backend").count("certificate") > lines, 5, "SIGHUP is taken")


class Own(Case):
    def test_first_start(self):
        self.start()
        key, _, named = self.place.key_file.read_text().strip().partition("#sha256:")
        self.assertTrue(key.startswith("sonde_"))
        self.assertEqual(named, fingerprint(self.tls / "ca.pem"))
        credentials = grpc.ssl_channel_credentials((self.tls / "ca.pem").read_bytes())
        for name in ("localhost", "127.0.0.1", os.uname().nodename):
            channel = grpc.secure_channel(f"127.0.0.1:{self.place.grpc_port}", credentials,
                                          options=[("grpc.ssl_target_name_override", name)])
            self.assertEqual(self.check(channel), SERVING)
        with self.assertRaises(grpc.RpcError):
            self.check(grpc.insecure_channel(f"127.0.0.1:{self.place.grpc_port}"))
        # The key itself is what the backend knows: without the CA's name behind it.
        stream = grpc.secure_channel(f"localhost:{self.place.grpc_port}", credentials)
        self.addCleanup(stream.close)
        call = stream.stream_stream("/sonde.v1.Ingest/Stream")(iter([b"\xff"]), timeout=5,
                                                               metadata=[("authorization", "Bearer " + key)])
        with self.assertRaises(grpc.RpcError) as caught:
            list(call)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT, caught.exception)

    def test_health_in_plaintext_beside_it(self):
        self.start()
        channel = grpc.insecure_channel(f"127.0.0.1:{self.health_port}")
        self.assertEqual(self.check(channel), SERVING)
        with self.assertRaises(grpc.RpcError) as caught:
            channel.unary_unary("/sonde.v1.Query/ListHosts")(b"", timeout=5)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_the_same_ca_after_a_restart(self):
        self.start()
        before, serial = fingerprint(self.tls / "ca.pem"), self.serial(self.connect())
        self.place.backend.terminate()
        self.assertEqual(self.place.backend.wait(15), 0)
        create = [BUILD / "sonde-backend", "key", "create", "--name", "two", "--store", f"sqlite:{self.place.database}"]
        made = subprocess.run([*create, "--tls"], capture_output=True, text=True, check=True)
        self.assertEqual(made.stdout.strip().partition("#sha256:")[2], before)
        self.assertNotIn("names no CA", made.stderr)
        made = subprocess.run(create, capture_output=True, text=True, check=True)
        self.assertEqual(("#" in made.stdout, "names no CA" in made.stderr), (False, True))
        self.start()
        self.assertEqual((fingerprint(self.tls / "ca.pem"), self.serial(self.connect())), (before, serial))

    def test_more_names(self):
        self.start("--tls=true", "--tls-names=sonde.example,198.51.100.7")
        names = self.connect().socket.getpeercert()["subjectAltName"]
        self.assertIn(("DNS", "sonde.example"), names)
        self.assertIn(("IP Address", "198.51.100.7"), names)

    def test_a_certificate_that_is_gone_is_made_again_at_reload(self):
        self.start()
        old = self.connect()
        self.assertTrue(self.served(old))
        (self.tls / "server.pem").unlink()
        self.reload()
        new = self.connect()
        self.assertTrue(self.served(new))
        self.assertNotEqual(self.serial(old), self.serial(new))
        self.assertTrue(self.served(old, 3))

    def test_beyond_loopback_it_is_on_by_itself(self):
        self.place.start_backend("--grpc-listen", f"0.0.0.0:{self.place.grpc_port}")
        self.assertTrue(self.served(self.connect()))
        with self.assertRaises(h2.Closed):
            h2.Connection(self.place.grpc_port).call()


class Given(Case):
    def setUp(self):
        super().setUp()
        self.folder = self.place.path / "given"
        self.folder.mkdir()
        harness.make_certificate(self.folder, "ca")
        harness.make_certificate(self.folder, "one", "ca")
        harness.make_certificate(self.folder, "two", "ca")
        self.use("one")

    def use(self, name):
        shutil.copy(self.folder / (name + ".crt"), self.folder / "cert.pem")
        shutil.copy(self.folder / (name + ".key"), self.folder / "key.pem")

    def test_reload(self):
        self.start("--tls-cert", self.folder / "cert.pem", "--tls-key", self.folder / "key.pem")
        # Its CA is not in the file: agents ask the system's CAs, or their --ca-file.
        self.assertNotIn("#", self.place.key_file.read_text())
        ca = self.folder / "ca.crt"
        old = self.connect(ca)
        self.assertTrue(self.served(old))
        self.use("two")
        self.reload()
        new = self.connect(ca)
        self.assertTrue(self.served(new))
        self.assertNotEqual(self.serial(old), self.serial(new))
        self.assertTrue(self.served(old, 3))
        (self.folder / "key.pem").write_text("garbage")
        self.reload()
        self.assertIn("the certificate stays the old one", self.place.log("backend"))
        self.assertTrue(self.served(self.connect(ca)))
        self.assertFalse(self.tls.exists())

    def test_a_chain_with_its_ca_names_it_in_the_key(self):
        with open(self.folder / "chain.pem", "w") as chain:
            for name in ("one.crt", "ca.crt"):
                chain.write((self.folder / name).read_text())
        self.start("--tls-cert", self.folder / "chain.pem", "--tls-key", self.folder / "one.key")
        self.assertEqual(self.place.key_file.read_text().strip().partition("#sha256:")[2],
                         fingerprint(self.folder / "ca.crt"))

    def test_bad_files_are_said_at_start(self):
        done = subprocess.run([BUILD / "sonde-backend", "--store", f"sqlite:{self.place.database}", "--tls-cert",
                               self.folder / "one.cnf"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "one.cnf holds no certificate")
        self.assertEqual(done.stderr.count("\n"), 1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[1:])
