"""What the agent says on a stream, and how it takes what it is told, with a stock gRPC server at the other end."""
import hashlib
import socket
import subprocess
import time
import unittest

import grpc
from agent import BUILD, KEY, MESSAGES, Agent, accept, ranges, sequences, wait_for
from fake_backend import Ended, FakeBackend
from google.protobuf import descriptor_pb2


def config(**fields):
    return MESSAGES.BackendMessage(config=MESSAGES.AgentConfig(**fields))


class StreamTest(unittest.TestCase):
    def setUp(self):
        self.backend = FakeBackend()
        self.agent = Agent(self.backend.port)
        self.addCleanup(self.end)

    def end(self):
        """The server first: an agent that finds nobody ends at once."""
        self.backend.__exit__()
        self.agent.__exit__(*(() if self._outcome.success else ("failed",)))

    def agent_section_with(self, call, condition, seconds=10):
        """Acknowledges batches until a snapshot's agent section meets the condition."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            batch = call.batch()
            call.send(accept(sequences(batch)))
            for s in batch.snapshots:
                if condition(s.agent):
                    return s.agent
        raise AssertionError("no snapshot says so")

    def test_hello_says_who_it_is(self):
        call = self.backend.call()
        self.assertEqual(call.metadata["authorization"], f"Bearer {KEY}")
        hello = call.open()
        self.assertRegex(hello.host_id, r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
        self.assertEqual(hello.hostname, socket.gethostname())
        self.assertEqual(len(hello.instance), 16)
        with open("/proc/sys/kernel/random/boot_id") as f:
            self.assertEqual(hello.boot_id.hex(), f.read().strip().replace("-", ""))
        self.assertEqual(len(hello.descriptor_hash), 32)
        self.assertEqual(hello.facts.kernel, subprocess.check_output(["uname", "-r"], text=True).strip())
        self.assertEqual(hello.facts.architecture, subprocess.check_output(["uname", "-m"], text=True).strip())
        self.assertGreater(hello.facts.cpus, 0)
        self.assertGreater(hello.facts.memory_bytes, 0)
        version = subprocess.check_output([BUILD / "sonde-agent", "--version"], text=True)
        self.assertIn(hello.facts.agent_version, version)
        batch = call.batch()
        self.assertEqual({s.instance for s in batch.snapshots}, {hello.instance})
        self.assertEqual({s.boot_id for s in batch.snapshots}, {hello.boot_id})

    def test_no_batch_before_welcome(self):
        call = self.backend.call()
        call.receive()
        time.sleep(1.5)
        self.assertTrue(call.inbox.empty(), "it sent something before it was welcomed")
        call.send(MESSAGES.BackendMessage())  # what a newer backend might say is no Welcome either
        time.sleep(0.5)
        self.assertTrue(call.inbox.empty(), "it took an unknown message for Welcome")
        call.send(MESSAGES.BackendMessage(welcome=MESSAGES.Welcome()))
        self.assertGreater(sequences(call.batch())[0], 1, "the newest goes first")

    def test_sequences_ascend_without_gaps(self):
        call = self.backend.call()
        call.open()
        batches = call.collect(lambda got: len(got) >= 15, acknowledge=True)
        live = [n for b in batches for n in b if n >= batches[0][0]]
        self.assertEqual(live, list(range(live[0], live[0] + len(live))))

    def test_what_is_acknowledged_is_never_sent_again(self):
        seen = set()
        for _ in range(3):
            call = self.backend.call()
            call.open()
            got = [n for b in call.collect(lambda got: len(got) >= 5) for n in b]
            self.assertFalse(seen & set(got))
            call.send(accept(got))
            seen |= set(got)
            time.sleep(0.2)
            call.abort()

    def test_durable_ranges_are_not_sent_again(self):
        call = self.backend.call()
        call.open()
        got = [n for b in call.collect(lambda got: len(got) >= 10) for n in b]
        call.abort()
        call = self.backend.call()
        durable, missing = sorted(got)[1:-1], [min(got), max(got)]
        call.open(durable=[MESSAGES.SequenceRange(first=durable[0], last=durable[-1])])
        again = [n for b in call.collect(lambda again: set(missing) <= set(again)) for n in b]
        self.assertFalse(set(again) & set(durable))

    def test_rejected_snapshots_are_counted_and_dropped(self):
        call = self.backend.call()
        call.open()
        got = [n for b in call.collect(lambda got: len(got) >= 4) for n in b]
        rejection = MESSAGES.Rejection(range=MESSAGES.SequenceRange(first=min(got), last=max(got)), reason=1)
        nothing = MESSAGES.Rejection()
        call.send(MESSAGES.BackendMessage(acknowledgement=MESSAGES.Acknowledgement(rejected=[nothing, rejection])))
        self.agent_section_with(call, lambda a: a.rejected_snapshots == len(set(got)))
        call.abort()
        call = self.backend.call()
        call.open()
        again = [n for b in call.collect(lambda again: len(again) >= 5) for n in b]
        self.assertFalse(set(again) & set(got))
        self.assertIn("the backend refused snapshots for good", self.agent.log())

    def test_acknowledgements_are_counted(self):
        call = self.backend.call()
        call.open()
        section = self.agent_section_with(call, lambda a: a.acknowledged_snapshots >= 5)
        self.assertLess(section.queue_length, 20)
        self.assertEqual(section.reconnects, 0)
        call.abort()
        call = self.backend.call()
        call.open()
        self.agent_section_with(call, lambda a: a.reconnects == 1)

    def test_strange_acknowledgements_harm_nothing(self):
        call = self.backend.call()
        call.open()
        far = MESSAGES.SequenceRange(first=2**64 - 2, last=2**64 - 1)
        backwards = MESSAGES.SequenceRange(first=2**64 - 1, last=0)
        half = MESSAGES.SequenceRange(first=1)
        call.send(MESSAGES.BackendMessage(acknowledgement=MESSAGES.Acknowledgement(
            accepted=[far, backwards, half], rejected=[MESSAGES.Rejection(range=backwards), MESSAGES.Rejection(range=half)])))
        first = [n for b in call.collect(lambda got: len(got) >= 5) for n in b]
        call.abort()
        call = self.backend.call()
        call.open()
        call.collect(lambda again: set(first) <= set(again))

    def test_the_descriptor_set_is_the_announced_one(self):
        call = self.backend.call()
        hello = call.open(want_descriptor_set=True)
        data = call.receive_kind("descriptor_set").file_descriptor_set
        self.assertEqual(hashlib.sha256(data).digest(), hello.descriptor_hash)
        files = {f.name for f in descriptor_pb2.FileDescriptorSet.FromString(data).file}
        self.assertIn("sonde/v1/snapshot.proto", files)
        call.batch()

    def test_no_descriptor_set_that_nobody_asked_for(self):
        call = self.backend.call()
        call.open()
        for _ in range(10):
            self.assertEqual(call.receive().WhichOneof("message"), "batch")

    def test_a_pushed_interval_is_applied(self):
        call = self.backend.call()
        call.open()
        call.send(config(revision=7, interval_ms=300))
        status = call.receive_kind("config_status")
        self.assertEqual((status.revision, status.applied, status.in_force.interval_ms), (7, True, 300))
        deadline = time.monotonic() + 10
        stamps = []
        while len(stamps) < 4 and time.monotonic() < deadline:
            stamps += [s.boottime_us for s in call.batch().snapshots if s.interval_ms == 300]
        gaps = [b - a for a, b in zip(stamps, stamps[1:])]
        self.assertTrue(any(250000 < gap < 350000 for gap in gaps), gaps)

    def test_a_pushed_interval_out_of_range_is_refused(self):
        call = self.backend.call()
        call.open()
        for revision, interval in ((8, 99), (9, 0), (10, 3600001), (11, 2**32 - 1)):
            call.send(config(revision=revision, interval_ms=interval))
            status = call.receive_kind("config_status")
            self.assertEqual((status.revision, status.applied, status.in_force.interval_ms), (revision, False, 100))
            self.assertIn(str(interval), status.reason)
            self.assertEqual(len(status.reason.splitlines()), 1)

    def test_an_unknown_key_is_one_clear_line(self):
        for _ in range(3):
            self.backend.call().abort(grpc.StatusCode.UNAUTHENTICATED, "no such key")
        call = self.backend.call(20)
        losses = self.agent.losses()
        self.assertEqual(len(losses), 1, losses)
        self.assertIn("level=warn", losses[0])
        self.assertIn("does not know this agent key", losses[0])
        self.assertNotIn(KEY, self.agent.log())
        call.open()
        call.batch()

    def test_what_the_backend_says_is_logged_in_one_line(self):
        self.backend.call().abort(grpc.StatusCode.INTERNAL, "one\nlevel=error two %41 %zz ü \x7f")
        self.backend.call().abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "x" * 2000)
        call = self.backend.call()
        call.receive()
        call.send(MESSAGES.BackendMessage(welcome=MESSAGES.Welcome(hostname="a\nb", warning="c\nd")))
        call.batch()
        for line in self.agent.log().splitlines():
            self.assertRegex(line, r"^(ts|time)=\S+ level=\w+ ")
        self.assertEqual(len(self.agent.losses()), 2)

    def test_sigterm_flushes_what_is_queued(self):
        call = self.backend.call()
        call.open()
        got = call.collect(lambda got: len(got) >= 5)
        self.agent.terminate()
        wait_for(lambda: "stopping" in self.agent.log(), 5, "the agent stops")
        seen = [n for b in got for n in b]
        call.send(accept(seen))
        with self.assertRaises(Ended):
            while True:
                numbers = sequences(call.batch())
                call.send(accept(numbers))
                seen += numbers
        call.finish()
        self.assertEqual(self.agent.process.wait(5), 0)
        self.assertRegex(self.agent.log(), rf"acknowledged={len(seen)} .*dropped=0 unsent=0")
        self.assertEqual(sorted(set(seen)), list(range(1, max(seen) + 1)))

    def test_sigterm_does_not_wait_for_ever(self):
        call = self.backend.call()
        call.open()
        call.collect(lambda got: len(got) >= 3)
        self.assertLess(self.agent.stop(), 5)
        self.assertRegex(self.agent.log(), r"unsent=[1-9]")

    def test_sigterm_before_welcome(self):
        self.backend.call().receive()
        self.assertLess(self.agent.stop(), 5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
