"""Where a body ends: HTTP/1 body framing, decoded and encoded. Pure.

A decoder is fed what arrives and gives back the body's bytes in it, framing
taken off. Once ``ended``, ``rest`` holds what came behind the body. Nothing is
made per chunk but the pieces handed out; bytes of many small chunks that came
together leave together.

Source: RFC 9112 sections 6 and 7; everything it merely tolerates is refused.
"""

from __future__ import annotations

import re
from typing import Protocol

from meshd.errors import ConnectionLost, ProtocolError
from meshd.http.guard import TOKEN
from meshd.http.head import Headers
from meshd.http.limits import HttpLimits

NO_BODY = 0
LENGTH = 1
CHUNKED = 2
UNTIL_CLOSE = 3

LAST_CHUNK = b"0\r\n\r\n"

# 16 digits hold any 64-bit number; the extension may hold no control character.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(;[\t\x20-\x7e\x80-\xff]*+)?+\r\n")
_CHUNK_LINE_START = re.compile(rb"[0-9A-Fa-f]{0,16}|[0-9A-Fa-f]{1,16}(?:;[\t\x20-\x7e\x80-\xff]*+)?\r?")
_TRAILERS = re.compile(rb"(?:" + TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n")
_TRAILERS_START = re.compile(rb"[\t\x20-\x7e\x80-\xff\r\n]*+")
_FORBIDDEN_TRAILER = re.compile(
    rb"(?:\A|\n)(?i:host|content-length|transfer-encoding|te|trailer|connection|keep-alive|proxy-connection|upgrade"
    rb"|expect|content-encoding|content-type|content-range|authorization|proxy-authorization|cookie|set-cookie"
    rb"|forwarded|x-forwarded-[^:]*|x-envoy-[^:]*|:[^:]*):"
)
"""Trailers may not say how a message is framed, routed, authenticated or read (RFC 9110 section 6.5.1)."""


def refuse_trailers(block: bytes) -> None:
    """Refuse trailers that would change what the message means.

    Raises:
        ProtocolError: with status 400.
    """
    if _FORBIDDEN_TRAILER.search(block):
        raise _broken("a trailer that belongs into the head")


class Decoder(Protocol):
    """Takes the framing off one body."""

    ended: bool
    rest: bytes
    """What came behind the body; meaningful once ended."""
    trailers: Headers | None

    def feed(self, data: bytes) -> bytes:
        """The body's bytes in ``data`` (which is not empty); b"" when it held only framing.

        Raises:
            ProtocolError: with status 400: the framing is broken.
        """
        ...

    def feed_end(self) -> None:
        """The stream has ended.

        Raises:
            ConnectionLost: the body has not.
        """
        ...


class Encoder(Protocol):
    """Puts the framing on one body."""

    ended: bool

    def encode(self, data: bytes, *, end: bool) -> bytes:
        """What to send for these bytes of the body; b"" for nothing.

        Raises:
            ValueError: the body is not as long as was said.
        """
        ...

    def encode_trailers(self, trailers: Headers) -> bytes:
        """What to send to end the body with trailers (dropped where they have no place)."""
        ...


def truncated() -> ConnectionLost:
    """The stream has ended and the body has not."""
    return ConnectionLost("the connection ended in the middle of a body")


class UntilCloseDecoder:
    """A body that ends when the stream does (responses only); also a tunnel's bytes."""

    __slots__ = ("ended", "rest", "trailers")

    def __init__(self) -> None:
        self.ended = False
        self.rest = b""
        self.trailers: Headers | None = None

    def feed(self, data: bytes) -> bytes:
        """See ``Decoder``."""
        return data

    def feed_end(self) -> None:
        """See ``Decoder``."""
        self.ended = True


class ChunkedDecoder:
    """A chunked body, read strictly.

    States: before a chunk's size line (``_left`` 0), inside a chunk's data
    (``_left`` > 0), before the CR LF behind it (``_left`` -1), in the trailers
    (``_left`` -2). ``_held`` keeps an unfinished line until the rest of it comes.
    """

    __slots__ = ("_extensions", "_held", "_left", "_limits", "ended", "rest", "trailers")

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._left = 0
        self._held = b""
        self._extensions = 0
        self.ended = False
        self.rest = b""
        self.trailers: Headers | None = None

    def feed(self, data: bytes) -> bytes:
        """See ``Decoder``."""
        if self._held:
            data, self._held = self._held + data, b""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.ended:
            left = self._left
            if left > 0:
                piece = data[at : at + left]
                pieces.append(piece)
                at += len(piece)
                self._left = left - len(piece) or -1
            elif left == -1:
                if data[at : at + 2] == b"\r\n":
                    at += 2
                    self._left = 0
                elif data[at:] == b"\r":
                    break
                else:
                    raise _broken("a chunk longer than its size")
            elif left == 0:
                line = _CHUNK_LINE.match(data, at)
                if line is None:
                    self._check_start_of_line(data, at)
                    break
                self._begin_chunk(line)
                at = line.end()
            else:
                end = self._end_of_trailers(data, at)
                if end < 0:
                    break
                at = end
        if self.ended:
            self.rest = data[at:]
        else:
            self._held = data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _begin_chunk(self, line: re.Match[bytes]) -> None:
        digits, extension = line.groups()
        if extension is not None:
            self._extensions += len(extension)
            if len(extension) > self._limits.max_chunk_line or self._extensions > self._limits.max_chunk_extensions:
                raise _broken("too many chunk extensions")
        self._left = int(digits, 16) or -2

    def _check_start_of_line(self, data: bytes, at: int) -> None:
        if len(data) - at > self._limits.max_chunk_line:
            raise _broken("a chunk-size line that is too long")
        if _CHUNK_LINE_START.fullmatch(data, at) is None:
            raise _broken("a chunk size that is none")

    def _end_of_trailers(self, data: bytes, at: int) -> int:
        """The index behind the trailers, -1 while they are unfinished."""
        if data.startswith(b"\r\n", at):
            self.ended = True
            return at + 2
        blank = data.find(b"\r\n\r\n", at)
        end = blank + 4 if blank >= 0 else len(data)
        lines = data.count(b"\n", at, end) - (blank >= 0)
        if end - at > self._limits.max_trailers or lines > self._limits.max_headers:
            raise ProtocolError("too many trailers", status=431, detail="http1.trailers_too_large")
        if blank < 0:
            if _TRAILERS_START.fullmatch(data, at) is None:
                raise _broken("a control character in a trailer")
            return -1
        block = data[at : blank + 4]
        if _TRAILERS.fullmatch(block) is None:
            raise _broken("a trailer that is none")
        refuse_trailers(block)
        self.trailers = Headers(block[:-2])
        self.ended = True
        return blank + 4

    def feed_end(self) -> None:
        """See ``Decoder``."""
        if not self.ended:
            raise truncated()


def _broken(what: str) -> ProtocolError:
    return ProtocolError(what, detail="http1.codec_error")


class LengthEncoder:
    """A body of a declared number of bytes; what is not as long as declared never looks whole."""

    __slots__ = ("ended", "remaining")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.ended = False

    def encode(self, data: bytes, *, end: bool) -> bytes:
        """See ``Encoder``."""
        self.remaining -= len(data)
        if self.remaining < 0 or (end and self.remaining):
            raise ValueError(f"a body of another length than declared ({self.remaining:+d} bytes left)")
        self.ended = end
        return data

    def encode_trailers(self, trailers: Headers) -> bytes:
        """See ``Encoder``."""
        del trailers
        return self.encode(b"", end=True)


class ChunkedEncoder:
    """A chunked body: each piece a chunk."""

    __slots__ = ("ended",)

    def __init__(self) -> None:
        self.ended = False

    def encode(self, data: bytes, *, end: bool) -> bytes:
        """See ``Encoder``."""
        self.ended = end
        if not data:
            return LAST_CHUNK if end else b""
        return b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if end else b"%x\r\n%b\r\n" % (len(data), data)

    def encode_trailers(self, trailers: Headers) -> bytes:
        """See ``Encoder``."""
        self.ended = True
        block = trailers.render()
        refuse_trailers(block)
        return b"0\r\n" + block + b"\r\n"


class PlainEncoder:
    """A body that ends when the stream does, and a tunnel."""

    __slots__ = ("ended",)

    def __init__(self) -> None:
        self.ended = False

    def encode(self, data: bytes, *, end: bool) -> bytes:
        """See ``Encoder``."""
        self.ended = end
        return data

    def encode_trailers(self, trailers: Headers) -> bytes:
        """See ``Encoder``."""
        del trailers
        self.ended = True
        return b""


class NoBodyEncoder:
    """An answer that has no body, whatever is written: to HEAD, 204, 304."""

    __slots__ = ("ended",)

    def __init__(self) -> None:
        self.ended = False

    def encode(self, data: bytes, *, end: bool) -> bytes:
        """See ``Encoder``."""
        del data
        self.ended = end
        return b""

    def encode_trailers(self, trailers: Headers) -> bytes:
        """See ``Encoder``."""
        del trailers
        self.ended = True
        return b""
