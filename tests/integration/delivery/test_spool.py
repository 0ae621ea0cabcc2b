"""The spool between real programs: backends that are gone, agents that are killed meanwhile, upgrades; and afterwards every snapshot
an agent has taken is in the database or counted."""
import collections
import hashlib
import json
import re
import signal
import socket
import sqlite3
import struct
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
from google.protobuf import descriptor_pb2  # noqa: E402
from programs import Installation, wait_for  # noqa: E402
from websocket import WebSocket  # noqa: E402

# agent/delivery/spool_format.h
RING = 4096
MAGIC = struct.pack("<Q", 0x44524345524C5053)
RECORD = struct.Struct("<8sQQQ16s16s32sIIII")
HEADER = struct.Struct("<QIIQQ16sQQQQQQQQII")
DONE = 0x656E6F64

DELIVERED = "what an earlier agent left has been delivered"
QUICK = ("--interval", "100ms", "--disable", "perf,block_io")


def crc32c(data, crc=0):
    crc = ~crc & 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return ~crc & 0xFFFFFFFF


def records(path):
    """(offset, fields) of what looks like a record, dropped ones that were not written over included."""
    data = path.read_bytes()
    at = data.find(MAGIC, RING)
    while at >= 0:
        if at % 8 == 0 and at + RECORD.size <= len(data):
            yield at, RECORD.unpack_from(data, at)
        at = data.find(MAGIC, at + 8)


def last_sequences(path):
    """{instance: the highest sequence it has put into the spool}"""
    last = collections.Counter()
    for _, (_, _, _, sequence, instance, *_) in records(path):
        last[instance] = max(last[instance], sequence)
    return last


def stored(it):
    rows = collections.defaultdict(list)
    connection = sqlite3.connect(f"file:{it.database}?mode=ro", uri=True)
    for instance, sequence in connection.execute("SELECT instance, sequence FROM hot ORDER BY instance, sequence"):
        rows[instance].append(sequence)
    connection.close()
    return rows


def stop(it, agent, name="agent"):
    """Ends it gracefully: {counter: value} of its last line."""
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(15) == 0
    line = [line for line in it.log(name).splitlines() if "msg=stopped" in line][-1]
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)\b", line)}


class Live:
    """A browser that watches: (instance, sequence) in the order of arrival."""

    def __init__(self, it):
        token = it.login()
        self.socket = WebSocket(it.http_port, "/api/ws/metrics", [f"Authorization: Bearer {token}", f"Cookie: sonde_token={token}"],
                                timeout=90)  # the agent may wait half a minute before it tries again
        self.seen = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while (message := self.socket.receive()):
                frame = json.loads(message)
                if frame["type"] == "snapshot":
                    self.seen.append((frame["instance"], int(frame["sequence"])))
        except (OSError, EOFError):
            pass

    def close(self):
        self.socket.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.socket.close()


class SpoolTest(unittest.TestCase):
    def kill(self, it, agent, taken):
        agent.kill()
        agent.wait()
        for instance, last in last_sequences(it.state_dir("agent") / "spool").items():
            taken[instance] = max(taken[instance], last)

    def drained(self, it):
        """Nothing waits but what is on its way."""
        return not any(fields[-1] != DONE for _, fields in list(records(it.state_dir("agent") / "spool"))[:-30])

    def test_outage_with_two_kills_loses_nothing(self):
        taken = collections.Counter()
        with Installation() as it:
            it.start_backend()
            agent = it.start_agent("agent", *QUICK)
            wait_for(lambda: sum(map(len, stored(it).values())) > 20, 20, "snapshots are stored")
            it.backend.kill()
            it.backend.wait()
            for _ in range(2):
                time.sleep(20)
                self.kill(it, agent, taken)
                agent = it.start_agent("agent", *QUICK)
            time.sleep(20)
            it.start_backend()
            live = Live(it)
            wait_for(lambda: it.log("agent").count(DELIVERED) == 2, 60, "the backlog of two instances is delivered")
            time.sleep(1)
            newest = list(stored(it))
            counters = stop(it, agent)
            live.close()
            log, backend_log = it.log("agent"), it.log("backend")
            rows = stored(it)
            for instance, last in last_sequences(it.state_dir("agent") / "spool").items():
                taken[instance] = max(taken[instance], last)
            self.assertEqual(len(newest), 3)
            self.assertEqual(len(taken), 3)
            self.assertGreater(sum(taken.values()), 560)
            for instance, last in taken.items():
                self.assertEqual(rows[instance], list(range(1, last + 1)))
            self.assertEqual((counters["dropped"], counters["unsent"], counters["rejected"]), (0, 0, 0))
            # The past is not shown as the present, and nobody thinks that there are two of us.
            self.assertGreater(len(live.seen), 5)
            instances = list(dict.fromkeys(instance for instance, _ in live.seen))
            self.assertEqual(len(instances), 1, "earlier instances are history")
            sequences = [sequence for _, sequence in live.seen]
            self.assertEqual(sequences, sorted(set(sequences)))
            self.assertNotIn("two agents", backend_log)
            self.assertNotIn("level=error", log)
            # A file may die with a record half written: one a kill.
            corrupt = re.findall(r"corrupt_ever=(\d+)", log)
            self.assertLessEqual(int(corrupt[-1]), 2)

    def test_what_was_acknowledged_is_not_sent_again(self):
        with Installation() as it:
            it.start_backend()
            agent = it.start_agent("agent", *QUICK)
            wait_for(lambda: sum(map(len, stored(it).values())) > 40, 20, "snapshots are stored")
            agent.kill()
            agent.wait()
            it.start_agent("agent", *QUICK)
            line = wait_for(lambda: [line for line in it.log("agent").splitlines() if "spool opened" in line][1:], 10, "it starts")
            self.assertLess(int(re.search(r" snapshots=(\d+)", line[0])[1]), 20)

    def test_a_small_spool_drops_and_counts_exactly(self):
        taken = collections.Counter()
        small = (*QUICK, "--spool-bytes", "256KiB")
        with Installation() as it:
            it.start_backend()
            agent = it.start_agent("agent", *small)
            wait_for(lambda: sum(map(len, stored(it).values())) > 10, 20, "snapshots are stored")
            it.backend.kill()
            it.backend.wait()
            time.sleep(12)
            self.kill(it, agent, taken)
            agent = it.start_agent("agent", *small)
            time.sleep(12)
            it.start_backend()
            wait_for(lambda: self.drained(it), 40, "the spool is empty")
            counters = stop(it, agent)
            for instance, last in last_sequences(it.state_dir("agent") / "spool").items():
                taken[instance] = max(taken[instance], last)
            rows = stored(it)
            self.assertEqual(len(taken), 2)
            self.assertGreater(counters["dropped"], 20)
            self.assertEqual(counters["unsent"], 0)
            self.assertEqual(sum(taken.values()), sum(map(len, rows.values())) + counters["dropped"])
            for instance, sequences in rows.items():
                self.assertLessEqual(sequences[-1], taken[instance])

    def test_an_upgrade_brings_the_old_descriptor_set(self):
        with Installation() as it:
            state = it.state_dir("agent")
            it.start_backend()  # makes the key
            it.backend.kill()
            it.backend.wait()
            agent = it.start_agent("agent", *QUICK)
            time.sleep(4)
            self.kill(it, agent, collections.Counter())
            (own,) = state.glob("spool-set-*")
            files = descriptor_pb2.FileDescriptorSet.FromString(own.read_bytes())
            files.file.add(name="sonde/v1/older.proto", package="sonde.v1", syntax="proto2")
            older = files.SerializeToString()
            digest = hashlib.sha256(older).digest()
            (state / f"spool-set-{digest.hex()}").write_bytes(older)
            (state / f"spool-set-{'00' * 32}").write_bytes(b"of nobody")
            spool = bytearray((state / "spool").read_bytes())
            slots = [HEADER.unpack_from(spool, at) for at in (0, 512)]
            file_id = struct.pack("<Q", slots[0][4])
            found = list(records(state / "spool"))
            for at, fields in found:
                fields = list(fields)
                fields[6] = digest
                RECORD.pack_into(spool, at, *fields)
                fields[9] = crc32c(bytes(spool[at:at + RECORD.size - 8]), crc32c(file_id))
                RECORD.pack_into(spool, at, *fields)
            (state / "spool").write_bytes(spool)
            it.start_backend()
            it.start_agent("agent", *QUICK)
            wait_for(lambda: DELIVERED in it.log("agent"), 30, "the backlog is delivered")
            connection = sqlite3.connect(f"file:{it.database}?mode=ro", uri=True)
            sets = {row[0]: row[1] for row in connection.execute("SELECT hash, data FROM descriptor_sets")}
            count, = connection.execute("SELECT count(*) FROM hot WHERE descriptor_hash = ?", (digest,)).fetchone()
            connection.close()
            self.assertEqual(sets[digest], older)
            self.assertEqual(count, len(found))
            self.assertEqual([path.name for path in state.glob("spool-set-*")], [own.name], "what nobody needs goes")

    def test_one_agent_a_state_directory(self):
        with Installation() as it:
            it.start_backend()
            it.start_agent("agent", *QUICK)
            wait_for(lambda: "spool opened" in it.log("agent"), 10, "it starts")
            second = it.spawn("second", "sonde-agent", "--backend", f"127.0.0.1:{it.grpc_port}", "--key-file", it.key_file,
                              "--state-dir", it.state_dir("agent"), *QUICK)
            self.assertEqual(second.wait(10), 1)
            self.assertIn("another agent uses the state directory", it.log("second"))

    def test_what_a_stop_leaves_is_said_and_kept(self):
        with Installation() as it:
            it.start_backend()
            it.backend.kill()
            it.backend.wait()
            agent = it.start_agent("agent", *QUICK)
            wait_for(lambda: "no connection" in it.log("agent"), 20, "it has tried")
            time.sleep(3)
            counters = stop(it, agent)
            self.assertGreater(counters["unsent"], 5)
            self.assertIn("stays in the spool", it.log("agent"))
            it.start_backend()
            it.start_agent("agent", *QUICK)
            line = wait_for(lambda: [line for line in it.log("agent").splitlines() if DELIVERED in line], 30, "it is delivered")
            self.assertIn(f"snapshots={counters['unsent']}", line[0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
