"""sonde-agent --once on each recorded host: the golden output, an independent reading of the same files, and Prometheus text that
a scraper would take. With --root both readings see the same files, so every rate is 0 and only times differ between runs.

once.py --update writes the golden output anew; read the difference before committing it."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import independent
from independent import check, failures

SOURCE = Path(__file__).resolve().parents[3]
AGENT = Path(os.environ.get("SONDE_BUILD", SOURCE / "build/dev")) / "sonde-agent"
HOSTS = SOURCE / "tests/fixtures/hosts"

def run(root, form):
    done = subprocess.run(
        [AGENT, "--config", "/dev/null", "--once", "--root", root, "--interval", "100ms", "--format", form],
        capture_output=True, text=True, timeout=60)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"sonde-agent failed ({done.returncode}): {done.stderr}")
    return done.stdout


def stable(snapshot, root):
    """What must be the same at every run and wherever the tree lies: no clocks, and of the agent itself only which fields there are."""
    snapshot = json.loads(json.dumps(snapshot).replace(str(root), "ROOT"))
    for field in ("timestamp", "boottime_us", "instance"):
        snapshot.pop(field)
    for section in snapshot.values():
        if isinstance(section, dict):
            for field in ("collected_at_us", "duration_us"):
                section["state"].pop(field)
    snapshot["summary"].pop("uptime_seconds")
    for disk in snapshot["disks"].get("devices", []):
        disk.get("leaves", []).sort()  # directories are in any order
    agent = snapshot["agent"]
    for field, value in agent.items():
        if isinstance(value, int):
            agent[field] = "number"
    for collector in agent["collectors"]:
        collector["duration_us"] = "number"
    return snapshot


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


def check_host(root):
    """Whatever it says must be in the files; its snapshot."""
    independent.of(root.name)
    snapshot = json.loads(run(root, "json"))
    independent.check_against_files(root, snapshot)
    check_exposition(run(root, "prometheus"), snapshot)
    return snapshot


def check_synthetic():
    """Too many disks to be kept as files."""
    script = SOURCE / "tests/fixtures/disks-500-synthetic.py"
    with tempfile.TemporaryDirectory(prefix="sonde-test-") as directory:
        root = Path(directory) / script.stem
        subprocess.run([sys.executable, script, root], check=True, timeout=60)
        snapshot = check_host(root)
        # 26 of them have no medium and never did anything.
        check("disks", len(snapshot["disks"]["devices"]), 474)
        check("arrays", len(snapshot["disks"]["arrays"]), 10)
        shown = [value for disk in snapshot["disks"]["devices"] for value in (disk["reads"], disk["write_bytes"], disk["io_time_us"])]
        check("values are distinct", len(set(shown)), len(shown))


def main():
    hosts = sorted(path for path in HOSTS.iterdir() if path.is_dir())
    if not hosts:
        sys.exit("no recorded host")
    for root in hosts:
        golden = root.with_suffix(root.suffix + ".json")
        if "--update" in sys.argv:
            golden.write_text(json.dumps(stable(json.loads(run(root, "json")), root), indent=1) + "\n")
            continue
        want, got = json.loads(golden.read_text()), stable(check_host(root), root)
        for section in sorted(want.keys() | got.keys()):
            check(f"golden {section}", got.get(section), want.get(section))
    if "--update" not in sys.argv:
        check_synthetic()
    for failure in failures:
        print(failure)
    print(f"{len(hosts)} recorded hosts, {len(failures)} differences")
    sys.exit(1 if failures else 0)


main()
