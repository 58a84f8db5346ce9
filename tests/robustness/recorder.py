"""A backend that records bytes and reads them as strictly as can be; it shares no code with meshd.

What reaches it must be one well-formed message after another. It understands
only what meshd ought to send: anything it cannot read in exactly one way fails
the test that sent it there.
"""

from __future__ import annotations

import re

import attrs

from meshd.net.connection import Connection
from tests.fakes import RawUpstream

REQUEST_LINE = re.compile(rb"([A-Z-]+) ((?:/|\*)[!-\"$-~]*) HTTP/1\.1")
FIELD = re.compile(
    rb"([-!#$%&'*+.^`|~0-9a-z_]+): ((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)", re.IGNORECASE
)
HOST = re.compile(rb"(?:[0-9A-Za-z._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


@attrs.frozen
class Message:
    """One request as it arrived."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        """The values of a header, names in lower case."""
        return [value for key, value in self.headers if key == name]


class Malformed(AssertionError):
    """What came is no sequence of well-formed messages."""


def take_message(data: bytes) -> tuple[Message, bytes] | None:
    """The first message and the rest; None when it is not complete yet."""
    head, blank, rest = data.partition(b"\r\n\r\n")
    if not blank:
        return None
    line, *lines = head.split(b"\r\n")
    start = REQUEST_LINE.fullmatch(line)
    if start is None:
        raise Malformed(f"no request line: {line!r}")
    headers = []
    for each in lines:
        field = FIELD.fullmatch(each)
        if field is None:
            raise Malformed(f"no header line: {each!r}")
        headers.append((field[1].lower(), field[2]))
    names = [name for name, _ in headers]
    if names.count(b"host") != 1 or HOST.fullmatch(dict(headers)[b"host"]) is None:
        raise Malformed(f"not exactly one Host: {headers}")
    lengths = names.count(b"content-length") + names.count(b"transfer-encoding")
    if lengths > 1:
        raise Malformed(f"two framings: {headers}")
    found = dict(headers)
    if b"transfer-encoding" in found:
        if found[b"transfer-encoding"] != b"chunked":
            raise Malformed(f"transfer-encoding {found[b'transfer-encoding']!r}")
        body = _take_chunks(rest)
    else:
        digits = found.get(b"content-length", b"0")
        if not digits.isdigit():
            raise Malformed(f"content-length {digits!r}")
        body = (rest[: int(digits)], rest[int(digits) :]) if len(rest) >= int(digits) else None
    if body is None:
        return None
    return Message(start[1], start[2], tuple(headers), body[0]), body[1]


def _take_chunks(data: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        size, line, data = data.partition(b"\r\n")
        if not line:
            return None
        if re.fullmatch(rb"[0-9a-f]{1,8}", size) is None:
            raise Malformed(f"chunk size {size!r}")
        length = int(size, 16)
        if length == 0:
            trailers, end, rest = (b"\r\n" + data).partition(b"\r\n\r\n")
            if not end:
                return None
            for each in trailers.split(b"\r\n")[1:]:
                if FIELD.fullmatch(each) is None:
                    raise Malformed(f"no trailer line: {each!r}")
            return body, rest
        if len(data) < length + 2:
            return None
        if data[length : length + 2] != b"\r\n":
            raise Malformed(f"chunk data does not end with its size: {data[: length + 8]!r}")
        body += data[:length]
        data = data[length + 2 :]


class Recorder:
    """Reads messages, answers each with 200 and its target; ``upstream.run`` is to be started."""

    def __init__(self) -> None:
        self.upstream = RawUpstream(self._serve)
        self.messages: list[Message] = []
        self.malformed: list[str] = []
        self.unfinished = b""
        """What came of messages that never ended."""

    def clear(self) -> None:
        """Forget what has come."""
        self.messages = []
        self.malformed = []
        self.unfinished = b""

    async def _serve(self, connection: Connection, upstream: RawUpstream) -> None:
        data = b""
        try:
            while piece := await connection.receive():
                data += piece
                while data:
                    try:
                        taken = take_message(data)
                    except Malformed as error:
                        self.malformed.append(str(error))
                        return
                    if taken is None:
                        break
                    message, data = taken
                    self.messages.append(message)
                    body = b"" if message.method == b"HEAD" else message.target
                    await connection.send(
                        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(message.target), body)
                    )
        finally:
            self.unfinished += data
