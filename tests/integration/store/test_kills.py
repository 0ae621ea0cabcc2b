"""kill -9 of the writing program, of PostgreSQL or of both at random moments, a server that stands still, and one that is down for a
while, while two others seal and compact: whatever was acknowledged is there afterwards, once, as a row or in a chunk, and ranges say what
these say.

20 rounds, drawn by SONDE_SEED or a seed that is printed; --slow: 200."""
import collections
import os
import random
import signal
import struct
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from postgres import Postgres  # noqa: E402
from programs import BUILD, wait_for  # noqa: E402

SLOW = "--slow" in sys.argv
ROUNDS = 200 if SLOW else 20
HOSTS = 3
FAULTS = ("kill_writer", "kill_server", "kill_both", "freeze_server", "restart_server")


class Writer:
    """The feeder and what it said was acknowledged."""

    def __init__(self, url, directory):
        self.url, self.path = url, directory / "acknowledged"
        self.process = None

    def start(self, first):
        with open(self.path, "ab") as out:
            self.process = subprocess.Popen([BUILD / "store_feeder", "--store", self.url, "--from", str(first), "--hosts", str(HOSTS),
                                             "--sealers", "2"], stdin=subprocess.PIPE, stdout=out, stderr=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()

    def end(self):
        """Lets it write what is queued."""
        self.process.stdin.close()
        assert self.process.wait(30) == 0

    def acknowledged(self):
        """{host: {sequence, ...}}; conflicts are a failure."""
        found = collections.defaultdict(set)
        for line in self.path.read_text().splitlines():
            host, sequence, *conflict = line.split()
            assert not conflict, line
            found[int(host)].add(int(sequence))
        return found

    def count(self):
        return self.path.read_bytes().count(b"\n")


class KillsTest(unittest.TestCase):
    def setUp(self):
        self.postgres = Postgres().__enter__()
        self.addCleanup(self.postgres.__exit__, None, None, None)
        self.writer = Writer(self.postgres.database(), self.postgres.directory)
        self.writer.start(1)
        self.addCleanup(lambda: self.writer.process.poll() is None and self.writer.kill())
        self.progress()

    def progress(self):
        before = self.writer.count()
        wait_for(lambda: self.writer.count() > before, 30, "something is acknowledged")

    def resume(self):
        """The writer begins below the highest it was told is durable, as an agent would."""
        highest = max(max(numbers) for numbers in self.writer.acknowledged().values())
        self.writer.start(max(1, highest // 5 * 5 + 1 - 50))

    def kill_writer(self):
        self.writer.kill()
        self.resume()

    def kill_server(self):
        self.postgres.kill()
        time.sleep(random.uniform(0, 0.3))
        self.postgres.start()

    def kill_both(self):
        self.postgres.kill()
        self.writer.kill()
        self.postgres.start()
        self.resume()

    def freeze_server(self):
        self.postgres.signal(signal.SIGSTOP)
        time.sleep(random.uniform(0.1, 12 if SLOW else 0.6))
        self.postgres.signal(signal.SIGCONT)

    def restart_server(self):
        self.postgres.stop()
        self.postgres.start()

    def judge(self):
        self.writer.end()
        wait_for(lambda: self.postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sonde-backend'") == [["0"]],
                 20, "the server has ended what the dead were about")
        hosts = {host: int(name.split("-")[1]) for host, name in self.postgres.psql("SELECT host, hostname FROM sonde.hosts")}
        self.assertEqual(len(hosts), HOSTS)
        rows, ranges, freed = collections.defaultdict(list), collections.defaultdict(set), collections.defaultdict(set)
        for host, sequence, payload, sealed in self.postgres.psql(
                "SELECT host, sequence, split_part(convert_from(payload, 'UTF8'), ' ', 2), received_us <= sealed_us FROM sonde.hot"
                " JOIN sonde.hosts USING (host)"):
            self.assertEqual(sequence, payload)
            if sealed == "t":
                freed[hosts[host]].add(int(sequence))
            else:
                rows[hosts[host]].append(int(sequence))
        chunks = self.postgres.psql("SELECT host, encode(data, 'hex'), 0 FROM sonde.sealed_raw UNION ALL"
                                    " SELECT host, encode(data, 'hex'), 1 FROM sonde.compacted_raw")
        for host, data, _ in chunks:
            rows[hosts[host]] += [number for number, in struct.iter_unpack("<Q", bytes.fromhex(data))]
        self.assertGreater(sum(compacted == "1" for _, _, compacted in chunks), 0)
        for host, sequences in freed.items():
            self.assertEqual(sequences - set(rows[host]), set(), "what is sealed is in a chunk")
        for host, first, last in self.postgres.psql("SELECT host, first, last FROM sonde.streams"):
            ranges[hosts[host]].update(range(int(first), int(last) + 1))
        for host, acknowledged in self.writer.acknowledged().items():
            self.assertEqual(len(rows[host]), len(set(rows[host])), "nothing twice")
            self.assertEqual(acknowledged - set(rows[host]), set(), "nothing acknowledged is lost")
            self.assertEqual(ranges[host], set(rows[host]), "ranges say what is stored")
        return sum(map(len, rows.values())), len(chunks)

    def test_random_faults(self):
        seed = int(os.environ.get("SONDE_SEED") or random.randrange(1 << 32))
        print(f"SONDE_SEED={seed}", flush=True)
        random.seed(seed)
        faults = (list(FAULTS) * (ROUNDS // len(FAULTS) + 1))[:ROUNDS]
        random.shuffle(faults)
        for fault in faults:
            time.sleep(random.uniform(0, 0.25))
            getattr(self, fault)()
            self.progress()
        # On a busy machine faults come quicker than the chunks that are to be put together.
        wait_for(lambda: self.postgres.psql("SELECT count(*) FROM sonde.compacted_raw") != [["0"]], 20, "chunks are put together")
        stored, chunks = self.judge()
        print(f"{ROUNDS} faults, {self.writer.count()} acknowledgements, {stored} stored, {chunks} chunks", flush=True)
        self.assertGreater(stored, ROUNDS)

    def test_killed_while_the_tables_are_made(self):
        """Two programs that start at once on an empty database, one of them killed: the other, or the next one, finds all tables or none."""
        self.writer.kill()
        for number in range(ROUNDS // 5):
            self.postgres.database(f"empty_{number}")
            url = self.postgres.url(f"empty_{number}")
            first, second = (subprocess.Popen([BUILD / "store_feeder", "--store", url], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                              stderr=subprocess.DEVNULL) for _ in range(2))
            time.sleep(random.uniform(0, 0.12))
            first.kill()
            first.wait()
            first.stdin.close()
            second.stdin.close()
            self.assertEqual(second.wait(60), 0)
            last = subprocess.run([BUILD / "store_feeder", "--store", url], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
            self.assertEqual(last.returncode, 0, last.stderr)
            self.assertEqual(self.postgres.psql("SELECT version FROM sonde.schema_version", f"empty_{number}"), [["2"]])


if __name__ == "__main__":
    if SLOW:
        sys.argv.remove("--slow")
    unittest.main(verbosity=2)
