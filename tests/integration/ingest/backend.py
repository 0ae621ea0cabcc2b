"""A backend for the tests beside it: Installation without waiting for HTTP, and its agent key and access token."""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
import grpc  # noqa: E402
import sonde_proto  # noqa: E402
from programs import BUILD, PASSWORD, SOURCE, Installation, free_port, memory_mib, wait_for  # noqa: E402,F401

MESSAGES = sonde_proto.load()


class Backend(Installation):
    messages = MESSAGES

    def __enter__(self):
        super().__enter__()
        self.start_backend()
        self.doubles = []
        return self

    def __exit__(self, *exception):
        for double in self.doubles:
            double.close()
        return super().__exit__(*exception)

    @property
    def key(self):
        return self.key_file.read_text().strip()

    def double(self, key=None, **options):
        double = sonde_proto.AgentDouble(options.pop("messages", MESSAGES), self.grpc_port, self.key if key is None else key, **options)
        self.doubles.append(double)
        return double

    def query(self, method, request, reply, token):
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            call = channel.unary_unary(f"/sonde.v1.Query/{method}", request_serializer=lambda m: m.SerializeToString(),
                                       response_deserializer=reply.FromString)
            return call(request, metadata=[("authorization", f"Bearer {token}")] if token else [], timeout=10)

    def stop(self):
        """SIGTERM; the exit code."""
        self.backend.terminate()
        return self.backend.wait(timeout=15)

    def warnings(self):
        return [line for line in self.log("backend").splitlines() if re.search(r"level=(warn|error)", line)]
