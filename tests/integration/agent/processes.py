"""sonde-agent --once on this host: a process this test starts is found with its owner, its numbers and its command line, from which
what is secret is missing; another reading of /proc at the same time agrees."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

AGENT = Path(os.environ["SONDE_BUILD"]) / "sonde-agent"
HZ = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGESIZE")
NOBODY = 65534

failures = []

WORK = """
import os, sys, threading, time
data = bytearray(64 << 20)
for i in range(0, len(data), 4096):
    data[i] = 1
with open(sys.argv[1], "wb") as out:
    out.write(os.urandom(8 << 20))
    out.flush()
    os.fsync(out.fileno())
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
ended = threading.Thread(target=burn, args=(0.3,))
ended.start()
ended.join()
for _ in range(3):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


def check(what, got, want):
    if got != want:
        failures.append(f"{what}: got {got!r}, want {want!r}")


def check_near(what, got, low, high):
    if got is None or not low <= got <= high:
        failures.append(f"{what}: got {got!r}, want {low} to {high}")


def snapshot(*options, user=None):
    done = subprocess.run([AGENT, "--config", "/dev/null", "--once", "--interval", "300ms", "--format", "json", *options],
                          capture_output=True, text=True, timeout=60, user=user, group=user, extra_groups=[] if user else None)
    if done.returncode != 0:
        sys.exit(f"sonde-agent failed ({done.returncode}): {done.stderr}")
    return json.loads(done.stdout)


def stat(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def find(section, pid):
    rows = [p for p in section["processes"] if p["pid"] == pid]
    check(f"rows of {pid}", len(rows), 1)
    return rows[0] if rows else {}


def start(file, user):
    def become():
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    worker = subprocess.Popen(
        [sys.executable, "-c", WORK, file, "--password", "hunter2", "--api-key=hunter2", "postgres://joe:hunter2@db/x", "plain"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=become if user != os.getuid() else None)
    if worker.stdout.readline() != "ready\n":
        sys.exit("the process to be watched did not start")
    return worker


def check_worker(section, worker, user):
    row, fields = find(section, worker.pid), stat(worker.pid)
    check("parent_pid", row.get("parent_pid"), os.getpid())
    check("user_id", row.get("user_id"), user)
    name = next((line.split(":")[0] for line in Path("/etc/passwd").read_text().splitlines() if line.split(":")[2] == str(user)), str(user))
    check("user", row.get("user"), name)
    check("comm", row.get("comm"), Path(f"/proc/{worker.pid}/comm").read_text().rstrip("\n"))
    check("start_time_us", row.get("start_time_us"), int(fields[19]) * 1000000 // HZ)
    check("process_state", row.get("process_state"), "sleeping")
    check("threads", row.get("threads"), 4)
    cpu = (int(fields[11]) + int(fields[12])) * 1000000 // HZ
    check_near("cpu_us", row.get("cpu_us"), max(cpu - 50000, 300000), cpu + 50000)
    check_near("user_us and system_us", row.get("user_us", 0) + row.get("system_us", 0), row.get("cpu_us", 0) - 20000, row.get("cpu_us", 0) + 20000)
    # It does nothing any more: the agent's reading and this one are equal.
    io = dict(line.split(": ") for line in Path(f"/proc/{worker.pid}/io").read_text().splitlines()) if os.getuid() == 0 else {}
    for name in ("read_bytes", "write_bytes", "cancelled_write_bytes"):
        check(name, row.get(name), int(io[name]) if io else None)
    resident = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1]) * PAGE
    check_near("resident_bytes", row.get("resident_bytes"), resident - (2 << 20), resident + (2 << 20))
    check_near("minor_faults", row.get("minor_faults"), 16384, 100000)


def check_command_line(section, worker, secret):
    line = find(section, worker.pid).get("command_line") or ""
    # WORK itself is an argument with line breaks, and longer than what is shown.
    check("command line begins", line.startswith(f"{sys.executable} -c"), True)
    check("is cut", line.endswith("…"), True)
    check("secret in the command line", "hunter2" in line, secret)


def check_totals(section):
    pids = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
    check_near("process_count", section["process_count"], len(pids) - 10, len(pids) + 10)
    check_near("thread_count", section["thread_count"], section["process_count"], 1000000)
    check("keyframe", section["keyframe"], True)
    check("left_out", section["left_out"], 0)
    seen = [p["pid"] for p in section["processes"]]
    check("ascending, each once", seen, sorted(set(seen)))
    check("this test is there", os.getpid() in seen, True)


def check_unprivileged(worker):
    """Without rights /proc is read instead, and the section says what to do about it."""
    try:
        section = snapshot(user=NOBODY)["processes"]
    except PermissionError:
        print("the build cannot be reached by an unprivileged user: the fallback is not tested")
        return
    check("source", section["source"], "proc")
    check("state", section["state"]["code"], "degraded")
    check("detail names the capability", "CAP_BPF" in section["state"]["detail"], True)
    check_totals(section)
    row = find(section, worker.pid)
    check("threads", row.get("threads"), 4)
    check("owner", row.get("user_id"), NOBODY)
    check("own command line", (row.get("command_line") or "").startswith(sys.executable), True)
    init = find(section, 1)
    check("write_bytes of another user's process", "write_bytes" in init, False)


def main():
    user = NOBODY if os.getuid() == 0 else os.getuid()
    file = f"/var/tmp/sonde-processes-{os.getpid()}"
    Path(file).touch()
    os.chown(file, user, -1)
    worker = start(file, user)
    sleeper = subprocess.Popen(["sleep", "60"], env={"TOKEN": "x"})
    short = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()", "--password", "hunter2", "--token=hunter2",
                              "postgres://joe:hunter2@db/x", "plain"], stdin=subprocess.PIPE)
    try:
        time.sleep(0.2)
        section = snapshot()["processes"]
        print(f"source {section['source']}, {section['process_count']} processes, state {section['state']}")
        if section["state"]["code"] != "ok":
            check("state", (section["state"]["code"], section["source"]), ("degraded", "proc"))
        check_worker(section, worker, user)
        check_command_line(section, worker, False)
        check_totals(section)
        check("sleep", find(section, sleeper.pid).get("command_line"), "sleep 60")
        check("scrubbed", find(section, short.pid).get("command_line"),
              f"{sys.executable} -c import sys; sys.stdin.read() --password *** --token=*** postgres://joe:***@db/x plain")
        if os.getuid() == 0:
            check_unprivileged(worker)
        section = snapshot("--command-line", "full")["processes"]
        check("full", find(section, short.pid).get("command_line"), f"{sys.executable} -c import sys; sys.stdin.read() --password hunter2 "
              "--token=hunter2 postgres://joe:hunter2@db/x plain")
        section = snapshot("--command-line", "off")["processes"]
        check("off", [p["pid"] for p in section["processes"] if "command_line" in p], [])
    finally:
        for child in (worker, sleeper, short):
            child.kill()
            child.wait()
        os.unlink(file)
    for failure in failures:
        print(failure)
    print(f"{len(failures)} differences")
    sys.exit(1 if failures else 0)


main()
