"""HTTP by hand: what a browser or a library would never send must be sendable here."""
import json
import socket


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def code(self):
        return self.json()["error"]["code"]


def read_reply(file, head=False):
    """One reply from a connection's file; None when the server closed without one."""
    line = file.readline()
    if not line:
        return None
    status, headers = int(line.split()[1]), {}
    while (line := file.readline().strip()):
        name, value = line.decode("latin-1").split(":", 1)
        headers.setdefault(name.lower(), value.strip())
    length = 0 if head or status in (204, 304) else int(headers.get("content-length", 0))
    body = file.read(length)
    if len(body) < length:
        raise EOFError(f"{len(body)} of {length} bytes of the body came")
    return Reply(status, headers, body)


def exchange(port, data, head=False, timeout=10):
    """Sends bytes as they are; the first reply, or None if the server just closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        try:
            s.sendall(data)
            with s.makefile("rb") as file:
                return read_reply(file, head)
        except (ConnectionResetError, BrokenPipeError):
            return None


def request(port, method, path, headers=None, body=None, **more):
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        body = body.encode() if isinstance(body, str) else body
        lines.append(f"Content-Length: {len(body)}")
    data = "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
    return exchange(port, data, head=method == "HEAD", **more)
