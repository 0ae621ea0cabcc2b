"""Servers that say nothing: a dead link must show within half a minute, and a living one must not be torn down."""
import struct
import time
import unittest

from agent import Agent
from h2 import ACK, PING, WINDOW_UPDATE, frame
from raw_server import INITIAL_WINDOW_SIZE, Closed, RawServer


class SilenceTest(unittest.TestCase):
    def test_nothing_at_all(self):
        """Accepts and stays silent, without even SETTINGS: pinged after 10 s, given up after 20."""
        with RawServer() as server, Agent(server.port) as agent:
            with server.accept() as connection:
                begin = time.monotonic()
                connection.settimeout(30)
                data, pinged, ping = b"", None, frame(PING, 0, 0, bytes(8))
                while more := connection.recv(65536):
                    data += more
                    if pinged is None and ping in data:
                        pinged = time.monotonic() - begin
                ended = time.monotonic() - begin
            self.assertTrue(pinged and 9 < pinged < 13, pinged)
            self.assertTrue(18 < ended < 24, ended)
            self.assertEqual(data.count(ping), 1)
            agent.wait_for_loss("no answer in time")
            server.accept().close()

    def test_pings_answered_keep_a_quiet_stream(self):
        with RawServer() as server, Agent(server.port) as agent:
            # Nothing is acknowledged, and windows that need no refill leave only the pings' answers as signs of life.
            with server.welcomed(settings=[(INITIAL_WINDOW_SIZE, 1 << 24)], refill=False) as peer:
                peer.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 24)))
                deadline, pings = time.monotonic() + 26, 0
                while (left := deadline - time.monotonic()) > 0:
                    for kind, flags, _, payload in peer.read_for(min(left, 0.5)):
                        if kind == PING and not flags & ACK:
                            peer.send(frame(PING, ACK, 0, payload))
                            pings += 1
                self.assertEqual(agent.losses(), [])
                self.assertGreater(pings, 0)

    def test_no_welcome(self):
        """Answers pings and never welcomes: a backend that hangs. Another connection may reach one that does not."""
        with RawServer() as server, Agent(server.port) as agent:
            with server.peer() as peer:
                peer.hello()
                peer.respond()
                begin = time.monotonic()
                with self.assertRaises(Closed):
                    while time.monotonic() - begin < 45:
                        for kind, flags, _, payload in peer.read_for(0.5):
                            if kind == PING and not flags & ACK:
                                peer.send(frame(PING, ACK, 0, payload))
                self.assertEqual(peer.messages, [], "nothing before Welcome")
            agent.wait_for_loss("no answer in time")
            with server.welcomed() as peer:
                self.assertGreater(peer.batch()[0], 100)


if __name__ == "__main__":
    unittest.main(verbosity=2)
