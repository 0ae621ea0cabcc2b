"""Our stores as bench_load makes them, what they weigh, and a backend started on them: the same interface as the servers of peers.py."""
import json
import os
import sqlite3
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "integration" / "lib"), str(HERE.parents[1] / "integration" / "store")]
import postgres  # noqa: E402
from peers import Server  # noqa: E402
from programs import BUILD, PASSWORD, SOURCE, free_port  # noqa: E402

FOR_EVER = ("--retention-raw", "36500d", "--retention-minute", "36500d", "--retention-processes", "36500d")


def bench_load(recording, url, arguments):
    done = subprocess.run([str(BUILD / "bench_load"), str(recording), "--store", url, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench_load: {done.stderr}")
    return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())}


class Sqlite:
    name = "Sonde on SQLite"

    def __init__(self, directory):
        self.path = Path(directory) / "sonde.db"
        self.url = f"sqlite:{self.path}"

    def load(self, recording, arguments):
        for path in self.path.parent.glob("sonde.db*"):
            path.unlink()
        return self.weigh(bench_load(recording, self.url, arguments))

    def weigh(self, found):
        # Free pages are filled again by what comes: they are told apart.
        with sqlite3.connect(self.path) as db:
            db.executescript("PRAGMA wal_checkpoint(TRUNCATE);")
            free = db.execute("SELECT (SELECT freelist_count FROM pragma_freelist_count) * (SELECT page_size FROM pragma_page_size)").fetchone()[0]
            try:
                tables = dict(db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
            except sqlite3.OperationalError:
                tables = {}
        return {**found, "bytes": self.path.stat().st_size - free, "free": free, "tables": tables}

    def files(self):
        return list(self.path.parent.glob("sonde.db*"))

    def pids(self):
        return []

    def stop(self):
        pass

    start = stop


class Cluster(postgres.Postgres):
    """A server in a directory that stays."""

    def __init__(self, directory):
        super().__init__(durable=True)
        self.directory = Path(directory)

    def __enter__(self):
        self.data, self.log = self.directory / "data", self.directory / "log"
        if not self.data.exists():
            made = postgres.Postgres(durable=True)
            made.port = self.port
            made.__enter__()
            made.stop()
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mv", str(made.directory), str(self.directory)], check=True)
        settings = (self.data / "postgresql.conf").read_text().splitlines()
        (self.data / "postgresql.conf").write_text("\n".join(
            line for line in settings if not line.startswith(("port =", "unix_socket_directories ="))) +
            f"\nport = {self.port}\nunix_socket_directories = '{self.directory}'\n")
        self.start()
        return self

    def __exit__(self, *exception):
        self.stop()


class Postgresql:
    name = "Sonde on PostgreSQL"

    def __init__(self, cluster, database):
        self.cluster, self.database, self.url = cluster, database, cluster.url(database)

    def load(self, recording, arguments):
        self.cluster.psql(f"DROP DATABASE IF EXISTS {self.database}", "postgres")
        self.cluster.database(self.database)
        found = bench_load(recording, self.url, arguments)
        self.cluster.psql("VACUUM", self.database)
        tables = {name: int(size) for name, size in self.cluster.psql(
            "SELECT relname, pg_total_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname = 'sonde' AND relkind = 'r'", self.database)}
        return {**found, "bytes": sum(tables.values()), "tables": tables}

    def files(self):
        return [path for path in self.cluster.data.rglob("*") if path.is_file()]

    def pids(self):
        return self.cluster.pids()

    def stop(self):
        self.cluster.stop()

    def start(self):
        self.cluster.start()


class Backend(Server):
    """Keeps what is there for ever."""
    health = "/health"

    def __init__(self, store, directory):
        super().__init__(directory)
        self.store, self.name, self.token = store, store.name, None

    def command(self):
        return [str(BUILD / "sonde-backend"), "--store", self.store.url, "--http-listen", f"127.0.0.1:{self.port}",
                "--grpc-listen", f"127.0.0.1:{free_port()}", "--web-root", str(SOURCE / "frontend" / "dist"),
                "--agent-key-file", str(self.directory / "agent.key"), *FOR_EVER, "--seal-every", "1h"]

    def start(self):
        os.environ["SONDE_ADMIN_PASSWORD"] = PASSWORD
        super().start()
        form = urllib.parse.urlencode({"username": "admin", "password": PASSWORD}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/token", form, timeout=10) as reply:
            self.token = json.load(reply)["access_token"]

    def range(self, host, metric, function, by, begin, end, step):
        wish = {"metric": metric, "from": begin, "to": end, "step": step, "function": function}
        if by is not None:
            wish["group_by"] = by
        path = f"/api/servers/{host}/metrics" if host else "/api/metrics/range"
        return f"{path}?{urllib.parse.urlencode(wish)}"


def evict(paths):
    """Out of the page cache, of these files alone: others on the machine keep theirs."""
    for path in paths:
        with open(path, "rb") as f:
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
