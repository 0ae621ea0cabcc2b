"""A hundred simulated agents in three programs that are killed at random and come back as the same hosts, while others ask and listen;
the backend itself is told to stop amid all of it. Worth most when the backend is built with ThreadSanitizer or AddressSanitizer
(SONDE_BUILD=build/tsan), where a report fails the test. SONDE_SEED draws the same kills again."""
import os
import random
import sqlite3
import subprocess
import threading
import time
import unittest

import grpc
from backend import BUILD, MESSAGES, Backend, wait_for
from asker import Asker

SWARMS, AGENTS, KILLS, LIVES = 3, 34, 8, 2
BUSY = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
SEED = int(os.environ.get("SONDE_SEED") or random.randrange(1 << 32))


class Swarm:
    """bench_swarm, sending; its hosts are those of its seed."""

    def __init__(self, backend, seed):
        self.backend, self.seed = backend, seed
        self.program = None

    def start(self):
        self.program = subprocess.Popen(
            [str(BUILD / "bench_swarm"), "--port", str(self.backend.grpc_port), "--key-file", str(self.backend.key_file), "--agents", str(AGENTS),
             "--batches", "1000000", "--interval", "100", "--seed", str(self.seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        self.program.stdin.write("go\n")  # as soon as all are welcome
        self.program.stdin.flush()

    def end(self):
        if self.program:
            self.program.kill()
            self.program.communicate()
            self.program = None


class SwarmTest(unittest.TestCase):
    def listen(self, backend, token, stop, heard):
        """Subscribers that come and go."""
        while not stop.is_set():
            with grpc.insecure_channel(f"127.0.0.1:{backend.grpc_port}") as channel:
                call = channel.unary_stream("/sonde.v1.Query/Subscribe", request_serializer=lambda m: m.SerializeToString(),
                                            response_deserializer=MESSAGES.SubscribeReply.FromString)
                replies = call(MESSAGES.SubscribeRequest(hosts=["*"]), metadata=[("authorization", f"Bearer {token}")], timeout=1)
                try:
                    for reply in replies:
                        heard.add(reply.hostname)
                except grpc.RpcError:
                    pass

    def life(self, backend, rng, swarms, faults, heard):
        stop, token = threading.Event(), backend.login()
        asker, listener = Asker(backend, token, "GetSnapshot", 2, BUSY), threading.Thread(target=self.listen, args=(backend, token, stop, heard))
        asker.start()
        listener.start()
        for swarm in swarms:
            swarm.start()
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.1, 0.8))
            swarm = rng.choice(swarms)
            swarm.end()
            swarm.start()
        rows = len(backend.stored())
        wait_for(lambda: len(backend.stored()) > rows + SWARMS * AGENTS, 90, "all of them send")
        stop.set()
        faults += asker.end()
        listener.join()
        self.assertEqual(backend.stop(), 0)  # with a hundred streams open
        for swarm in swarms:
            swarm.end()

    def test_kills_in_a_swarm(self):
        print(f"SONDE_SEED={SEED}", flush=True)
        rng, faults, heard = random.Random(SEED), [], set()
        with Backend() as backend:
            swarms = [Swarm(backend, n + 1) for n in range(SWARMS)]
            try:
                for life in range(LIVES):
                    if life > 0:
                        backend.start_backend()
                    self.life(backend, rng, swarms, faults, heard)
            finally:
                for swarm in swarms:
                    swarm.end()
            self.assertEqual(faults, [])
            rows = backend.stored()
            self.assertEqual(len(rows), len(set(rows)), "nothing twice")
            with sqlite3.connect(f"file:{backend.database}?mode=ro", uri=True) as db:
                ranges = db.execute("SELECT instance, first, last FROM streams").fetchall()
                hosts, = db.execute("SELECT count(DISTINCT host) FROM hot").fetchone()
            self.assertEqual(set(rows), {(instance, n) for instance, first, last in ranges for n in range(first, last + 1)})
            self.assertEqual(hosts, SWARMS * AGENTS)
            self.assertGreater(len(heard), SWARMS * AGENTS // 2)
            self.assertEqual(backend.complaints("backend"), [])
            print(f"{len(rows)} snapshots of {hosts} hosts, {len(set(i for i, _ in rows))} instances, {len(heard)} heard", flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
