"""Watches an agent's spool file from outside, so that what became of each snapshot is known apart from the agent's own counters: a record
is seen waiting, then marked as done (accepted or rejected), or it disappears unmarked: dropped to make room.

It looks more often than a small ring can go round. When it did not (a stalled machine), `blind` says so."""
import struct
import threading

from test_spool import DONE, HEADER, MAGIC, RECORD, RING, crc32c

LOOK_S = 0.05


class Witness:
    def __init__(self, path):
        self.path, self.lock = path, threading.Lock()
        self.seen, self.done, self.waiting = set(), set(), set()  # of (instance, sequence)
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
        with self.lock:
            try:
                data = self.path.read_bytes()
            except FileNotFoundError:
                return
            header = self.header(data)
            if header:
                self.take(data, *header)

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
        self.blind |= bool(self.seen) and tail - self.tail > ring // 2
        self.tail, self.dropped, self.corrupt = max(tail, self.tail), dropped, corrupt
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

    def account(self):
        """(seen, waiting, dropped) at this moment; the agent must be stopped or gone."""
        self.look()
        with self.lock:
            return set(self.seen), set(self.waiting), self.seen - self.done - self.waiting

