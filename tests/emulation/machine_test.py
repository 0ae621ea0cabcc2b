"""The emulated machines themselves: what comes back is what the guest printed, and a guest that fails says so."""
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from emulation import Disk, GuestFailed, Machine, Unavailable, run_together  # noqa: E402

SCRIPT = """
printf 'one\\r\\n\\ntwo'; echo
step passes cat /given/file
step fails sh -c 'echo before; exit 7'
step unterminated printf 'no newline'
cat /sys/block/vda/size
nproc
mount | grep -c -E 'tracefs|debugfs'
step program /bin/readelf --version
exit 3
"""


def fails_with(result, words):
    assert isinstance(result, GuestFailed), result
    assert words in str(result), result


def main():
    try:
        small = {"memory_mib": 256, "cpus": 1}
        jobs = [(Machine(cpus=3, disks=[Disk(5)], files={"/given/file": "contents\n", "/bin/readelf": Path("/usr/bin/readelf")}), SCRIPT),
                (Machine("arm64", **small), "uname -m; cat /proc/cmdline"),
                (Machine(**small), "echo c >/proc/sysrq-trigger; sleep 100"),
                (Machine(**small), "sleep 1000", 6)]
    except Unavailable as reason:
        print(f"SKIP: {reason}")
        return 77
    begun = time.monotonic()
    whole, arm, panic, stuck = run_together(jobs)
    seconds = time.monotonic() - begun
    for result in (whole, arm):
        if isinstance(result, Exception):
            raise result
    assert whole.status == 3, whole
    assert whole.text.startswith("\none\n\ntwo\n") or whole.text.startswith("one\n\ntwo\n"), whole.text
    assert "\r" not in whole.text, whole.text
    assert (whole.steps["passes"].status, whole.steps["passes"].text) == (0, "contents\n"), whole.steps
    assert (whole.steps["fails"].status, whole.steps["fails"].text) == (7, "before\n"), whole.steps
    assert (whole.steps["unterminated"].status, whole.steps["unterminated"].text) == (0, "no newline"), whole.steps
    assert "\n10240\n3\n0\n" in whole.text, whole.text  # 5 MiB, 3 CPUs, nothing of tracefs
    assert whole.steps["program"].status == 0 and "GNU readelf" in whole.steps["program"].text, whole.steps
    assert arm.text.startswith("aarch64\n") and "ttyAMA0" in arm.text and arm.kernel.startswith("6.1."), arm
    fails_with(panic, "Kernel panic")
    fails_with(stuck, "the time was up")
    ended = os.popen("ps -o args= --ppid %d" % os.getpid()).read()
    assert "qemu-system" not in ended, ended
    print(f"4 machines in {seconds:.1f} s; booted in {whole.seconds:.1f} s (x86_64), {arm.seconds:.1f} s (arm64)")
    return 0


sys.exit(main())
