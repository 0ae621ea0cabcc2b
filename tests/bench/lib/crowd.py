"""What a benchmark puts on a host to be looked at: sleeping processes and threads, cgroups, network interfaces. All of it is gone
behind the `with` block."""
import subprocess
import time
from pathlib import Path

from measure import BUILD, tree

CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuacct", "cpu,cpuacct", "memory", "blkio", "pids", "unified")


class Sleepers:
    def __init__(self, processes, threads=1):
        self.arguments = processes, threads

    def __enter__(self):
        self.program = subprocess.Popen([BUILD / "bench_sleepers", *map(str, self.arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.program.stdout.readline() != b"ready\n":
            raise SystemExit(f"bench_sleepers {self.arguments}: no room for that many tasks on this host")
        return self

    def pids(self):
        return [pid for pid in tree(self.program.pid) if pid != self.program.pid]

    def __exit__(self, *exception):
        self.program.stdin.close()
        self.program.wait()
        self.program.stdout.close()


def hierarchies():
    """Where a cgroup has to be made so that every controller has it: the one hierarchy of v2, or those of v1."""
    if (CGROUPS / "cgroup.procs").exists():
        return [CGROUPS]
    return [CGROUPS / name for name in CONTROLLERS if (CGROUPS / name / "cgroup.procs").exists() and not (CGROUPS / name).is_symlink()]


def make_cgroup(name, pid=None):
    for hierarchy in hierarchies():
        (hierarchy / name).mkdir()
        if pid:
            (hierarchy / name / "cgroup.procs").write_text(f"{pid}\n")


def remove_cgroup(name):
    for hierarchy in hierarchies():
        for attempt in range(100):
            try:
                (hierarchy / name).rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:  # its process is not gone yet
                time.sleep(0.05)


class Cgroups:
    """n cgroups with one sleeping process in each."""

    def __init__(self, n, prefix="sonde-bench"):
        self.names = [f"{prefix}-{i}" for i in range(n)]

    def __enter__(self):
        if not self.names:
            return self
        self.sleepers = Sleepers(len(self.names)).__enter__()
        try:
            for name, pid in zip(self.names, self.sleepers.pids()):
                make_cgroup(name, pid)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        if self.names:
            self.sleepers.__exit__()
            for name in self.names:
                remove_cgroup(name)


def task_count():
    return sum(1 for _ in Path("/proc").glob("[0-9]*/task/*"))
