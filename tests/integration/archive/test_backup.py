"""Backup and restore, on either engine and from one to the other: what was restored is, record by record, what was backed up; while agents
send and the backup is killed; archives that are damaged, cut off or newer, stores that are not empty or half restored. --slow: large chunks."""
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "store"), str(HERE.parent / "ingest"), str(HERE.parent / "lib")]
from backend import BUILD, Backend  # noqa: E402
from postgres import Postgres  # noqa: E402
from sonde_proto import ranges  # noqa: E402

SLOW = "--slow" in sys.argv
CHUNK_BYTES = 30_000_000 if SLOW else 700_000
POSTGRES = None
NUMBER = iter(range(1 << 30))


def setUpModule():
    global POSTGRES
    POSTGRES = Postgres().__enter__()
    unittest.addModuleCleanup(POSTGRES.__exit__, None, None, None)


def command(*arguments, code=0):
    done = subprocess.run([BUILD / "sonde-backend", *map(str, arguments)], capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stderr


def backup(url, path, **options):
    return command("backup", "--store", url, path, **options)


def restore(url, path, **options):
    return command("restore", "--store", url, path, **options)


def records(path):
    done = subprocess.run([BUILD / "archive_tool", "list", path], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="sonde-archive-")
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name)

    def new(self, engine):
        return f"sqlite:{self.path}/{next(NUMBER)}.db" if engine == "sqlite" else POSTGRES.database(f"archive_{next(NUMBER)}")

    def filled(self, engine):
        url = self.new(engine)
        subprocess.run([BUILD / "archive_tool", "fill", url, "7", str(CHUNK_BYTES)], check=True, timeout=120)
        return url


class Later(Backend):
    """Started when its store is there."""

    def __enter__(self):
        self.doubles = []
        return self


class OnPostgres(Backend):
    url = None

    def start_backend(self, *extra):
        self.url = self.url or POSTGRES.database(f"archive_{next(NUMBER)}")
        return super().start_backend("--store", self.url, *extra)


class Engines(Case):
    def check(self, source, target):
        first, second = self.path / "first.bak", self.path / "second.bak"
        self.assertIn("backed up to", backup(self.filled(source), first))
        self.assertEqual(first.stat().st_mode & 0o777, 0o600, "it holds password hashes")
        into = self.new(target)
        restore(into, first)
        backup(into, second)
        before, after = records(first), records(second)
        self.assertGreater(len([line for line in before if line.startswith("chunk")]), 20)
        self.assertEqual(sorted(before), sorted(after))
        return into, first

    def test_sqlite_to_sqlite(self):
        into, first = self.check("sqlite", "sqlite")
        self.assertIn("not empty", restore(into, first, code=1))
        self.assertIn("is there already", backup(into, first, code=1))

    def test_sqlite_to_postgres(self):
        into, first = self.check("sqlite", "postgres")
        self.assertIn("not empty", restore(into, first, code=1))

    def test_postgres_to_sqlite(self):
        self.check("postgres", "sqlite")


class Archives(Case):
    def test_a_damaged_archive_is_told_before_anything_is_written(self):
        good = self.path / "good.bak"
        backup(self.filled("sqlite"), good)
        data = good.read_bytes()
        random.seed(3)
        newer = bytearray(data)
        newer[8] = 9
        wrong = [(data[:n], "cut off|damaged|not a backup") for n in [0, 7, 16, 20, len(data) // 2, len(data) - 1]]
        wrong += [(data + b"x", "follows its end"), (b"SQLite format 3" + data, "not a backup"), (bytes(newer), "header is damaged")]
        for _ in range(6):
            at = random.randrange(16, len(data))
            wrong.append((data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1:], "damaged|cut off"))
        for bad, reason in wrong:
            url = self.new("sqlite")
            path = self.path / "bad.bak"
            path.write_bytes(bad)
            self.assertRegex(restore(url, path, code=1), reason)
        restore(url, good)  # what was refused left nothing that is in the way

    def test_an_interrupted_restore_is_told(self):
        archive = self.path / "a.bak"
        backup(self.filled("sqlite"), archive)
        for engine in ["sqlite", "postgres"]:
            url = self.new(engine)
            for _ in range(5):
                process = subprocess.Popen([BUILD / "sonde-backend", "restore", "--store", url, archive], stderr=subprocess.PIPE, text=True)
                while process.poll() is None and not self.is_half(url):
                    time.sleep(0.002)
                process.kill()
                process.communicate()
                if process.returncode == -signal.SIGKILL:
                    break
                url = self.new(engine)  # it was quicker
            self.assertIn("interrupted", restore(url, archive, code=1))
            self.assertIn("interrupted", backup(url, self.path / "half.bak", code=1))
            self.assertIn("interrupted", command("key", "create", "--name", "x", "--store", url, code=1))

    def is_half(self, url):
        sql = "SELECT name FROM {}settings WHERE name = 'half_restored'"
        if url.startswith("postgresql"):
            with contextlib.suppress(AssertionError):  # no tables yet
                return POSTGRES.psql(sql.format("sonde."), url.split("/")[3].split("?")[0])
            return False
        with contextlib.suppress(sqlite3.Error), sqlite3.connect(f"file:{url[7:]}?mode=ro", uri=True) as db:
            return db.execute(sql.format("")).fetchall()
        return False

    def test_a_damaged_chunk_costs_itself(self):
        url, archive = self.filled("sqlite"), self.path / "damaged.bak"
        with sqlite3.connect(url.removeprefix("sqlite:")) as db:
            db.execute("DELETE FROM chunk_pieces WHERE piece IN (SELECT piece FROM chunk_pieces ORDER BY piece LIMIT 1 OFFSET 4)")
        self.assertIn("1 damaged chunks", backup(url, archive, code=3))
        into = self.new("sqlite")
        restore(into, archive)
        backup(into, self.path / "again.bak")
        self.assertEqual(sorted(records(archive)), sorted(records(self.path / "again.bak")))

    def test_a_full_disk_leaves_nothing(self):
        if os.geteuid() != 0:
            self.skipTest("SKIP: only root can make a small file system")
        url, disk = self.filled("sqlite"), self.path / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], check=True)
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        self.assertIn("the disk is full", backup(url, disk / "a.bak", code=1))
        self.assertEqual(list(disk.iterdir()), [])
        good = self.path / "good.bak"
        backup(url, good)
        self.assertIn("half restored", restore(f"sqlite:{disk}/a.db", good, code=1))
        self.assertIn("interrupted", restore(f"sqlite:{disk}/a.db", good, code=1))

    def test_a_bar_on_a_terminal(self):
        url = self.filled("sqlite")
        outer, inner = os.openpty()
        process = subprocess.Popen([BUILD / "sonde-backend", "backup", "--store", url, self.path / "a.bak"], stderr=inner)
        os.close(inner)
        said = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(outer, 4096):
                said += part
        os.close(outer)
        self.assertEqual(process.wait(), 0)
        self.assertRegex(said.decode(), r"\rbackup \[[#-]{30}\] +\d+%  \d+ of \d+ bytes")

    def test_what_is_not_there_is_not_made(self):
        self.assertIn("No such file", backup(f"sqlite:{self.path}/absent.db", self.path / "x.bak", code=1))
        self.assertIn("holds no data", backup(self.new("postgres"), self.path / "x.bak", code=1))
        self.assertEqual(list(self.path.iterdir()), [])


class Running(Case):
    """A backend writes all the while."""

    def check(self, program, url_of):
        begin = int(time.time()) - 1000
        with program() as it:
            url = url_of(it)
            double = it.double(hostname="busy")
            acknowledged, stop = set(), threading.Event()

            def send():
                stream = double.stream()
                stream.welcome()
                sequence = 0
                while not stop.is_set():
                    sequence += 1
                    for first, last in ranges(stream.deliver(double.snapshot(sequence, seconds=begin + sequence)).accepted):
                        acknowledged.update(range(first, last + 1))

            sender = threading.Thread(target=send)
            sender.start()
            try:
                killed = 0
                for delay in [0.002, 0.005, 0.01, 0.02]:
                    process = subprocess.Popen([BUILD / "sonde-backend", "backup", "--store", url, self.path / "killed.bak"],
                                               stderr=subprocess.DEVNULL)
                    time.sleep(delay)
                    process.send_signal(signal.SIGKILL)
                    if process.wait() == -signal.SIGKILL:
                        killed += 1
                    if (self.path / "killed.bak").exists():
                        records(self.path / "killed.bak")  # what has the name is whole
                        (self.path / "killed.bak").unlink()
                self.assertGreater(killed, 0)
                while len(acknowledged) < 50:
                    time.sleep(0.01)
                before = set(acknowledged)
                backup(url, self.path / "online.bak")
                after_backup = len(acknowledged)
                while len(acknowledged) < after_backup + 20:
                    time.sleep(0.01)  # it goes on
            finally:
                stop.set()
                sender.join()
            self.assertEqual(it.stop(), 0)
            self.assertEqual(it.complaints("backend"), [])
            # Another backend takes its place: old passwords, the same key; what the agent sends again is known.
            with Later() as into:
                restore(f"sqlite:{into.database}", self.path / "online.bak")
                into.key_file.write_text(it.key)
                into.start_backend()
                token = into.login()
                self.assertEqual([s["hostname"] for s in into.get("/api/servers", token)["servers"]], ["busy"])
                again = into.double(hostname="busy", host_id=double.host_id)
                again.instance = double.instance
                stream = again.stream()
                durable = set()
                for first, last in ranges(stream.welcome().durable):
                    durable.update(range(first, last + 1))
                self.assertLessEqual(before, durable, "what was acknowledged before the backup began is in it")
                self.assertEqual(durable, set(range(1, max(durable) + 1)))
                rows = len(into.stored())
                self.assertEqual(rows, len(durable))
                self.assertEqual(ranges(stream.deliver(double.snapshot(1, seconds=begin + 1)).accepted), [(1, 1)])
                self.assertEqual(len(into.stored()), rows, "a resend is known")
                self.assertEqual(into.complaints("backend"), [])

    def test_sqlite(self):
        self.check(Backend, lambda it: f"sqlite:{it.database}")

    def test_postgres(self):
        self.check(OnPostgres, lambda it: it.url)


if __name__ == "__main__":
    sys.argv = [a for a in sys.argv if a != "--slow"]
    unittest.main(verbosity=2)
