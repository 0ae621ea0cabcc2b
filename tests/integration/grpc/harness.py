"""The test server as a fixture, and message classes made at run time from what protoc says."""
import os
import subprocess
import sys
import tempfile
import time

SOURCE = os.environ["SONDE_SOURCE"]
BUILD = os.environ["SONDE_BUILD"]
HERE = os.path.join(SOURCE, "tests", "integration", "grpc")


def skip(reason):
    print("SKIP: " + reason)
    sys.exit(77)


def need_grpcio():
    try:
        import google.protobuf  # noqa: F401
        import grpc  # noqa: F401
    except ImportError as e:
        skip(f"python3-grpcio is not installed ({e})")


def make_certificate(folder, name, ca=None, extra=""):
    """folder/NAME.pem: key and certificate for localhost, by openssl; signed by the one called `ca`, or a CA itself."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name + ".key")
    with open(os.path.join(folder, name + ".cnf"), "w") as f:
        f.write("[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=" + name + "\n[ca]\nbasicConstraints=critical,CA:TRUE\n"
                "[leaf]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n" + extra)
    if ca is None:
        openssl("req", "-x509", "-new", "-key", name + ".key", "-config", name + ".cnf", "-extensions", "ca",
                "-days", "2", "-out", name + ".crt")
    else:
        openssl("req", "-new", "-key", name + ".key", "-config", name + ".cnf", "-out", name + ".csr")
        openssl("x509", "-req", "-in", name + ".csr", "-CA", ca + ".crt", "-CAkey", ca + ".key", "-CAcreateserial",
                "-extfile", name + ".cnf", "-extensions", "leaf", "-days", "2", "-out", name + ".crt")
    path = os.path.join(folder, name + ".pem")
    with open(path, "w") as out:
        for part in (".key", ".crt"):
            with open(os.path.join(folder, name + part)) as f:
                out.write(f.read())
    return path


class Server:
    """grpc_test_server, spoken to over its standard input."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "grpc_test_server"), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("PORT "):
            error = self.process.communicate()[1]
            raise RuntimeError("the server did not start: " + error)
        self.port = int(line.split()[1])
        self.target = f"127.0.0.1:{self.port}"

    def command(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def stats(self):
        answer = self.command("stats")
        assert answer[0] == "STATS", answer
        return dict(zip(("connections", "calls", "active", "open", "aged"), map(int, answer[1:])))

    def set_health(self, name, serving):
        answer = self.command(("serving " if serving else "not_serving ") + (name or "-"))
        assert answer == ["HEALTH", "0"], answer

    def begin_stop(self, grace_ms):
        self.process.stdin.write(f"stop {grace_ms}\n")
        self.process.stdin.flush()

    def stop(self, grace_ms=0, timeout=20):
        """Its exit code must be 0: no call without its on_close, no sanitizer's report."""
        if self.process.stdin.closed:
            return
        if self.process.poll() is None:
            self.begin_stop(grace_ms)
        self.process.stdin.close()
        code = self.process.wait(timeout)
        errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        if code != 0:
            raise AssertionError(f"the server ended with {code}:\n{errors}")


def until(condition, seconds=5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def load_messages(*files, include=()):
    """{full name: class} of the .proto files (relative to proto/, to this folder or to what `include` names) and all their
    imports."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "set")
        subprocess.run(["protoc", f"-I{SOURCE}/proto", f"-I{HERE}", "-I/usr/include", *("-I" + i for i in include), "--include_imports",
                        f"--descriptor_set_out={out}", *files], check=True)
        with open(out, "rb") as f:
            descriptors = descriptor_pb2.FileDescriptorSet.FromString(f.read())
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    classes = {}

    def collect(descriptor):
        classes[descriptor.full_name] = factory.GetPrototype(descriptor)
        for nested in descriptor.nested_types:
            collect(nested)

    for file in descriptors.file:
        for descriptor in pool.FindFileByName(file.name).message_types_by_name.values():
            collect(descriptor)
    return classes


class Stub:
    """Methods of one service by name: stub.unary("Check", request, **options)."""

    def __init__(self, channel, service, messages, methods):
        for name, (kind, request, reply) in methods.items():
            make = getattr(channel, kind)
            setattr(self, name, make(f"/{service}/{name}",
                                     request_serializer=messages[request].SerializeToString,
                                     response_deserializer=messages[reply].FromString))


ECHO = {
    "Unary": ("unary_unary", "sonde.test.EchoRequest", "sonde.test.EchoReply"),
    "ClientStream": ("stream_unary", "sonde.test.EchoRequest", "sonde.test.EchoReply"),
    "ServerStream": ("unary_stream", "sonde.test.EchoRequest", "sonde.test.EchoReply"),
    "BidiStream": ("stream_stream", "sonde.test.EchoRequest", "sonde.test.EchoReply"),
    "Sample": ("unary_unary", "sonde.test.EchoRequest", "sonde.v1.Snapshot"),
    "Missing": ("unary_unary", "sonde.test.EchoRequest", "sonde.test.EchoReply"),
}

HEALTH = {
    "Check": ("unary_unary", "grpc.health.v1.HealthCheckRequest", "grpc.health.v1.HealthCheckResponse"),
    "List": ("unary_unary", "grpc.health.v1.HealthListRequest", "grpc.health.v1.HealthListResponse"),
    "Watch": ("unary_stream", "grpc.health.v1.HealthCheckRequest", "grpc.health.v1.HealthCheckResponse"),
}


def reflection(version):
    package = f"grpc.reflection.{version}"
    return {"ServerReflectionInfo": ("stream_stream", f"{package}.ServerReflectionRequest",
                                     f"{package}.ServerReflectionResponse")}
