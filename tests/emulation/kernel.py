"""Debian's kernels: the image, and its modules with what they depend on."""
import lzma
import platform
import re
import shutil
import subprocess

from .debian import BACKPORTS, CACHE, RELEASE, Archive, Unavailable, locked, need_programs

# Release of Debian's kernel -> the suite that has it. "cloud" kernels are a third of the size; the others have every driver.
SUITES = {"6.1": None, "6.12": BACKPORTS}
KINDS = {"cloud": "linux-image-cloud-{}", "generic": "linux-image-{}"}
ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}


class Kernel:
    """Kernel("arm64", "6.12"), Kernel("x86_64", "6.1", "generic"): downloaded at first use, then kept until Debian has a newer one."""

    def __init__(self, arch, release, kind="cloud"):
        self.arch, self.release, self.kind = arch, release, kind
        self.name = f"{release}-{kind}-{arch}"
        self.path = CACHE / "kernels" / self.name
        self.fetch()
        self.image = next(self.path.glob("boot/vmlinuz-*"))
        self.version = self.image.name.removeprefix("vmlinuz-")
        modules = self.path / "lib/modules" / self.version
        self.modules_path = modules if modules.exists() else self.path / "usr/lib/modules" / self.version

    def fetch(self):
        need_programs({"depmod": "kmod", "modprobe": "kmod"})
        archive = Archive(ARCHITECTURES[self.arch])
        suite = SUITES[self.release]
        package = KINDS[self.kind].format(ARCHITECTURES[self.arch])
        depends = archive.newest(package, suite).get("Depends", "")
        image = re.match(r"linux-image-\S+", depends)
        if not image:
            raise Unavailable(f"{package} {suite or RELEASE} names no kernel: {depends!r}")
        with locked(f"kernel-{self.name}"):
            mark = self.path / "package"
            if mark.exists() and mark.read_text() == depends:
                return
            shutil.rmtree(self.path, ignore_errors=True)
            archive.unpack([image.group()], self.path, suite)
            base = self.path if (self.path / "lib/modules").exists() else self.path / "usr"
            subprocess.run(["depmod", "-b", base, next((base / "lib/modules").iterdir()).name], check=True,
                           env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
            mark.write_text(depends)

    def modules(self, names):
        """[(file name, contents)] in the order of loading; what is built in needs none."""
        order = {}
        for name in names:
            shown = subprocess.run(["modprobe", "-d", self.modules_path.parents[2], "-S", self.version, "--show-depends", name],
                                   capture_output=True, text=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
            if shown.returncode != 0:
                raise Unavailable(f"{self.name} has no module {name}")
            for line in shown.stdout.splitlines():
                if line.startswith("insmod "):
                    order[line.split()[1]] = None
        found = []
        for file in order:
            with lzma.open(file) if file.endswith(".xz") else open(file, "rb") as module:
                found.append((file.rsplit("/", 1)[1].removesuffix(".xz"), module.read()))
        return found

    def config(self, option):
        """"y", "m", a value, or None."""
        for line in next(self.path.glob("boot/config-*")).read_text().splitlines():
            if line.startswith(f"CONFIG_{option}="):
                return line.split("=", 1)[1]
        return None


def host_arch():
    return {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine())
