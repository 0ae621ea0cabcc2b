"""What works on which kernel: the BPF programs' own tests and the doctor's report, in Debian's kernels under emulation and on the running one.
docs/compatibility.md is made of it; the test fails when what stands there is not what was found.

    compatibility.py [--update] [--one]     --one: only the running kernel

Emulated CPUs share the machine with others: what compares times may fail once. What is wrong in a probe is wrong twice."""
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
    "counters": ("perf", ["test_integration_perf"]),
}
DOCTOR = "sonde-agent doctor --format json --config /dev/null"
INTRODUCTION = """# Kernels

Made by `tests/emulation/compatibility.py`, which CI runs: it boots Debian's kernels under emulation (`tests/emulation/README.md`), runs each probe's own
tests in them, and fails when this page says something else. `compatibility.py --update` writes it anew.

A cell says how the section's BPF programs are attached, which they are, and whether the tests passed that compare what they count with what was done and
with the kernel's own numbers. `sonde-agent doctor` tells the same of any host.

"""
TAIL = """
Older kernels: BPF needs 5.8 for its capabilities and `CONFIG_DEBUG_INFO_BTF` (or `--btf FILE`), the process table's iterator 5.11 or so; what a kernel
lacks is said by the section concerned and by the doctor, and everything else is measured. All sections but `block_io`, `scheduler` and the like work
without BPF.
"""


def existing_tests():
    return [name for _, names in COLUMNS.values() for name in names if (BUILD / name).exists()]


def guest_script():
    return "".join(f"step {name} {name} || step {name}-again {name}\n" for name in existing_tests()) + f"step doctor {DOCTOR}\n"


def run_here():
    """The same on the running kernel: {name: (status, text)}."""
    results = {}
    for name in existing_tests():
        for attempt in (name, f"{name}-again"):
            done = subprocess.run([BUILD / name], capture_output=True, text=True, timeout=280)
            results[attempt] = (done.returncode, done.stdout + done.stderr)
            if done.returncode == 0:
                break
    done = subprocess.run([BUILD / DOCTOR.split()[0], *DOCTOR.split()[1:]], capture_output=True, text=True, timeout=60)
    results["doctor"] = (done.returncode, done.stdout)
    return results


def programs_of(findings, section):
    """"tp_btf: complete, done, issue": the programs that are attached, those that are not in words."""
    found = {}
    for f in findings:
        if f["group"] == "eBPF programs" and f["name"].startswith(section + "/"):
            how = re.search(r"attached by (\w+)", f["value"])
            found.setdefault(how[1] if how else f["value"], []).append(re.sub("_(btf|raw)$", "", f["name"].split("/")[1]))
    return "; ".join(f"{how}: {', '.join(sorted(names))}" for how, names in sorted(found.items()))


def cell(findings, section, tests, results):
    state = next((f for f in findings if f["group"] == "sections" and f["name"] == section), None)
    if state is None:
        return "-"
    parts = [programs_of(findings, section)]
    if section == "perf":
        parts = [f"{f['name'].split('.')[1]} {'counts' if f['verdict'] == 'ok' else f['reason']}" for f in findings
                 if f["group"] == "sections" and f["name"].startswith("perf.")]
    # A probe that lost events on a crowded machine works.
    if state["verdict"] not in ("ok", "note") and state["reason"] not in ("events_lost", "slow_source"):
        parts.append(f"**{state['reason'] or state['verdict']}**")
    tested = [outcome(name, results) for name in tests if name in results]
    if tested:
        parts.append("tests passed" if all(tested) else "**tests failed**")
    return "; ".join(part for part in parts if part) or "works"


def outcome(name, results):
    return any(results.get(attempt, (1,))[0] == 0 for attempt in (name, f"{name}-again"))


def row(release, arch, results):
    """{column: cell}, or the complaint that there is no report."""
    try:
        findings = json.loads(results["doctor"][1])["findings"]
    except (KeyError, ValueError):
        raise SystemExit(f"{release} {arch}: no report of the doctor\n{results}") from None
    return {"kernel": release, "machine": arch, **{title: cell(findings, *what, results) for title, what in COLUMNS.items()}}


def print_failures(results):
    for name in existing_tests():
        if not outcome(name, results):
            text = results.get(f"{name}-again", results.get(name, (1, "did not run")))[1]
            print("\n".join(line for line in text.splitlines() if not re.match(r"\[ +(RUN|OK) |\[=|\[ +PASSED", line))[-4000:])


def render(rows):
    titles = list(rows[0])
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return "\n".join(lines + ["| " + " | ".join(r[title] for title in titles) + " |" for r in rows]) + "\n"


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
    """[(release, arch, results)] or a reason why not."""
    jobs = []
    programs = ["sonde-agent", *existing_tests()]
    for arch, release in KERNELS:
        build = build_for(arch, programs)
        jobs.append((Machine(arch, release, modules=["loop"], files={f"/bin/{name}": build / name for name in programs}), guest_script(), 500))
    found = []
    for (arch, release), run in zip(KERNELS, run_together(jobs), strict=True):
        if isinstance(run, Exception):
            raise run
        print(f"{run.kernel}: {run.seconds:.0f} s")
        found.append((release, arch, {name: (step.status, step.text) for name, step in run.steps.items()}))
    return found


def main(arguments):
    skipped = None
    found = [(re.match(r"\d+\.\d+", platform.release())[0], platform.machine().replace("aarch64", "arm64"), run_here())]
    try:
        if "--one" not in arguments:
            found += emulated()
    except Unavailable as reason:
        skipped = str(reason)
    rows, before, failed = {}, committed(), False
    for release, arch, results in found:
        print_failures(results)
        now = rows[release, arch] = row(release, arch, results)
        for title, text in now.items():
            print(f"{release} {arch}: {title}: {text}")
            failed |= "**tests failed**" in text
    if "--update" in arguments:
        ordered = sorted({**before, **rows}.values(), key=lambda r: (r["machine"] != "x86_64", [int(n) for n in r["kernel"].split(".")]))
        PAGE.write_text(INTRODUCTION + render(ordered) + TAIL)
    else:
        for key, now in rows.items():
            if key not in before:
                print(f"{' '.join(key)} is not in {PAGE.name}" + (": run compatibility.py --update" if key[::-1] in KERNELS else ""))
                failed |= key[::-1] in KERNELS
            elif before[key] != now | ({} if key[::-1] in KERNELS else {"counters": before[key]["counters"]}):  # PMUs differ
                print(f"{PAGE.name} says of {' '.join(key)}: {before[key]}")
                failed = True
    if skipped and not failed:
        print(f"SKIP: {skipped}")
        return 77
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
