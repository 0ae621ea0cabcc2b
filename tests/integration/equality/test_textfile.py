"""A directory of Prometheus text is read by node_exporter's textfile collector and as the agent's custom metrics: the same
series with the same values.

Where the two differ on purpose: a NaN is no series here, for absent is not zero; a label without a value is left away, which
Prometheus itself takes for the same; control characters become "?", and newlines are such; every line of a histogram or a
summary is a series of its own, and who says no type means a gauge; a file that holds a series twice is refused, where
node_exporter takes the first without a word."""

import random
import sys
import tempfile
from pathlib import Path

import harness

failures = []

HAND_WRITTEN = r"""# HELP backup_success_time_seconds When the last backup ended, \\ and a line\nmore
# TYPE backup_success_time_seconds gauge
backup_success_time_seconds{job="a \"quoted\" one\\with a slash",host="a"} 1.7e9
backup_success_time_seconds{job="two\nlines",host=""} 17
# TYPE jobs_total counter
jobs_total 12345678901234567
# TYPE odd untyped
odd{a="1"} NaN
odd{a="2"} +Inf
odd{a="3"} -Inf
odd{a="4"} -0
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.1"} 5
wait_seconds_bucket{le="+Inf"} 7
wait_seconds_sum 0.25
wait_seconds_count 7
# TYPE size_bytes summary
size_bytes{quantile="0.5"} 2.5
size_bytes_sum 5
size_bytes_count 2

# a comment
says_no_type{unicode="Grüße",x="{}=,"} -3.25e-7
"""

# Each is refused whole by both.
REFUSED = {
    "no_value": "good_before 1\nbroken{\n",
    "late_type": "late 1\n# TYPE late counter\n",
    "not_a_number": "words many\n",
    "timestamp": "dated 1 1700000000000\n",
    "cut_off": "half_written 1",
}
TWICE = '# TYPE twice gauge\ntwice{a="1"} 1\ntwice{a="1"} 2\n'


def numbers(randomness):
    yield from (0, 1, -1, 0.1, 1e308, 5e-324, 2**53, 2**63, 2**64, 1 / 3)
    for _ in range(300):
        yield randomness.choice((1, -1)) * randomness.random() * 10.0 ** randomness.randint(-300, 300)


def write_files(directory):
    randomness = random.Random(1)
    lines = ["# TYPE scattered gauge"]
    lines += [f'scattered{{number="{i}"}} {value!r}' for i, value in enumerate(numbers(randomness))]
    (directory / "numbers.prom").write_text("\n".join(lines) + "\n")
    (directory / "written.prom").write_text(HAND_WRITTEN)
    (directory / "twice.prom").write_text(TWICE)
    (directory / "empty.prom").write_text("")
    (directory / "other.txt").write_text("not_ours 1\n")
    for name, text in REFUSED.items():
        (directory / f"{name}.prom").write_text(text)


def as_ours(scrape):
    """{(name, labels): value} without what is different on purpose."""
    series = {}
    for name, rows in scrape.items():
        for labels, text in rows.items():
            if text == "NaN" or name.startswith(("node_", "sonde_", "promhttp_")) or name == "twice":
                continue
            kept = frozenset((label, value.replace("\\n", "?")) for label, value in labels if value)
            series[name, kept] = float(text)
    return series


def types(text):
    return dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))


def compare_types(theirs, ours):
    """Counters and gauges keep their type; the parts of a histogram and the counts of a summary only ever grow."""
    theirs, ours = types(theirs), types(ours)
    for name, kind in theirs.items():
        if name.startswith(("node_", "promhttp_")) or name == "twice":
            continue
        want = {name: {"untyped": "gauge"}.get(kind, kind)}
        if kind in ("histogram", "summary"):
            want = {f"{name}_sum": "counter", f"{name}_count": "counter"}
            want |= {f"{name}_bucket": "counter"} if kind == "histogram" else {name: "gauge"}
        for series, wanted in want.items():
            if ours.get(series) != wanted:
                failures.append(f"{series}: a {ours.get(series)} here, node_exporter says {name} is a {kind}")


def compare_files(theirs, ours):
    times = {dict(labels)["file"].rpartition("/")[2]: float(value) for labels, value in
             theirs.get("node_textfile_mtime_seconds", {}).items()}
    for labels, value in ours["sonde_custom_files_modified_time_seconds"].items():
        name = dict(labels)["file"]
        refused = ours["sonde_custom_files_refused"][labels] == "1"
        if name == "twice.prom":
            if not refused or name not in times:
                failures.append(f"{name}: refused is {refused} here, node_exporter took it: {name in times}")
            continue
        if refused != (name.removesuffix(".prom") in REFUSED):
            failures.append(f"{name}: refused is {refused}")
        if refused == (name in times):
            failures.append(f"{name}: refused is {refused} here, node_exporter took it: {name in times}")
        if name in times and int(times[name]) != int(float(value)):
            failures.append(f"{name}: written at {value}, node_exporter says {times[name]}")
    return len(times)


def main():
    harness.require_node_exporter()
    with tempfile.TemporaryDirectory(prefix="sonde-test-") as directory:
        write_files(Path(directory))
        arguments = ["--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={directory}",
                     "--web.disable-exporter-metrics"]
        with harness.NodeExporter(None, *arguments) as exporter:
            their_text = exporter.text()
        our_text = harness.agent_text(None, "--custom-dir", directory, "--interval", "200ms")
    compare_types(their_text, our_text)
    theirs, ours = harness.parse(their_text), harness.parse(our_text)
    want, got = as_ours(theirs), as_ours(ours)
    for series in sorted(want.keys() | got.keys(), key=str):
        if want.get(series) != got.get(series):
            failures.append(f"{series[0]}{dict(series[1])}: {got.get(series)}, node_exporter has {want.get(series)}")
    files = compare_files(theirs, ours)
    if len(want) < 300 or files < 2:
        failures.append(f"only {len(want)} series of {files} files were compared")
    for failure in failures:
        print(failure)
    print(f"{len(want)} series of {files} files compared, {len(REFUSED)} files refused, {len(failures)} differences")
    sys.exit(1 if failures else 0)


main()
