"""Runs the agent under `confine` (confine.c), and finds what it says of its sections."""
import atexit
import json
import os
import resource
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

BUILD = Path(os.environ.get("SONDE_BUILD", "build/dev")).resolve()
ALL = ["bpf", "perfmon", "sys_ptrace", "dac_read_search", "syslog"]
NOBODY = 65534

# Another user must be able to run it, wherever the build lies.
PLACE = Path(tempfile.mkdtemp(prefix="sonde-denials-"))
PLACE.chmod(0o755)
atexit.register(shutil.rmtree, PLACE, ignore_errors=True)
AGENT = PLACE / "sonde-agent"
shutil.copy(BUILD / "sonde-agent", AGENT)
BTF = Path("/sys/kernel/btf/vmlinux")


def nobody_but(*missing):
    """An ordinary user with the agent's capabilities, but for these."""
    return ["--user", str(NOBODY), *(word for name in ALL if name not in missing for word in ("--keep", f"cap_{name}"))]


def run(confinement, *arguments, status=(0,), limits=None):
    def limit():
        for what, value in (limits or {}).items():
            resource.setrlimit(what, (value, value))
    # The leak checker of a sanitizer's build stops its own process by number, which it does not know in another namespace.
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"} if "--pid-namespace" in confinement else None
    done = subprocess.run([BUILD / "confine", *confinement, "--", AGENT, *arguments], capture_output=True, text=True, timeout=60, preexec_fn=limit,
                          env=env)
    if done.returncode not in status:
        raise AssertionError(f"{confinement} {arguments}: status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def once(confinement, *arguments, limits=None):
    return run(confinement, "--once", "--config", "/dev/null", "--interval", "100ms", *arguments, limits=limits)


def doctor(confinement, *arguments):
    """{group: {name: finding}}"""
    report = run(confinement, "doctor", "--format", "json", "--config", "/dev/null", "--interval", "100ms", "--state-dir", str(PLACE),
                 *arguments, status=(0, 1))
    groups = {}
    for finding in report["findings"]:
        groups.setdefault(finding["group"], {})[finding["name"]] = finding
    return groups


def sections(snapshot):
    return {name: section for name, section in snapshot.items() if isinstance(section, dict) and "state" in section}


def needs_root():
    if os.geteuid() != 0:
        raise unittest.SkipTest("root alone can take rights away")


# Rows that are always there; others come when something happened between two readings.
LASTING = {"cpu.cores", "disks.devices", "network.interfaces", "processes.processes", "filesystems.filesystems", "cgroups.cgroups", "agent.collectors",
           "agent.programs"}


class Denial(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        needs_root()
        cls.whole = once([])

    def number(self, name):
        return int((Path("/proc/sys/kernel") / name).read_text())

    def without_bpf(self, reason, words, code="denied"):
        """What becomes of all sections that stand on BPF programs: the process table has another way."""
        probes = {program["probe"] for program in self.whole["agent"]["programs"]} - {"processes"}
        self.assertIn("block_io", probes)
        expected = {probe: (code, reason, words) for probe in probes}
        expected["processes"] = ("degraded", reason, "/proc is read instead of the kernel's task list.*: .*" + words)
        return expected

    def check(self, confinement, expected, *arguments, lost=(), limits=None):
        """`expected`: {section: (code, reason, words of the detail)}. Every other section is there as without confinement, with the same
        parts, but for those in `lost` ("processes.exits_left_out")."""
        snapshot = once(confinement, *arguments, limits=limits)
        for name, before in sections(self.whole).items():
            now = snapshot[name]
            state = now["state"]
            with self.subTest(section=name):
                if name in expected and state.get("reason") == "slow_source":
                    continue  # more than 2,000 processes run on this machine, which the section puts first
                if name in expected:
                    code, reason, words = expected[name]
                    self.assertEqual((state["code"], state.get("reason")), (code, reason), state)
                    self.assertRegex(state["detail"], words)
                    self.assertLess(len(state["detail"]), 255, "cut")
                    if code in ("denied", "unavailable"):
                        continue
                elif state.get("reason") != "events_lost" and before["state"].get("reason") != "events_lost":
                    self.assertEqual((state["code"], state.get("reason")), (before["state"]["code"], before["state"].get("reason")), state)
                parts = {part for part, value in before.items() if not isinstance(value, list) or f"{name}.{part}" in LASTING}
                missing = parts - now.keys() - {part.split(".")[1] for part in lost if part.startswith(name + ".")}
                self.assertFalse(missing, f"{name} has lost {missing}")
        return snapshot

    def check_right(self, report, name, words):
        """One line of the doctor's rights says what is missing, and what to do."""
        finding = report["rights"][name]
        self.assertIn(finding["verdict"], ("limited", "failed"))
        self.assertRegex(finding["remedy"], words)


def rows_with(snapshot, field):
    return sum(field in row for row in snapshot["processes"]["processes"])
