"""The block probe where the running kernel has no drivers for it: in one boot each of Debian's kernels, device-mapper and a mirror over NVMe, an NVMe
namespace by two paths, a SCSI disk that is busy and one with a bad sector; whose I/O it is with cgroups v2; and no completion lost."""
import os
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["SONDE_SOURCE"], "tests"))
from emulation import Disk, Machine, Unavailable, build_for, run_together  # noqa: E402

KERNELS = ["6.1", "6.12"]  # without block_io_done, and with it
MIB = 32
MODULES = ["loop", "dm_mod", "raid1", "nvme", "scsi_debug", "sd_mod"]
# Two controllers of one subsystem that share a namespace.
MULTIPATH = ["-device", "nvme-subsys,id=shared,nqn=shared",
             "-device", "nvme,serial=path,subsys=shared,id=path0", "-device", "nvme,serial=path,subsys=shared,id=path1",
             "-drive", "file={disk},format=raw,if=none,id=both", "-device", "nvme-ns,drive=both,nsid=1,shared=on,bus=path0"]
SCRIPT = r"""
by_serial() { for c in /sys/class/nvme/nvme*; do [ "$(tr -d ' ' <$c/serial)" = $1 ] && basename $c/nvme*n1; done; }
test=test_integration_block_io_stack
echo +io >/sys/fs/cgroup/cgroup.subtree_control
one=$(by_serial one) two=$(by_serial two) three=$(by_serial three)
dmsetup create linear --table "0 $(cat /sys/block/$one/size) linear /dev/$one 0"
mdadm --build /dev/md0 --run --level=1 --raid-devices=2 --assume-clean /dev/$two /dev/$three
step many $test many $one
step dm $test stack $(basename $(readlink -f /sys/block/dm-0)) 1 $one
step md $test stack md0 2 $two $three
for h in /sys/class/nvme-subsystem/nvme-subsys*/nvme*n1; do
  paths=$(cd /sys/block && ls -d $(basename $h n1)c*n1 2>/dev/null)
  [ $(echo $paths | wc -w) = 2 ] || continue
  echo round-robin >${h%/*}/iopolicy
  step multipath $test multipath ${h##*/} $paths
done
scsi=/sys/bus/pseudo/drivers/scsi_debug
echo 7 >$scsi/every_nth; echo 0x8000 >$scsi/opts
step requeue $test requeue sda
echo 0 >$scsi/every_nth; echo 2 >$scsi/opts
step error $test error sda 4660
echo 0 >$scsi/opts
step cgroups test_integration_block_io_cgroups
"""
STEPS = ["many", "dm", "md", "multipath", "requeue", "error", "cgroups"]


def report(machine, run):
    """Whether every step passed, the first time: these kernels lose nothing, so nothing is repeated."""
    if isinstance(run, Exception):
        print(f"{machine}: {run}")
        return False
    print(f"{run.kernel}, {run.seconds:.0f} s")
    all_passed = True
    for name in STEPS:
        step = run.steps.get(name)
        passed = step is not None and step.status == 0 and "NOTE:" not in step.text
        print(f"  {name}: {'passed' if passed else 'FAILED'}")
        if not passed:
            print("\n".join(line for line in (step.text if step else run.text).splitlines() if not re.match(r"\[ +(RUN|OK) ", line)))
            all_passed = False
    return all_passed


def main():
    tests = ["test_integration_block_io_stack", "test_integration_block_io_cgroups"]
    with tempfile.TemporaryDirectory(prefix="sonde-stack-") as directory:
        try:
            build = build_for("x86_64", tests)
            files = {f"/bin/{name}": Path(build) / name for name in tests}
            for program in ("dmsetup", "mdadm"):
                path = next((Path(d) / program for d in ("/usr/sbin", "/sbin") if (Path(d) / program).exists()), None)
                if not path:
                    raise Unavailable(f"{program} is not installed")
                files[f"/bin/{program}"] = path
            jobs = []
            for release in KERNELS:
                image = Path(directory) / release
                with open(image, "wb") as file:
                    file.truncate(MIB << 20)
                machine = Machine("x86_64", release, "generic", files=files, modules=MODULES,
                                  disks=[Disk(MIB, "nvme", f"serial={name}") for name in ("one", "two", "three")],
                                  devices=[word.format(disk=image) for word in MULTIPATH])
                jobs.append((machine, SCRIPT, 240))
        except Unavailable as reason:
            print(f"SKIP: {reason}")
            return 77
        results = [report(job[0], run) for job, run in zip(jobs, run_together(jobs))]
    return 0 if all(results) else 1


sys.exit(main())
