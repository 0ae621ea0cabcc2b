"""Runs node_exporter and the agent, reads what both write, and compares it row by row of the table."""

import http.client
import os
import re
import socket
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import mapping

SOURCE = Path(os.environ["SONDE_SOURCE"])
AGENT = Path(os.environ["SONDE_BUILD"]) / "sonde-agent"
PROGRAM = "/usr/bin/prometheus-node-exporter"
SKIP = 77

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')


def parse(text):
    """{name: {labels as a frozenset of pairs: value as it is written}}"""
    scrape = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name, labels, value = SAMPLE.fullmatch(line).groups()
        scrape.setdefault(name, {})[frozenset(LABEL.findall(labels or ""))] = value
    return scrape


def require_node_exporter():
    if not os.access(PROGRAM, os.X_OK):
        print("skipped: node_exporter is not installed (Debian package prometheus-node-exporter)")
        sys.exit(SKIP)


def default_of(flag):
    """The pattern that stands in the help of a flag as its default."""
    text = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, timeout=30)
    return re.search(rf'--{re.escape(flag)}="(.*)"', text.stdout + text.stderr)[1].replace("\\\\", "\\")


# All that can be had of the files the agent reads too. systemd's bus is nobody's file.
ARGUMENTS = ["--web.disable-exporter-metrics", "--no-collector.systemd", "--collector.stat.softirq", "--collector.meminfo_numa",
             "--collector.cpu.guest", "--collector.netdev.device-exclude=^$", "--collector.diskstats.device-exclude=^$",
             "--collector.netstat.fields=.*", "--collector.vmstat.fields=.*"]


class NodeExporter:
    """On a port of the loopback that is free. Use as a context manager."""

    def __init__(self, root=None, *arguments):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        paths = [f"--path.procfs={root}/proc", f"--path.sysfs={root}/sys", f"--path.rootfs={root}",
                 f"--path.udev.data={root}/run/udev/data"] if root else []
        # One connection for all scrapes: a new one each would be counted by node_exporter and be gone when the agent counts.
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self.command = [PROGRAM, f"--web.listen-address=127.0.0.1:{self.port}", *paths, *arguments]

    def __enter__(self):
        nothing = subprocess.DEVNULL
        self.process = subprocess.Popen(self.command, stdin=nothing, stdout=nothing, stderr=nothing)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.scrape()
                return self
            except OSError:
                self.connection.close()
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    sys.exit(f"node_exporter does not answer: {self.command}")
                time.sleep(0.05)

    def __exit__(self, *exception):
        self.connection.close()
        self.process.kill()
        self.process.wait()

    def text(self):
        self.connection.request("GET", "/metrics")
        return self.connection.getresponse().read().decode()

    def scrape(self):
        return parse(self.text())


def agent_text(root, *arguments):
    command = [AGENT, "--config", "/dev/null", "--once", "--format", "prometheus", *arguments]
    if root:
        command += ["--root", root]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        sys.exit(f"sonde-agent failed ({done.returncode}): {done.stderr}")
    return done.stdout


def agent_once(root, *arguments):
    return parse(agent_text(root, *arguments))


def units(value, scale, what, failures):
    """The whole number of the kernel's file. node_exporter's values are doubles in the shortest digits that tell them apart,
    our counters have all their digits; what either is off by, in seconds, must be below half a unit."""
    exact = value * scale
    whole = round(exact)
    if abs(exact - whole) > Fraction(1, 4):
        failures.append(f"{what}: {value} times {scale} is no whole number")
    return whole


def node_series(row, scrape, failures):
    """{labels as ours has them: (whole number, node_exporter's own labels)}"""
    names = [row.node]
    if row.node.endswith("*"):
        names = [name for name in scrape if name.startswith(row.node[:-1])]
    series = {}
    for name in names:
        for labels, value in scrape.get(name, {}).items():
            if not row.fixed.items() <= labels:
                continue
            theirs = dict(labels)
            ours = {row.rename.get(label, label): text for label, text in labels if label not in row.fixed}
            ours.pop(None, None)
            if row.relabel:
                ours = row.relabel(theirs, scrape)
            key = frozenset({**ours, **row.ours_fixed}.items())
            number = units(Fraction(float(value)), row.node_scale, f"{name}{theirs}", failures)
            series[key] = (number + (series[key][0] if key in series else 0), theirs)
    return series


def our_series(row, scrape, failures):
    """{labels to compare: (whole number, labels)}"""
    series = {}
    for labels, value in scrape.get(row.ours, {}).items():
        if row.ours_fixed.items() <= labels:
            number = units(Fraction(value), row.our_scale, f"{row.ours}{dict(labels)}", failures)
            key = frozenset(row.ours_relabel(dict(labels)).items()) if row.ours_relabel else labels
            series[key] = (row.convert(number) if row.convert else number, labels)
    return series


def excused(row, root, labels, number):
    return row.excuse(Path(root or "/"), labels, number) if row.excuse else None


def unknown_metrics(scrape):
    """(metrics that are nowhere in the tables, how many are beyond node_exporter's defaults)"""
    defaults = {name: re.compile(default_of(f"collector.{name}.fields")) for name in ("netstat", "vmstat")}
    prefixes = tuple(row.node[:-1] for row in mapping.LIVE_TABLE if row.node.endswith("*"))
    known = {row.node for row in mapping.LIVE_TABLE}
    refused = re.compile("|".join(f"(?:{names})" for names, _ in mapping.NOT_OURS))
    unknown, beyond = [], 0
    for name in scrape:
        if name in known or name.startswith(prefixes) or refused.fullmatch(name):
            continue
        field = re.fullmatch(r"node_(netstat|vmstat)_(.*)", name)
        if field and not defaults[field[1]].search(field[2]):
            beyond += 1
        else:
            unknown.append(name)
    return sorted(unknown), beyond
