#!/usr/bin/env python3
"""Takes what an agent sent out of a backend's SQLite store, as a recording the other tools of this folder read.

    tests/bench/storage/take.py STORE.db RECORDING

RECORDING gets each snapshot in the order of the agent's clock: received_us (8 bytes, little-endian), length (4), payload.
"""
import hashlib
import sqlite3
import struct
import sys


def main(store, recording):
    db = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    digest, n = hashlib.sha256(), 0
    with open(recording, "wb") as f:
        for received, payload in db.execute("SELECT received_us, payload FROM hot ORDER BY agent_us"):
            record = struct.pack("<qI", received, len(payload)) + payload
            digest.update(record)
            f.write(record)
            n += 1
    print(f"{n} snapshots, sha256 {digest.hexdigest()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
