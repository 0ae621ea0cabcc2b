"""The WebSocket /api/ws/metrics against the real backend and agents: both forms, subscriptions, who may connect, bad clients."""
import json
import socket
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
sys.path.insert(0, str(Path(__file__).parent))
from programs import Installation, memory_mib, wait_for  # noqa: E402
from raw import request  # noqa: E402
from websocket import WebSocket  # noqa: E402

PATH = "/api/ws/metrics"
READY, SNAPSHOT, HOST, ERROR, DURABLE = 1, 2, 3, 4, 5  # fields of LiveFrame
SECTIONS = {"summary": 10, "cpu": 11, "memory": 12}  # fields of Snapshot


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, payload):
    payload = payload.encode() if isinstance(payload, str) else payload
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def fields(data):
    """[(number, value)] of a protobuf message: integers, or bytes."""
    found, at = [], 0

    def take():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = take()
        if tag & 7 == 0:
            found.append((tag >> 3, take()))
        else:
            length = {1: 8, 5: 4}.get(tag & 7) or take()
            found.append((tag >> 3, data[at:at + length]))
            at += length
    return found


def subscribe(hosts, sections=()):
    return field(2, b"".join(field(1, h) for h in hosts) + b"".join(field(2, s) for s in sections))


class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.it = Installation(web_root="/nonexistent")
        cls.addClassCleanup(cls.it.__exit__, None, None, None)
        cls.it.start_backend()
        cls.port = cls.it.http_port
        cls.token = cls.it.login()
        for name in ("one", "two"):
            cls.it.start_agent(name, "--interval", "200ms")
        cls.hosts = wait_for(lambda: (lambda s: len(s) == 2 and all(h["status"] == "live" for h in s) and s)(
            cls.it.get("/api/servers", cls.token).get("servers", [])), 60, "two hosts are live")
        cls.names = sorted(h["hostname"] for h in cls.hosts)

    def tearDown(self):
        self.assertIsNone(self.it.backend.poll(), "the backend still runs")
        self.assertNotIn(self.token, self.it.log("backend"), "tokens are not logged")

    def connect(self, *headers, path=PATH, token=True, **more):
        if token:
            headers = (*headers, f"Authorization: Bearer {self.token}")
        ws = WebSocket(self.port, path, headers, **more)
        self.addCleanup(ws.close)
        return ws

    def binary(self, **more):
        ws = self.connect("Sec-WebSocket-Protocol: sonde.v1", **more)
        self.assertEqual((ws.status, ws.headers.get("sec-websocket-protocol")), (101, "sonde.v1"))
        return ws

    def frame(self, ws):
        message = ws.receive()
        self.assertIsNotNone(message, f"closed with {ws.close_code}")
        (kind, body), = fields(message)
        return kind, body

    def snapshots(self, ws, n):
        """n of the hostnames and snapshots that come as protobuf."""
        found = []
        while len(found) < n:
            kind, body = self.frame(ws)
            if kind == SNAPSHOT:
                message = dict(fields(body))
                found.append((message[2].decode(), fields(message[4])))
        return found

    def closing(self, ws):
        """The last frame and the close code."""
        last = None
        while (message := ws.receive()) is not None:
            last = message
        return last, ws.close_code

    # --- frames --------------------------------------------------------------------------------------------------

    def test_json_client_gets_everything(self):
        ws = self.connect()
        ready = json.loads(ws.receive())
        self.assertEqual((ready["type"], ready["username"]), ("ready", "admin"))
        seen, sequences = set(), {}
        for _ in range(60):
            frame = json.loads(ws.receive())
            if frame["type"] != "snapshot":
                continue
            self.assertEqual(len(frame["host_id"]), 36)
            self.assertIn(frame["durable"], (True, False))
            for member in ("timestamp", "sequence", "summary", "cpu", "memory"):
                self.assertIn(member, frame)
            host = frame["hostname"]
            if host in sequences:
                self.assertEqual(frame["sequence"], sequences[host] + 1, "none twice, none missing")
            sequences[host] = frame["sequence"]
            seen.add(host)
            if len(seen) == 2 and len(sequences) == 2 and _ > 20:
                break
        self.assertEqual(sorted(seen), self.names)

    def test_protobuf_client_gets_what_it_subscribes_to(self):
        ws = self.binary()
        kind, body = self.frame(ws)
        self.assertEqual((kind, dict(fields(body))[2]), (READY, b"admin"))
        ws.socket.settimeout(1)
        with self.assertRaises(TimeoutError):
            ws.receive()
        ws = self.binary()
        self.frame(ws)
        begin = time.monotonic()
        ws.send(subscribe(["*"], ["summary", "cpu"]), 2)
        first = self.snapshots(ws, 2)
        self.assertLess(time.monotonic() - begin, 0.15, "the newest of each host comes at once")
        self.assertEqual(sorted(name for name, _ in first), self.names)
        for _, snapshot in [*first, *self.snapshots(ws, 6)]:
            numbers = {number for number, _ in snapshot}
            self.assertEqual({n for n in numbers if n >= 10}, {SECTIONS["summary"], SECTIONS["cpu"]})
            self.assertLessEqual({1, 2, 3, 4, 5}, numbers, "the header fields always come")

    def test_subscription_to_one_host_and_its_replacement(self):
        ws = self.binary()
        ws.send(subscribe([self.names[0]]), 2)
        for name, snapshot in self.snapshots(ws, 5):
            self.assertEqual(name, self.names[0])
            self.assertLessEqual(set(SECTIONS.values()), {number for number, _ in snapshot})
        other = next(h for h in self.hosts if h["hostname"] == self.names[1])
        ws.send(subscribe([other["host_id"]], ["memory"]), 2)
        while self.snapshots(ws, 1)[0][0] == self.names[0]:
            pass
        for name, snapshot in self.snapshots(ws, 5):
            self.assertEqual((name, {n for n, _ in snapshot if n >= 10}), (self.names[1], {SECTIONS["memory"]}))
        ws.send(subscribe([]), 2)
        time.sleep(0.5)
        ws.socket.settimeout(1)
        with self.assertRaises(TimeoutError):
            for _ in range(100):
                ws.receive()

    def test_json_subscription(self):
        ws = self.connect()
        ws.send(json.dumps({"type": "subscribe", "hosts": [self.names[1]], "sections": ["summary"]}))
        time.sleep(0.5)
        frames = [json.loads(ws.receive()) for _ in range(30)]
        late = [f for f in frames[-8:] if f["type"] == "snapshot"]
        self.assertTrue(late)
        for frame in late:
            self.assertEqual(frame["hostname"], self.names[1])
            self.assertIn("summary", frame)
            self.assertNotIn("cpu", frame)
            self.assertIn("sequence", frame)

    def test_frames_say_when_they_are_durable(self):
        ws = self.binary()
        ws.send(subscribe(["*"]), 2)
        durable, snapshots = {}, {}
        while len(durable) < 2:
            kind, body = self.frame(ws)
            message = dict(fields(body))
            if kind == DURABLE:
                durable[message[1]] = message[3]
            elif kind == SNAPSHOT:
                snapshots[message[1]] = dict(fields(message[4]))[3]
        self.assertEqual(set(durable), {h["host_id"].encode() for h in self.hosts})

    # --- who may connect -----------------------------------------------------------------------------------------

    def test_ways_to_authenticate(self):
        cookie = f"Cookie: sonde_token={self.token}"
        for what, ws in (
                ("header", self.connect()), ("query", self.connect(path=f"{PATH}?token={self.token}", token=False)),
                ("cookie", self.connect(cookie, token=False)),
                ("cookie, own page", self.connect(cookie, f"Origin: http://127.0.0.1:{self.port}", token=False)),
                ("subprotocol", self.connect(f"Sec-WebSocket-Protocol: sonde.json.v1, sonde.token.{self.token}", token=False)),
                ("header, other page", self.connect("Origin: https://elsewhere.example"))):
            with self.subTest(what):
                self.assertEqual(ws.status, 101)
                self.assertEqual(json.loads(ws.receive())["type"], "ready")
        ws = self.connect(f"Sec-WebSocket-Protocol: sonde.token.{self.token}", token=False)
        self.assertEqual(json.loads(ws.receive())["type"], "ready")
        ws = self.connect(f"Sec-WebSocket-Protocol: sonde.token.{self.token}, sonde.v1", token=False)
        self.assertEqual((ws.status, ws.headers["sec-websocket-protocol"], self.frame(ws)[0]), (101, "sonde.v1", READY))
        ws = self.connect(token=False)
        ws.send(json.dumps({"type": "authenticate", "token": self.token}))
        self.assertEqual(json.loads(ws.receive())["type"], "ready")
        ws = self.binary(token=False)
        ws.send(field(1, field(1, self.token)), 2)
        self.assertEqual(self.frame(ws)[0], READY)

    def refused(self, ws):
        last, code = self.closing(ws)
        self.assertEqual((json.loads(last)["type"], json.loads(last)["code"], code), ("error", "unauthenticated", 4401))

    def test_bad_tokens(self):
        self.refused(self.connect(path=f"{PATH}?token={self.token}x", token=False))
        self.refused(self.connect(f"Authorization: Bearer {self.token[:-3]}", token=False))
        self.refused(self.connect(f"Sec-WebSocket-Protocol: sonde.json.v1, sonde.token.{self.token[:-1]}", token=False))
        ws = self.connect(token=False)
        ws.send(json.dumps({"type": "authenticate", "token": "a.b.c"}))
        self.refused(ws)
        ws = self.connect("Cookie: sonde_token=old", token=False)
        ws.send(json.dumps({"type": "subscribe", "hosts": ["*"]}))
        self.refused(ws)
        ws = self.binary(token=False)
        ws.send(subscribe(["*"]), 2)
        last, code = self.closing(ws)
        (kind, body), = fields(last)
        self.assertEqual((kind, dict(fields(body))[1], code), (ERROR, b"unauthenticated", 4401))

    def test_silent_client_is_sent_away_and_sees_nothing(self):
        ws = self.connect(token=False)
        begin = time.monotonic()
        first = ws.receive()
        self.assertEqual(json.loads(first)["code"], "unauthenticated")
        self.assertIsNone(ws.receive())
        self.assertEqual(ws.close_code, 4401)
        self.assertTrue(4 < time.monotonic() - begin < 9)

    def test_page_of_another_site_cannot_use_the_cookie(self):
        for origin in ("https://evil.example", "null", f"http://127.0.0.1.evil.example:{self.port}", "http://127.0.0.1"):
            ws = self.connect(f"Cookie: sonde_token={self.token}", f"Origin: {origin}", token=False)
            self.assertEqual(ws.status, 403, origin)

    def test_handshakes_that_are_refused(self):
        self.assertEqual(self.connect(path="/api/ws/other").status, 404)
        self.assertEqual(self.connect("Sec-WebSocket-Protocol: chat").status, 400)
        self.assertEqual(self.connect("Sec-WebSocket-Protocol: sonde.v1, sonde.token.a/b").status, 400)
        self.assertEqual(self.connect("Sec-WebSocket-Protocol: sonde.v1, sonde.token." + "a" * 1100).status, 400)
        self.assertEqual(self.connect("Sec-WebSocket-Protocol: " + "x" * 500).status, 400)

    # --- bad clients ---------------------------------------------------------------------------------------------

    def test_bad_requests(self):
        for message in ("", "{", "[]", "null", '{"type":"subscribe","hosts":"*"}', '{"type":"subscribe","hosts":[1]}', '{"type":"what"}',
                        '{"type":"subscribe","section":["cpu"]}', '{"type":"subscribe","hosts":["*"],"sections":["no such"]}',
                        "[" * 20000, '{"type":"subscribe","type":"subscribe"}', '{"type":"authenticate"}', "\x00", "x" * 70000,
                        json.dumps({"type": "subscribe", "hosts": ["h"] * 2000})):
            with self.subTest(message=message[:50]):
                ws = self.connect()
                ws.receive()
                ws.send(message)
                last, code = self.closing(ws)
                self.assertEqual(json.loads(last)["code"], "bad_request")
                self.assertIn(code, (1007, 1009))
        for message in (b"\xff" * 20, field(3, b"x"), b"\x08\x01", subscribe(["a" * 300]), field(1, b"\xff"), subscribe(["*"]) * 2, b"y" * 70000):
            with self.subTest(message=message[:20]):
                ws = self.binary()
                ws.receive()
                ws.send(message, 2)
                last, code = self.closing(ws)
                (kind, body), = fields(last)
                self.assertEqual((kind, dict(fields(body))[1]), (ERROR, b"bad_request"))
                self.assertIn(code, (1007, 1009))
        ws = self.binary()
        ws.send("text", 1)
        self.assertEqual(self.closing(ws)[1], 1003)

    def test_message_in_pieces(self):
        ws = self.binary()
        message = subscribe(["*"], ["cpu"])
        for i in range(len(message)):
            first, last = i == 0, i == len(message) - 1
            opcode = (2 if first else 0) | (0x80 if last else 0)
            ws.socket.sendall(bytes([opcode, 0x81, 0, 0, 0, 0]) + message[i:i + 1])
        self.assertEqual(len(self.snapshots(ws, 2)), 2)

    def test_websocket_garbage(self):
        for data in (b"\xff" * 100, b"\x82\x01x", b"\x8f\x80\0\0\0\0", b"\x82\xff" + b"\xff" * 8 + b"\0" * 4, b"\x88\x81\0\0\0\0x",
                     b"\x00\x81\0\0\0\0x", b"\x89\xfe\x01\x00\0\0\0\0" + b"p" * 256):
            with self.subTest(data=data[:10]):
                ws = self.binary()
                ws.socket.sendall(data)
                try:
                    ws.socket.settimeout(2)
                    while ws.receive() is not None:
                        pass
                except (EOFError, ConnectionError, TimeoutError):
                    pass

    def test_clients_are_counted_and_forgotten(self):
        def count():
            return self.it.get("/api/health", None).get("live_clients", 0)

        before = wait_for(lambda: count() + 1, 1, "a count") - 1
        many = [self.connect() for _ in range(30)]
        wait_for(lambda: count() >= before + 30, 5, "they are counted")
        for ws in many:
            ws.close()
        wait_for(lambda: count() <= before, 10, "they are forgotten")

    def test_client_that_does_not_read_holds_nobody_up(self):
        slow = self.connect()
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        quick = self.binary()
        quick.send(subscribe(["*"]), 2)
        arrivals = []
        for _ in range(40):
            self.snapshots(quick, 1)
            arrivals.append(time.monotonic())
        self.assertLess(max(b - a for a, b in zip(arrivals, arrivals[1:])), 1.0)
        self.assertEqual(request(self.port, "GET", "/health").status, 200)


class Stuck(unittest.TestCase):
    """Clients that stop reading, and clients whose machine has gone: about a minute, all at once."""

    def test_they_are_sent_away_and_the_others_stay(self):
        import sonde_proto

        with Installation(web_root="/nonexistent") as it:
            it.start_backend()
            token = it.login()
            messages = sonde_proto.load()
            agent = sonde_proto.AgentDouble(messages, it.grpc_port, it.key_file.read_text().strip())
            bearer = f"Authorization: Bearer {token}"

            def connect(subscription):
                ws = WebSocket(it.http_port, PATH, [bearer, "Sec-WebSocket-Protocol: sonde.v1"])
                ws.receive()
                ws.send(subscription, 2)
                self.addCleanup(ws.close)
                return ws

            def count():
                return it.get("/api/health", None).get("live_clients", 0)

            def push(sequence):
                # A section that nobody knows here is carried along: a large snapshot of a newer agent.
                data = agent.snapshot(sequence).SerializeToString() + field(60, b"x" * 700_000)
                agent.push(agent.hello(), agent.batch(data), timeout=30)

            slow, mute = connect(subscribe(["*"])), connect(subscribe([]))
            good, got, end = connect(subscribe(["*"])), [], []

            def read():
                try:
                    while (message := good.receive()) is not None:
                        (kind, body), = fields(message)
                        if kind == SNAPSHOT:
                            got.append(dict(fields(dict(fields(body))[4]))[3])
                except (OSError, EOFError, ValueError) as error:
                    end.append(error)

            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            for sequence in range(1, 61):  # 42 MB: what the kernel keeps for the slow one, and its queue, are full
                push(sequence)
            begin = time.monotonic()
            self.assertEqual(count(), 3)
            print(f"resident: {memory_mib(it.backend):.0f} MiB", file=sys.stderr)
            sequence = 60
            while count() > 1:
                sequence += 1
                push(sequence)
                time.sleep(1)
                self.assertLess(time.monotonic() - begin, 75, "slow and mute clients are still there")
            last = None
            slow.socket.settimeout(10)
            try:
                while (message := slow.receive()) is not None:
                    last = message
            except (OSError, EOFError):
                pass  # it was behind by more than the kernel keeps: the error did not come through
            push(sequence + 1)
            wait_for(lambda: sequence + 1 in got, 5, "the good client still gets what comes")
            self.assertEqual(got, list(range(1, sequence + 2)), "and has missed nothing")
            self.assertFalse(end)
            self.assertIsNotNone(last)
            good.socket.shutdown(socket.SHUT_RDWR)
            reader.join(5)
            agent.close()
            del mute


class Stop(unittest.TestCase):
    def test_clients_are_told_to_go(self):
        with Installation(web_root="/nonexistent") as it:
            it.start_backend()
            token = it.login()
            polite = WebSocket(it.http_port, PATH, [f"Authorization: Bearer {token}"])
            polite.receive()
            silent = [WebSocket(it.http_port, PATH, [f"Authorization: Bearer {token}"]) for _ in range(5)]
            begin = time.monotonic()
            it.backend.terminate()
            while polite.receive() is not None:
                pass
            self.assertEqual(polite.close_code, 1001)
            polite.close()
            self.assertEqual(it.backend.wait(15), 0)
            self.assertLess(time.monotonic() - begin, 12)
            for ws in silent:
                ws.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
