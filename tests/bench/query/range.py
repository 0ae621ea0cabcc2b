"""What a range query of one metric of one host costs over the hot rows: a real snapshot of an agent on this machine, repeated at 1 s
for an hour with its counters growing. Prints milliseconds and the backend's CPU per query.

    SONDE_BUILD=build/dev SONDE_SOURCE=. python3 tests/bench/query/range.py
"""
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "integration" / "ingest"))
from backend import MESSAGES, Backend, wait_for  # noqa: E402

HOUR = 3600


def snapshot(backend, token):
    """The newest snapshot of a real agent on this machine."""
    agent = backend.start_agent()
    hosts = wait_for(lambda: [h for h in backend.get("/api/servers", token).get("servers", []) if h.get("summary")], 30, "the agent's first snapshots")
    time.sleep(3)
    agent.terminate()
    agent.wait(timeout=10)
    return backend.query("GetHost", MESSAGES.GetHostRequest(hostname=hosts[0]["host_id"]), MESSAGES.GetHostReply, token).snapshot


def fill(backend, s, t0):
    double = backend.double(hostname="bench")
    stream = double.stream()
    stream.welcome()
    s.boot_id, s.instance = double.boot_id, double.instance
    batch, sequence = [], 0
    for second in range(HOUR):
        sequence += 1
        s.sequence, s.timestamp.seconds, s.boottime_us = sequence, t0 + second, second * 1000000
        for core in s.cpu.cores:
            core.user_us += 1000
        batch.append(s.SerializeToString())
        if len(batch) == 100:
            stream.deliver(*batch)
            batch = []
    stream.half_close()
    return len(s.SerializeToString())


def cpu_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    with Backend() as backend:
        t0 = int(time.time()) - HOUR
        token = backend.login()
        size = fill(backend, snapshot(backend, token), t0)
        print(f"{HOUR} snapshots of {size} bytes")
        for name, seconds, step in (("15 min", 900, "3s"), ("1 h", HOUR, "12s")):
            times, cpu = [], cpu_seconds(backend.backend)
            for _ in range(11):
                request = MESSAGES.QueryRangeRequest(hostname="bench", metric='cpu.cores.user_us{cpu="0"}', to=str(t0 + HOUR), step=step,
                                                     **{"from": str(t0 + HOUR - seconds)})
                began = time.monotonic()
                reply = backend.query("QueryRange", request, MESSAGES.QueryRangeReply, token)
                times.append((time.monotonic() - began) * 1000)
            cpu = (cpu_seconds(backend.backend) - cpu) / 11 * 1000
            known = sum(value == value for value in reply.series[0].values)
            print(f"{name}: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms, {cpu:.1f} ms CPU a query, "
                  f"{reply.snapshots_read} snapshots, {known} of {reply.points} points")


if __name__ == "__main__":
    main()
