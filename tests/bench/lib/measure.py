"""What programs cost: CPU time by the kernel's own nanosecond clocks, memory, the run time of BPF programs."""
import json
import os
import re
import subprocess
import time
from pathlib import Path

PROG_TYPE_SYSCALL = 31  # linux/bpf.h
BUILD = Path(os.environ.get("SONDE_BUILD", "build/bench"))


def process_cpu_ns(pid):
    """All threads of a process, those that ended too: the clock clock_getcpuclockid(3) names."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def tree(pid):
    """The process and its descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def tree_cpu_ns(pid):
    """The process with its descendants; those that ended count in clock ticks, as their parents were told."""
    total = 0
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            total += process_cpu_ns(one) + (int(fields[13]) + int(fields[14])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    return total


def pss_mib(pid):
    total = 0
    for one in tree(pid):
        try:
            total += sum(int(line.split()[1]) for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
        except OSError:
            continue
    return total / 1024


def bpf_programs(pid):
    """{id: (run_time_ns, runs, is run by the process itself)} of the programs a process holds. Times count while kernel.bpf_stats_enabled is 1."""
    programs, iterators = {}, set()
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            fields = dict(re.findall(r"^(\w+):\s*(\S+)", path.read_text(), re.M))
        except OSError:
            continue
        if fields.get("link_type") == "iter":
            iterators.add(fields["prog_id"])
        elif "run_time_ns" in fields:
            programs[fields["prog_id"]] = (int(fields["run_time_ns"]), int(fields["run_cnt"]))
            if int(fields["prog_type"]) == PROG_TYPE_SYSCALL:
                iterators.add(fields["prog_id"])
    return {number: (*program, number in iterators) for number, program in programs.items()}


class BpfStatistics:
    """kernel.bpf_stats_enabled as long as the block runs; as it was behind it."""
    path = Path("/proc/sys/kernel/bpf_stats_enabled")

    def __enter__(self):
        self.before = self.path.read_text()
        self.path.write_text("1\n")

    def __exit__(self, *exception):
        self.path.write_text(self.before)


def ticks(*arguments, prefix=()):
    """bench_ticks with these arguments: its JSON."""
    done = subprocess.run([*prefix, BUILD / "bench_ticks", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench_ticks {' '.join(map(str, arguments))}: {done.stderr.strip() or done.returncode}")
    return json.loads(done.stdout)


def fastest(runs, *arguments, key="scheduler_ns_a_tick", **options):
    """Of several runs the one that cost least: what the others had on top was somebody else's."""
    return min((ticks(*arguments, **options) for _ in range(runs)), key=lambda result: result[key])


def surroundings():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return (f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs ({model.group(1) if model else os.uname().machine}), "
            f"Linux {os.uname().release}, load {', '.join(f'{load:.2f}' for load in os.getloadavg())}")
