"""Debian packages of any architecture, fetched and unpacked under build/ without a word to this machine's own package manager.

apt itself resolves, fetches and verifies them, with a configuration, lists and a state of its own for each architecture. Where it fetches
from, and the keys, are this machine's. What was fetched stays: SONDE_EMULATION_CACHE, or build/emulation."""
import fcntl
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(os.environ.get("SONDE_SOURCE", Path(__file__).resolve().parents[2])).resolve()
CACHE = Path(os.environ.get("SONDE_EMULATION_CACHE", SOURCE / "build" / "emulation")).resolve()
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RELEASE = "bookworm"
BACKPORTS = f"{RELEASE}-backports"
LISTS_AGE_S = 24 * 3600


class Unavailable(Exception):
    """Something this machine lacks, in words; a test prints it as the reason of its skip."""


def need_programs(packages):
    """{program: the package that has it}: raises Unavailable with what to install."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [f"{name} (package {package})" for name, package in packages.items() if not shutil.which(name, path=path)]
    if missing:
        raise Unavailable("not installed: " + ", ".join(missing))


@contextmanager
def locked(name):
    """One process at a time fills a part of the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def mirrors():
    """[(address, suites)] of Debian's archive and its security archive, as this machine's own configuration has them."""
    need_programs({"apt-get": "apt", "dpkg-deb": "dpkg"})
    if not KEYRING.exists():
        raise Unavailable("this machine is no Debian: the archive's keys are missing (package debian-archive-keyring)")
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
                            capture_output=True, text=True).stdout
    suites = {suite: address for address, suite in (line.split() for line in listed.splitlines() if len(line.split()) == 2)}
    if RELEASE not in suites:
        raise Unavailable(f"this machine's apt knows no suite {RELEASE}")
    found = [(suites[RELEASE], [RELEASE, BACKPORTS])]
    if f"{RELEASE}-security" in suites:
        found.append((suites[f"{RELEASE}-security"], [f"{RELEASE}-security"]))
    return found


class Archive:
    """Debian's archive for one architecture."""

    def __init__(self, architecture):
        self.architecture = architecture
        self.path = CACHE / "apt" / architecture
        self.environment = {**os.environ, "APT_CONFIG": str(self.path / "apt.conf"), "LC_ALL": "C.UTF-8"}

    def apt(self, *command, cwd=None):
        done = subprocess.run(command, env=self.environment, cwd=cwd, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise Unavailable(f"{' '.join(command[:2])} for {self.architecture}: {done.stderr.strip().splitlines()[-1:]}")
        return done.stdout

    def update(self):
        """The lists, at most a day old."""
        stamp = self.path / "updated"
        with locked(f"apt-{self.architecture}"):
            if stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_AGE_S:
                return
            for directory in ("etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "state/lists/partial", "cache/archives/partial"):
                (self.path / directory).mkdir(parents=True, exist_ok=True)
            (self.path / "status").write_text("")
            (self.path / "apt.conf").write_text(f"""Dir "{self.path}";
Dir::Etc "{self.path}/etc";
Dir::State "{self.path}/state";
Dir::State::status "{self.path}/status";
Dir::Cache "{self.path}/cache";
APT::Architecture "{self.architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{self.architecture}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
""")
            self.fetch_lists()
            stamp.touch()

    def fetch_lists(self):
        """Not every mirror has the backports: then newest() says so, and what needs no backports works."""
        found = mirrors()
        for left_out in ((), (BACKPORTS,)):
            sources = "".join(f"Types: deb\nURIs: {address}\nSuites: {' '.join(suite for suite in suites if suite not in left_out)}\n"
                              f"Components: main\nSigned-By: {KEYRING}\n\n" for address, suites in found)
            (self.path / "etc/sources.list.d/debian.sources").write_text(sources)
            try:
                self.apt("apt-get", "-qq", "update")
                return
            except Unavailable:
                if left_out:
                    raise

    def newest(self, package, suite=None):
        """The fields of a package's newest version, of one suite or of all."""
        self.update()
        if suite and suite not in (self.path / "etc/sources.list.d/debian.sources").read_text():
            raise Unavailable(f"the mirror has no {suite} for {self.architecture}, where {package} would be")
        shown = self.apt("apt-cache", "show", "--no-all-versions", f"{package}/{suite}" if suite else package)
        fields = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line and not line.startswith(" "))
        return fields

    def unpack(self, packages, directory, suite=None, dependencies=False):
        """Fetches packages, all they depend on if asked to, and unpacks them into a directory."""
        self.update()
        work = directory.with_name(directory.name + ".debs")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        names = [f"{name}/{suite}" if suite else name for name in packages]
        with locked(f"apt-{self.architecture}"):
            if dependencies:
                uris = self.apt("apt-get", "install", "-y", "-qq", "--print-uris", *names)
                names = [line.split()[1].split("_")[0] for line in uris.splitlines() if line.startswith("'")]
            self.apt("apt-get", "download", "-qq", *names, cwd=work)
        directory.mkdir(parents=True, exist_ok=True)
        for package in sorted(work.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, directory], check=True)
        shutil.rmtree(work)
