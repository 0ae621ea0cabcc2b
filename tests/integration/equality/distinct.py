"""Rewrites the counters and gauges of a recorded host so that no two are the same: a column that is taken for its neighbour
shows, even on a host where both were 0."""

import re

NUMBER = re.compile(r"(?<![\w.-])\d+(?![\w.])")


class Numbers:
    """Different ones, scattered: below 2^31, for the kernel prints some in 32 bits, and below 2^49, which doubles of any
    unit still hold: of ticks that is 178,000 years, of sectors 256 PiB."""

    def __init__(self, large=False):
        self.count = 0
        self.factor = 1 << 18 if large else 1

    def small(self, _match=None):
        self.count += 1
        return str((self.count * 2654435761) % (1 << 20) * 2011 + self.count)

    def next(self, _match=None):
        return str(int(self.small()) * self.factor + self.count)

    def next_hex(self):
        return f"{int(self.small()):08x}"


def rewrite(path, change):
    if path.exists():
        path.write_text("".join(change(line) for line in path.read_text().splitlines(keepends=True)))


def behind(pattern, next_number):
    """All numbers of a line behind what matches; a line that does not match stays."""
    def change(line):
        match = re.match(pattern, line)
        return line[:match.end()] + NUMBER.sub(next_number, line[match.end():]) if match else line
    return change


def change_hex(path, keep, numbers):
    """Columns of eight hexadecimal digits but those named."""
    def change(line):
        words = line.split()
        if not re.fullmatch("[0-9a-f]{8}", words[0]):
            return line
        return " ".join(word if i in keep else numbers.next_hex() for i, word in enumerate(words)) + "\n"
    rewrite(path, change)


def make_distinct(root, numbers):
    proc, sys = root / "proc", root / "sys"
    rewrite(proc / "stat", behind(r"(cpu\d* |ctxt |processes |procs_\w+ |softirq |intr )", numbers.next))
    for path in (proc / "meminfo", proc / "vmstat"):
        rewrite(path, behind(r"[\w()]+:? ", numbers.next))
    rewrite(proc / "diskstats", behind(r" *\d+ +\d+ \S+ ", numbers.next))
    rewrite(proc / "net/dev", behind(r" *[^:|]+:", numbers.next))
    for name in ("snmp", "netstat"):
        # "Ip: 1 64 ...": the first says whether the host forwards, and is no number
        rewrite(proc / "net" / name, behind(r"(Ip: \d+|\w+:(?= [\d-]))", numbers.next))
    rewrite(proc / "net/snmp6", behind(r"\w+", numbers.next))
    for name in ("sockstat", "sockstat6"):
        rewrite(proc / "net" / name, behind(r"\w+:", numbers.next))
    for resource in ("cpu", "memory", "io", "irq"):
        rewrite(proc / "pressure" / resource, lambda line: re.sub(r"(?<=total=)\d+", numbers.next, line))
    # The last of softnet's columns but two is the CPU's number.
    change_hex(proc / "net/softnet_stat", {12}, numbers)
    # The same number of entries stands in every CPU's line, and in a file of its own.
    change_hex(proc / "net/stat/nf_conntrack", {0}, numbers)
    rewrite(proc / "sys/net/netfilter/nf_conntrack_max", behind("", numbers.small))
    # "allocated, free, limit": free ones are 0 on every kernel since 2.6, and we count those in use.
    rewrite(proc / "sys/fs/file-nr", lambda line: f"{numbers.next()}\t0\t{numbers.next()}\n")
    for node in sys.glob("devices/system/node/node[0-9]*"):
        rewrite(node / "meminfo", behind(r"Node \d+ [\w()]+:", numbers.next))
        rewrite(node / "numastat", behind(r"\w+", numbers.next))
    for interface in sys.glob("class/net/*"):
        rewrite(interface / "carrier_changes", behind("", numbers.small))
        rewrite(interface / "mtu", behind("", numbers.small))
        # Megabits per second; -1 where there is no speed to speak of.
        rewrite(interface / "speed", lambda line: f"{int(numbers.small()) % 400000}\n")


# Lines of configurations the recorded hosts do not have: contiguous memory, poisoned pages, 32-bit mappings, TDX.
MORE_MEMINFO = ("EarlyMemtestBad", "HardwareCorrupted", "CmaTotal", "CmaFree", "Unaccepted", "DirectMap4M")
OLD_VMSTAT = {"workingset_refault_file": "workingset_refault", "workingset_activate_file": "workingset_activate",
              "workingset_restore_file": "workingset_restore", "thp_split_page": "thp_split", "allocstall_normal": "allocstall"}
NEW_VMSTAT = ("workingset_refault_anon", "workingset_activate_anon", "workingset_restore_anon", "allocstall_")


def make_older(root, numbers):
    """As kernels before 4.12 wrote it: 11 numbers a disk, 11 columns of softnet without the CPU's, other names in vmstat, no
    pressure."""
    make_distinct(root, numbers)
    proc = root / "proc"
    there = (proc / "meminfo").read_text()
    with open(proc / "meminfo", "a") as meminfo:
        meminfo.writelines(f"{name + ':':<15} {numbers.next()} kB\n" for name in MORE_MEMINFO if f"{name}:" not in there)

    def older_name(line):
        name, value = line.split()
        if name in OLD_VMSTAT:
            return f"{OLD_VMSTAT[name]} {value}\n"
        return "" if name.startswith(NEW_VMSTAT) else line
    rewrite(proc / "vmstat", older_name)
    rewrite(proc / "diskstats", lambda line: " ".join(line.split()[:14]) + "\n")
    cpus = re.findall(r"^cpu(\d+) ", (proc / "stat").read_text(), re.M)
    if cpus == [str(i) for i in range(len(cpus))]:  # else nobody could tell whose a line without the CPU's number is
        rewrite(proc / "net/softnet_stat", lambda line: " ".join(line.split()[:11]) + "\n")
    for resource in (proc / "pressure").glob("*"):
        resource.unlink()
