"""A reading of a recorded host's files that shares nothing with the agent's: what a snapshot must say of them."""

import os
import re

failures = []
host = ""


def of(name):
    """The host that is checked from here on, to be named in failures."""
    global host
    host = name


def check(what, got, want):
    if got != want:
        failures.append(f"{host}: {what}: got {got!r}, want {want!r}")


def check_processes(root, section):
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGESIZE")
    names = {fields[2]: fields[0] for fields in (line.split(":") for line in (root / "etc/passwd").read_text().splitlines())}
    pids = sorted(int(path.parent.name) for path in root.glob("proc/[0-9]*/stat"))
    check("pids", [p["pid"] for p in section["processes"]], pids)
    check("process_count", section["process_count"], len(pids))
    for process in section["processes"]:
        pid = process["pid"]
        begin, _, behind = (root / f"proc/{pid}/stat").read_text().rpartition(")")
        fields = behind.split()
        check(f"{pid} comm", process["comm"], begin.partition("(")[2].replace("\n", "?"))
        check(f"{pid} parent", process["parent_pid"], int(fields[1]))
        check(f"{pid} start", process["start_time_us"], int(fields[19]) * 1000000 // ticks)
        check(f"{pid} cpu", process["cpu_us"], (int(fields[11]) + int(fields[12])) * 1000000 // ticks)
        check(f"{pid} resident", process["resident_bytes"], int(fields[21]) * page)
        check(f"{pid} threads", process["threads"], int(fields[17]))
        io = dict(line.split(": ") for line in (root / f"proc/{pid}/io").read_text().splitlines())
        check(f"{pid} write_bytes", process["write_bytes"], int(io["write_bytes"]))
        check(f"{pid} read_bytes", process["read_bytes"], int(io["read_bytes"]))
        user = re.search(r"^Uid:\t\d+\t(\d+)", (root / f"proc/{pid}/status").read_text(), re.M)[1]
        check(f"{pid} user", process["user"], names[user])
        line = (root / f"proc/{pid}/cmdline").read_text().rstrip("\0").replace("\0", " ")
        check(f"{pid} command line", process.get("command_line", ""), line)


def check_network(root, text, network):
    groups = {}
    for path in ("proc/net/snmp", "proc/net/netstat"):
        lines = text(path).splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            for name, value in zip(names.split()[1:], values.split()[1:]):
                groups[names.split(":")[0], name] = int(value)
    snmp6 = {line.split()[0]: int(line.split()[1]) for line in text("proc/net/snmp6").splitlines()}
    for message, field, group, name in (
            ("ip4", "receive_packets", "Ip", "InReceives"), ("ip4", "transmit_bytes", "IpExt", "OutOctets"),
            ("icmp4", "receive_messages", "Icmp", "InMsgs"), ("tcp", "connections", "Tcp", "CurrEstab"),
            ("tcp", "retransmitted_segments", "Tcp", "RetransSegs"), ("tcp", "loss_probes", "TcpExt", "TCPLossProbes"),
            ("tcp", "zero_window_shut", "TcpExt", "TCPToZeroWindowAdv"), ("udp4", "transmit_datagrams", "Udp", "OutDatagrams")):
        check(f"{group} {name}", network[message][field], groups[group, name])
    check("Ip6OutOctets", network["ip6"]["transmit_bytes"], snmp6["Ip6OutOctets"])
    check("Icmp6OutMsgs", network["icmp6"]["transmit_messages"], snmp6["Icmp6OutMsgs"])
    check("forwarding", network["ip4"]["forwarding"], int(groups["Ip", "Forwarding"] == 1))
    sockets = {line.split()[0]: line.split()[1:] for line in text("proc/net/sockstat").splitlines()}
    tcp = dict(zip(sockets["TCP:"][::2], sockets["TCP:"][1::2]))
    check("TCP mem", network["sockets"]["tcp_memory_bytes"], int(tcp["mem"]) * os.sysconf("SC_PAGESIZE"))
    softnet = [[int(word, 16) for word in line.split()] for line in text("proc/net/softnet_stat").splitlines()]
    check("softnet", [(row["cpu"], row["processed"]) for row in network["softnet"]], [(row[12], row[0]) for row in softnet])
    path = "proc/net/stat/nf_conntrack"
    check("conntrack shown", "conntrack" in network, (root / path).exists())
    if (root / path).exists():
        tracked = [line.split() for line in text(path).splitlines()]
        invalid = tracked[0].index("invalid")
        check("conntrack invalid", network["conntrack"]["invalid"], sum(int(cpu[invalid], 16) for cpu in tracked[1:]))


def unescape(field):
    """A word of mountinfo or of a recorded statfs: blanks are octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def keyed(path):
    return {line.split()[0]: int(line.split()[1]) for line in path.read_text().splitlines()}


def only_number(path):
    """What the file says, or None where it says that there is no limit."""
    word = path.read_text().strip()
    return None if word in ("max", "-1") or int(word) >= 1 << 62 else int(word)


# What a cgroup's field is by v2 and by v1: the controller that has the file, the file, and which of its keys.
CGROUP_FIELDS = (
    ("cpu_us", ("cpu", "cpu.stat", "usage_usec", 1), ("cpuacct", "cpuacct.usage", None, 1 / 1000)),
    ("cpu_periods", ("cpu", "cpu.stat", "nr_periods", 1), ("cpu", "cpu.stat", "nr_periods", 1)),
    ("cpu_throttled_periods", ("cpu", "cpu.stat", "nr_throttled", 1), ("cpu", "cpu.stat", "nr_throttled", 1)),
    ("cpu_throttled_us", ("cpu", "cpu.stat", "throttled_usec", 1), ("cpu", "cpu.stat", "throttled_time", 1 / 1000)),
    ("memory_bytes", ("memory", "memory.current", None, 1), ("memory", "memory.usage_in_bytes", None, 1)),
    ("memory_limit_bytes", ("memory", "memory.max", None, 1), ("memory", "memory.limit_in_bytes", None, 1)),
    ("memory_high_bytes", ("memory", "memory.high", None, 1), None),
    ("memory_high_events", ("memory", "memory.events", "high", 1), None),
    ("anonymous_bytes", ("memory", "memory.stat", "anon", 1), ("memory", "memory.stat", "total_rss", 1)),
    ("file_bytes", ("memory", "memory.stat", "file", 1), ("memory", "memory.stat", "total_cache", 1)),
    ("page_faults", ("memory", "memory.stat", "pgfault", 1), ("memory", "memory.stat", "total_pgfault", 1)),
    ("tasks", ("pids", "pids.current", None, 1), ("pids", "pids.current", None, 1)),
    ("tasks_limit", ("pids", "pids.max", None, 1), ("pids", "pids.max", None, 1)),
)


def check_cgroups(root, section):
    hierarchies, unified = {}, None
    for line in (root / "proc/1/mountinfo").read_text().splitlines():
        fields, _, (kind, _, options) = *line.partition(" - ")[:2], line.partition(" - ")[2].split()
        point = root / unescape(fields.split()[4]).lstrip("/")
        if kind == "cgroup2":
            unified = point
        for controller in options.split(",") if kind == "cgroup" else ():
            hierarchies.setdefault(controller, point)
    main = next((hierarchies[c] for c in ("memory", "cpuacct", "cpu", "pids", "blkio") if c in hierarchies), unified)
    check("layout", section.get("layout"),
          "hybrid" if unified and main != unified else "v2" if unified else "v1" if main else None)
    if not main or not main.is_dir():
        return
    groups = {group["path"]: group for group in section["cgroups"]}
    paths = ["/" + str(path.relative_to(main)) for path in main.rglob("*") if path.is_dir() and not path.is_symlink()]
    check("cgroups", sorted(groups), sorted(["/", *paths]))
    for path, group in groups.items():
        for field, v2, v1 in CGROUP_FIELDS:
            source = v2 if main == unified else v1
            if not source:
                check(f"{path} {field} shown", field in group, False)
                continue
            file = hierarchies.get(source[0], unified) / path[1:] / source[1]
            if not file.exists():
                check(f"{path} {field} shown", field in group, False)
                continue
            number = keyed(file).get(source[2]) if source[2] else only_number(file)
            check(f"{path} {field}", group.get(field), int(number * source[3]) if number is not None else None)
        if main == unified and (file := main / path[1:] / "cpu.max").exists():
            quota, period = file.read_text().split()
            check(f"{path} CPU limit", group.get("cpu_limit_ratio"), None if quota == "max" else int(quota) / int(period))
        if main == unified and (file := main / path[1:] / "io.stat").exists():
            reads = [int(re.search(r"rbytes=(\d+)", line)[1]) for line in file.read_text().splitlines() if "rbytes=" in line]
            check(f"{path} bytes read", [io["read_bytes"] for io in group.get("io", [])], reads)
        name = path.rpartition("/")[2]
        container = re.search(r"(?:docker|cri-containerd)-([0-9a-f]{64})\.scope$", name)
        check(f"{path} container", group.get("container_id"), container[1] if container else None)


def check_sensors(root, section):
    """Each temperature of hwmon's and thermal's, in thousandths."""
    files = [*root.glob("sys/class/hwmon/hwmon*/temp*_input"), *root.glob("sys/class/thermal/thermal_zone*/temp")]
    check("temperatures", sorted(round(t["celsius"] * 1000) for t in section.get("temperatures", [])),
          sorted(int(file.read_text()) for file in files))
    for file in files:
        limit = file.with_name(file.name.replace("_input", "_max"))
        if limit != file and limit.exists():
            check(f"{file.name}'s limit", int(limit.read_text()) / 1000 in
                  [t.get("high_celsius") for t in section["temperatures"]], True)


def leaves_below(root, disk):
    slaves = [path.name for path in (root / f"sys/block/{disk}/slaves").glob("*")]
    return sorted({leaf for slave in slaves for leaf in leaves_below(root, slave)}) if slaves else [disk]


def check_disks(root, section):
    disks = {disk["device"]: disk for disk in section["devices"]}
    for line in (root / "proc/diskstats").read_text().splitlines():
        name, values = line.split()[2], [int(v) for v in line.split()[3:]]
        block = root / "sys/block" / name
        size = int((block / "size").read_text()) * 512 if block.is_dir() else 0
        check(f"{name} shown", name in disks, block.is_dir() and (size > 0 or any(values)))
        if name not in disks:
            continue
        disk = disks[name]
        check(f"{name} size", disk["size_bytes"], size)
        check(f"{name} diskseq", disk["diskseq"], int((block / "diskseq").read_text()))
        units = (1, 1, 512, 1000)
        for i, field in enumerate(("reads", "reads_merged", "read_bytes", "read_time_us",
                                   "writes", "writes_merged", "write_bytes", "write_time_us",
                                   None, None, None, "discards", "discards_merged", "discard_bytes", "discard_time_us")):
            if field:
                check(f"{name} {field}", disk[field], values[i] * units[(i - (i > 10) * 3) % 4])
        check(f"{name} in_flight", disk["in_flight"], values[8])
        check(f"{name} io_time_us", disk["io_time_us"], values[9] * 1000)
        check(f"{name} weighted_io_time_us", disk["weighted_io_time_us"], values[10] * 1000)
        check(f"{name} flushes", (disk["flushes"], disk["flush_time_us"]), (values[15], values[16] * 1000))
        for field, file in (("read_only", "ro"), ("rotational", "queue/rotational")):
            check(f"{name} {field}", disk[field], (block / file).read_text().strip() == "1")
        if (block / "slaves").is_dir():
            check(f"{name} leaves", sorted(disk["leaves"]), leaves_below(root, name))
            check(f"{name} is a leaf", disk["leaf"], False)
        elif not name.startswith("loop"):  # a loop's leaf is where its file lies
            check(f"{name} is a leaf", disk["leaf"], True)
        if (block / "dm/name").exists():
            check(f"{name} alias", disk["alias"], (block / "dm/name").read_text().strip())
    mdstat = root / "proc/mdstat"
    for array in section.get("arrays", []):
        block = re.search(rf"^{array['device']} : .*\n(?:  .*\n)*", mdstat.read_text(), re.M)[0]
        words, counts = block.split(), re.search(r"\[(\d+)/(\d+)\]", block)
        check(f"{array['device']} state", array["array_state"], words[2])
        check(f"{array['device']} level", array.get("level"), words[3] if words[3].startswith("raid") else None)
        check(f"{array['device']} disks", (array.get("disks_total"), array.get("disks_active")),
              (int(counts[1]), int(counts[2])) if counts else (None, None))
    check("arrays", sorted(array["device"] for array in section.get("arrays", [])),
          sorted(re.findall(r"^(md\d+) :", mdstat.read_text(), re.M)) if mdstat.exists() else [])


def check_against_files(root, snapshot):
    text = lambda path: (root / path).read_text()

    meminfo = {line.split(":")[0]: int(line.split()[1]) for line in text("proc/meminfo").splitlines()}
    memory = snapshot["memory"]
    check("total_bytes", memory["total_bytes"], meminfo["MemTotal"] * 1024)
    check("used_bytes", memory["used_bytes"], (meminfo["MemTotal"] - meminfo["MemAvailable"]) * 1024)
    check("slab_bytes", memory["slab_bytes"], meminfo["Slab"] * 1024)
    check("huge_pages_total", memory["huge_pages_total"], meminfo["HugePages_Total"])

    check("hugetlb pool", memory["huge_pool_bytes"], meminfo["Hugetlb"] * 1024)
    check("direct map", memory["direct_map_2m_bytes"], meminfo["DirectMap2M"] * 1024)
    nodes = {int(path.name.removeprefix("node")): path for path in (root / "sys/devices/system/node").glob("node[0-9]*")}
    check("nodes", [node["node"] for node in memory.get("nodes", [])], sorted(nodes))
    for node in memory.get("nodes", []):
        numastat = dict(line.split() for line in (nodes[node["node"]] / "numastat").read_text().splitlines())
        check("numa_hit", node["pages_hit"], int(numastat["numa_hit"]))
        lines = (nodes[node["node"]] / "meminfo").read_text().splitlines()
        check("node's memory", node["free_bytes"], next(int(l.split()[3]) * 1024 for l in lines if "MemFree" in l))
    pools = {int(path.name[10:-2]) * 1024: path for path in (root / "sys/kernel/mm/hugepages").glob("hugepages-*")}
    check("huge page pools", [pool["page_size_bytes"] for pool in memory.get("huge_page_pools", [])], sorted(pools))
    check("swap devices", len(memory.get("swap_devices", [])), len(text("proc/swaps").splitlines()) - 1)

    stat = [line.split() for line in text("proc/stat").splitlines()]
    ticks = os.sysconf("SC_CLK_TCK")
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
    cpus = [line for line in stat if re.fullmatch(r"cpu\d*", line[0])]
    times = [snapshot["cpu"]["total"]] + snapshot["cpu"]["cores"]
    check("CPUs", len(times), len(cpus))
    for line, cpu in zip(cpus, times):
        for name, value in zip(names, line[1:]):
            check(f"{line[0]} {name}_us", cpu[f"{name}_us"], int(value) * 1000000 // ticks)
    check("context_switches", snapshot["cpu"]["context_switches"], next(int(l[1]) for l in stat if l[0] == "ctxt"))
    check("load1", snapshot["cpu"]["load1"], float(text("proc/loadavg").split()[0]))

    softirqs = next(l[2:] for l in stat if l[0] == "softirq")
    check("softirq kinds", [k["serviced"] for k in snapshot["cpu"]["softirq_kinds"]], [int(v) for v in softirqs])
    check("boot_time_seconds", snapshot["cpu"]["boot_time_seconds"], next(int(l[1]) for l in stat if l[0] == "btime"))
    check("file_handles", snapshot["cpu"]["file_handles"], int(text("proc/sys/fs/file-nr").split()[0]))
    first, _, last = text("sys/devices/system/cpu/present").strip().partition("-")
    check("offline", snapshot["cpu"]["offline"], int(last or first) - int(first) + 1 - len(cpus[1:]))
    check("rows are of the CPUs that are there", [f"cpu{core['cpu']}" for core in snapshot["cpu"]["cores"]], [l[0] for l in cpus[1:]])

    vmstat = {line.split()[0]: int(line.split()[1]) for line in text("proc/vmstat").splitlines()}
    check("page_in_bytes", snapshot["vmstat"]["page_in_bytes"], vmstat["pgpgin"] * 1024)
    check("swap_out_bytes", snapshot["vmstat"]["swap_out_bytes"], vmstat["pswpout"] * os.sysconf("SC_PAGESIZE"))
    check("pages_allocated", snapshot["vmstat"]["pages_allocated"],
          sum(v for k, v in vmstat.items() if k.startswith("pgalloc_")))

    for resource in ("cpu", "memory", "io", "irq"):
        path = root / "proc/pressure" / resource
        check(f"pressure {resource} shown", resource in snapshot["pressure"], path.exists())
        for line in path.read_text().splitlines() if path.exists() else ():
            kind, *fields = line.split()
            fields, got = dict(field.split("=") for field in fields), snapshot["pressure"][resource][kind]
            check(f"pressure {resource} {kind} total", got["total_us"], int(fields["total"]))
            check(f"pressure {resource} {kind} avg60", round(got["avg60_ratio"] * 100, 2), float(fields["avg60"]))

    check_disks(root, snapshot["disks"])
    check_cgroups(root, snapshot["cgroups"])
    check_sensors(root, snapshot["sensors"])

    filesystems = {f["mount_point"]: f for f in snapshot["filesystems"]["filesystems"]}
    statfs = {unescape(line.split()[0]): [int(v) for v in line.split()[1:]] for line in text("sonde/statfs").splitlines()}
    check("there are file systems", len(filesystems) > 0, True)
    for line in text("proc/1/mountinfo").splitlines():
        fields, _, kind = line.partition(" - ")
        fields, kind = [unescape(field) for field in fields.split()], kind.split()
        if kind[0] in ("ext4", "xfs", "btrfs"):
            check(f"{fields[4]} is shown", fields[4] in filesystems, True)
        filesystem = filesystems.get(fields[4])
        if filesystem and filesystem["device_number"] == fields[2]:
            block, blocks, free, available, inodes, inodes_free, flags = statfs[fields[4]]
            check(f"{fields[4]} type", filesystem["type"], kind[0])
            check(f"{fields[4]} size", filesystem["size_bytes"], block * blocks)
            check(f"{fields[4]} available", filesystem["available_bytes"], block * available)
            used = (blocks - free) / (blocks - free + available)
            check(f"{fields[4]} used", round(filesystem["used_ratio"], 9), round(used, 9))
            check(f"{fields[4]} inodes_free", filesystem["inodes_free"], inodes_free)
            check(f"{fields[4]} read_only", filesystem["read_only"], bool(flags & 1))

    interfaces = {i["interface"]: i for i in snapshot["network"]["interfaces"]}
    lines = text("proc/net/dev").splitlines()[2:]
    check("interfaces", len(interfaces), len(lines))
    for line in lines:
        name, _, values = line.partition(":")
        interface, values = interfaces[name.strip()], [int(v) for v in values.split()]
        check(f"{name} receive_bytes", interface["receive_bytes"], values[0])
        check(f"{name} transmit_packets", interface["transmit_packets"], values[9])
        check(f"{name} virtual", interface["virtual"], not (root / f"sys/class/net/{name.strip()}/device").exists())

    check_processes(root, snapshot["processes"])
    check_network(root, text, snapshot["network"])

    summary = snapshot["summary"]
    for rate in (field for field in summary if field.endswith("_per_second")):
        check(rate, summary[rate], 0)
    for ratio in ("cpu_busy_ratio", "cpu_iowait_ratio"):
        check(f"{ratio} without any time on the CPUs", ratio in summary, False)
    uptime = float(text("proc/uptime").split()[0])
    if not uptime - 1 <= summary["uptime_seconds"] <= uptime + 30:
        failures.append(f"uptime {summary['uptime_seconds']} is not the recorded host's {uptime}")
    check("boot_id", snapshot["boot_id"], text("proc/sys/kernel/random/boot_id").strip().replace("-", ""))
    for section in ("perf", "block_io"):
        check(f"{section} reason", snapshot[section]["state"]["reason"], "recorded_host")
