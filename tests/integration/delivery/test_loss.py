"""Streams that end without a word about what was sent: everything comes again, the newest first, and nothing twice that is known."""
import time
import unittest

import grpc
from agent import MESSAGES, Agent, accept, sequences
from fake_backend import Ended, FakeBackend
from programs import free_port

# google.rpc.Status with a google.rpc.RetryInfo of 3 s.
RETRY_IN_3_S = b"\x08\x08\x1a\x30\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x03"


class LossTest(unittest.TestCase):
    def lose(self, end):
        """Nothing of the first stream is acknowledged; end(backend, call) ends it."""
        with FakeBackend() as backend, Agent(backend.port) as agent:
            call = backend.call()
            call.open()
            unacknowledged = {n for b in call.collect(lambda got: len(got) >= 8) for n in b}
            end(backend, call)
            call = backend.call()
            call.open()
            # Those taken in between too: a batch holds so many bytes, and history may need several.
            batches = call.collect(lambda got: unacknowledged | set(range(1, (got or [1])[0])) <= set(got))
            flat = [n for b in batches for n in b]
            self.assertGreater(batches[0][0], max(unacknowledged), "the newest goes first")
            self.assertEqual(len(flat), len(set(flat)), "sent twice on one stream")
            live = [n for n in flat if n >= batches[0][0]]
            history = [n for n in flat if n < batches[0][0]]
            self.assertEqual(live, sorted(live))
            self.assertEqual(history, list(range(1, batches[0][0])), "history is whole and ascends")
            call.send(accept(flat))
            rest = [n for b in call.collect(lambda got: len(got) >= 3, acknowledge=True) for n in b]
            self.assertFalse(set(rest) & set(flat))
            reasons = agent.losses()
            self.assertEqual(len(reasons), len(set(x.split("reason=")[1] for x in reasons)), "a reason is said once")

    def test_aborted(self):
        self.lose(lambda backend, call: call.abort())

    def test_finished_with_ok(self):
        self.lose(lambda backend, call: call.finish())

    def test_cancelled(self):
        self.lose(lambda backend, call: call.context.cancel())

    def test_server_gone_and_back(self):
        def end(backend, call):
            backend.stop()
            time.sleep(1)
            backend.start()
        self.lose(end)

    def test_a_status_that_says_when_to_come_again(self):
        with FakeBackend() as backend, Agent(backend.port) as agent:
            call = backend.call()
            call.open()
            call.collect(lambda got: len(got) >= 3)
            call.context.set_trailing_metadata((("grpc-status-details-bin", RETRY_IN_3_S),))
            begin = time.monotonic()
            call.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "come again later")
            call = backend.call()
            self.assertTrue(3 <= time.monotonic() - begin < 6, "neither sooner nor with the backoff's 1 s")
            call.open()
            got = [n for b in call.collect(lambda got: len(got) >= 20, acknowledge=True) for n in b]
            self.assertIn(1, got)
            self.assertEqual(agent.log().count("asks for a pause"), 1)

    def test_a_stream_that_says_to_wait(self):
        """The connection stays, acknowledgements are taken, and nothing is sent; then all of it."""
        with FakeBackend() as backend, Agent(backend.port):
            call = backend.call()
            call.open()
            got = {n for b in call.collect(lambda got: len(got) >= 3, acknowledge=True) for n in b}
            call.send(MESSAGES.BackendMessage(throttle=MESSAGES.Throttle(wait_ms=2000, reason="full")))
            time.sleep(0.3)
            while not call.inbox.empty():
                got |= set(sequences(call.inbox.get().batch))
            with self.assertRaises(AssertionError):
                call.receive(1.2)
            newest = call.batch()
            self.assertEqual((newest.snapshots[0].sequence, newest.snapshots[0].sequence in got), (max(got) + 1, False))
            self.assertEqual((newest.snapshots[-1].agent.throttles, len(newest.snapshots) > 10), (1, True))
            self.assertTrue(2000 <= newest.snapshots[-1].agent.throttled_ms <= 2500)

    def test_many_losses_lose_nothing(self):
        with FakeBackend() as backend, Agent(backend.port):
            accepted, sent = set(), 0
            for turn in range(5):
                call = backend.call()
                call.open()
                for numbers in call.collect(lambda got: len(got) >= 6):
                    self.assertFalse(accepted & set(numbers))
                    sent = max(sent, *numbers)
                    if numbers[0] % 2 == turn % 2:
                        call.send(accept(numbers))
                        accepted |= set(numbers)
                time.sleep(0.1)
                call.abort()
            call = backend.call()
            call.open()
            call.collect(lambda got: set(range(1, sent + 1)) <= accepted | set(got))

    def test_sigterm_between_two_tries_flushes_as_well(self):
        """The backend is back, but the agent waits for its next try when it is told to stop."""
        with FakeBackend() as backend, Agent(backend.port) as agent:
            call = backend.call()
            call.open()
            sent = {n for b in call.collect(lambda got: len(got) >= 5) for n in b}
            backend.stop()
            agent.wait_for_loss("refused")
            time.sleep(2)
            backend.start()
            agent.terminate()
            call = backend.call(3)
            call.open()
            got = [n for b in call.collect(lambda got: set(sent) <= set(got), acknowledge=True) for n in b]
            with self.assertRaises(Ended):
                while True:
                    numbers = sequences(call.batch(5))
                    call.send(accept(numbers))
                    got += numbers
            call.finish()
            agent.process.wait(5)
            self.assertEqual(sorted(got), list(range(1, max(got) + 1)))
            self.assertIn("unsent=0", agent.log())

    def test_sigterm_while_nobody_listens(self):
        with Agent(free_port()) as agent:
            agent.wait_for_loss("refused")
            time.sleep(0.3)
            self.assertLess(agent.stop(), 2)

    def test_a_full_queue_drops_the_oldest_and_counts(self):
        port = free_port()
        with Agent(port, "100ms", "--spool-bytes", "0") as agent:
            time.sleep(15)
            self.assertEqual(len(agent.losses()), 1, agent.losses())
            self.assertIn("refused", agent.losses()[0])
            with FakeBackend(port) as backend:
                call = backend.call(40)
                call.open()
                first = call.batch()
                newest = first.snapshots[-1]
                # The snapshot is measured before it is pushed itself, and goes on while the agent dials.
                self.assertGreaterEqual(newest.agent.queue_length, 119)
                dropped = newest.agent.dropped_snapshots
                self.assertGreater(dropped, 10)
                call.send(accept(sequences(first)))
                oldest = sequences(first)[0]
                history = []
                while not history or history[-1] + 1 < oldest:
                    batch = call.batch()
                    history += [n for n in sequences(batch) if n < oldest]
                    call.send(accept(sequences(batch)))
                self.assertEqual(history, list(range(history[0], oldest)))
                self.assertLess(abs(history[0] - 1 - dropped), 3, "what is missing is what was counted")


if __name__ == "__main__":
    unittest.main(verbosity=2)
