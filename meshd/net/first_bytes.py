"""What a connection's first bytes say: TLS, HTTP/1, HTTP/2, or nothing known. Pure.

Rules of this file: no input raises; every input gets a verdict; ``NeedMore``
only while more bytes could change it; what is neither clearly one thing nor
clearly another is ``Opaque``.

The facts are Envoy's (``tls_inspector``, ``http_inspector`` of 1.40): names are
lower-cased; any well-formed request line is HTTP/1, whatever its method and
with or without a version, so that the HTTP side can answer it properly; the
greetings of other protocols are not.
"""

from __future__ import annotations

import re

import attrs

KIB = 1024

MAX_HELLO = 16 * KIB
"""A longer ClientHello is opaque. Envoy's tls_inspector looks at 16 KiB."""
MAX_RECORD = 16 * KIB + 256
"""RFC 8446, section 5.2: the most a record may hold."""
MAX_FRAGMENTS = 16
"""Records a ClientHello may be spread over. Each look costs time for every record, and a client could send a byte in each."""
MAX_LINE = 8 * KIB
"""A request line this long without an end is taken for HTTP/1 if it began like one; the codec's own limit answers it."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""RFC 9113, section 3.4."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS = 0, 16, 43
_HOST_NAME = re.compile(rb"[A-Za-z0-9._*-]{1,255}")
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(
    rb"(?:\r?\n)*"
    + _TOKEN
    + rb" (?:[/*]|[A-Za-z][A-Za-z0-9+.-]*://|(?<=CONNECT )[^ ])[^ \x00-\x1f\x7f]*(?: HTTP/[0-9]\.[0-9])?\r?\n"
)
_LINE_SO_FAR = re.compile(rb"(?:\r?\n)*\r?(?:" + _TOKEN + rb"(?: [^\x00-\x1f\x7f]*\r?)?)?")


@attrs.frozen
class ClientHello:
    """What a client asks of a TLS server, before anything is agreed.

    ``server_name`` is in lower case, "" when none was sent. ``versions`` are
    numbers as on the wire (0x0304 is TLS 1.3), in the client's order.
    """

    server_name: str = ""
    alpn: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()


@attrs.frozen
class Tls:
    """A ClientHello."""

    hello: ClientHello


@attrs.frozen
class Http1:
    """A request line."""


@attrs.frozen
class Http2Preface:
    """HTTP/2 without TLS, with prior knowledge."""


@attrs.frozen
class Opaque:
    """None of these."""


@attrs.frozen
class NeedMore:
    """Too few bytes to tell."""


Verdict = Tls | Http1 | Http2Preface | Opaque | NeedMore


def classify(data: bytes, *, tls: bool, http: bool) -> Verdict:
    """Say what begins with ``data``.

    Args:
        data: Everything received so far.
        tls: Whether TLS is looked for.
        http: Whether HTTP is looked for.
    """
    if not (tls or http):
        return Opaque()
    if not data:
        return NeedMore()
    if data[0] == _HANDSHAKE:
        return _classify_tls(data) if tls else Opaque()
    return _classify_http(data) if http else Opaque()


def _classify_http(data: bytes) -> Verdict:
    if data.startswith(PREFACE):
        return Http2Preface()
    if PREFACE.startswith(data):
        return NeedMore()
    if data.startswith(b"PRI * HTTP/2"):
        return Opaque()
    if _REQUEST_LINE.match(data):
        return Http1()
    if _LINE_SO_FAR.fullmatch(data) is None:
        return Opaque()
    if len(data) < MAX_LINE:
        return NeedMore()
    return Http1() if _REQUEST_LINE.match(data.rstrip(b"\r") + b"\n") else Opaque()


def _classify_tls(data: bytes) -> Verdict:
    """Put the handshake message together from its records, then read it."""
    message = b""
    at = 0
    for _ in range(MAX_FRAGMENTS):
        header = data[at : at + 5]
        # 0x0300 to 0x0304 are seen in the wild; RFC 8446 says to ignore it.
        if (header[0:1] or b"\x16") != b"\x16" or (header[1:2] or b"\x03") != b"\x03":
            return Opaque()
        if len(header) < 5:
            return NeedMore()
        length = int.from_bytes(header[3:5])
        if not 0 < length <= MAX_RECORD:
            return Opaque()
        message += data[at + 5 : at + 5 + length]
        verdict = _read_message(message)
        if not isinstance(verdict, NeedMore):
            return verdict
        at += 5 + length
        if at > len(data):
            return verdict
    return Opaque()


def _read_message(message: bytes) -> Verdict:
    if message[:1] not in (b"", bytes([_CLIENT_HELLO])):
        return Opaque()
    if len(message) < 4:
        return NeedMore()
    length = int.from_bytes(message[1:4])
    if length > MAX_HELLO:
        return Opaque()
    if len(message) < 4 + length:
        return NeedMore()
    try:
        return Tls(_read_hello(_Reader(message[4 : 4 + length])))
    except _Malformed:
        return Opaque()


def _read_hello(reader: _Reader) -> ClientHello:
    """RFC 8446, section 4.1.2."""
    legacy_version = reader.number(2)
    reader.take(32)  # random
    reader.vector(1)  # session id
    reader.vector(2)  # cipher suites
    reader.vector(1)  # compression methods
    name = ""
    alpn: tuple[str, ...] = ()
    versions: tuple[int, ...] = (legacy_version,)
    seen: set[int] = set()
    extensions = _Reader(reader.vector(2) if reader.left else b"")
    while extensions.left:
        kind = extensions.number(2)
        body = _Reader(extensions.vector(2))
        if kind in seen:
            raise _Malformed
        seen.add(kind)
        if kind == _SERVER_NAME:
            name = _read_server_name(_Reader(body.vector(2)))
        elif kind == _ALPN:
            alpn = _read_alpn(_Reader(body.vector(2)))
        elif kind == _SUPPORTED_VERSIONS:
            versions = _read_versions(_Reader(body.vector(1)))
    if reader.left:
        raise _Malformed
    return ClientHello(name, alpn, versions)


def _read_server_name(names: _Reader) -> str:
    """RFC 6066, section 3: of each type at most one, and only one type exists."""
    found = ""
    while names.left:
        kind, value = names.number(1), names.vector(2)
        if kind == 0:
            if found or not _HOST_NAME.fullmatch(value):
                raise _Malformed
            found = value.decode("ascii").lower()
    return found


def _read_alpn(names: _Reader) -> tuple[str, ...]:
    """RFC 7301, section 3.1. Names that are no ASCII are GREASE (RFC 8701)."""
    found: list[str] = []
    while names.left:
        value = names.vector(1)
        if not value:
            raise _Malformed
        if value.isascii():
            found.append(value.decode("ascii"))
    return tuple(found)


def _read_versions(versions: _Reader) -> tuple[int, ...]:
    found: list[int] = []
    while versions.left:
        version = versions.number(2)
        if version >> 8 in (0x02, 0x03):  # the others are GREASE
            found.append(version)
    return tuple(found)


class _Malformed(Exception):  # never leaves this file
    """The bytes are no ClientHello."""


class _Reader:
    """Takes TLS's numbers and vectors off the front of bytes."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not taken yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        if count > self.left:
            raise _Malformed
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, size: int) -> int:
        """An unsigned integer of ``size`` bytes."""
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """Bytes behind their length, which has ``size`` bytes."""
        return self.take(self.number(size))
