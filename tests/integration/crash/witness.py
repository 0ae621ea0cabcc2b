"""Watches an agent's spool file from outside, so that what became of each snapshot is known apart from the agent's own counters: a record
is seen waiting, then marked as done (accepted or rejected), or it disappears unmarked.

What disappears was dropped to make room; or it was the oldest of a full ring, accepted and overwritten between two looks. So each look in
which something disappears is kept with what the spool counted as dropped meanwhile. Looks come more often than a small ring can go round;
when they did not (a stalled machine), `blind` says so."""
import os
import struct
import threading
from collections import defaultdict

from test_spool import DONE, HEADER, MAGIC, RECORD, RING, crc32c

LOOK_S = 0.05


class Witness:
    def __init__(self, path):
        self.path, self.lock = path, threading.Lock()
        self.seen, self.done, self.waiting, self.gone = set(), set(), set(), set()  # of (instance, sequence)
        self.losses = []  # (what disappeared, how many the spool counted), a look
        self.dropped = self.corrupt = 0  # what the file itself says
        self.blind = False
        self.tail, self.checked = 0, {}  # {(what is summed, its sum): true}
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        self.ending.set()
        self.thread.join()

    def run(self):
        while not self.ending.wait(LOOK_S):
            self.look()

    def look(self):
        """Takes in one state of the file: none while the header changes under our eyes."""
        with self.lock:
            for _ in range(20):
                try:
                    data = self.path.read_bytes()
                    with open(self.path, "rb") as again:
                        same = os.pread(again.fileno(), RING, 0) == data[:RING]
                except FileNotFoundError:
                    return
                header = self.header(data)
                if same and header:
                    self.take(data, *header)
                    return

    def header(self, data):
        """(ring bytes, id, head, tail, dropped, corrupt) of the newer half that is whole."""
        best = None
        for at in (0, 512):
            if len(data) < at + HEADER.size:
                continue
            fields = HEADER.unpack_from(data, at)
            _, _, _, size, file_id, _, generation, head, tail, _, _, _, dropped, corrupt, _, crc = fields
            if crc32c(data[at:at + HEADER.size - 4]) == crc and (best is None or generation > best[0]):
                best = generation, (size - RING, file_id, head, tail, dropped, corrupt)
        return best and best[1]

    def whole(self, summed, file_id, crc):
        if (summed, crc) not in self.checked:
            self.checked[summed, crc] = crc32c(summed, crc32c(struct.pack("<Q", file_id))) == crc
        return self.checked[summed, crc]

    def take(self, data, ring, file_id, head, tail, dropped, corrupt):
        # What was written since the last look may not reach round to what had not been looked at.
        self.blind |= bool(self.seen) and tail - self.tail > ring * 3 // 4
        waiting, at = set(), data.find(MAGIC, RING)
        while at >= 0:
            if at % 8 == 0 and at + RECORD.size <= len(data):
                _, position, _, sequence, instance, _, _, _, _, crc, state = RECORD.unpack_from(data, at)
                if RING + position % ring == at and self.whole(data[at:at + RECORD.size - 8], file_id, crc):
                    snapshot = (instance, sequence)
                    self.seen.add(snapshot)
                    if state == DONE:
                        self.done.add(snapshot)
                    elif position >= head:
                        waiting.add(snapshot)
            at = data.find(MAGIC, at + 8)
        self.waiting = waiting - self.done
        gone = self.seen - self.done - self.waiting - self.gone
        if gone or dropped != self.dropped:
            self.losses.append((gone, dropped - self.dropped))
            self.gone |= gone
        self.tail, self.dropped, self.corrupt = max(tail, self.tail), dropped, corrupt

    def judge(self, test, stored):
        """With the agent stopped or gone and what is in the database: what is missing was dropped and counted, look by look. How many of
        those that were dropped are stored nevertheless: their acknowledgement never came."""
        self.look()
        with self.lock:
            test.assertFalse(self.blind, "this machine was too slow to be witnessed")
            by_instance = defaultdict(set)
            for instance, sequence in self.seen:
                by_instance[instance].add(sequence)
            # What was pushed, accepted and written over before the first look has to be stored.
            for instance, sequences in by_instance.items():
                unseen = set(range(1, max(sequences) + 1)) - sequences
                test.assertLess(max(unseen, default=0), min(sequences), "every snapshot went through the spool")
                test.assertLessEqual({(instance, n) for n in unseen}, stored, "unseen, and not stored")
            test.assertLessEqual(self.seen - stored - self.waiting, self.gone, "missing, and not for want of room")
            for gone, counted in self.losses:
                test.assertLessEqual(len(gone - stored), counted, f"missing and not counted as dropped: {gone - stored}")
                test.assertLessEqual(counted, len(gone), "counted as dropped and not gone")
            test.assertEqual(sum(counted for _, counted in self.losses), self.dropped)
            return self.dropped - len(self.gone - stored)
