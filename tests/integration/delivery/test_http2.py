"""The agent against servers that break off, are slow, or do not speak HTTP/2 at all. It loses nothing and says once, clearly, what is wrong."""
import os
import socket
import struct
import time
import unittest

from agent import Agent, welcome
from h2 import (CANCEL, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, REFUSED_STREAM, SETTINGS, WINDOW_UPDATE, frame, literal,
                message)
from programs import free_port
from raw_server import INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, RESPONSE, Closed, RawServer


class Http2Test(unittest.TestCase):
    def setUp(self):
        self.server = RawServer()
        self.agent = Agent(self.server.port)
        self.addCleanup(self.end)

    def end(self):
        """The server first: an agent that finds nobody ends at once."""
        self.server.__exit__()
        self.agent.__exit__(*(() if self._outcome.success else ("failed",)))

    def nothing_lost(self, accepted=(), after=0):
        """The next connection brings all that was not accepted, and no more."""
        with self.server.welcomed(20) as peer:
            self.complete(peer, set(accepted), after)

    def complete(self, peer, accepted, after):
        got = peer.batch()
        newest = got[-1]
        while not set(range(1, max(newest, after) + 1)) <= accepted | set(got):
            got += peer.batch()
        self.assertEqual(len(got), len(set(got)))
        self.assertFalse(accepted & set(got))

    # The ends of a stream

    def test_goaway_finishes_and_comes_back(self):
        with self.server.welcomed() as peer:
            first = peer.batch()
            peer.goaway(peer.stream)
            rest = peer.until_ended()
            got = [*first, *(n for b in rest for n in b)]
            peer.acknowledge(got)
            peer.trailers()
            peer.until_closed()
        self.nothing_lost(got, max(got))

    def test_goaway_that_announces_itself(self):
        """First "no new streams" with the largest number, then the true last stream: what graceful servers do."""
        with self.server.welcomed() as peer:
            got = peer.batch()
            peer.goaway(2**31 - 1)
            got += [n for b in peer.until_ended() for n in b]
            peer.goaway(peer.stream)
            peer.acknowledge(got)
            peer.trailers()
            peer.until_closed()
        self.nothing_lost(got, max(got))

    def test_goaway_that_refuses_the_stream(self):
        with self.server.peer() as peer:
            peer.hello()
            peer.goaway(0)
            peer.until_closed()
        self.nothing_lost()

    def test_goaway_with_an_error(self):
        with self.server.welcomed() as peer:
            got = peer.batch()
            peer.goaway(peer.stream, ENHANCE_YOUR_CALM, b"too_many_pings")
            peer.socket.close()
        self.nothing_lost(after=max(got))

    def test_goaway_of_a_server_that_never_ends_the_call(self):
        with self.server.welcomed() as peer:
            got = peer.batch()
            peer.goaway(peer.stream)
            peer.until_ended()
            end = time.monotonic() + 20
            with self.assertRaises(Closed):
                while time.monotonic() < end:
                    peer.send(frame(PING, 0, 0, bytes(8)))
                    peer.read_for(0.5)
        self.nothing_lost(after=max(got))

    def test_reset_before_headers(self):
        with self.server.peer() as peer:
            peer.hello()
            peer.reset(REFUSED_STREAM)
            peer.until_closed()
        self.agent.wait_for_loss("reset by the backend")
        self.nothing_lost()

    def test_rst_after_header(self):
        with self.server.peer() as peer:
            peer.hello()
            peer.respond()
            peer.reset(CANCEL)
            peer.until_closed()
        self.agent.wait_for_loss("reset by the backend")
        self.nothing_lost()

    def test_rst_during_data(self):
        with self.server.welcomed() as peer:
            got = peer.batch()
            peer.send(frame(DATA, 0, peer.stream, message(b"half", length=400)))
            peer.reset(CANCEL)
            peer.until_closed()
        self.agent.wait_for_loss("reset by the backend")
        self.nothing_lost(after=max(got))

    def test_rst_after_data(self):
        with self.server.welcomed() as peer:
            got = peer.batch()
            peer.acknowledge(got)
            peer.reset(CANCEL)
            peer.until_closed()
        self.agent.wait_for_loss("reset by the backend")
        self.nothing_lost(got, max(got))

    def test_ok_before_the_agent_has_ended(self):
        with self.server.welcomed() as peer:
            got = peer.batch()
            peer.acknowledge(got)
            peer.trailers()
            peer.until_closed()
        self.nothing_lost(got, max(got))

    def test_connection_closed_in_the_middle_of_a_frame(self):
        with self.server.welcomed() as peer:
            got = peer.batch()
            peer.send(frame(DATA, 0, peer.stream, message(welcome().SerializeToString()))[:-3])
        self.nothing_lost(after=max(got))

    # What a correct client takes

    def test_pings_are_answered(self):
        with self.server.welcomed() as peer:
            sent = [bytes([i]) * 8 for i in range(20)]
            for payload in sent:
                peer.send(frame(PING, 0, 0, payload))
                peer.batch()
            peer.read_for(0.5)
            self.assertEqual(peer.pongs, sent)

    def test_one_stream_at_a_time(self):
        with self.server.peer(settings=[(MAX_CONCURRENT_STREAMS, 1)]) as peer:
            peer.hello()
            peer.respond()
            peer.say(welcome())
            for _ in range(5):
                peer.acknowledge(peer.batch())
            peer.trailers()
            peer.until_closed()
        with self.server.peer(settings=[(MAX_CONCURRENT_STREAMS, 1)]) as peer:
            peer.hello()

    def test_small_windows_hold_it_back(self):
        with self.server.peer(settings=[(INITIAL_WINDOW_SIZE, 1000)], refill=False) as peer:
            peer.read_for(0.5)
            self.assertTrue(peer.messages, "Hello fits")
            peer.respond()
            peer.say(welcome())
            peer.read_for(2)
            self.assertEqual(peer.data_bytes, 1000, "it sends what the window allows, to the byte")
            peer.refill = True
            peer.send(frame(WINDOW_UPDATE, 0, peer.stream, struct.pack(">I", 1 << 20)))
            peer.hello()
            self.complete(peer, set(), 0)

    def test_what_a_window_allows_comes_at_once(self):
        """Not when the kernel gives up waiting for the rest of the message (200 ms): at a window each time, a backlog would never end."""
        with self.server.peer(settings=[(INITIAL_WINDOW_SIZE, 1000)], refill=False) as peer:
            peer.hello()
            peer.respond()
            peer.say(welcome())
            while peer.data_bytes < 1000:
                peer.frame()
            took = []
            for full in range(2000, 12000, 1000):
                begin = time.monotonic()
                peer.send(frame(WINDOW_UPDATE, 0, peer.stream, struct.pack(">I", 1000)))
                while peer.data_bytes < full:
                    peer.frame()
                took.append(time.monotonic() - begin)
            self.assertLess(sorted(took)[len(took) // 2], 0.1, took)
            # The same for the window of the connection, of which there is less.
            peer.send(frame(WINDOW_UPDATE, 0, peer.stream, struct.pack(">I", 1 << 20)))
            while peer.data_bytes < 65535:
                peer.frame()
            took = []
            for full in range(66535, 76535, 1000):
                begin = time.monotonic()
                peer.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1000)))
                while peer.data_bytes < full:
                    peer.frame()
                took.append(time.monotonic() - begin)
            self.assertLess(sorted(took)[len(took) // 2], 0.1, took)
        self.nothing_lost()

    def test_messages_cut_into_single_bytes(self):
        with self.server.peer() as peer:
            peer.hello()
            peer.respond()
            for byte in message(welcome().SerializeToString()):
                peer.send(frame(DATA, 0, peer.stream, bytes([byte])) + frame(DATA, 0, peer.stream))
            self.complete(peer, set(), 0)

    # What is not for us

    def refused(self, answer, words, close):
        """The answer brings one line with these words, within seconds, and another try."""
        connection = self.server.accept()
        with connection:
            connection.sendall(answer)
            if close:
                connection.shutdown(socket.SHUT_WR)
            line = self.agent.wait_for_loss(words, 5)[0]
            self.assertIn("level=warn", line)
        with self.server.accept() as connection:
            connection.sendall(answer)
            if close:
                connection.shutdown(socket.SHUT_WR)
            self.server.accept().close()
        self.assertEqual(len([x for x in self.agent.losses() if words in x]), 1, self.agent.losses())

    def test_http1(self):
        self.refused(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "does not speak gRPC", False)

    def test_http1_that_closes(self):
        self.refused(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "does not speak gRPC", True)

    def test_ssh(self):
        self.refused(b"SSH-2.0-OpenSSH_9.2p1\r\n", "does not speak gRPC", False)

    def test_tls_alert_that_closes(self):
        self.refused(b"\x15\x03\x01\x00\x02\x02\x46", "the backend speaks TLS", True)

    def test_noise(self):
        self.refused(b"\xff" * 100 + os.urandom(4000), "does not speak gRPC", False)

    def test_zeros(self):
        self.refused(bytes(4000), "does not speak gRPC", False)

    def test_broken_frames_after_settings(self):
        self.refused(frame(SETTINGS) + frame(DATA, 0, 1, bytes(100), length=0xffffff), "does not speak gRPC", False)

    def test_closed_at_once(self):
        for _ in range(3):
            self.server.accept().close()
        self.assertEqual(len(self.agent.losses()), 1, self.agent.losses())

    def test_nobody_listens(self):
        with Agent(free_port()) as agent:
            agent.wait_for_loss("refused")
            time.sleep(3)
            self.assertEqual(len(agent.losses()), 1, agent.losses())

    def answered(self, answer, words):
        """What the answer to the call leads to."""
        with self.server.peer() as peer:
            peer.hello()
            answer(peer)
            self.agent.wait_for_loss(words)
        self.nothing_lost()

    def test_a_web_server(self):
        def answer(peer):
            peer.respond(literal(":status", "404") + literal("content-type", "text/html"))
            peer.send(frame(DATA, END_STREAM, peer.stream, b"<html>not here</html>"))
        self.answered(answer, "HTTP status 404")

    def test_a_web_server_that_does_not_end(self):
        """200 and HTML for every path: without a look at content-type the agent would wait for Welcome for ever."""
        def answer(peer):
            peer.respond(literal(":status", "200") + literal("content-type", "text/html"))
            peer.send(frame(DATA, 0, peer.stream, b"<html>wait</html>"))
        self.answered(answer, "does not speak gRPC")

    def test_trailers_only(self):
        def answer(peer):
            peer.send(frame(HEADERS, END_HEADERS | END_STREAM, peer.stream, RESPONSE + literal("grpc-status", "12") +
                            literal("grpc-message", "no such%20method")))
        self.answered(answer, "no such method")

    def test_a_message_too_large(self):
        self.answered(lambda peer: (peer.respond(), peer.send(frame(DATA, 0, peer.stream, message(b"", length=2**32 - 1)))), "")

    def test_a_compressed_message(self):
        self.answered(lambda peer: (peer.respond(), peer.send(frame(DATA, 0, peer.stream, message(b"xyz", flag=1)))), "does not speak gRPC")

    def test_a_message_that_is_none(self):
        self.answered(lambda peer: (peer.respond(), peer.send(frame(DATA, 0, peer.stream, message(b"\xff" * 20)))), "does not speak gRPC")


if __name__ == "__main__":
    unittest.main(verbosity=2)
