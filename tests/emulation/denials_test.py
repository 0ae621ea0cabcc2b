"""What only another kernel denies: lockdown=confidentiality, Debian's stricter perf_event_paranoid, a kernel without control groups; and --btf where the
kernel is another one. What the running kernel can deny is in tests/integration/denials."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from emulation import Machine, Unavailable, build_for, run_together  # noqa: E402

DOCTOR = "sonde-agent doctor --format json --config /dev/null --interval 100ms"
LOCKED = f"""
mount -t securityfs none /sys/kernel/security
step locked {DOCTOR}
umount /sys/kernel/security
step unseen {DOCTOR}
"""
STRICT = f"""
echo 3 >/proc/sys/kernel/perf_event_paranoid
step user confine --user 65534 -- /bin/{DOCTOR}
step perfmon confine --user 65534 --keep cap_perfmon -- /bin/{DOCTOR}
echo 2 >/proc/sys/kernel/perf_event_paranoid
echo 1 >/proc/sys/kernel/unprivileged_bpf_disabled
step unprivileged confine --user 65534 --keep cap_bpf --keep cap_perfmon --keep cap_sys_ptrace --keep cap_dac_read_search --keep cap_syslog -- /bin/{DOCTOR}
cp /sys/kernel/btf/vmlinux /run/vmlinux.btf
step hidden confine --hide /sys/kernel/btf -- /bin/{DOCTOR}
step given confine --hide /sys/kernel/btf -- /bin/{DOCTOR} --btf /run/vmlinux.btf
"""
# Sections that nothing here takes away.
ALWAYS = ["cpu", "memory", "vmstat", "disks", "filesystems", "network", "agent"]

failures = 0


def check(what, condition, found):
    global failures
    if not condition:
        failures += 1
        print(f"FAILED: {what}: {found}")


def report_of(run, name):
    """{(group, name): finding}"""
    step = run.steps[name]
    check(f"{run.kernel}: {name} ends", step.status in (0, 1), step)
    found = {(f["group"], f["name"]): f for f in json.loads(step.text)["findings"]}
    for section in ALWAYS:
        check(f"{run.kernel}: {name}: {section} goes on", found["sections", section]["verdict"] == "ok", found["sections", section])
    return found


def check_finding(run, report, key, reason, words):
    finding = report[key]
    check(f"{run.kernel}: {key}", finding["reason"] == reason and words in finding["remedy"], finding)


def check_locked(run):
    report = report_of(run, "locked")
    words = "boot without lockdown=confidentiality"
    check_finding(run, report, ("kernel", "lockdown"), "lockdown", words)
    probes = {name for group, name in report if group == "sections"} & {"block_io", "scheduler", "tcp", "interrupts"}
    # A probe whose programs read kernel memory by types alone is let through.
    denied = {name for name in probes if report["sections", name]["verdict"] == "failed"}
    check(f"{run.kernel}: block_io is denied", "block_io" in denied, probes)
    for name in denied:
        check_finding(run, report, ("sections", name), "lockdown", words)
    check_finding(run, report, ("sections", "processes"), "lockdown", words)
    check(f"{run.kernel}: counters go on", report["sections", "perf"]["verdict"] == "ok", report["sections", "perf"])
    # Without securityfs nobody can know, and what is said is what the kernel answered.
    unseen = report_of(run, "unseen")
    check(f"{run.kernel}: not known", unseen["kernel", "lockdown"]["verdict"] == "note", unseen["kernel", "lockdown"])
    check_finding(run, unseen, ("sections", "block_io"), "load_failed", "--log-level debug")


def check_strict(run):
    report = report_of(run, "user")
    check_finding(run, report, ("sections", "perf"), "perf_event_paranoid", "perf_event_paranoid=3")
    check_finding(run, report, ("kernel", "kernel.perf_event_paranoid"), "perf_event_paranoid", "CAP_PERFMON")
    check_finding(run, report, ("sections", "block_io"), "no_cap_bpf", "grant them to the agent")
    report = report_of(run, "perfmon")
    # Debian's patch asks for CAP_SYS_ADMIN at its level.
    check_finding(run, report, ("sections", "perf"), "perf_event_paranoid", "set kernel.perf_event_paranoid=2")
    check_finding(run, report, ("kernel", "kernel.perf_event_paranoid"), "perf_event_paranoid", "sysctl kernel.perf_event_paranoid=2")
    check_finding(run, report, ("sections", "block_io"), "no_cap_bpf", "grant them to the agent")
    report = report_of(run, "unprivileged")
    for name in ("perf", "block_io", "processes"):
        check(f"{run.kernel}: capabilities are enough: {name}", report["sections", name]["verdict"] == "ok", report["sections", name])
    check_finding(run, report_of(run, "hidden"), ("sections", "block_io"), "no_btf", "--btf")
    report = report_of(run, "given")
    check(f"{run.kernel}: --btf serves", report["sections", "block_io"]["verdict"] == "ok", report["sections", "block_io"])
    check(f"{run.kernel}: by raw tracepoints", "raw_tp" in str([f for (group, _), f in report.items() if group == "eBPF programs"]), report)
    check(f"{run.kernel}: no control groups are mounted", report["kernel", "control groups"]["reason"] == "no_cgroups", report["kernel", "control groups"])


def main():
    try:
        jobs, checks = [], []
        for arch, release, cmdline, cgroups, script, checker in (
                ("x86_64", "6.12", "lockdown=confidentiality", True, LOCKED, check_locked),
                ("x86_64", "6.1", "", False, STRICT, check_strict)):
            build = build_for(arch, ["sonde-agent", "confine"])
            files = {f"/bin/{name}": build / name for name in ("sonde-agent", "confine")}
            jobs.append((Machine(arch, release, files=files, cmdline=cmdline, cgroups=cgroups), script, 300))
            checks.append(checker)
    except Unavailable as reason:
        print(f"SKIP: {reason}")
        return 77
    for run, checker in zip(run_together(jobs), checks, strict=True):
        if isinstance(run, Exception):
            raise run
        print(f"{run.kernel}: {run.seconds:.0f} s")
        checker(run)
    return 1 if failures else 0


sys.exit(main())
