"""A PostgreSQL of one's own: initdb in a temporary directory, on a Unix socket and a free loopback port. Debian's package brings the
programs; they refuse to run as root, so root runs them as the user postgres."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
from programs import free_port, wait_for  # noqa: E402

SUPERUSER = "postgres"


def programs():
    """Where initdb and postgres are, the newest of them; None without any."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Postgres:
    """A context manager; durable: with fsync, as one would run it. Otherwise the kernel's page cache has to do, which kill -9 of
    processes leaves alone."""

    def __init__(self, durable=False, settings=""):
        self.bin = programs()
        if not self.bin:
            print("SKIP: PostgreSQL's programs are not installed (apt-get install postgresql)")
            sys.exit(77)
        self.durable = durable
        self.settings = settings
        self.user = {"user": SUPERUSER, "group": SUPERUSER, "extra_groups": []} if os.geteuid() == 0 else {}
        self.port = free_port()
        self.process = None

    def __enter__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="sonde-pg-"))
        if self.user:
            shutil.chown(self.directory, SUPERUSER)
        self.directory.chmod(0o755)
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.run("initdb", "-D", self.data, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        with open(self.data / "postgresql.conf", "a") as f:
            f.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{self.directory}'\n"
                    "shared_buffers = 64MB\nmax_wal_size = 512MB\nmax_connections = 60\nlog_line_prefix = '%m [%p] '\n"
                    f"fsync = {'on' if self.durable else 'off'}\nlogging_collector = off\n{self.settings}\n")
        self.start()
        return self

    def __exit__(self, *exception):
        self.kill()
        if exception[0]:
            print(f"--- {self.log}\n{self.log.read_text(errors='replace')[-4000:]}")
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, program, *arguments):
        done = subprocess.run([self.bin / program, *map(str, arguments)], capture_output=True, text=True, cwd="/", timeout=60, **self.user)
        if done.returncode != 0:
            raise AssertionError(f"{program}: {done.stderr or done.stdout}")
        return done.stdout

    def start(self):
        """Returns when it answers; a server that was killed recovers first."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.bin / "postgres", "-D", self.data], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd="/", start_new_session=True, **self.user)
        wait_for(self.answers, 30, f"PostgreSQL answers: {self.log.read_text(errors='replace')[-500:]}")

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"postgres ended: {self.log.read_text(errors='replace')[-1000:]}")
        return subprocess.run([self.bin / "pg_isready", "-q", "-h", self.directory, "-p", str(self.port)], check=False).returncode == 0

    def pids(self):
        """The server and its children."""
        found = [self.process.pid]
        for pid in found:
            try:
                for children in Path(f"/proc/{pid}/task").glob("*/children"):
                    found += [int(child) for child in children.read_text().split()]
            except OSError:
                pass  # it has ended
        return found

    def signal(self, number):
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        """kill -9 of all of it."""
        if self.process and self.process.poll() is None:
            pids = self.pids()
            self.signal(signal.SIGKILL)
            self.process.wait()
            wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10, "its processes are gone")

    def stop(self):
        """As an administrator would: no client is waited for."""
        self.run("pg_ctl", "stop", "-D", self.data, "-m", "fast", "-w")
        self.process.wait()

    def psql(self, sql, database="sonde"):
        """Rows of text; [] for none."""
        out = subprocess.run([self.bin / "psql", "-h", self.directory, "-p", str(self.port), "-U", SUPERUSER, "-d", database, "-XqAt", "-F", "\t",
                              "-v", "ON_ERROR_STOP=1"], input=sql, capture_output=True, text=True, timeout=60)
        if out.returncode != 0:
            raise AssertionError(f"{sql}: {out.stderr}")
        return [line.split("\t") for line in out.stdout.splitlines()]

    def database(self, name="sonde"):
        """A new database; its URL on the Unix socket."""
        self.psql(f"CREATE DATABASE {name}", "postgres")
        return self.url(name)

    def url(self, name="sonde"):
        return f"postgresql://{SUPERUSER}@/{name}?host={self.directory}&port={self.port}"

    def sequences(self, database="sonde"):
        """{instance: [sequence, ...]} of the rows and {instance: [(first, last), ...]} of the ranges."""
        rows, ranges = {}, {}
        for instance, sequence in self.psql("SELECT instance, sequence FROM sonde.hot ORDER BY instance, sequence", database):
            rows.setdefault(instance, []).append(int(sequence))
        for instance, first, last in self.psql("SELECT instance, first, last FROM sonde.streams ORDER BY instance, first", database):
            ranges.setdefault(instance, []).append((int(first), int(last)))
        return rows, ranges




def has_citus():
    """Debian has no package of Citus: only who has installed it can be tested with it."""
    bin = programs()
    return bool(bin) and (Path("/usr/share/postgresql") / bin.parent.name / "extension" / "citus.control").exists()


class Citus(Postgres):
    """A coordinator, which keeps no rows itself, and two workers."""

    def __init__(self):
        settings = "shared_preload_libraries = 'citus'\nmax_prepared_transactions = 100\ncitus.shard_count = 4\ncitus.node_conninfo = 'sslmode=disable'"
        super().__init__(settings=settings)
        self.workers = [Postgres(settings=settings) for _ in range(2)]

    def __enter__(self):
        for worker in self.workers:
            worker.__enter__()
        return super().__enter__()

    def __exit__(self, *exception):
        super().__exit__(*exception)
        for worker in self.workers:
            worker.__exit__(*exception)

    def database(self, name="sonde"):
        super().database(name)
        for server in (*self.workers, self):
            if server is not self:
                server.database(name)
            server.psql("CREATE EXTENSION citus", name)
        self.psql(f"SELECT citus_set_coordinator_host('127.0.0.1', {self.port})", name)
        for worker in self.workers:
            self.psql(f"SELECT citus_add_node('127.0.0.1', {worker.port})", name)
        return self.url(name)

    def url(self, name="sonde"):
        return super().url(name) + "&citus=on"
