from __future__ import annotations

import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.net.first_bytes import (
    MAX_FRAGMENTS,
    MAX_HELLO,
    MAX_LINE,
    PREFACE,
    ClientHello,
    Http1,
    Http2Preface,
    NeedMore,
    Opaque,
    Tls,
    classify,
)


def openssl_hello(server_name: str | None = None, alpn: tuple[str, ...] = (), maximum=ssl.TLSVersion.TLSv1_3) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = maximum
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name).do_handshake()
    return outgoing.read()


def look(data: bytes):
    return classify(data, tls=True, http=True)


def vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size) + data


def hello(extensions: bytes | None, *, tail: bytes = b"") -> bytes:
    """A handshake message."""
    body = b"\x03\x03" + bytes(32) + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b"\x00")
    if extensions is not None:
        body += vector(2, extensions)
    return b"\x01" + vector(3, body + tail)


def extension(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2) + vector(2, body)


def sni(name: bytes) -> bytes:
    return extension(0, vector(2, b"\x00" + vector(2, name)))


def records(message: bytes, size: int = 16384) -> bytes:
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + vector(2, piece) for piece in pieces)


def test_openssl_s_hello_is_read():
    data = openssl_hello("Reviews.Default.svc", ("h2", "http/1.1"))
    assert look(data) == Tls(ClientHello("reviews.default.svc", ("h2", "http/1.1"), (0x0304, 0x0303)))


def test_a_tls_1_2_hello_without_names():
    assert look(openssl_hello(maximum=ssl.TLSVersion.TLSv1_2)) == Tls(ClientHello("", (), (0x0303,)))


def test_a_hello_needs_all_its_bytes():
    data = openssl_hello("reviews", ("h2",))
    for end in range(1, len(data)):
        assert look(data[:end]) == NeedMore(), end
    assert isinstance(look(data), Tls)
    assert look(data + b"more") == look(data)


@pytest.mark.parametrize("size", [40, 64, 100, 200])
def test_a_hello_may_be_spread_over_records(size):
    message = hello(sni(b"reviews") + extension(16, vector(2, vector(1, b"h2"))))
    data = records(message, max(size, len(message) // MAX_FRAGMENTS + 1))
    for end in range(1, len(data)):
        assert look(data[:end]) == NeedMore(), end
    assert look(data) == Tls(ClientHello("reviews", ("h2",), (0x0303,)))


def test_a_hello_in_too_many_records_is_opaque():
    message = hello(sni(b"reviews"))
    assert len(message) > MAX_FRAGMENTS
    assert look(records(message, 1)) == Opaque()


def test_a_hello_without_extensions():
    assert look(records(hello(None))) == Tls(ClientHello("", (), (0x0303,)))


def test_grease_is_left_out():
    body = extension(16, vector(2, vector(1, b"\x8a\x8a") + vector(1, b"h2")))
    body += extension(43, vector(1, b"\x7a\x7a\x03\x04"))
    body += extension(0x3A3A, b"\x00")
    assert look(records(hello(body))) == Tls(ClientHello("", ("h2",), (0x0304,)))


@pytest.mark.parametrize(
    "message",
    [
        hello(sni(b"a\x00b")),
        hello(sni(b"")),
        hello(sni("münchen".encode())),
        hello(sni(b"x" * 256)),
        hello(sni(b"a") + sni(b"b")),
        hello(extension(0, vector(2, (b"\x00" + vector(2, b"a")) * 2))),
        hello(extension(16, vector(2, vector(1, b"")))),
        hello(extension(16, b"\x00\x05\x02h")),
        hello(b"\x00\x00\x00\x10a"),
        hello(b"", tail=b"x"),
        b"\x01" + vector(3, b"\x03\x03"),
        b"\x02" + vector(3, bytes(40)),
        b"\x01" + (MAX_HELLO + 1).to_bytes(3) + bytes(100),
    ],
)
def test_what_is_no_proper_hello_is_opaque(message):
    assert look(records(message)) == Opaque()


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x02\x01\x00\x10",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff\x01",
        b"\x16\x16",
        b"\x16\x03\x01\x00\x01\x02",
    ],
)
def test_what_is_no_handshake_record_is_opaque(data):
    assert look(data) == Opaque()


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.0\n",
        b"get /x?y=z HTTP/1.1\r\nhost: x\r\n\r\n",
        b"FOO-bar /x HTTP/9.9\r\n",
        b"GET /\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"GET http://reviews:9080/ HTTP/1.1\r\n",
        b"CONNECT reviews:9080 HTTP/1.1\r\n",
        b"\r\nGET / HTTP/1.1\r\n",
        b"PRI /x HTTP/1.1\r\n",
        b"P / HTTP/1.1\r\n",
    ],
)
def test_request_lines_are_http(line):
    assert look(line) == Http1()
    for end in range(1, line.index(b"\n", 2)):
        assert look(line[:end]) == NeedMore(), end


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"PING\r\n",
        b"SET key value\r\n",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"EHLO mail.example.com\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"GET / HTTP/1.1 more\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET /a b\r\n",
        b"GET /\x00 HTTP/1.1\r\n",
        b" GET / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX",
        b"{}\n",
    ],
)
def test_other_greetings_are_opaque(data):
    assert look(data) == Opaque()


def test_the_preface_of_http_2():
    for end in range(1, len(PREFACE)):
        assert look(PREFACE[:end]) == NeedMore(), end
    assert look(PREFACE + b"\x00") == Http2Preface()


def test_an_overlong_request_line_is_left_to_the_codec():
    assert look(b"GET /" + b"x" * (MAX_LINE - 6)) == NeedMore()
    assert look(b"GET /" + b"x" * MAX_LINE) == Http1()
    assert look(b"X" * MAX_LINE) == Opaque()
    assert look(b"GET x" + b"x" * MAX_LINE) == Opaque()


def test_only_what_is_looked_for_is_found():
    request, preface, tls = b"GET / HTTP/1.1\r\n", PREFACE, openssl_hello("x")
    assert classify(request, tls=True, http=False) == Opaque()
    assert classify(preface, tls=True, http=False) == Opaque()
    assert classify(tls, tls=False, http=True) == Opaque()
    assert classify(b"", tls=False, http=False) == Opaque()
    assert classify(b"", tls=True, http=False) == NeedMore()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_nothing_raises_and_a_verdict_never_changes(data):
    """More bytes turn NeedMore into a verdict, and no verdict into another."""
    whole = data.draw(
        st.one_of(
            st.binary(max_size=200),
            st.binary(max_size=200).map(lambda tail: b"\x16\x03\x01" + vector(2, tail) + tail),
            st.binary(max_size=100).map(lambda body: records(hello(body), 50)),
            st.tuples(st.sampled_from([b"GET /", b"PRI * HTTP/2.0\r\n", b"\r\n"]), st.binary(max_size=60)).map(
                b"".join
            ),
        )
    )
    verdict = NeedMore()
    for end in range(len(whole) + 1):
        now = look(whole[:end])
        assert isinstance(verdict, NeedMore) or now == verdict, end
        verdict = now
