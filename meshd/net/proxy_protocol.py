"""The PROXY protocol, versions 1 and 2: what a load balancer says of its client before the client's first byte.

Strict, since everything that follows is believed to come from the address told
here: a header that is broken, unfinished or too long ends the connection, and so
does none. ``parse`` is pure; ``read_header`` waits.

Source: HAProxy's ``doc/proxy-protocol.txt`` (2020/03/05), sections 2.1 and 2.2.
"""

from __future__ import annotations

import ipaddress
import re

import attrs

from meshd.errors import ConnectionLost, ProtocolError
from meshd.net.address import Address
from meshd.net.connection import Connection

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
"""How version 2 begins."""
LONGEST_V1 = 107
"""Bytes of a line of version 1 with its end (section 2.1)."""
FIXED_V2 = 16
MAX_HEADER = 4096
"""Bytes of a header of version 2 with its TLVs; the addresses take 52, what clouds add a few dozen."""
_LINE = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9a-fA-F:.]{2,39}) ([0-9a-fA-F:.]{2,39}) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\r\n"
)
_UNKNOWN = re.compile(rb"PROXY UNKNOWN[^\r\n]*\r\n")
_LOCAL, _PROXY = 0, 1
_STREAM = {0x11: 4, 0x21: 16}
"""Bytes of an address of TCP over IPv4 and IPv6."""


@attrs.frozen
class Told:
    """What a header says. ``source`` None: the connection is the load balancer's own (a health check), or of no known kind."""

    size: int
    """Bytes of the header."""
    source: Address | None = None
    destination: Address | None = None


def parse(data: bytes, most: int = MAX_HEADER) -> Told | None:
    """Read a header.

    Args:
        data: What has come so far.
        most: Bytes that a header may have.

    Returns:
        What it says; None when it is not whole yet.

    Raises:
        ProtocolError: this is none, or a broken one.
    """
    if SIGNATURE.startswith(data[: len(SIGNATURE)]):
        return _parse_v2(data, most) if len(data) >= FIXED_V2 else None
    if b"PROXY ".startswith(data[:6]):
        return _parse_v1(data)
    raise _broken("none was sent")


def _parse_v1(data: bytes) -> Told | None:
    end = data.find(b"\r\n", 0, LONGEST_V1)
    if end < 0:
        if len(data) >= LONGEST_V1:
            raise _broken("a line that is too long")
        return None
    line = data[: end + 2]
    if _UNKNOWN.fullmatch(line):
        return Told(len(line))
    match = _LINE.fullmatch(line)
    if match is None:
        raise _broken("a line that says nothing known")
    version = 4 if match[1] == b"TCP4" else 6
    source, destination = (_address(match[at].decode(), int(match[at + 2]), version) for at in (2, 3))
    return Told(len(line), source, destination)


def _address(text: str, port: int, version: int) -> Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise _broken("an address that is none") from None
    if address.version != version or port > 65535:
        raise _broken("an address of another family, or a port that is none")
    return Address(_written(address), port)


def _written(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """As policies know it: an IPv4 address is one, whatever it is wrapped in."""
    return str(getattr(address, "ipv4_mapped", None) or address)


def _parse_v2(data: bytes, most: int) -> Told | None:
    version, command, family = data[12] >> 4, data[12] & 0x0F, data[13]
    length = int.from_bytes(data[14:16], "big")
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise _broken("a version or command that is unknown")
    size = FIXED_V2 + length
    if size > most:
        raise _broken("a header that is too long")
    if len(data) < size:
        return None
    width = _STREAM.get(family)
    if command == _LOCAL or family == 0:
        return Told(size)
    if width is None:
        raise _broken("a connection that is not TCP")
    if length < 2 * width + 4:
        raise _broken("a header that is too short")
    at = FIXED_V2
    hosts = [_written(ipaddress.ip_address(data[at + index * width :][:width])) for index in range(2)]
    ports = [int.from_bytes(data[at + 2 * width + 2 * index :][:2], "big") for index in range(2)]
    return Told(size, Address(hosts[0], ports[0]), Address(hosts[1], ports[1]))


async def read_header(connection: Connection, most: int = MAX_HEADER) -> Told:
    """Take the header off a new connection; what follows it is unread. The caller sets the deadline.

    Raises:
        ProtocolError: there is none, or a broken one.
        ConnectionLost: the connection ended before it was whole.
    """
    data = b""
    while True:
        more = await connection.receive()
        if not more:
            raise ConnectionLost("the connection ended before its PROXY protocol header")
        data += more
        told = parse(data, most)
        if told is not None:
            if len(data) > told.size:
                connection.unread(data[told.size :])
            return told


def render(version: str, source: Address, destination: Address) -> bytes:
    """The header that says whose connection this is.

    Args:
        version: ``V1`` or ``V2``.
        source: The client; a host that is no IP address makes the header say that nothing is known.
        destination: Where the client connected.
    """
    try:
        hosts = [ipaddress.ip_address(address.host.partition("%")[0]) for address in (source, destination)]
    except ValueError:
        return b"PROXY UNKNOWN\r\n" if version == "V1" else SIGNATURE + b"\x20\x00\x00\x00"
    if hosts[0].version != hosts[1].version:
        hosts = [each if each.version == 6 else ipaddress.ip_address(f"::ffff:{each}") for each in hosts]
    if version == "V1":
        family = "TCP4" if hosts[0].version == 4 else "TCP6"
        return f"PROXY {family} {hosts[0]} {hosts[1]} {source.port} {destination.port}\r\n".encode()
    body = (
        b"".join(each.packed for each in hosts) + source.port.to_bytes(2, "big") + destination.port.to_bytes(2, "big")
    )
    kind = b"\x11" if hosts[0].version == 4 else b"\x21"
    return SIGNATURE + b"\x21" + kind + len(body).to_bytes(2, "big") + body


def _broken(what: str) -> ProtocolError:
    return ProtocolError(f"PROXY protocol: {what}", detail="proxy_protocol")
