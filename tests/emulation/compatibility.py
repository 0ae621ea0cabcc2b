"""What works on which kernel: the BPF programs' own tests and the doctor's report, in Debian's kernels under emulation and on the running one.
docs/compatibility.md is made of it; the test fails when what stands there is not what was found.

    compatibility.py [--update] [--one]     --one: only the running kernel

Emulated CPUs share the machine with others: what compares times may fail once or twice. What is wrong in a probe is wrong every time. On the running
kernel the tests themselves are integration/bpf and run with --update only."""
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from emulation import Machine, Unavailable, build_for, run_together  # noqa: E402
from emulation.debian import SOURCE  # noqa: E402

KERNELS = [("x86_64", "6.1"), ("x86_64", "6.12"), ("arm64", "6.1"), ("arm64", "6.12")]
PAGE = SOURCE / "docs/compatibility.md"
BUILD = Path(os.environ.get("SONDE_BUILD", SOURCE / "build/dev"))

# Column of the table: the section, and the programs of the tests that hold it to the kernel's own numbers.
COLUMNS = {
    "block I/O": ("block_io", ["test_integration_block_io", "test_integration_block_io_cgroups"]),
    "process table": ("processes", ["test_integration_tasks"]),
    "run queue": ("scheduler", ["test_integration_scheduler"]),
    "interrupts": ("interrupts", ["test_integration_interrupts"]),
    "TCP": ("tcp", ["test_integration_tcp"]),
    "network bytes by process": ("process_network", ["test_integration_process_network"]),  # on request
    "counters": ("perf", []),  # integration/perf_pmu
}
ATTEMPTS = 3
PASSED = "tests passed"
DOCTOR = "sonde-agent doctor --format json --config /dev/null"
ASKED = f"{DOCTOR} --extra process_network"
INTRODUCTION = """# Kernels

Made by `tests/emulation/compatibility.py`, which CI runs: it boots Debian's kernels under emulation (`tests/emulation/README.md`), runs each probe's own
tests in them, and fails when this page says something else. `compatibility.py --update` writes it anew.

A cell says how the section's BPF programs are attached, which they are, and whether the tests passed that compare what they count with what was done and
with the kernel's own numbers. `sonde-agent doctor` tells the same of any host.

"""
TAIL = """
Older kernels: BPF needs 5.8 for its capabilities and `CONFIG_DEBUG_INFO_BTF` (or `--btf FILE`), the process table's iterator about 5.11. What a kernel lacks is
said by the section concerned and by the doctor, and everything else is measured: sections without a column here need no BPF.
"""


def existing_tests():
    return [name for _, names in COLUMNS.values() for name in names if (BUILD / name).exists()]


def attempts(name):
    return [f"{name}/{number}" for number in range(1, ATTEMPTS + 1)]


def guest_script():
    return "".join(" || ".join(f"step {attempt} {name}" for attempt in attempts(name)) + "\n" for name in existing_tests()) + f"step doctor {DOCTOR}\nstep asked {ASKED}\n"


def run_here(tests):
    """The same on the running kernel: {name: (status, text)}."""
    results = {}
    for name in tests:
        for attempt in attempts(name):
            done = subprocess.run([BUILD / name], capture_output=True, text=True, timeout=280)
            results[attempt] = (done.returncode, done.stdout + done.stderr)
            if done.returncode == 0:
                break
    for name, command in (("doctor", DOCTOR), ("asked", ASKED)):
        done = subprocess.run([BUILD / command.split()[0], *command.split()[1:]], capture_output=True, text=True, timeout=60)
        results[name] = (done.returncode, done.stdout)
    return results


def programs_of(findings, section):
    """"tp_btf: complete, done, issue": the programs that are attached, those that are not in words."""
    found = {}
    for f in findings:
        if f["group"] == "eBPF programs" and f["name"].startswith(section + "/"):
            how = re.search(r"attached by (\w+)", f["value"])
            found.setdefault(how[1] if how else f["value"], []).append(re.sub("_(btf|raw)$", "", f["name"].split("/")[1]))
    return "; ".join(f"{how}: {', '.join(sorted(names))}" for how, names in sorted(found.items()))


def cell(section, tests, results):
    findings = report(results, "asked" if section == "process_network" else "doctor")
    if section == "process_network":
        # A part of the section processes: a kernel that lacks it has all else.
        found = programs_of(findings, section) or "refused: " + next(f["reason"] for f in findings if f["group"] == "sections" and f["name"] == "processes")
        return "; ".join([found, *([PASSED if outcome(tests[0], results) else "**tests failed**"] if attempts(tests[0])[0] in results else [])])
    state = next((f for f in findings if f["group"] == "sections" and f["name"] == section), None)
    if state is None:
        return "-"
    parts = [programs_of(findings, section)]
    if section == "perf":
        parts = [f"{f['name'].split('.')[1]} {'counts' if f['verdict'] == 'ok' else f['reason']}" for f in findings
                 if f["group"] == "sections" and f["name"] in ("perf.hardware", "perf.software")]
    # A probe that lost events on a crowded machine works.
    if state["verdict"] not in ("ok", "note") and state["reason"] not in ("events_lost", "slow_source"):
        parts.append(f"**{state['reason'] or state['verdict']}**")
    tested = [outcome(name, results) for name in tests if attempts(name)[0] in results]
    if tested:
        parts.append(PASSED if all(tested) else "**tests failed**")
    return "; ".join(part for part in parts if part) or "works"


def outcome(name, results):
    return any(results.get(attempt, (1,))[0] == 0 for attempt in attempts(name))


def report(results, name):
    try:
        return json.loads(results[name][1])["findings"]
    except (KeyError, ValueError):
        raise SystemExit(f"no report of the doctor\n{results}") from None


def row(release, arch, results):
    """{column: cell}"""
    return {"kernel": release, "machine": arch, **{title: cell(*what, results) for title, what in COLUMNS.items()}}


def print_failures(results):
    for name in existing_tests():
        tried = [results[attempt] for attempt in attempts(name) if attempt in results]
        if tried and not outcome(name, results):
            text = tried[-1][1]
            print("\n".join(line for line in text.splitlines() if not re.match(r"\[ +(RUN|OK) |\[=|\[ +PASSED", line))[-4000:])


def render(rows):
    titles = list(rows[0])
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return "\n".join(lines + ["| " + " | ".join(r.get(title, "-") for title in titles) + " |" for r in rows]) + "\n"


def committed():
    """{(kernel, machine): row} of the page."""
    rows, titles = {}, None
    for line in PAGE.read_text().splitlines() if PAGE.exists() else []:
        cells = [text.strip() for text in line.strip("|").split("|")] if line.startswith("|") else None
        if cells and titles is None:
            titles = cells
        elif cells and not line.startswith("|---"):
            rows[cells[0], cells[1]] = dict(zip(titles, cells, strict=True))
    return rows


def emulated():
    """[(release, arch, results)], and why some are not there."""
    jobs, keys, skipped = [], [], []
    programs = ["sonde-agent", *existing_tests()]
    for arch, release in KERNELS:
        try:
            build = build_for(arch, programs)
            machine = Machine(arch, release, modules=["loop"], files={f"/bin/{name}": build / name for name in programs})
        except Unavailable as reason:
            skipped.append(f"{release} {arch}: {reason}")
            continue
        jobs.append((machine, guest_script(), 600))
        keys.append((release, arch))
    found = []
    for key, run in zip(keys, run_together(jobs), strict=True):
        if isinstance(run, Exception):
            raise run
        print(f"{run.kernel}: {run.seconds:.0f} s")
        found.append((*key, {name: (step.status, step.text) for name, step in run.steps.items()}))
    return found, skipped


def differs(before, now, is_emulated):
    """On the running kernel the tests are not run again, and PMUs are the machine's."""
    if is_emulated:
        return before != now
    return any(title != "counters" and before.get(title, "").removesuffix(f"; {PASSED}") != now[title] for title in now)


def compare(rows):
    """True when the page says something else."""
    before, wrong = committed(), False
    for (release, arch), now in rows.items():
        is_emulated = (arch, release) in KERNELS
        known = before.get((release, arch))
        if known is None:
            print(f"{release} {arch} is not in {PAGE.name}: compatibility.py --update")
            wrong |= is_emulated
        elif differs(known, now, is_emulated):
            print(f"{PAGE.name} says something else of {release} {arch}: {known}; compatibility.py --update")
            wrong = True
    return wrong


def write(rows):
    ordered = sorted({**committed(), **rows}.values(), key=lambda r: (r["machine"] != "x86_64", [int(n) for n in r["kernel"].split(".")]))
    PAGE.write_text(INTRODUCTION + render(ordered) + TAIL)


def main(arguments):
    update = "--update" in arguments
    found = [(re.match(r"\d+\.\d+", platform.release())[0], platform.machine().replace("aarch64", "arm64"), run_here(existing_tests() if update else []))]
    more, skipped = ([], []) if "--one" in arguments else emulated()
    rows = {}
    for release, arch, results in found + more:
        print_failures(results)
        rows[release, arch] = row(release, arch, results)
        print("; ".join(f"{title}: {text}" for title, text in rows[release, arch].items()))
    failed = any("**" in text for now in rows.values() for text in now.values())
    if update:
        write(rows)
    elif compare(rows):
        failed = True
    if skipped and not failed:
        print(f"SKIP: {'; '.join(skipped)}")
        return 77
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
