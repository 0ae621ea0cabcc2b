"""The project built for arm64: Debian's libraries unpacked into a sysroot, and the CMake preset of that name."""
import os
import re
import shutil
import subprocess
from pathlib import Path

from .debian import CACHE, SOURCE, Archive, Unavailable, locked, need_programs

DEBIAN = {"arm64": "arm64"}
PREPARED = "1"  # of what is done to a sysroot after unpacking


def sysroot(arch):
    """The directory; filled at first use with the -dev packages that scripts/setup lists for the native build."""
    archive = Archive(DEBIAN[arch])
    directory = CACHE / f"sysroot-{arch}"
    setup = (SOURCE / "scripts/setup").read_text()
    listed = re.search(r'^native="(.*?)"', setup, re.M | re.S)[1].split()
    packages = [name for name in listed if re.fullmatch(r"(lib.*|zlib1g)-dev", name) and name != "libprotobuf-dev"] + ["libcmocka-dev"]
    mark = directory / "packages"
    wanted = f"{PREPARED} {' '.join(packages)}"
    with locked(f"sysroot-{arch}"):
        if mark.exists() and mark.read_text() == wanted:
            return directory
        shutil.rmtree(directory, ignore_errors=True)
        archive.unpack(packages, directory, dependencies=True)
        _make_links_relative(directory)
        mark.write_text(wanted)
    return directory


def _make_links_relative(directory):
    """A -dev package's libNAME.so is a link to /lib/..., which would lead to this machine's."""
    for path in directory.rglob("*"):
        if path.is_symlink() and os.readlink(path).startswith("/"):
            target = directory / os.readlink(path).lstrip("/")
            path.unlink()
            path.symlink_to(os.path.relpath(target, path.parent))


def cross_build(arch, targets):
    """Builds targets with the preset and returns the directory they are in."""
    need_programs({"aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu", "cmake": "cmake", "ninja": "ninja-build"})
    root = sysroot(arch)
    build = SOURCE / "build" / arch
    environment = {**os.environ, "SONDE_SYSROOT": str(root)}
    with locked(f"build-{arch}"):
        for command in (["cmake", "--preset", arch], ["cmake", "--build", "--preset", arch, "--target", *targets]):
            done = subprocess.run(command, cwd=SOURCE, env=environment, capture_output=True, text=True)
            if done.returncode != 0:
                raise AssertionError(f"{' '.join(command)}:\n{done.stdout[-6000:]}{done.stderr[-2000:]}")
    return build


def build_for(arch, targets):
    """Where these programs are for an architecture: this build's own for the machine's, cross-built otherwise."""
    from .kernel import host_arch
    if arch == host_arch():
        return Path(os.environ.get("SONDE_BUILD", SOURCE / "build/dev"))
    if arch not in DEBIAN:
        raise Unavailable(f"no cross build for {arch}")
    return cross_build(arch, targets)


if __name__ == "__main__":
    import sys
    print(cross_build(sys.argv[1], sys.argv[2:] or ["sonde-agent"]))
