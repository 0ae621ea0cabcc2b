"""On the running kernel, under load: node_exporter's counters before, ours, node_exporter's after. Each of ours must lie
between.

Gauges may be anything between two readings, and the agent that runs meanwhile has stacks, pages and files of its own: they must
be near. That they are the same numbers is what the recorded hosts show."""

import sys
import time
import harness
import mapping
from load import Load

ROUNDS = 6
# Under the load these move on every Linux.
MUST_MOVE = {"node_context_switches_total", "node_forks_total", "node_netstat_Tcp_InSegs", "node_netstat_Udp_NoPorts",
             "node_netstat_IpExt_InOctets", "node_network_receive_bytes_total", "node_softnet_processed_total",
             "node_cpu_seconds_total", "node_vmstat_pgfault", "node_vmstat_pgalloc_*"}

# How far a gauge may be from both readings: a share of it, and what the agent and the load may use.
NEAR_SHARE = 0.05
NEAR_BYTES = 64 << 20
NEAR_COUNT = 256
NEAR_SECONDS = 0.1

# These keep a file open for each process or cgroup there is, thousands on some hosts, which count as open files themselves.
# node_exporter has nothing like them.
NOT_COMPARED = "processes,cgroups,perf,block_io,events,custom"

failures = []


class Tally:
    def __init__(self):
        self.compared = {}  # kind: set of (row's node_exporter name, labels)
        self.metrics = {}  # kind: set of names
        self.moved = set()
        self.equal = set()
        self.excuses = {}
        self.backwards = 0

    def add(self, row, key):
        self.compared.setdefault(row.kind, set()).add((row.node, row.ours, key))
        self.metrics.setdefault(row.kind, set()).add((row.node, row.ours))


def room(row):
    if row.ours.endswith("_bytes"):
        return NEAR_BYTES * row.our_scale
    return NEAR_SECONDS * row.our_scale if row.ours.endswith("_seconds") else NEAR_COUNT


def compare_series(row, key, low, ours, high, tally):
    what = f"{row.node}{dict(key)}"
    tally.add(row, key)
    if row.kind == mapping.COUNTER:
        if not low <= ours <= high:
            failures.append(f"{what}: {row.ours} is {ours}, not from {low} to {high}")
        if low < high:
            tally.moved.add((row.node, key))
    elif row.kind == mapping.BACKWARDS:
        tally.backwards += not low <= ours <= high
    elif row.kind == mapping.STEADY:
        if low == high != ours:
            failures.append(f"{what}: {row.ours} is {ours}, not {low}")
    else:
        low, high = min(low, high), max(low, high)
        slack = NEAR_SHARE * high + room(row)
        if not low - slack <= ours <= high + slack:
            failures.append(f"{what}: {row.ours} is {ours}, not near {low} to {high}")
        if ours in (low, high):
            tally.equal.add((row.node, row.ours, key))


def compare(before, ours, after, tally):
    for row in mapping.LIVE_TABLE:
        low, high = harness.node_series(row, before, failures), harness.node_series(row, after, failures)
        got = harness.our_series(row, ours, failures)
        for key in low.keys() & high.keys():
            number, labels = low[key]
            if key in got:
                compare_series(row, key, number, got[key][0], high[key][0], tally)
                continue
            reason = harness.excused(row, None, labels, number)
            if reason:
                tally.excuses.setdefault(reason, set()).add((row.node, key))
            else:
                failures.append(f"{row.node}{labels} is {number}, {row.ours} has no such series")


def report(tally):
    for kind in (mapping.COUNTER, mapping.BACKWARDS, mapping.GAUGE, mapping.STEADY):
        print(f"{kind}: {len(tally.metrics.get(kind, ()))} metrics, {len(tally.compared.get(kind, ()))} series")
    print(f"{len(tally.moved)} counters' series moved; idle or iowait stood outside {tally.backwards} times")
    for reason, series in sorted(tally.excuses.items()):
        print(f"  {len(series)} series not ours: {reason}")
    print(f"{len(tally.equal)} gauges' series were in some round exactly what one of the readings said")
    still = MUST_MOVE - {name for name, _ in tally.moved}
    failures.extend(f"{name} did not move under load: nothing was tested" for name in sorted(still))


def main():
    harness.require_node_exporter()
    tally = Tally()
    with harness.NodeExporter(None, *harness.ARGUMENTS) as exporter, Load():
        unknown, _ = harness.unknown_metrics(exporter.scrape())
        failures.extend(f"{metric} is neither in the table nor among those we do not have" for metric in unknown)
        for _ in range(ROUNDS):
            time.sleep(0.2)
            before = exporter.scrape()
            ours = harness.agent_once(None, "--interval", "200ms", "--disable", NOT_COMPARED)
            compare(before, ours, exporter.scrape(), tally)
    report(tally)
    for failure in failures:
        print(failure)
    print(f"{ROUNDS} rounds, {len(failures)} differences")
    sys.exit(1 if failures else 0)


main()
