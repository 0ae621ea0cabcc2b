"""Backends behind names with several addresses, some of which are dead: in a network and with a hosts file of the test's own."""
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

from agent import Agent
from programs import Installation, free_port, wait_for

INSIDE = "SONDE_TEST_INSIDE"
LIGHT = ("--disable", "block_io,perf,tcp,scheduler,interrupts,processes,cgroups,sensors")
# Swallowed by an interface that asks nobody who is there, refused by the loopback, and two where somebody may listen.
HOLE4, HOLE6, REFUSES4, REFUSES6, ONE, OTHER = "10.99.0.9", "fd99::9", "10.98.0.2", "fd98::2", "10.98.0.3", "10.98.0.4"


def make_network():
    for command in ("ip link set lo up", "ip link add hole type veth peer name far",
                    "ip link set far up", "ip link set hole up arp off", "ip addr add 10.99.0.1/24 dev hole",
                    f"ip addr add {REFUSES4}/32 dev lo", f"ip addr add {ONE}/32 dev lo", f"ip addr add {OTHER}/32 dev lo",
                    "ip -6 addr add fd99::1/64 dev hole nodad", f"ip -6 addr add {REFUSES6}/128 dev lo nodad"):
        subprocess.run(command.split(), check=True)


class Names:
    """/etc/hosts, /etc/resolv.conf and /etc/nsswitch.conf of this mount namespace."""

    def __init__(self, directory):
        self.files = {}
        for name, text in (("hosts", ""), ("nsswitch.conf", "hosts: files dns\n"), ("resolv.conf", f"nameserver {HOLE4}\n")):
            self.files[name] = directory / name
            self.files[name].write_text(text)
            subprocess.run(["mount", "--bind", self.files[name], f"/etc/{name}"], check=True)

    def set(self, *addresses):
        self.files["hosts"].write_text("127.0.0.1 localhost\n" + "".join(f"{a} backend.test\n" for a in addresses))


def start(port, *extra):
    """An agent that is about to dial: a loaded machine may take its time until then."""
    agent = Agent(port, "1s", "--backend", f"backend.test:{port}", "--allow-plaintext", *LIGHT, *extra)
    wait_for(lambda: "spool opened" in agent.log(), 60, "the agent starts")
    return agent


class Backend(Installation):
    """The real backend at one address only."""

    def __init__(self, address, port):
        super().__init__()
        self.grpc_port, self.address = port, address

    def __enter__(self):
        super().__enter__()
        self.start_backend("--grpc-listen", f"{self.address}:{self.grpc_port}", "--allow-plaintext")
        return self

    def agent(self, *extra):
        """Both say each other's key."""
        return start(self.grpc_port, "--key-file", str(self.key_file), *extra)


class AddressesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(os.environ[INSIDE])
        cls.names = Names(cls.directory)

    def connects(self, agent, seconds):
        begin = time.monotonic()
        wait_for(lambda: "connected to the backend" in agent.log(), seconds, f"a connection; the log:\n{agent.log()}")
        return time.monotonic() - begin

    def test_dead_refusing_and_good(self):
        self.names.set(HOLE4, REFUSES4, ONE)
        with Backend(ONE, free_port()) as backend:
            for _ in range(6):  # the order is drawn anew for each
                with backend.agent() as agent:
                    self.connects(agent, 15)
                    self.assertEqual(agent.losses(), [])

    def test_ipv6_that_leads_nowhere(self):
        self.names.set(HOLE6, REFUSES6, ONE)
        with Backend(ONE, free_port()) as backend, backend.agent() as agent:
            self.connects(agent, 15)
            self.assertEqual(agent.losses(), [])

    def test_more_dead_ones_than_one_try_takes(self):
        """Ten that are dead and one that is not: no try waits for all, and the good one is found."""
        self.names.set(*(f"10.99.0.{n}" for n in range(10, 20)), ONE)
        with Backend(ONE, free_port()) as backend, backend.agent() as agent:
            self.connects(agent, 60)

    def test_a_name_is_looked_up_anew(self):
        port = free_port()
        self.names.set(ONE)
        with Backend(ONE, port) as first:
            agent = first.agent()
            with agent:
                self.connects(agent, 15)
                first.backend.kill()
                first.backend.wait()
                self.names.set(OTHER)
                second = Backend(OTHER, port)
                second.database, second.key_file = first.database, first.key_file
                with second:
                    wait_for(lambda: agent.log().count("connected to the backend") == 2, 40, agent.log())

    def test_agents_spread_over_the_addresses(self):
        port, met, sockets = free_port(), {ONE: 0, OTHER: 0}, []
        self.names.set(ONE, OTHER)

        def listen(address):
            server = socket.create_server((address, port))
            sockets.append(server)
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return
                met[address] += 1
        threads = [threading.Thread(target=listen, args=(address,), daemon=True) for address in met]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(sockets) == 2, 5, "both listen")
        agents = [start(port) for _ in range(8)]
        try:
            wait_for(lambda: sum(met.values()) >= 20, 60, f"20 connections; {met}")
        finally:
            for agent in agents:
                agent.process.kill()
                agent.process.wait()
                agent.directory.cleanup()
            for server in sockets:
                server.shutdown(socket.SHUT_RDWR)
                server.close()
        self.assertGreater(min(met.values()), 1, met)

    def test_nothing_but_black_holes(self):
        self.names.set(HOLE4, HOLE6)
        port = free_port()
        with start(port) as agent:
            agent.wait_for_loss("no answer in time", 40)
            self.assertLess(agent.stop(), 8)

    def test_a_resolver_that_does_not_answer(self):
        self.names.set(ONE)
        port = free_port()
        with start(port, "--backend", f"elsewhere.test:{port}") as agent:
            agent.wait_for_loss("no answer in time", 40)
            self.assertLess(agent.stop(), 8, "nobody waits for the resolver's own 10 s")


def main():
    if INSIDE in os.environ:
        make_network()
        unittest.main(verbosity=2)
    if os.geteuid() != 0 or not shutil.which("ip") or subprocess.run(["unshare", "--net", "--mount", "true"], check=False).returncode != 0:
        print("SKIP: this needs root, ip(8) and namespaces of its own")
        sys.exit(77)
    import tempfile
    with tempfile.TemporaryDirectory(prefix="sonde-test-") as directory:
        sys.exit(subprocess.run(["unshare", "--net", "--mount", sys.executable, *sys.argv], env={**os.environ, INSIDE: directory},
                                check=False).returncode)


if __name__ == "__main__":
    main()
