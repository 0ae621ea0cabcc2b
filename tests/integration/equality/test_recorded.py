"""node_exporter and the agent read the same recorded host: every number both have must be the same, exactly.

Recorded hosts are mostly idle, and 0 equals 0 whichever column was read. So each is compared again with every number of its
files replaced by one of its own; and with hardware that virtual machines do not have."""

import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import harness
import mapping
from distinct import Numbers, make_distinct, make_older
from hardware import add_hardware

# statfs can be asked of the running kernel only: node_exporter would show this host's file systems as the recorded one's.
# Its netlink answers for the running kernel too, adjtimex likewise.
ON_A_TREE = ["--no-collector.filesystem", "--no-collector.netdev.netlink", "--no-collector.timex", "--no-collector.udp_queues"]

CHANGES = {
    "every number its own": lambda root: make_distinct(root, Numbers()),
    "every number its own and large": lambda root: make_distinct(root, Numbers(large=True)),
    "as an older kernel": lambda root: make_older(root, Numbers()),
    "made-up hardware with sensor chips": lambda root: add_hardware(root, Numbers(), with_chips=True),
    "made-up hardware without sensor chips": lambda root: add_hardware(root, Numbers(), with_chips=False),
}

failures = []
compared_somewhere = set()


def compare(name, root):
    with harness.NodeExporter(root, *harness.ARGUMENTS, *ON_A_TREE) as exporter:
        theirs = exporter.scrape()
    ours = harness.agent_once(root, "--interval", "100ms")
    metrics, series, distinct, lacking, excuses = 0, 0, set(), [], Counter()
    matched = set()
    for row in mapping.TABLE:
        want, got = harness.node_series(row, theirs, failures), harness.our_series(row, ours, failures)
        if not want:
            lacking.append(row.node)
            continue
        compared = 0
        for key, (number, labels) in want.items():
            if key not in got:
                reason = harness.excused(row, root, labels, number)
                if reason:
                    excuses[reason] += 1
                else:
                    failures.append(f"{name}: {row.node}{labels} is {number}, {row.ours} has no such series")
                continue
            compared += 1
            distinct.add(number)
            our_number, our_labels = got[key]
            matched.add((row.ours, our_labels))
            if our_number != number:
                failures.append(f"{name}: {row.node}{labels} is {number}, {row.ours} is {our_number}")
        metrics, series = metrics + (compared > 0), series + compared
        if compared:
            compared_somewhere.add((row.node, row.ours))
    for metric in {row.ours for row in mapping.TABLE} & ours.keys():
        for labels in ours[metric]:
            if (metric, labels) not in matched:
                failures.append(f"{name}: node_exporter has nothing for {metric}{dict(labels)}")
    unknown, beyond = harness.unknown_metrics(theirs)
    failures.extend(f"{name}: {metric} is neither in the table nor among those we do not have" for metric in unknown)
    if metrics < 150 or series < 300:
        failures.append(f"{name}: only {metrics} metrics of {series} series were compared")
    print(f"{name}: {metrics} metrics, {series} series compared, {len(distinct)} different numbers; "
          f"{beyond} of node_exporter's metrics beyond its defaults are not ours")
    for reason, n in sorted(excuses.items()):
        print(f"  {n} series not ours: {reason}")
    print(f"  not on this host ({len(lacking)} rows): {' '.join(lacking)}")


def main():
    harness.require_node_exporter()
    hosts = sorted(path for path in (harness.SOURCE / "tests/fixtures/hosts").iterdir() if path.is_dir())
    if not hosts:
        sys.exit("no recorded host")
    for host in hosts:
        compare(host.name, host)
        for what, change in CHANGES.items():
            with tempfile.TemporaryDirectory(prefix="sonde-test-") as directory:
                root = Path(directory) / host.name
                shutil.copytree(host, root, symlinks=True)
                change(root)
                compare(f"{host.name}, {what}", root)
    never = {(row.node, row.ours) for row in mapping.TABLE} - compared_somewhere
    failures.extend(f"{node} and {ours}: on no host anything to compare, is that still so?" for node, ours in sorted(never))
    for failure in failures:
        print(failure)
    print(f"{len(hosts)} recorded hosts, {len(failures)} differences")
    sys.exit(1 if failures else 0)


main()
