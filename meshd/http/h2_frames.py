"""Looks at HTTP/2 frame headers as they pass: counts what floods, and takes GOAWAY out. Pure.

The h2 library ends a connection at the first GOAWAY, though the streams below
its mark are to be finished (RFC 9113 section 6.8), and it has no bounds against
peers that keep it busy with frames that do nothing. Both are done here, before
the library sees a byte. Frame contents are the library's business.
"""

from __future__ import annotations

from typing import NamedTuple

from meshd.errors import ProtocolError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER = 9
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
_END_STREAM = 0x1
_END_HEADERS = 0x4

NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
INTERNAL_ERROR = 0x2
FRAME_SIZE_ERROR = 0x6
REFUSED_STREAM = 0x7
CANCEL = 0x8
ENHANCE_YOUR_CALM = 0xB

MAX_FRAME = 16 * 1024
"""What every peer may send in a frame (RFC 9113 section 6.5.2); meshd never offers more."""


class H2Error(ProtocolError):
    """The peer broke HTTP/2 so that the connection must end.

    Args:
        message: What it did.
        code: The error code for GOAWAY (RFC 9113 section 7).
    """

    def __init__(self, message: str, *, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(message, detail="http2.protocol_error" if code != ENHANCE_YOUR_CALM else "http2.flood")
        self.code = code


class GoAway(NamedTuple):
    """The peer will take no stream above ``last_stream_id``."""

    last_stream_id: int
    code: int


def goaway_frame(last_stream_id: int, code: int) -> bytes:
    """A GOAWAY without debug data."""
    return b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + last_stream_id.to_bytes(4, "big") + code.to_bytes(4, "big")


class FrameScanner:
    """Sees every byte that comes on one connection.

    Args:
        idle_frames: How many frames that do nothing are borne.
        preface: Whether the client's preface comes first.
    """

    __slots__ = ("_first", "_held", "_idle", "_idle_frames", "_of_client", "_preface", "_skip", "goaways", "in_block")

    def __init__(self, idle_frames: int, *, preface: bool) -> None:
        # The whole mutable state: bytes of the present frame still to pass, an unfinished
        # frame header, whether a header block is unfinished, and the count.
        self._skip = 0
        self._held = b""
        self._first = True
        self.in_block = False
        """Between a HEADERS and its last CONTINUATION."""
        self._idle = 0
        self._idle_frames = idle_frames
        self._preface = len(PREFACE) if preface else 0
        self._of_client = preface
        self.goaways: list[GoAway] = []
        """Taken out and not yet fetched."""

    def credit(self, frames: int) -> None:
        """The peer has reason to send this many frames that carry nothing."""
        self._idle = max(0, self._idle - frames)

    def forgive(self) -> None:
        """Begin to count anew (now and then, for connections that live long)."""
        self._idle = 0

    def feed(self, data: bytes) -> bytes:
        """Look at what came.

        Returns:
            What the library is to see of it.

        Raises:
            H2Error: too many frames that do nothing, one that is too large, or a first one that is no SETTINGS.
        """
        if self._held:
            data, self._held = self._held + data, b""
        at, start, size = min(self._preface, len(data)), 0, len(data)
        self._preface -= at
        parts: list[bytes] = []
        while at < size:
            if self._skip:
                step = min(self._skip, size - at)
                self._skip -= step
                at += step
                continue
            length = int.from_bytes(data[at : at + 3], "big") if size - at >= _HEADER else -1
            if length >= 0:
                self._check(data[at + 3], length)
            goaway = length >= 8 and data[at + 3] == GOAWAY and not self.in_block and not any(data[at + 5 : at + 9])
            if length < 0 or (goaway and size - at < _HEADER + length):
                self._held = data[at:]
                size = at
            elif goaway:
                last = int.from_bytes(data[at + 9 : at + 13], "big") & 0x7FFFFFFF
                self.goaways.append(GoAway(last, int.from_bytes(data[at + 13 : at + 17], "big")))
                parts.append(data[start:at])
                at = start = at + _HEADER + length
            else:
                self._count(data[at + 3], data[at + 4], length)
                self._skip = length
                at += _HEADER
        if not parts and size == len(data):
            return data
        parts.append(data[start:size])
        return b"".join(parts)

    def _check(self, kind: int, length: int) -> None:
        """What the library would see only when a whole frame has come, up to 16 MiB of it."""
        if self._first:
            if kind != SETTINGS:
                raise H2Error("what came is not HTTP/2")
            self._first = False
        if length > MAX_FRAME:
            raise H2Error("a frame that is too large", code=FRAME_SIZE_ERROR)

    def _count(self, kind: int, flags: int, length: int) -> None:
        if kind == HEADERS:
            self.in_block = not flags & _END_HEADERS
            self.credit(8)
        elif kind == DATA and (length or flags & _END_STREAM):
            self.credit(1)
        elif kind == CONTINUATION:
            self.in_block = self.in_block and not flags & _END_HEADERS
        elif kind != RST_STREAM or self._of_client:
            # A server has reasons of its own to reset streams, and we choose how many it gets.
            self._idle += 1
            if self._idle > self._idle_frames:
                raise H2Error("too many frames that do nothing", code=ENHANCE_YOUR_CALM)
