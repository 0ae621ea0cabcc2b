"""The project's messages for Python, built at run time from proto/ with protoc: no generated files, and tests can add fields of their own."""
import hashlib
import os
import subprocess
import tempfile
import uuid
from pathlib import Path

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SOURCE = Path(os.environ.get("SONDE_SOURCE", "."))
FILES = ["sonde/v1/snapshot.proto", "sonde/v1/ingest.proto", "sonde/v1/query.proto", "sonde/v1/live.proto", "grpc/health/v1/health.proto",
         "grpc/reflection/v1/reflection.proto"]


def descriptor_set(files, proto=None):
    """The serialised FileDescriptorSet of the files with their imports."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", f"-I{proto or SOURCE / 'proto'}", "--include_imports", f"--descriptor_set_out={out.name}", *files],
                       check=True)
        return Path(out.name).read_bytes()


class Messages:
    """messages.Snapshot(...) is sonde.v1.Snapshot; messages.of("grpc.health.v1.HealthCheckRequest") any other."""

    def __init__(self, serialised):
        self.pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(serialised).file:
            self.pool.Add(file)

    def of(self, name):
        return message_factory.MessageFactory(self.pool).GetPrototype(self.pool.FindMessageTypeByName(name))

    def __getattr__(self, name):
        return self.of(f"sonde.v1.{name}")


def load():
    return Messages(descriptor_set(FILES))


def snapshot_schema():
    """What this build's agents announce: the set and its SHA-256."""
    data = descriptor_set(["sonde/v1/snapshot.proto"])
    return data, hashlib.sha256(data).digest()


def newer_schema(section, field):
    """Messages and descriptor set of an agent whose section message has one more field, as a line of .proto."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["cp", "-r", f"{SOURCE}/proto/.", directory], check=True)
        path = Path(directory) / "sonde" / "v1" / f"{section.lower()}.proto"
        text = path.read_text()
        begin = text.index(f"message {section} {{") + len(f"message {section} {{")
        path.write_text(f"{text[:begin]}\n  {field}\n{text[begin:]}")
        data = descriptor_set(["sonde/v1/snapshot.proto"], directory)
        return Messages(descriptor_set(FILES, directory)), data, hashlib.sha256(data).digest()


class AgentDouble:
    """What an agent says, without an agent: its identity, snapshots of any contents, and the calls."""

    def __init__(self, messages, port, key, hostname="double", host_id=None, schema_hash=None):
        self.messages = messages
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        self.metadata = [("authorization", f"Bearer {key}")] if key else []
        self.hostname, self.host_id = hostname, host_id or str(uuid.uuid4())
        self.instance, self.boot_id = os.urandom(16), os.urandom(16)
        self.schema_hash = schema_hash or snapshot_schema()[1]

    def hello(self, **changes):
        hello = self.messages.Hello(host_id=self.host_id, hostname=self.hostname, instance=self.instance, boot_id=self.boot_id,
                                    descriptor_hash=self.schema_hash)
        hello.facts.agent_version = "test"
        for field, value in changes.items():
            hello.ClearField(field)
            if value is not None:
                setattr(hello, field, value)
        return hello

    def snapshot(self, sequence, seconds=None, **summary):
        s = self.messages.Snapshot(boot_id=self.boot_id, instance=self.instance, sequence=sequence, interval_ms=1000,
                                   boottime_us=1000000 * sequence)
        s.timestamp.GetCurrentTime()
        if seconds is not None:
            s.timestamp.seconds, s.timestamp.nanos = seconds, 0
        s.summary.state.code = 1
        for field, value in {"cpu_busy_ratio": 0.25, **summary}.items():
            setattr(s.summary, field, value)
        return s

    def batch(self, *snapshots):
        """Snapshots as messages, or as bytes that need not be any."""
        batch = b""
        for s in snapshots:
            data = s if isinstance(s, bytes) else s.SerializeToString()
            batch += b"\x0a" + varint(len(data)) + data
        return batch

    def stream(self):
        return Stream(self)

    def push(self, hello, batch, timeout=10):
        call = self.channel.unary_unary("/sonde.v1.Ingest/Push", request_serializer=bytes,
                                        response_deserializer=self.messages.PushReply.FromString)
        hello = hello.SerializeToString()
        return call(b"\x0a" + varint(len(hello)) + hello + b"\x12" + varint(len(batch)) + batch, metadata=self.metadata, timeout=timeout)

    def close(self):
        self.channel.close()


class Stream:
    """One Ingest.Stream call that is written and read step by step."""

    def __init__(self, double):
        import queue
        self.double, self.queue = double, queue.Queue()
        call = double.channel.stream_stream("/sonde.v1.Ingest/Stream", request_serializer=bytes,
                                            response_deserializer=double.messages.BackendMessage.FromString)
        self.call = call(iter(self.queue.get, None), metadata=double.metadata, timeout=90)

    def send(self, number, data):
        """One AgentMessage with the field of that number (1 Hello, 2 Batch, 3 DescriptorSet)."""
        data = data if isinstance(data, bytes) else data.SerializeToString()
        self.queue.put(varint(number << 3 | 2) + varint(len(data)) + data)

    def send_raw(self, data):
        self.queue.put(data)

    def receive(self):
        return next(self.call)

    def welcome(self, **changes):
        self.send(1, self.double.hello(**changes))
        return self.receive().welcome

    def deliver(self, *snapshots):
        self.send(2, self.double.batch(*snapshots))
        return self.receive().acknowledgement

    def half_close(self):
        self.queue.put(None)

    def error(self):
        """The status the call ends with."""
        try:
            while True:
                next(self.call)
        except StopIteration:
            return self.call.code(), self.call.details()
        except grpc.RpcError as e:
            return e.code(), e.details()


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def ranges(items):
    return [(r.first, r.last) for r in items]
