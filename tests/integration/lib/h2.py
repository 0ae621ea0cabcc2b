"""HTTP/2 by hand: what a correct client library would never send. Header blocks are read with libnghttp2's own decoder."""
import ctypes
import socket
import ssl
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR = 0, 1, 3, 6
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 7, 8, 9, 11

_lib = ctypes.CDLL("libnghttp2.so.14")


class _Nv(ctypes.Structure):
    _fields_ = [("name", ctypes.POINTER(ctypes.c_uint8)), ("value", ctypes.POINTER(ctypes.c_uint8)),
                ("namelen", ctypes.c_size_t), ("valuelen", ctypes.c_size_t), ("flags", ctypes.c_uint8)]


_lib.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t
_lib.nghttp2_hd_inflate_hd2.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Nv), ctypes.POINTER(ctypes.c_int),
                                        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
_lib.nghttp2_hd_inflate_end_headers.argtypes = [ctypes.c_void_p]


class Inflater:
    def __init__(self):
        self.handle = ctypes.c_void_p()
        assert _lib.nghttp2_hd_inflate_new(ctypes.byref(self.handle)) == 0

    def decode(self, block):
        headers, nv, flags = {}, _Nv(), ctypes.c_int()
        while True:
            n = _lib.nghttp2_hd_inflate_hd2(self.handle, ctypes.byref(nv), ctypes.byref(flags), block, len(block), 1)
            assert n >= 0, n
            block = block[n:]
            if flags.value & 2:
                headers[ctypes.string_at(nv.name, nv.namelen).decode()] = ctypes.string_at(nv.value, nv.valuelen)
            if flags.value & 1:
                _lib.nghttp2_hd_inflate_end_headers(self.handle)
                return headers


def integer(value, bits, first=0):
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out = bytearray([first | limit])
    value -= limit
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def literal(name, value, indexed=False):
    """A header field with a new name; into the dynamic table when indexed."""
    name, value = (x if isinstance(x, bytes) else x.encode() for x in (name, value))
    return (b"\x40" if indexed else b"\x00") + integer(len(name), 7) + name + integer(len(value), 7) + value


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def request(path="/sonde.test.Echo/Unary", **changes):
    """A header block. Underscores in names are dashes; None leaves a header out; "method" is ":method"."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "test",
              "content-type": "application/grpc", "te": "trailers"}
    for name, value in changes.items():
        name = {"method": ":method"}.get(name, name.replace("_", "-"))
        fields.pop(name, None)
        if value is not None:
            fields[name] = value
    ordered = sorted(fields.items(), key=lambda f: not f[0].startswith(":"))
    return b"".join(literal(n, v) for n, v in ordered)


def message(body=b"", flag=0, length=None):
    return struct.pack(">BI", flag, len(body) if length is None else length) + body


class Closed(Exception):
    pass


class Connection:
    def __init__(self, port, preface=True, timeout=10, tls=None):
        """tls: an ssl.SSLContext; what is sent then goes through it."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.inflater = Inflater()
        self.buffer = b""
        self.goaways = []
        if preface:
            self.send(PREFACE + frame(SETTINGS))

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            raise Closed from None

    def read(self):
        """The next frame: (kind, flags, stream, payload); HEADERS come decoded."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                data = self.socket.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
                data = b""
            if not data:
                raise Closed
            self.buffer += data
        length = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
        payload, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK))
        if kind == HEADERS:
            payload = self.inflater.decode(payload)
        if kind == GOAWAY:
            last, code = struct.unpack(">II", payload[:8])
            self.goaways.append((last, code, payload[8:]))
        return kind, flags, stream, payload

    def response(self, stream=1):
        """{"headers": all of them, "data": bytes, "frames": kinds, "rst": code or None} until the stream ends."""
        result = {"headers": {}, "data": b"", "frames": [], "rst": None}
        while True:
            kind, flags, number, payload = self.read()
            if number != stream or kind == WINDOW_UPDATE:
                continue
            result["frames"].append(kind)
            if kind == HEADERS:
                result["headers"].update(payload)
            elif kind == DATA:
                result["data"] += payload
            elif kind == RST_STREAM:
                result["rst"] = int.from_bytes(payload, "big")
                return result
            if flags & END_STREAM:
                return result

    def until_closed(self):
        """Reads on until the server closes; the last GOAWAY's code, or None."""
        try:
            while True:
                self.read()
        except Closed:
            return self.goaways[-1][1] if self.goaways else None

    def call(self, body=b"", stream=1, block=None, **changes):
        """One unary call; its response."""
        self.send(frame(HEADERS, END_HEADERS, stream, block or request(**changes)) +
                  frame(DATA, END_STREAM, stream, message(body)))
        return self.response(stream)
