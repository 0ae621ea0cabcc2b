"""The HTTP wire against the real backend: login, the API's errors, files of the dashboard, and what hostile clients send."""
import gzip
import os
import socket
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
sys.path.insert(0, str(Path(__file__).parent))
from programs import PASSWORD, SOURCE, Installation  # noqa: E402,F401
from raw import exchange, read_reply, request  # noqa: E402

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SECRET = "this must never be served"
SCRIPT = b"console.log(1);\n" * 100


def make_web_root(directory):
    root = directory / "dist"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html><title>the application</title>")
    (root / "assets" / "index-Ab3_dE-9.js").write_bytes(SCRIPT)
    with gzip.open(root / "assets" / "index-Ab3_dE-9.js.gz", "wb") as packed:
        packed.write(SCRIPT)
    (root / "big.bin").write_bytes(os.urandom(3_000_000))
    (root / ".hidden").write_text(SECRET)
    (directory / "secret.txt").write_text(SECRET)
    (root / "outward.txt").symlink_to(directory / "secret.txt")
    (root / "relative.txt").symlink_to("../secret.txt")
    (root / "upward").symlink_to("..")
    (root / "inside.txt").write_text("inside")
    return root


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="sonde-web-")
        cls.addClassCleanup(cls.directory.cleanup)
        cls.root = make_web_root(Path(cls.directory.name))
        cls.it = Installation(web_root=cls.root)
        cls.addClassCleanup(cls.it.__exit__, None, None, None)
        cls.it.start_backend()
        cls.port = cls.it.http_port
        cls.token = cls.it.login()

    def request(self, *arguments, **more):
        reply = request(self.port, *arguments, **more)
        self.assertIsNotNone(reply, "the server answers")
        return reply

    def tearDown(self):
        self.assertIsNone(self.it.backend.poll(), "the backend still runs")
        self.assertEqual(self.request("GET", "/health").status, 200)

    def login(self, username, password, **more):
        return self.request("POST", "/token", FORM, urllib.parse.urlencode({"username": username, "password": password}), **more)

    # --- login ---------------------------------------------------------------------------------------------------

    def test_login(self):
        reply = self.login("admin", PASSWORD)
        self.assertEqual(reply.status, 200)
        token = reply.json()
        self.assertEqual(token["token_type"], "bearer")
        self.assertGreater(token["expires_in"], 60)
        cookie = reply.headers["set-cookie"]
        self.assertTrue(cookie.startswith(f"sonde_token={token['access_token']};"))
        for attribute in ("HttpOnly", "SameSite=Strict", "Path=/"):
            self.assertIn(attribute, cookie)
        self.assertEqual(reply.headers["cache-control"], "no-store")
        for headers in ({"Authorization": f"Bearer {token['access_token']}"}, {"Cookie": f"a=b; sonde_token={token['access_token']}"}):
            self.assertEqual(self.request("GET", "/api/servers", headers).status, 200)

    def test_wrong_logins_are_refused_then_throttled(self):
        unknown = f"nobody-{os.getpid()}"
        statuses = [self.login(unknown, "not the password").status for _ in range(12)]
        self.assertEqual(statuses[0], 401)
        self.assertEqual(statuses[-1], 429)
        self.assertLessEqual(set(statuses), {401, 429})
        throttled = self.login(unknown, "not the password")
        self.assertGreater(int(throttled.headers["retry-after"]), 0)
        self.assertEqual(self.login("admin", PASSWORD).status, 200, "others are not throttled with it")

    def test_refused_login_says_how(self):
        reply = self.login("admin", "wrong password")
        self.assertEqual((reply.status, reply.code()), (401, "unauthenticated"))
        self.assertIn("Bearer", reply.headers["www-authenticate"])
        self.assertNotIn("set-cookie", reply.headers)

    def test_malformed_logins(self):
        for body in ("", "username=admin", "password=x", "username=admin&password=%zz", "username=admin&password=%00",
                     "username=a&username=b&password=c", "username=" + "a" * 129 + "&password=b", "username=admin&password=" + "x" * 1025,
                     "username=admin&password=%ff%fe"):
            with self.subTest(body=body[:40]):
                self.assertEqual(self.request("POST", "/token", FORM, body).status, 400)
        self.assertEqual(self.request("POST", "/token", {"Content-Type": "application/json"}, "{}").status, 415)
        get = self.request("GET", "/token")
        self.assertEqual((get.status, get.headers["allow"]), (405, "POST"))

    def test_other_sites_cannot_log_in_or_out(self):
        for path in ("/token", "/api/logout"):
            reply = self.request("POST", path, {**FORM, "Origin": "https://evil.example"}, "username=admin&password=x")
            self.assertEqual(reply.status, 403, path)

    def test_many_logins_at_once_are_all_answered(self):
        statuses = []

        def log_in():
            reply = self.login("admin", PASSWORD, timeout=60)
            statuses.append(reply.status)

        threads = [threading.Thread(target=log_in) for _ in range(24)]
        for thread in threads:
            thread.start()
        health = time.monotonic()
        self.assertEqual(self.request("GET", "/health").status, 200)
        self.assertLess(time.monotonic() - health, 1, "passwords are not checked on the service thread")
        for thread in threads:
            thread.join()
        self.assertEqual(len(statuses), 24)
        self.assertLessEqual(set(statuses), {200, 429, 503})
        self.assertIn(200, statuses)

    def test_client_that_leaves_while_its_password_is_checked(self):
        body = urllib.parse.urlencode({"username": "admin", "password": PASSWORD})
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", self.port)) as s:
                s.sendall(f"POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                          f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        time.sleep(1)

    # --- the API -------------------------------------------------------------------------------------------------

    def test_nothing_of_hosts_without_a_token(self):
        for headers in ({}, {"Authorization": "Bearer x.y.z"}, {"Authorization": "Basic YTpi"}, {"Cookie": "sonde_token=abc"},
                        {"Authorization": f"Bearer {self.token[:-2]}"}, {"Authorization": f"Bearer {self.token} {self.token}"}):
            with self.subTest(headers=headers):
                reply = self.request("GET", "/api/servers", headers)
                self.assertEqual((reply.status, reply.code()), (401, "unauthenticated"))
                self.assertIn("Bearer", reply.headers["www-authenticate"])

    def test_health_is_open_under_both_names(self):
        for path in ("/health", "/api/health"):
            reply = self.request("GET", path)
            self.assertEqual((reply.status, reply.json()["status"]), (200, "ok"))
            self.assertEqual(reply.headers["content-type"], "application/json")

    def test_errors_are_json(self):
        auth = {"Authorization": f"Bearer {self.token}"}
        for method, path, status, code in (
                ("GET", "/api/nothing", 404, "not_found"), ("GET", "/api", 404, "not_found"), ("GET", "/api/servers/", 404, "not_found"),
                ("GET", "/api/servers/no-such-host", 404, "not_found"), ("GET", "/api/servers?bogus=1", 400, "invalid_argument"),
                ("DELETE", "/api/servers", 405, "method_not_allowed"), ("POST", "/api/servers", 405, "method_not_allowed"),
                ("PUT", "/index.html", 405, "method_not_allowed"), ("GET", "/api/ws/metrics", 426, "upgrade_required")):
            with self.subTest(method=method, path=path):
                reply = self.request(method, path, auth, "" if method in ("POST", "PUT") else None)
                self.assertEqual((reply.status, reply.code()), (status, code))
                if status == 405:
                    self.assertIn("GET", reply.headers["allow"])

    def test_head_is_get_without_the_body(self):
        for path in ("/health", "/", "/big.bin", "/api/nothing"):
            with self.subTest(path=path):
                get, head = self.request("GET", path), self.request("HEAD", path)
                self.assertEqual((head.status, head.body), (get.status, b""))
                if path != "/health":
                    self.assertEqual(head.headers["content-length"], str(len(get.body)))

    def test_cookie_and_unsafe_methods(self):
        cookie = {"Cookie": f"sonde_token={self.token}"}
        reply = self.request("POST", "/api/logout", {**cookie, "Origin": f"http://127.0.0.1:{self.port}"}, "")
        self.assertEqual(reply.status, 204)
        self.assertIn("Max-Age=0", reply.headers["set-cookie"])

    # --- files ---------------------------------------------------------------------------------------------------

    def test_application_and_its_views(self):
        for path in ("/", "/index.html", "/hosts/web-1", "/a/b/c?x=1"):
            reply = self.request("GET", path)
            self.assertEqual(reply.status, 200, path)
            self.assertIn(b"the application", reply.body)
            self.assertEqual(reply.headers["content-type"], "text/html; charset=utf-8")
            self.assertEqual(reply.headers["cache-control"], "no-cache")
            self.assertIn("default-src 'self'", reply.headers["content-security-policy"])
            self.assertIn("frame-ancestors 'none'", reply.headers["content-security-policy"])
            self.assertEqual(reply.headers["x-content-type-options"], "nosniff")
        for path in ("/nothing.js", "/assets/gone.css", "/favicon.ico"):
            self.assertEqual(self.request("GET", path).status, 404, path)

    def test_compressed_copy_is_used_when_accepted(self):
        path = "/assets/index-Ab3_dE-9.js"
        plain = self.request("GET", path)
        self.assertEqual((plain.body, plain.headers["content-type"]), (SCRIPT, "text/javascript; charset=utf-8"))
        self.assertIn("immutable", plain.headers["cache-control"])
        packed = self.request("GET", path, {"Accept-Encoding": "br, gzip"})
        self.assertEqual(packed.headers["content-encoding"], "gzip")
        self.assertEqual(gzip.decompress(packed.body), SCRIPT)
        self.assertEqual(packed.headers["content-type"], plain.headers["content-type"])
        self.assertNotEqual(packed.headers["etag"], plain.headers["etag"])
        self.assertNotIn("content-encoding", self.request("GET", path, {"Accept-Encoding": "gzip;q=0"}).headers)
        again = self.request("GET", path, {"If-None-Match": plain.headers["etag"]})
        self.assertEqual((again.status, again.body), (304, b""))

    def test_large_file_arrives_whole(self):
        self.assertEqual(self.request("GET", "/big.bin").body, (self.root / "big.bin").read_bytes())

    def test_no_way_out_of_the_web_root(self):
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/assets/../../secret.txt", "/assets/..%2f..%2fsecret.txt",
                     "/....//secret.txt", "/%252e%252e/secret.txt", "/..\\secret.txt", "/..%5csecret.txt", "/outward.txt", "/relative.txt",
                     "/upward/secret.txt", "/.hidden", "/assets/./../.hidden", "//etc/passwd", "/%00/secret.txt", "/secret.txt%00.html",
                     "/index.html/../../secret.txt", "/assets", "/" + "../" * 40 + "etc/passwd", f"/{self.root.parent}/secret.txt",
                     "/proc/self/environ", "/%c0%ae%c0%ae/secret.txt", "/" + "a/" * 2000):
            with self.subTest(path=path[:60]):
                reply = request(self.port, "GET", path)
                if reply is not None:
                    self.assertNotIn(SECRET.encode(), reply.body)
                    self.assertNotIn(b"root:", reply.body)
                    if reply.status == 200:
                        self.assertIn(b"the application", reply.body, "only the application itself")
        self.assertEqual(self.request("GET", "/inside.txt").body, b"inside")

    # --- hostile clients -----------------------------------------------------------------------------------------

    def test_too_large_a_body(self):
        for size in (65537, 1_000_000, 50_000_000):
            with self.subTest(size=size):
                lines = f"POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {size}\r\n\r\n"
                reply = exchange(self.port, lines.encode() + b"x" * min(size, 1_000_000))
                if size <= 1_000_000:
                    self.assertIsNotNone(reply)
                if reply:
                    self.assertEqual((reply.status, reply.code()), (413, "too_large"))

    def test_bad_framing(self):
        for header, status in (("Content-Length: -1", 400), ("Content-Length: 1x", 400), ("Content-Length: 5\r\nContent-Length: 6", 400),
                               ("Content-Length: 99999999999999999999", 400), ("Transfer-Encoding: chunked", 411),
                               ("Content-Length: 4\r\nTransfer-Encoding: chunked", 411)):
            with self.subTest(header=header):
                reply = exchange(self.port, f"POST /token HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n0\r\n\r\n".encode())
                self.assertIsNotNone(reply)
                self.assertEqual(reply.status, status)

    def test_post_without_a_length_does_not_wait(self):
        begin = time.monotonic()
        reply = exchange(self.port, b"POST /api/logout HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(reply.status, 204)
        self.assertLess(time.monotonic() - begin, 2)

    def test_what_is_pipelined_is_not_read(self):
        """The library would read a pipelined body wrongly and then spin for ever: each connection is good for one request."""
        login = "username=admin&password=wrong-again"
        get = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        post = (f"POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                f"Content-Length: {len(login)}\r\n\r\n{login}").encode()
        for pieces, status in (((get, get), 200), ((get, post), 200), ((post, get), 401), ((post, post, post), 401), ((get,) * 200, 200)):
            with self.subTest(n=len(pieces), status=status):
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s, s.makefile("rb") as file:
                    s.sendall(b"".join(pieces))
                    reply = read_reply(file)
                    self.assertEqual((reply.status, reply.headers["connection"]), (status, "close"))
                    try:
                        self.assertEqual(file.read(), b"")
                    except ConnectionResetError:
                        pass
                self.assertEqual(self.request("GET", "/health").status, 200)

    def test_upgrades_that_are_not_offered(self):
        for upgrade in ("foo", "h2c", "websocket"):
            with self.subTest(upgrade=upgrade):
                exchange(self.port, f"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\n"
                         "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                         "Sec-WebSocket-Version: 13\r\n\r\n".encode())
                self.assertEqual(self.request("GET", "/health").status, 200)

    def test_garbage(self):
        pieces = [b"\0" * 100, b"\xff" * 5000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"TRACE / HTTP/1.1\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n",
                  b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(200), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(64),
                  b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 100000 + b"\r\n\r\n",
                  b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", b"GET /?" + b"a=b&" * 3000 + b" HTTP/1.1\r\n\r\n",
                  b"GET /%zz HTTP/1.1\r\n\r\n", b"GET http://x/ HTTP/1.1\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\n\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n",
                  b"GET / HTTP/1.1\r\nCookie: " + b"sonde_token=a; " * 500 + b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n", b"\r\n" * 1000,
                  b"GET /api/servers HTTP/1.1\r\nAuthorization: Bearer " + b"a" * 8000 + b"\r\n\r\n"]
        pieces += [os.urandom(n) for n in (1, 10, 1000, 20000)]
        for piece in pieces:
            with self.subTest(piece=piece[:30]):
                with socket.create_connection(("127.0.0.1", self.port), timeout=3) as s:
                    try:
                        s.sendall(piece)
                        s.shutdown(socket.SHUT_WR)
                        while s.recv(65536):
                            pass
                    except TimeoutError:
                        self.fail("the connection hangs")
                    except OSError:
                        pass  # closed while we were still sending

    def test_slow_headers_are_cut_off(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=40) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            begin = time.monotonic()
            try:
                self.assertEqual(s.recv(100), b"")
            except ConnectionResetError:
                pass
            self.assertLess(time.monotonic() - begin, 30)


class NoBuild(unittest.TestCase):
    def test_page_says_how_to_build(self):
        with Installation(web_root="/nonexistent/dist") as it:
            it.start_backend()
            reply = request(it.http_port, "GET", "/")
            self.assertEqual(reply.status, 503)
            self.assertIn(b"npm", reply.body)

    def test_taken_port_is_named(self):
        with Installation() as it, socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", it.http_port))
            taken.listen()
            process = it.spawn("second", "sonde-backend", "--store", f"sqlite:{it.database}", "--http-listen", f"127.0.0.1:{it.http_port}",
                               "--grpc-listen", f"127.0.0.1:{it.grpc_port}", "--agent-key-file", it.key_file, SONDE_ADMIN_PASSWORD=PASSWORD)
            self.assertNotEqual(process.wait(20), 0)
            self.assertIn(f"cannot listen on 127.0.0.1:{it.http_port}: address already in use; stop the other program or choose another "
                          "--http-listen", it.log("second"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
