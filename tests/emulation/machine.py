"""An emulated machine that boots, runs one shell script, and ends. What the script prints comes back over the serial line."""
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .debian import CACHE, Archive, Unavailable, locked, need_programs
from .cross import sysroot
from .initramfs import Initramfs
from .kernel import ARCHITECTURES, Kernel, host_arch

QEMU = {"x86_64": ("qemu-system-x86_64", "qemu-system-x86"), "arm64": ("qemu-system-aarch64", "qemu-system-arm")}
# QEMU 7.2's cmpxchg16b leaves rubbish in the flags now and then, and 6.12 allocates memory with it: half of the boots died.
CPU = {"x86_64": "max,cx16=off", "arm64": "cortex-a57"}
CONSOLE = {"x86_64": "ttyS0", "arm64": "ttyAMA0"}
BEGIN, END, STEP, STEP_END = "@@begin@@", "@@end@@", "@@step@@", "@@step-end@@"

INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=dumb
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
mkdir -p /dev/shm
for directory in /dev/shm /tmp /var/tmp /run; do mount -t tmpfs none $directory; done
ip link set lo up
for module in /modules/*.ko; do [ ! -e "$module" ] || insmod "$module"; done
step() {{ name=$1; shift; echo "{STEP} $name"; "$@"; result=$?; echo "{STEP_END} $result"; return $result; }}
echo; echo "{BEGIN} $(uname -r)"
(. /script) </dev/null 2>&1
status=$?; echo; echo "{END} $status"
poweroff -f; reboot -f
while :; do sleep 1000; done
"""


class GuestFailed(AssertionError):
    """It did not come to the script's end: did not boot, panicked, took too long."""


@dataclass
class Disk:
    """An empty disk, made anew for each boot: /dev/vda, or /dev/nvme0n1 with Disk(64, "nvme", "serial=one"). With a path what the guest wrote stays."""
    mib: int
    driver: str = "virtio-blk-pci"
    options: str = ""
    path: Path | None = None


@dataclass
class Step:
    status: int | None
    text: str


@dataclass
class Run:
    text: str  # what the script printed, with \\n only
    status: int  # of the script
    kernel: str  # uname -r
    seconds: float
    steps: dict = field(default_factory=dict)  # of `step NAME COMMAND...`


def busybox(arch):
    with locked(f"busybox-{arch}"):
        directory = CACHE / "busybox" / arch
        if not (directory / "bin/busybox").exists():
            Archive(ARCHITECTURES[arch]).unpack(["busybox-static"], directory)
    return directory / "bin/busybox"


class Machine:
    """arch: x86_64 or arm64; release and kind: see kernel.py. files: {path in the guest: Path, str or bytes}; programs bring their libraries.
    modules: names; those of the disks' drivers need not be listed. cpu, icount: QEMU's (arm64 counts instructions exactly with icount=2 and
    one CPU). devices: more of QEMU's arguments. cgroups=False: no cgroup2 is mounted."""

    def __init__(self, arch="x86_64", release="6.1", kind="cloud", *, cpus=2, memory_mib=1024, cmdline="", cpu=None, icount=None,
                 files=None, modules=(), disks=(), devices=(), cgroups=True):
        need_programs({QEMU[arch][0]: QEMU[arch][1], "readelf": "binutils", "llvm-strip": "llvm"})
        self.kernel = Kernel(arch, release, kind)
        self.arch, self.cpus, self.memory_mib, self.cmdline = arch, cpus, memory_mib, cmdline
        self.cpu = cpu or CPU[arch]
        self.icount, self.files, self.disks, self.devices, self.cgroups = icount, dict(files or {}), list(disks), list(devices), cgroups
        self.modules = [*modules]
        if any(disk.driver.startswith("virtio") for disk in self.disks):
            self.modules += ["virtio_pci", "virtio_blk"]
        if any(disk.driver == "nvme" for disk in self.disks):
            self.modules.append("nvme")

    def __str__(self):
        return self.kernel.name

    def _initramfs(self, script, path):
        root = Initramfs(self.arch, "/" if self.arch == host_arch() else sysroot(self.arch))
        for name in ("proc", "sys", "dev", "tmp", "var/tmp", "run", "root", "mnt", "modules", "sbin", "usr/bin", "usr/sbin"):
            root.directory(name)
        root.device("dev/console", 5, 1)
        root.file("bin/busybox", busybox(self.arch))
        root.file("init", INIT)
        root.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
        root.file("script", ("mount -t cgroup2 none /sys/fs/cgroup\n" if self.cgroups else "") + script)
        for place, (name, contents) in enumerate(self.kernel.modules(self.modules)):
            root.file(f"modules/{place:03}-{name}", contents)
        for name, contents in self.files.items():
            root.file(name, contents)
        root.write(path)

    def _command(self, work):
        machine = {"x86_64": "q35", "arm64": "virt"}[self.arch]
        command = [QEMU[self.arch][0], "-M", machine, "-cpu", self.cpu, "-smp", str(self.cpus), "-m", str(self.memory_mib),
                   "-accel", "tcg" if self.icount is not None else "tcg,thread=multi", "-nodefaults", "-display", "none", "-serial", "stdio",
                   "-no-reboot", "-nic", "none", "-kernel", self.kernel.image, "-initrd", work / "initramfs",
                   "-append", f"console={CONSOLE[self.arch]} panic=-1 quiet loglevel=3 {self.cmdline}".strip()]
        if self.icount is not None:
            command += ["-icount", f"shift={self.icount}"]
        for i, disk in enumerate(self.disks):
            image = disk.path or work / f"disk{i}"
            with open(image, "wb") as file:
                file.truncate(disk.mib << 20)
            options = f",{disk.options}" if disk.options else ""
            command += ["-drive", f"file={image},format=raw,if=none,id=disk{i},discard=unmap",
                        "-device", f"{disk.driver},drive=disk{i}{options}"]
        return [str(word) for word in [*command, *self.devices]]

    def run(self, script, seconds=240):
        """Boots, runs a script of busybox's shell as root, and returns what it printed. In it `step NAME COMMAND...` makes a part of the
        output of its own. GuestFailed after that many seconds (longer while others want the CPUs too), or when the kernel gives up."""
        with tempfile.TemporaryDirectory(prefix="sonde-guest-") as directory:
            work = Path(directory)
            self._initramfs(script, work / "initramfs")
            begun = time.monotonic()
            console = _read_until_end(self._command(work), begun, seconds, str(self))
            if _met_a_breakpoint(console):
                print(f"NOTE: {self} met a breakpoint that its kernel had taken away: booted once more", flush=True)
                begun = time.monotonic()
                console = _read_until_end(self._command(work), begun, seconds, str(self))
        return _parse(console, str(self), time.monotonic() - begun)


def _patience():
    """How much longer things take on a machine that is busy."""
    return max(1, os.getloadavg()[0] / (os.cpu_count() or 1))


def _read_until_end(command, begun, seconds, name):
    """The console's text until the end marker; ends the emulator by itself."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    data = bytearray()
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while time.monotonic() < begun + seconds * _patience():
                if not selector.select(1):
                    continue
                piece = os.read(process.stdout.fileno(), 65536)
                data += piece
                tail = bytes(data[-len(piece) - 200:])
                if not piece or re.search(rb"(^|\n)" + END.encode() + rb" \d+\r*\n", tail) or b"Kernel panic" in tail:
                    break
            else:
                raise GuestFailed(f"{name}: the time was up\n{_text(data)[-4000:]}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    return _text(data)


def _text(data):
    return re.sub("\r+\n", "\n", data.decode(errors="replace"))


def _met_a_breakpoint(console):
    """A kernel that switches a tracepoint writes a breakpoint, the new instruction behind it, then its first byte. An emulated CPU may still
    have the breakpoint translated when the others have done with it: nobody knows it then, and the kernel gives up. Processors do not do that."""
    return re.search(r"\] Oops: int3: ", console) is not None


def _parse(console, name, seconds):
    found = re.search(rf"(?:^|\n){BEGIN} (\S+)\n(.*\n|){END} (\d+)\n", console, re.S)
    if not found:
        raise GuestFailed(f"{name}: the guest did not finish\n{console[-4000:]}")
    run = Run(found[2].rstrip("\n") + "\n", int(found[3]), found[1], seconds)
    step = None
    for line in run.text.splitlines():
        if line.startswith(STEP + " "):
            step = Step(None, "")
            run.steps[line[len(STEP) + 1:]] = step
        elif step and (end := re.search(rf"{STEP_END} (\d+)$", line)):
            step.text += line[:end.start()]
            step.status, step = int(end[1]), None
        elif step:
            step.text += line + "\n"
    return run


def run_together(jobs, at_once=None):
    """[(machine, script)] -> [Run or the exception it ended with], side by side as far as there are CPUs."""
    def one(job):
        try:
            return job[0].run(*job[1:])
        except (GuestFailed, Unavailable) as error:
            return error
    with ThreadPoolExecutor(at_once or os.cpu_count()) as pool:
        return list(pool.map(one, jobs))
