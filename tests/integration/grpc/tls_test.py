"""TLS on the server library: stock clients, certificates that change, clients that must show one, and peers that misbehave
before they have shaken hands."""
import os
import socket
import ssl
import struct
import sys
import tempfile
import time
import unittest
from pathlib import Path

import harness
import interop

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
import h2  # noqa: E402
from programs import memory_mib  # noqa: E402

harness.need_grpcio()
interop.need_protos()

import grpc  # noqa: E402

FOLDER = tempfile.TemporaryDirectory()
PLACE = FOLDER.name
harness.make_certificate(PLACE, "ca")
SERVER = harness.make_certificate(PLACE, "server", "ca")
NEXT = harness.make_certificate(PLACE, "next", "ca")
harness.make_certificate(PLACE, "client_ca")
harness.make_certificate(PLACE, "client", "client_ca")
harness.make_certificate(PLACE, "stranger", "ca")


def read(name):
    with open(os.path.join(PLACE, name), "rb") as f:
        return f.read()


def context(alpn=("h2",), **versions):
    result = ssl.create_default_context(cafile=os.path.join(PLACE, "ca.crt"))
    if alpn:
        result.set_alpn_protocols(list(alpn))
    for name, value in versions.items():
        setattr(result, name, value)
    return result


class Case(unittest.TestCase):
    arguments = ()

    def setUp(self):
        self.server = harness.Server("--certificate", SERVER, *self.arguments)
        self.addCleanup(self.server.stop)

    def connect(self, **options):
        connection = h2.Connection(self.server.port, **options)
        self.addCleanup(connection.close)
        return connection

    def channel(self, **credentials):
        channel = grpc.secure_channel(f"localhost:{self.server.port}",
                                      grpc.ssl_channel_credentials(read("ca.crt"), **credentials),
                                      options=[("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return channel

    def served(self, connection, stream=1):
        return connection.call(b"\x0a\x02hi", stream)["headers"]["grpc-status"] == b"0"


class Clients(Case):
    def test_interop_cases(self):
        cases = interop.Interop(self.channel())
        for name in interop.CASES:
            with self.subTest(case=name):
                getattr(cases, name)()
        self.assertTrue(harness.until(lambda: self.server.stats()["open"] == 0))

    def test_versions(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            connection = self.connect(tls=context(minimum_version=version, maximum_version=version))
            self.assertEqual(connection.socket.version(), version.name.replace("_", "."))
            self.assertTrue(self.served(connection))
            self.assertEqual(connection.socket.selected_alpn_protocol(), "h2")

    def test_http2_must_be_agreed_on(self):
        for alpn in ((), ("http/1.1",)):
            with self.assertRaises((ssl.SSLError, ConnectionResetError, h2.Closed, BrokenPipeError)):
                connection = self.connect(tls=context(alpn=alpn))
                connection.call()
        self.assertTrue(self.served(self.connect(tls=context(alpn=("http/1.1", "h2")))))

    def test_a_client_that_does_not_trust_the_server(self):
        channel = grpc.secure_channel(f"localhost:{self.server.port}",
                                      grpc.ssl_channel_credentials(read("client_ca.crt")))
        self.addCleanup(channel.close)
        with self.assertRaises(grpc.RpcError) as caught:
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)


class Changes(Case):
    def test_a_new_certificate_leaves_connections_alone(self):
        before = self.connect(tls=context())
        self.assertTrue(self.served(before))
        self.assertEqual(self.server.command("certificate " + NEXT), ["CERTIFICATE", "0"])
        after = self.connect(tls=context())
        self.assertTrue(self.served(after))
        self.assertTrue(self.served(before, 3))
        names = [dict(x[0] for x in c.socket.getpeercert()["subject"])["commonName"] for c in (before, after)]
        self.assertEqual(names, ["server", "next"])

    def test_one_that_cannot_be_used_changes_nothing(self):
        self.assertNotEqual(self.server.command("certificate " + os.path.join(PLACE, "ca.cnf")), ["CERTIFICATE", "0"])
        self.assertTrue(self.served(self.connect(tls=context())))


class ClientCertificates(Case):
    arguments = ("--client-ca", os.path.join(PLACE, "client_ca.crt"))

    def test_with_and_without(self):
        check = self.channel(private_key=read("client.key"), certificate_chain=read("client.crt")).unary_unary(
            "/sonde.test.Echo/Unary")
        self.assertEqual(check(b"\x0a\x02hi", timeout=5), b"\x0a\x02hi")
        for credentials in ({}, {"private_key": read("stranger.key"), "certificate_chain": read("stranger.crt")}):
            with self.assertRaises(grpc.RpcError) as caught:
                self.channel(**credentials).unary_unary("/sonde.test.Echo/Unary")(b"", timeout=5)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)


class Hostile(Case):
    def tearDown(self):
        start = time.monotonic()
        self.assertTrue(self.served(self.connect(tls=context())))
        self.assertLess(time.monotonic() - start, 2)

    def plain(self):
        connection = socket.create_connection(("127.0.0.1", self.server.port), 15)
        self.addCleanup(connection.close)
        return connection

    def until_closed(self, connection):
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass

    def test_plaintext_is_hung_up_on(self):
        for data in (h2.PREFACE + h2.frame(h2.SETTINGS), b"GET / HTTP/1.1\r\n\r\n", os.urandom(1000),
                     b"\x16\x03\x01\x40\x00" + os.urandom(16384), b"\x17\x03\x03\x00\x10" + b"x" * 16):
            connection = self.plain()
            connection.sendall(data)
            self.until_closed(connection)

    def test_plaintext_clients_are_told(self):
        connection = self.connect()
        connection.until_closed()
        self.assertEqual(connection.goaways, [(0, 12, b"this port speaks TLS.")])

    def hello(self):
        """The bytes of a ClientHello."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            tls.do_handshake()
        return outgoing.read()

    def test_handshakes_that_never_end(self):
        """Silence, half a hello, and one byte now and then: all are over in 10 s, in bounded memory."""
        hello, start = self.hello(), time.monotonic()
        before = memory_mib(self.server.process)
        connections = [self.plain() for _ in range(300)]
        for i, connection in enumerate(connections):
            connection.sendall(hello[:(0, 5, len(hello) - 1)[i % 3]])
        dripping = self.plain()
        try:
            for byte in hello[:-1]:
                dripping.send(bytes([byte]))
                if time.monotonic() - start > 12:
                    break
                time.sleep(0.05)
        except (BrokenPipeError, ConnectionResetError):
            pass
        grown = memory_mib(self.server.process) - before
        for connection in connections:
            self.until_closed(connection)
        self.assertLess(time.monotonic() - start, 14)
        self.assertTrue(harness.until(lambda: self.server.stats()["connections"] == 0))
        if "asan" not in harness.BUILD and "tsan" not in harness.BUILD:
            self.assertLess(grown, 301 * 64 / 1024)

    def test_hello_byte_by_byte(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        connection = self.plain()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def pump(action):
            while True:
                try:
                    return action()
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        connection.sendall(bytes([byte]))
                    incoming.write(connection.recv(65536))

        pump(tls.do_handshake)
        request = h2.PREFACE + h2.frame(h2.SETTINGS) + h2.frame(h2.HEADERS, h2.END_HEADERS, 1, h2.request()) + \
            h2.frame(h2.DATA, h2.END_STREAM, 1, h2.message(b"\x0a\x05hello"))
        tls.write(request)
        got = b""
        while b"grpc-status" not in got and b"hello" not in got:
            got += pump(lambda: tls.read(65536))

    def test_random_bytes_inside_a_session(self):
        for _ in range(20):
            connection = self.connect(tls=context(), preface=False)
            try:
                connection.send(os.urandom(500))
                connection.until_closed()
            except h2.Closed:
                pass

    def test_cut_anywhere(self):
        hello = self.hello()
        for end in range(0, len(hello), 17):
            connection = self.plain()
            connection.sendall(hello[:end])
            if end % 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        self.assertTrue(harness.until(lambda: self.server.stats()["connections"] == 0))

    def test_large_records_and_many_small_ones(self):
        connection = self.connect(tls=context())
        body = b"\x0a\x80\xb5\x18" + b"x" * 400000
        for stream in (1, 3):
            connection.send(h2.frame(h2.HEADERS, h2.END_HEADERS, stream, h2.request("/sonde.test.Echo/ClientStream")))
            data = h2.message(body)
            for i in range(0, len(data), 16000):
                connection.send(h2.frame(h2.DATA, 0, stream, data[i:i + 16000]))
                if i % 160000 == 0:  # the window, or a deadlock
                    time.sleep(0.02)
            for _ in range(300):
                connection.send(h2.frame(h2.DATA, 0, stream, h2.message()))
            connection.send(h2.frame(h2.DATA, h2.END_STREAM, stream))
            self.assertEqual(connection.response(stream)["headers"]["grpc-status"], b"0")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[1:])
