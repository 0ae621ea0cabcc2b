"""sonde-agent --once on a recorded host: the golden output, an independent reading of the same files, and Prometheus text that a
scraper would take. With --root both readings see the same files, so every rate is 0 and only times differ between runs.

once.py --update writes the golden output anew; read the difference before committing it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(os.environ["SONDE_SOURCE"])
AGENT = Path(os.environ["SONDE_BUILD"]) / "sonde-agent"
HOSTS = SOURCE / "tests/fixtures/hosts"

failures = []


def check(what, got, want):
    if got != want:
        failures.append(f"{what}: got {got!r}, want {want!r}")


def run(root, form):
    done = subprocess.run(
        [AGENT, "--config", "/dev/null", "--once", "--root", root, "--interval", "100ms", "--format", form],
        capture_output=True, text=True, timeout=60)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"sonde-agent failed ({done.returncode}): {done.stderr}")
    return done.stdout


def stable(snapshot):
    """What must be the same at every run: no clocks, and of the agent itself only which fields there are."""
    snapshot = json.loads(json.dumps(snapshot))
    for field in ("timestamp", "boottime_us", "instance"):
        snapshot.pop(field)
    for section in snapshot.values():
        if isinstance(section, dict):
            for field in ("collected_at_us", "duration_us"):
                section["state"].pop(field)
    snapshot["summary"].pop("uptime_seconds")
    agent = snapshot["agent"]
    for field, value in agent.items():
        if isinstance(value, int):
            agent[field] = "number"
    for collector in agent["collectors"]:
        collector["duration_us"] = "number"
    return snapshot


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
        user = re.search(r"^Uid:\t\d+\t(\d+)", (root / f"proc/{pid}/status").read_text(), re.M)[1]
        check(f"{pid} user", process["user"], names[user])
        line = (root / f"proc/{pid}/cmdline").read_text().rstrip("\0").replace("\0", " ")
        check(f"{pid} command line", process.get("command_line", ""), line)


def check_network(text, network):
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
    tracked = [line.split() for line in text("proc/net/stat/nf_conntrack").splitlines()]
    invalid = tracked[0].index("invalid")
    check("conntrack invalid", network["conntrack"]["invalid"], sum(int(cpu[invalid], 16) for cpu in tracked[1:]))


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
    check("offline", snapshot["cpu"]["offline"], 0)

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

    disks = {disk["device"]: disk for disk in snapshot["disks"]["devices"]}
    for line in text("proc/diskstats").splitlines():
        fields = line.split()
        values = [int(v) for v in fields[3:]]
        whole = (root / "sys/block" / fields[2]).is_dir()
        size = int(text(f"sys/block/{fields[2]}/size")) * 512 if whole else 0
        check(f"{fields[2]} shown", fields[2] in disks, whole and (size > 0 or any(values)))
        if fields[2] in disks:
            disk = disks[fields[2]]
            check(f"{fields[2]} size", disk["size_bytes"], size)
            check(f"{fields[2]} diskseq", disk["diskseq"], int(text(f"sys/block/{fields[2]}/diskseq")))
            check(f"{fields[2]} reads", disk["reads"], values[0])
            check(f"{fields[2]} write_bytes", disk["write_bytes"], values[6] * 512)
            check(f"{fields[2]} io_time_us", disk["io_time_us"], values[9] * 1000)

    filesystems = {f["mount_point"]: f for f in snapshot["filesystems"]["filesystems"]}
    statfs = {line.split()[0]: [int(v) for v in line.split()[1:]] for line in text("sonde/statfs").splitlines()}
    check("there are file systems", len(filesystems) > 0, True)
    for line in text("proc/1/mountinfo").splitlines():
        fields, _, kind = line.partition(" - ")
        fields, kind = fields.split(), kind.split()
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


    check_network(text, snapshot["network"])

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


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})? '
                    r"(NaN|[+-]Inf|[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)")


def check_exposition(text, snapshot):
    check("ends in a newline", text.endswith("\n"), True)
    helps, types, series, values = set(), {}, set(), {}
    current = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            check(f"second HELP of {name}", name in helps, False)
            helps.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            check(f"second TYPE of {name}", name in types, False)
            check(f"type of {name}", kind in ("counter", "gauge", "histogram"), True)
            types[name], current = kind, name
        else:
            match = SAMPLE.fullmatch(line)
            if not match:
                failures.append(f"not a sample: {line!r}")
                continue
            name = match[1]
            base = re.sub(r"_(bucket|sum|count)$", "", name) if types.get(current) == "histogram" else name
            check(f"{name} stands below its own TYPE", base, current)
            check(f"second sample {match[1]}{match[2]}", (name, match[2]) in series, False)
            series.add((name, match[2]))
            values[(name, match[2] or "")] = float(match[3])
            if types.get(current) == "counter":
                check(f"{name} ends in _total", name.endswith("_total"), True)
    check("every TYPE has a HELP", set(types) - helps, set())
    check("memory total", values.get(("sonde_memory_total_bytes", "")), float(snapshot["memory"]["total_bytes"]))
    check("enough samples", len(series) > 100, True)


def main():
    hosts = sorted(path for path in HOSTS.iterdir() if path.is_dir())
    if not hosts:
        sys.exit("no recorded host")
    for root in hosts:
        golden = root.with_suffix(root.suffix + ".json")
        snapshot = json.loads(run(root, "json"))
        if "--update" in sys.argv:
            golden.write_text(json.dumps(stable(snapshot), indent=1) + "\n")
            continue
        check_against_files(root, snapshot)
        want, got = json.loads(golden.read_text()), stable(snapshot)
        for section in sorted(want.keys() | got.keys()):
            check(f"golden {root.name} {section}", got.get(section), want.get(section))
        check_exposition(run(root, "prometheus"), snapshot)
    for failure in failures:
        print(failure)
    print(f"{len(hosts)} recorded hosts, {len(failures)} differences")
    sys.exit(1 if failures else 0)


main()
