"""The perf section on PMUs that really count: Debian's arm64 kernels in QEMU, whose Cortex-A57 has six counters and one for cycles.

With -icount an instruction takes 4 ns of the guest's time, always: what a loop of known length reads is known to the instruction, and events that
take turns on the counters can be checked against one that does not."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from emulation import Machine, Unavailable, build_for, run_together  # noqa: E402

ITERATIONS, PER_ITERATION, AROUND = 10_000_000, 2, 200
# One event, spelt in ten ways: the names differ, the counts must not.
SPELLINGS = ["r" + "0" * zeroes + "8" for zeroes in range(10)]


def all_but_perf():
    """The names of the other collectors, as the agent itself lists them."""
    words = subprocess.run([Path(os.environ["SONDE_BUILD"]) / "sonde-agent", "--once", "--disable", "none"], capture_output=True, text=True).stderr
    names = re.search(r"there are ([a-z0-9_, ]+)", words)[1].split(", ")
    return ",".join(name for name in names if name != "perf")


ONLY_PERF = f"--disable {all_but_perf()}"
AGENT = f"sonde-agent --once --state-dir /tmp/state --config /dev/null {ONLY_PERF} --perf-uncore off"

failures = []


def check(what, ok, got):
    if not ok:
        failures.append(f"{what}: {got}")


def perf_of(run, step):
    """The perf section of `sonde-agent --once`: one line among those of the log."""
    text = run.steps[step].text
    return json.loads(next(line for line in text.splitlines() if line.startswith("{")))["perf"]


def rows(events):
    return {event["event"]: event for event in events}


def check_exact(name, run):
    step = run.steps["exact"]
    check(f"{name}: pmu_guest", step.status == 0, step.text)
    words = step.text.split()
    once, twice = int(words[1]), int(words[2])
    check(f"{name}: a loop of known length", ITERATIONS * PER_ITERATION <= once <= ITERATIONS * PER_ITERATION + AROUND, step.text)
    print(f"  {ITERATIONS} x {PER_ITERATION} instructions read {once}; twice as many {twice}")


def check_default(name, run):
    hardware = perf_of(run, "default")["hardware"]
    total = rows(hardware["total"])
    for event in ("cycles", "instructions"):
        check(f"{name}: {event}", total[event]["event_state"] == "ok" and total[event]["coverage_ratio"] >= 0.99, total[event])
    check(f"{name}: what this PMU lacks", total["ref-cycles"]["event_state"] == "unsupported" and "count" not in total["ref-cycles"],
          total["ref-cycles"])
    ratios = hardware["ratios"]
    # QEMU's cycles are nanoseconds of the guest's time, of which an instruction takes four.
    check(f"{name}: instructions per cycle", abs(ratios["instructions_per_cycle_ratio"] - 0.25) < 0.01, ratios)
    check(f"{name}: frequency", 0.9e9 < ratios["effective_frequency_hz"] < 1.1e9, ratios)
    check(f"{name}: state", hardware["state"]["code"] == "ok", hardware["state"])
    print(f"  {ratios['instructions_per_cycle_ratio']:.4f} instructions a cycle, {ratios['effective_frequency_hz'] / 1e9:.3f} GHz")


def check_turns(name, run):
    hardware = perf_of(run, "turns")["hardware"]
    total = rows(hardware["total"])
    exact, worst, coverages = total[SPELLINGS[0]], 0, []
    check(f"{name}: the pinned one", exact["event_state"] == "ok" and exact["coverage_ratio"] >= 0.99, exact)
    for spelling in SPELLINGS[1:]:
        event = total[spelling]
        check(f"{name}: {spelling}", event["event_state"] == "multiplexed" and "took turns" in event["detail"], event)
        check(f"{name}: coverage of {spelling}", 0.3 < event["coverage_ratio"] < 0.7, event)
        worst = max(worst, abs(int(event["count"]) / int(exact["count"]) - 1))
        coverages.append(event["coverage_ratio"])
    check(f"{name}: scaled", worst < 0.01, worst)
    print(f"  10 events on 7 counters: scaled within {worst:.3%}, coverage {min(coverages):.3f} to {max(coverages):.3f}")


def check_too_large(name, run):
    hardware = perf_of(run, "too-large")["hardware"]
    total = rows(hardware["total"])
    for spelling in SPELLINGS[:7]:
        event = total[spelling]
        check(f"{name}: {spelling} of seven", event["event_state"] == "never_scheduled" and "count" not in event
              and "larger than the PMU" in event["detail"], event)
    check(f"{name}: the one beside it", total["cycles"]["event_state"] == "ok", total["cycles"])
    check(f"{name}: state", hardware["state"]["reason"] == "never_scheduled" and "r8" in hardware["state"]["detail"], hardware["state"])
    print(f"  seven in one group: {hardware['state']['detail']}")


def check_unknown(name, run):
    hardware = perf_of(run, "unknown")["hardware"]
    total = rows(hardware["total"])
    own = next(event for event in total if event.endswith("/inst_retired/"))
    check(f"{name}: what there is", total[own]["event_state"] == "ok" and int(total[own]["count"]) > 0, total)
    check(f"{name}: what there is not", total["no_such_pmu/event=1/"]["event_state"] == "unsupported", total)
    check(f"{name}: state", hardware["state"]["reason"] == "unknown_event" and "no_such_pmu" in hardware["state"]["detail"], hardware["state"])
    print(f"  {own}; beside it: {hardware['state']['detail']}")
    hardware = perf_of(run, "nothing-known")["hardware"]
    check(f"{name}: nothing known", hardware["state"]["reason"] == "unknown_event" and hardware["total"][0]["event_state"] == "unsupported", hardware)


def check_counting(name, run):
    check_exact(name, run)
    check_default(name, run)
    check_turns(name, run)
    check_too_large(name, run)
    check_unknown(name, run)


def check_no_pmu(name, run):
    perf = perf_of(run, "default")
    check(f"{name}: state", perf["hardware"]["state"]["reason"] == "no_pmu", perf["hardware"]["state"])
    check(f"{name}: events", all(event["event_state"] == "no_pmu" and "count" not in event for event in perf["hardware"]["total"]), perf)
    switches = rows(perf["software"]["total"])["context-switches"]
    check(f"{name}: software events", switches["event_state"] == "ok" and int(switches["count"]) > 0, switches)
    print(f"  without a PMU: {perf['hardware']['state']['detail']}")


# cycles, then the other nine in turns; the PMU's own name for an event, which sysfs explains.
COUNTING = f"""
step exact pmu_guest exact
pmu_guest loop & loop=$!
step default {AGENT} --interval 1s
step turns {AGENT} --interval 3s --perf-events {",".join(SPELLINGS)}
step too-large {AGENT} --interval 500ms --perf-events cycles,{{{",".join(SPELLINGS[:7])}}}
step unknown {AGENT} --interval 500ms --perf-events $(cd /sys/bus/event_source/devices; ls -d armv8*)/inst_retired/,no_such_pmu/event=1/
step nothing-known {AGENT} --interval 100ms --perf-events no_such_pmu/event=1/
kill $loop
"""
NO_PMU = f"step default {AGENT} --interval 500ms\n"


def main():
    try:
        build = build_for("arm64", ["sonde-agent", "pmu_guest"])
        files = {"/bin/sonde-agent": build / "sonde-agent", "/bin/pmu_guest": build / "pmu_guest"}
        jobs = [(Machine("arm64", release, cpus=1, icount=2, files=files), COUNTING, 400) for release in ("6.1", "6.12")]
        jobs.append((Machine("arm64", "6.12", cpus=1, cpu="max,pmu=off", files=files), NO_PMU, 200))
    except Unavailable as reason:
        print(f"SKIP: {reason}")
        return 77
    for (machine, script, _), run in zip(jobs, run_together(jobs)):
        if isinstance(run, Exception):
            failures.append(f"{machine}: {run}")
            continue
        print(f"{run.kernel}, {run.seconds:.0f} s")
        try:
            (check_counting if script == COUNTING else check_no_pmu)(run.kernel, run)
        except (KeyError, ValueError, IndexError, StopIteration) as error:
            failures.append(f"{machine}: {error!r} in\n{run.text}")
    print("\n".join(failures))
    return 1 if failures else 0


sys.exit(main())
