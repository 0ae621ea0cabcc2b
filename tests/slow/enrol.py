"""tests/slow/enrol.py AGENT BACKEND -- STORAGE-OPTIONS: starts what two containers of buildah hold, by their entry points, each in a network
namespace of its own, and sees the agent enrol over TLS with the key that the backend's first start wrote, and nobody without it."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

BACKEND_ADDRESS, AGENT_ADDRESS = "10.203.0.1", "10.203.0.2"
PASSWORD = "correct horse battery"
SEPARATOR = sys.argv.index("--")
AGENT, BACKEND = sys.argv[1:SEPARATOR]
BUILDAH = ["buildah", *sys.argv[SEPARATOR + 1:]]
SPACES = {side: f"sonde-{side}-{os.getpid()}" for side in ("backend", "agent")}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def inside(side, *command):
    return ["ip", "netns", "exec", SPACES[side], *command]


def make_network():
    for space in SPACES.values():
        run("ip", "netns", "add", space)
    run("ip", "-n", SPACES["backend"], "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", SPACES["agent"])
    for side, address in (("backend", BACKEND_ADDRESS), ("agent", AGENT_ADDRESS)):
        run("ip", "-n", SPACES[side], "address", "add", address + "/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run("ip", "-n", SPACES[side], "link", "set", device, "up")


def start(side, container, log, *arguments, volumes=(), environment=()):
    entry = json.loads(run(*BUILDAH, "inspect", container))["OCIv1"]["config"]["Entrypoint"]
    options = [x for v in volumes for x in ("-v", v)] + [x for e in environment for x in ("--env", e)]
    with open(log, "wb") as out:
        return subprocess.Popen(inside(side, *BUILDAH, "run", "--isolation", "chroot", *options, container, "--", *entry, *arguments),
                                stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {what}")


def ask(path, *curl):
    done = subprocess.run(inside("agent", "curl", "-sf", "--max-time", "5", *curl, f"http://{BACKEND_ADDRESS}:8000{path}"), capture_output=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def hosts():
    token = ask("/token", "-d", urllib.parse.urlencode({"username": "admin", "password": PASSWORD}))["access_token"]
    return ask("/api/servers", "-H", f"Authorization: Bearer {token}").get("servers", [])


def speaks_tls():
    done = subprocess.run(inside("agent", "openssl", "s_client", "-connect", f"{BACKEND_ADDRESS}:50051", "-alpn", "h2", "-verify_return_error",
                                 "-CAfile", str(DATA / "tls/ca.pem"), "-verify_ip", BACKEND_ADDRESS), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)
    return "ALPN protocol: h2" in done.stdout and "Verify return code: 0" in done.stdout


def health_in_plaintext():
    code = (f"import grpc; print(grpc.insecure_channel('{BACKEND_ADDRESS}:50052').unary_unary('/grpc.health.v1.Health/Check')(b'', timeout=5))")
    return subprocess.run(inside("agent", "/usr/bin/python3", "-c", code), capture_output=True, text=True).stdout.strip() == repr(b"\x08\x01")


def enrol():
    programs = [start("backend", BACKEND, LOGS / "backend", volumes=[f"{DATA}:/var/lib/sonde"], environment=[f"SONDE_ADMIN_PASSWORD={PASSWORD}"])]
    try:
        wait_for(lambda: ask("/health"), 30, "the backend answers")
        assert speaks_tls() and health_in_plaintext()
        key = (DATA / "agent.key").read_text().strip()
        assert "#sha256:" in key, "the first agent key names the CA"
        for name, text in (("good", key), ("bad", key[:-1] + ("0" if key[-1] != "0" else "1"))):
            folder = DATA.parent / name
            folder.mkdir()
            (folder / "agent.key").write_text(text + "\n")
            (folder / "agent.key").chmod(0o600)
            (folder / "state").mkdir()
            programs.append(start("agent", AGENT, LOGS / name, "--backend", f"{BACKEND_ADDRESS}:50051", "--state-dir", "/state",
                                  volumes=[f"{folder}:/etc/sonde:ro", f"{folder}/state:/state"]))
            if name == "good":
                server = wait_for(lambda: next(iter(hosts()), None), 30, "the agent's host is listed")
                wait_for(lambda: hosts()[0].get("last_seen") != server.get("last_seen"), 30, "more snapshots come")
        wait_for(lambda: "not of the CA that the agent key names" in (LOGS / "bad").read_text(), 30, "a key of another CA is refused by the agent")
        assert len(hosts()) == 1
    except BaseException:
        for log in sorted(LOGS.iterdir()):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
        raise
    finally:
        for side in SPACES.values():
            for pid in run("ip", "netns", "pids", side).split():
                subprocess.run(["kill", pid], stderr=subprocess.DEVNULL)  # some have ended with another
        for program in programs:
            program.wait(30)


with tempfile.TemporaryDirectory(prefix="sonde-enrol-") as place:
    DATA, LOGS = Path(place) / "data", Path(place) / "logs"
    DATA.mkdir()
    LOGS.mkdir()
    shutil.chown(DATA, 10001, 10001)
    try:
        make_network()
        enrol()
    finally:
        for space in SPACES.values():
            subprocess.run(["ip", "netns", "delete", space])
print("an agent enrolled over TLS, from image to image")
