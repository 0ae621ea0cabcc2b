"""Hosts larger than the one that runs, made from a recorded one. Synthetic: the files are the kernel's shape, read from a file system
instead of made by the kernel, so what they show is the agent's own part of the cost."""
import os
import re
import shutil
from pathlib import Path

RECORDED = Path("tests/fixtures/hosts/debian12-6.18-x86_64")


def copy(directory):
    return Path(shutil.copytree(RECORDED, directory, symlinks=True))


def with_cpus(directory, n):
    tree = copy(directory)
    lines = (tree / "proc/stat").read_text().splitlines()
    per_cpu = next(line for line in lines if line.startswith("cpu0 "))
    rest = [line for line in lines if not re.match(r"cpu\d", line)]
    cpus = [re.sub("^cpu0", f"cpu{i}", per_cpu) for i in range(n)]
    (tree / "proc/stat").write_text("\n".join([rest[0], *cpus, *rest[1:]]) + "\n")
    softnet = tree / "proc/net/softnet_stat"
    if softnet.exists():
        line = softnet.read_text().splitlines()[0]
        softnet.write_text("".join(line + "\n" for _ in range(n)))
    for name in ("possible", "present", "online"):
        if (tree / "sys/devices/system/cpu" / name).exists():
            (tree / "sys/devices/system/cpu" / name).write_text(f"0-{n - 1}\n")
    return tree


def with_disks(directory, n):
    tree = copy(directory)
    figures = next(line for line in (tree / "proc/diskstats").read_text().splitlines() if " vda " in line).split()[3:]
    (tree / "proc/diskstats").write_text("".join(f"{254:4} {i:7} bench{i} {' '.join(figures)}\n" for i in range(n)))
    model = tree / "sys/block/vda"
    for i in range(n):
        shutil.copytree(model, tree / "sys/block" / f"bench{i}", symlinks=True)
        (tree / "sys/block" / f"bench{i}/diskseq").write_text(f"{i + 100}\n")
    for name in os.listdir(tree / "sys/block"):
        if not name.startswith("bench"):
            shutil.rmtree(tree / "sys/block" / name)
    return tree
