"""The guest's root: an uncompressed cpio archive ("newc", the kernel's Documentation/driver-api/early-userspace/buffer-format.rst), because
unpacking a compressed one takes an emulated CPU longer than reading it. Programs bring the shared libraries they name."""
import re
import stat
import subprocess
import tempfile
from pathlib import Path

from .debian import Unavailable

MULTIARCH = {"x86_64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}


class Initramfs:
    def __init__(self, arch, sysroot):
        """sysroot: where the libraries of programs are looked for."""
        self.arch, self.sysroot = arch, Path(sysroot)
        self.parts, self.names, self.inode = [], set(), 0
        self.libraries = {}

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        name = name.strip("/")
        parent = name.rpartition("/")[0]
        if parent and parent not in self.names:
            self.directory(parent)
        if name in self.names:
            return
        self.names.add(name)
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        self.parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def directory(self, name):
        self._entry(name, stat.S_IFDIR | 0o755)

    def device(self, name, major, minor):
        self._entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def link(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def file(self, name, contents, mode=None):
        """contents: bytes, str, or the Path of a file of this machine, whose libraries come along if it is a program."""
        if isinstance(contents, Path):
            if mode is None:
                mode = 0o755 if contents.stat().st_mode & 0o111 else 0o644
            data = contents.read_bytes()
            if data.startswith(b"\x7fELF"):
                mode = 0o755
                data = self._program(contents, data)
        else:
            data = contents.encode() if isinstance(contents, str) else contents
        if mode is None:
            mode = 0o755 if data.startswith((b"#!", b"\x7fELF")) else 0o644
        self._entry(name, stat.S_IFREG | mode, data)

    def _program(self, path, data):
        self._needed(path)
        with tempfile.NamedTemporaryFile() as stripped:  # debug information of a Debug build is most of it
            done = subprocess.run(["llvm-strip", "--strip-debug", "-o", stripped.name, path], capture_output=True)
            return Path(stripped.name).read_bytes() if done.returncode == 0 else data

    def _needed(self, path):
        """Adds what the dynamic linker will look for."""
        shown = subprocess.run(["readelf", "-ld", path], capture_output=True, text=True, check=True).stdout
        for interpreter in re.findall(r"program interpreter: (\S+)\]", shown):
            self._library(interpreter, [interpreter.lstrip("/")], path)
        directory = f"lib/{MULTIARCH[self.arch]}"
        for name in re.findall(r"\(NEEDED\).*\[(.+)\]", shown):
            if name.startswith("ld-linux"):
                continue
            self._library(f"{directory}/{name}", [f"{directory}/{name}", f"usr/{directory}/{name}", f"lib/{name}", f"usr/lib/{name}"], path)

    def _library(self, name, places, wanted_by):
        if name in self.libraries:
            return
        found = next((self.sysroot / place for place in places if (self.sysroot / place).exists()), None)
        if not found:
            raise Unavailable(f"{wanted_by} needs {name}, which is not below {self.sysroot}")
        self.libraries[name] = found
        self._needed(found)
        self._entry(name, stat.S_IFREG | 0o755, found.read_bytes())

    def write(self, path):
        self._entry("TRAILER!!!", 0)
        with open(path, "wb") as file:
            file.writelines(self.parts)
