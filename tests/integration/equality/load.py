"""Work for the counters to count: a file written and read back, TCP and UDP over the loopback, processes that come and go."""

import os
import socket
import subprocess
import tempfile
import threading


def each_until(stop, action):
    def run():
        while not stop.is_set():
            action()
    thread = threading.Thread(target=run)
    thread.start()
    return thread


class Load:
    """Use as a context manager; it works until the end of the block."""

    def __enter__(self):
        self.stop = threading.Event()
        self.directory = tempfile.TemporaryDirectory(prefix="sonde-test-")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("127.0.0.1", 0))
        work = (self.files, self.connections, self.packets, self.processes)
        self.threads = [each_until(self.stop, action) for action in work]
        return self

    def __exit__(self, *exception):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        self.listener.close()
        self.datagrams.close()
        self.directory.cleanup()

    def files(self):
        path = os.path.join(self.directory.name, "file")
        with open(path, "wb") as file:
            for _ in range(4):
                file.write(os.urandom(1 << 16))
                file.flush()
                os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with open(path, "rb") as file:
            file.read()

    def connections(self):
        with socket.create_connection(self.listener.getsockname()) as ours, self.listener.accept()[0] as theirs:
            for _ in range(16):
                ours.sendall(bytes(4096))
                left = 4096
                while left:
                    left -= len(theirs.recv(left))
        self.stop.wait(0.005)

    def packets(self):
        self.datagrams.sendto(b"datagram", self.datagrams.getsockname())
        self.datagrams.recv(16)
        # To a port nobody listens on any more.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
            closed.bind(("127.0.0.1", 0))
            address = closed.getsockname()
        self.datagrams.sendto(b"to nobody", address)
        self.stop.wait(0.005)

    def processes(self):
        subprocess.run(["/bin/true"], check=True)
        self.stop.wait(0.01)
