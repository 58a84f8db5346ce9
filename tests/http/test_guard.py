"""What the guard refuses, with which status; the table is reference security.md's first."""

from __future__ import annotations

import pytest

from meshd.errors import ProtocolError
from meshd.http.guard import check_authority, refuse_request, refuse_response, refuse_start, split_target
from meshd.http.h11_head import read_request, read_response
from meshd.http.head import RequestHead

GET = RequestHead(b"GET", b"/", b"h")


def request(*lines: bytes, first: bytes = b"GET / HTTP/1.1", host: bytes | None = b"Host: a.example") -> bytes:
    return b"\r\n".join([first, *([host] if host is not None else []), *lines]) + b"\r\n\r\n"


REFUSED = {
    "two hosts": (request(b"Host: b.example"), 400),
    "two equal hosts": (request(b"Host: a.example"), 400),
    "no host": (request(host=None), 400),
    "empty host": (request(host=b"Host:"), 400),
    "userinfo in host": (request(host=b"Host: u@a.example"), 400),
    "comma in host": (request(host=b"Host: a,b"), 400),
    "space in host": (request(host=b"Host: a b"), 400),
    "percent in host": (request(host=b"Host: a%2eb"), 400),
    "slash in host": (request(host=b"Host: a/b"), 400),
    "bad port": (request(host=b"Host: a:http"), 400),
    "empty port": (request(host=b"Host: a:"), 400),
    "port too large": (request(host=b"Host: a:65536"), 400),
    "unclosed bracket": (request(host=b"Host: [::1"), 400),
    "host too long": (request(host=b"Host: " + b"a" * 300), 400),
    "bare LF": (b"GET / HTTP/1.1\nHost: h\r\n\r\n", 400),
    "bare CR": (request(b"A: b\rc"), 400),
    "NUL": (request(b"A: b\0c"), 400),
    "control": (request(b"A: b\x01c"), 400),
    "DEL": (request(b"A: b\x7fc"), 400),
    "control in target": (request(first=b"GET /\x01 HTTP/1.1"), 400),
    "UTF-8 in target": (request(first=b"GET /\xc3\xa9 HTTP/1.1"), 400),
    "obs-fold": (request(b"A: b", b" c"), 400),
    "obs-fold first": (request(b" c", host=None), 400),
    "space before colon": (request(b"A : b"), 400),
    "space before Host's colon": (request(host=b"Host : h"), 400),
    "no colon": (request(b"A"), 400),
    "empty name": (request(b": b"), 400),
    "name with a slash": (request(b"a/b: c"), 400),
    "name not ASCII": (request(b"\xe9: c"), 400),
    "CL and TE": (request(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400),
    "two CL": (request(b"Content-Length: 5", b"Content-Length: 6"), 400),
    "two equal CL": (request(b"Content-Length: 5", b"Content-Length: 5"), 400),
    "CL with plus": (request(b"Content-Length: +5"), 400),
    "CL negative": (request(b"Content-Length: -5"), 400),
    "CL with space": (request(b"Content-Length: 5 5"), 400),
    "CL list": (request(b"Content-Length: 5, 5"), 400),
    "CL hex": (request(b"Content-Length: 0x5"), 400),
    "CL empty": (request(b"Content-Length:"), 400),
    "CL overflow": (request(b"Content-Length: " + b"9" * 19), 400),
    "CL twin": (request(b"Content_Length: 5"), 400),
    "TE twin": (request(b"Transfer_Encoding: chunked"), 400),
    "identity twin": (request(b"X_Forwarded_For: 1.2.3.4"), 400),
    "TE gzip": (request(b"Transfer-Encoding: gzip"), 501),
    "TE list": (request(b"Transfer-Encoding: gzip, chunked"), 501),
    "TE twice in a line": (request(b"Transfer-Encoding: chunked, chunked"), 501),
    "TE twice": (request(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 501),
    "TE identity": (request(b"Transfer-Encoding: identity"), 501),
    "TE empty": (request(b"Transfer-Encoding:"), 501),
    "TE obfuscated": (request(b"Transfer-Encoding: \x0bchunked"), 400),
    "TE with parameter": (request(b"Transfer-Encoding: chunked;q=1"), 501),
    "version 2.0": (request(first=b"GET / HTTP/2.0"), 505),
    "version 1.2": (request(first=b"GET / HTTP/1.2"), 505),
    "version 0.9": (request(first=b"GET / HTTP/0.9"), 505),
    "version 1.0": (request(first=b"GET / HTTP/1.0"), 426),
    "no version": (request(first=b"GET /"), 400),
    "lower-case HTTP": (request(first=b"GET / http/1.1"), 400),
    "long version": (request(first=b"GET / HTTP/1.10"), 400),
    "two spaces": (request(first=b"GET  / HTTP/1.1"), 400),
    "tab in the request line": (request(first=b"GET\t/ HTTP/1.1"), 400),
    "trailing space": (request(first=b"GET / HTTP/1.1 "), 400),
    "leading CR LF": (b"\r\n" + request(), 400),
    "lower-case method": (request(first=b"get / HTTP/1.1"), 400),
    "long method": (request(first=b"G" * 33 + b" / HTTP/1.1"), 400),
    "method no token": (request(first=b"G(T / HTTP/1.1"), 400),
    "relative target": (request(first=b"GET a HTTP/1.1"), 400),
    "fragment": (request(first=b"GET /a#b HTTP/1.1"), 400),
    "star for GET": (request(first=b"GET * HTTP/1.1"), 400),
    "userinfo in target": (request(first=b"GET http://u@b/ HTTP/1.1"), 400),
    "no authority in target": (request(first=b"GET http:///x HTTP/1.1"), 400),
    "ftp": (request(first=b"GET ftp://a/ HTTP/1.1"), 400),
    "https without TLS": (request(first=b"GET https://a/ HTTP/1.1"), 400),
    "authority-form for GET": (request(first=b"GET a:80 HTTP/1.1"), 400),
    "CONNECT without port": (request(first=b"CONNECT a.example HTTP/1.1"), 400),
    "CONNECT with a path": (request(first=b"CONNECT /x HTTP/1.1"), 400),
    "CONNECT with a body": (request(b"Content-Length: 5", first=b"CONNECT a:443 HTTP/1.1"), 400),
    "Connection names host": (request(b"Connection: host"), 400),
    "Connection names CL": (request(b"Connection: close, Content-Length"), 400),
    "Connection names XFF": (request(b"Connection: x-forwarded-for"), 400),
    "Connection no token": (request(b"Connection: a b"), 400),
    "Expect": (request(b"Expect: a-miracle"), 417),
}


@pytest.mark.parametrize(("raw", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(raw: bytes, status: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_request(raw)
    assert refused.value.status == status
    assert refused.value.detail


@pytest.mark.parametrize(
    "raw",
    [
        request(),
        request(b"Content-Length: 0"),
        request(b"Transfer-Encoding: Chunked"),
        request(b"A: b \t", b"C:", b"D:\xe9"),
        request(b"X_Ordinary: 1"),
        request(first=b"X-CUSTOM /a?b HTTP/1.1"),
        request(host=b"Host: [2001:db8::1]:8080"),
        request(host=b"Host: my_service.ns~x:1"),
        request(first=b"OPTIONS * HTTP/1.1"),
        request(b"Connection: close, X-Hop", b"X-Hop: 1"),
        request(b"Expect: 100-Continue", b"Content-Length: 5"),
    ],
)
def test_let_pass(raw: bytes) -> None:
    refuse_request(raw)
    read_request(raw)


def test_absolute_form_wins_over_host() -> None:
    head, _ = read_request(request(first=b"GET http://Other.example:81/x?y HTTP/1.1"))
    assert (head.authority, head.target) == (b"Other.example:81", b"/x?y")


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"GET", b"HTTP://a", (b"/", b"a")),
        (b"GET", b"http://a?b", (b"/?b", b"a")),
        (b"OPTIONS", b"http://a", (b"*", b"a")),
        (b"OPTIONS", b"*", (b"*", None)),
        (b"GET", b"https://a/", (b"/", b"a")),
        (b"CONNECT", b"a:443", (b"", b"a:443")),
        (b"CONNECT", b"[::1]:443", (b"", b"[::1]:443")),
        (b"GET", b"//a", (b"//a", None)),
    ],
)
def test_targets(method: bytes, target: bytes, expected: tuple[bytes, bytes | None]) -> None:
    assert split_target(method, target) == expected


def test_hop_by_hop_headers_are_cut_out() -> None:
    head, keep_alive = read_request(
        request(
            b"Connection: X-Hop, keep-alive, TE",
            b"X-Hop: 1",
            b"Keep-Alive: 5",
            b"Proxy-Connection: close",
            b"TE: deflate, trailers",
            b"Upgrade: websocket",
            b"Accept: x",
        )
    )
    assert list(head.headers.items()) == [(b"te", b"trailers"), (b"accept", b"x")]
    assert keep_alive
    assert head.upgrade == b""


def test_an_upgrade_needs_connection_and_h2c_is_ignored() -> None:
    websocket, _ = read_request(request(b"Connection: Upgrade", b"Upgrade: WebSocket"))
    assert websocket.upgrade == b"websocket"
    h2c, _ = read_request(request(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: x"))
    assert h2c.upgrade == b""
    assert list(h2c.headers.items()) == []
    with_body, _ = read_request(request(b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 1"))
    assert with_body.upgrade == b""


def test_http_10_when_accepted() -> None:
    head, keep_alive = read_request(b"GET / HTTP/1.0\r\n\r\n", accept_http_10=True)
    assert (head.version, head.authority, keep_alive) == ("HTTP/1.0", b"", False)
    head, keep_alive = read_request(
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        accept_http_10=True,
    )
    assert keep_alive
    assert not head.expect_continue
    with pytest.raises(ProtocolError):
        read_request(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", accept_http_10=True)


BAD_RESPONSES = {
    "CL and TE": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two CL": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "TE gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "204 with CL": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    "204 with TE": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    "status 600": b"HTTP/1.1 600 No\r\n\r\n",
    "status 099": b"HTTP/1.1 099 No\r\n\r\n",
    "status 20": b"HTTP/1.1 20 No\r\n\r\n",
    "version 2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "ICY": b"ICY 200 OK\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
    "obs-fold": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    "NUL in reason": b"HTTP/1.1 200 O\0K\r\n\r\n",
    "unasked 101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "Connection names CL": b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\n",
}


@pytest.mark.parametrize("raw", BAD_RESPONSES.values(), ids=BAD_RESPONSES.keys())
def test_bad_responses(raw: bytes) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_response(raw, GET)
    assert refused.value.status == 502


def test_a_good_response_is_let_pass() -> None:
    refuse_response(b"HTTP/1.0 404 Not \xe9 Found\r\nA: b\r\n\r\n")


@pytest.mark.parametrize("data", [b"\x16\x03\x01", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\rX", b"GET /\0"])
def test_what_cannot_become_a_head_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        refuse_start(data)


@pytest.mark.parametrize("data", [b"G", b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\r\nA: \xe9"])
def test_what_may_become_a_head_is_waited_for(data: bytes) -> None:
    refuse_start(data)
    refuse_start(data, len(data) - 1)


@pytest.mark.parametrize("authority", [b"a", b"a:1", b"127.0.0.1:80", b"[::1]", b"a-b.c_d.", b"*.example"])
def test_authorities(authority: bytes) -> None:
    if b"*" in authority:
        with pytest.raises(ProtocolError):
            check_authority(authority)
    else:
        check_authority(authority)
