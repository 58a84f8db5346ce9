"""The PROXY protocol: read strictly, byte by byte, and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.errors import ConnectionLost, ProtocolError
from meshd.net.address import Address
from meshd.net.memory import memory_pair
from meshd.net.proxy_protocol import MAX_HEADER, SIGNATURE, Told, parse, read_header, render

V4 = (Address("192.0.2.7", 56324), Address("198.51.100.1", 443))
V6 = (Address("2001:db8::7", 56324), Address("2001:db8::1", 443))
V2_HEAD = SIGNATURE + b"\x21\x11\x00\x0c"
V2_BODY = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + (56324).to_bytes(2, "big") + (443).to_bytes(2, "big")

GOOD = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", V4),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n", V6),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f::1 1:2 65535 65535\r\n", None),
    (V2_HEAD + V2_BODY, V4),
    (SIGNATURE + b"\x21\x11\x00\x13" + V2_BODY + b"\x04\x00\x04abcd", V4),
    (SIGNATURE + b"\x20\x00\x00\x00", None),
    (SIGNATURE + b"\x20\x11\x00\x0c" + V2_BODY, None),
    (SIGNATURE + b"\x21\x00\x00\x00", None),
]


@pytest.mark.parametrize(("raw", "addresses"), GOOD, ids=range(len(GOOD)))
def test_headers(raw: bytes, addresses):
    for size in range(1, len(raw)):
        assert parse(raw[:size]) is None
    told = parse(raw + b"GET / HTTP/1.1\r\n")
    assert told == Told(len(raw), *(addresses or (None, None)))


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n\r\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.1 56324 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 70000\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 056 443\r\n",
        b"PROXY TCP4 192.0.2.007 198.51.100.1 56 443\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 56324 443\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 56324 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 56324 443\r\n",
        b"proxy TCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
        b"PROXY UNKNOWN " + b"x" * 120,
        SIGNATURE + b"\x11\x11\x00\x0c" + V2_BODY,
        SIGNATURE + b"\x22\x11\x00\x0c" + V2_BODY,
        SIGNATURE + b"\x21\x12\x00\x0c" + V2_BODY,
        SIGNATURE + b"\x21\x31\x00\xd8" + b"/" * 216,
        SIGNATURE + b"\x21\x11\x00\x0b" + V2_BODY,
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_what_is_refused(raw: bytes):
    with pytest.raises(ProtocolError, match="PROXY protocol"):
        parse(raw)


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_refused_or_waited_for(raw: bytes):
    for data in (raw, SIGNATURE + raw, b"PROXY " + raw):
        try:
            told = parse(data)
        except ProtocolError:
            continue
        assert told is None or told.size <= len(data)


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("addresses", [V4, V6], ids=["4", "6"])
def test_what_is_written_is_read(version: str, addresses):
    raw = render(version, *addresses)
    assert parse(raw) == Told(len(raw), *addresses)


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_mixed_families_and_unknown_hosts(version: str):
    raw = render(version, V4[0], V6[1])
    told = parse(raw)
    assert told is not None
    assert told.source == V4[0]
    assert parse(render(version, Address("client", 1), V4[1])) == Told(
        len(render(version, Address("client", 1), V4[1]))
    )


async def test_it_is_taken_off_byte_by_byte(autojump_clock):
    client, server = memory_pair()
    server.wire.chunk = 1
    raw = V2_HEAD + V2_BODY
    await client.send(raw + b"hello")
    told = await read_header(server)
    assert told.source == V4[0]
    server.wire.chunk = 100
    assert await server.receive() == b"hello"


async def test_an_end_before_its_end(autojump_clock):
    client, server = memory_pair()
    await client.send(b"PROXY TC")
    await client.send_eof()
    with pytest.raises(ConnectionLost, match="before its PROXY protocol header"):
        await read_header(server)


def test_the_longest_is_bounded():
    assert parse(SIGNATURE + b"\x21\x11" + (MAX_HEADER - 16).to_bytes(2, "big")) is None
    with pytest.raises(ProtocolError, match="too long"):
        parse(SIGNATURE + b"\x21\x11" + (MAX_HEADER - 15).to_bytes(2, "big"))
