"""Header lists and heads: what passes means the same, what could mean two things does not pass."""

from __future__ import annotations

import pytest

from meshd.errors import ProtocolError
from meshd.http.h2_head import (
    Field,
    read_request,
    read_response,
    read_trailers,
    write_request,
    write_response,
)
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.limits import HttpLimits

LIMITS = HttpLimits()
GET = RequestHead(b"GET", b"/", b"h")


def pseudo(**other: bytes) -> list[Field]:
    fields = {"method": b"GET", "scheme": b"http", "authority": b"h", "path": b"/"} | other
    return [(b":" + name.encode(), value) for name, value in fields.items() if value]


def request(fields: list[Field], *, ended: bool = True) -> RequestHead:
    return read_request(fields, ended=ended, secure=False, limits=LIMITS)


def test_a_request() -> None:
    head = request(
        [*pseudo(path=b"/a?b", authority=b"H:1"), (b"a", b"b"), (b"te", b"trailers"), (b"content-length", b"5")],
        ended=False,
    )
    assert (head.method, head.target, head.authority, head.length) == (b"GET", b"/a?b", b"H:1", 5)
    assert (head.version, head.scheme) == ("HTTP/2", b"http")
    assert list(head.headers.items()) == [(b"a", b"b"), (b"te", b"trailers")]


def test_host_stands_in_for_authority_and_is_never_a_header() -> None:
    head = request([*pseudo(authority=b""), (b"host", b"h")])
    assert head.authority == b"h"
    assert b"host" not in head.headers


def test_expect() -> None:
    head = request([*pseudo(), (b"expect", b"100-continue")], ended=False)
    assert head.expect_continue
    assert head.length is None
    with pytest.raises(ProtocolError) as refused:
        request([*pseudo(), (b"expect", b"x")], ended=False)
    assert refused.value.status == 417


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (pseudo(method=b"get"), 400),
        (pseudo(path=b"x"), 400),
        (pseudo(path=b"*"), 400),
        (pseudo(path=b"/a b"), 400),
        (pseudo(path=b"/a#b"), 400),
        (pseudo(path=b"/a\r\nb"), 400),
        (pseudo(path=b"/\xe9"), 400),
        (pseudo(path=b"http://a/"), 400),
        (pseudo(path=b""), 400),
        (pseudo(path=b"/" + b"x" * 40_000), 414),
        (pseudo(scheme=b"ftp"), 400),
        (pseudo(authority=b"u@h"), 400),
        (pseudo(authority=b"a,b"), 400),
        (pseudo(authority=b""), 400),
        (pseudo(method=b"CONNECT", path=b"/", authority=b""), 400),
        (pseudo(method=b"CONNECT", protocol=b"websocket"), 501),
        ([*pseudo(), (b"a", b"b\r\nc: d")], 400),
        ([*pseudo(), (b"a", b"b\nc")], 400),
        ([*pseudo(), (b"a", b"\0")], 400),
        ([*pseudo(), (b"a", b" b")], 400),
        ([*pseudo(), (b"a", b"b ")], 400),
        ([*pseudo(), (b"A", b"b")], 400),
        ([*pseudo(), (b"a b", b"c")], 400),
        ([*pseudo(), (b"a: b\r\nc", b"d")], 400),
        ([*pseudo(), (b"content_length", b"1")], 400),
        ([*pseudo(), (b"content-length", b"+1")], 400),
        ([*pseudo(), (b"content-length", b"1")], 400),
        ([*pseudo(), (b"content-length", b"0"), (b"content-length", b"0")], 400),
        ([*pseudo(), (b"host", b"h"), (b"host", b"h")], 400),
        ([*pseudo(), *[(b"a", b"b")] * 101], 431),
    ],
)
def test_refused(fields: list[Field], status: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        request(fields)
    assert refused.value.status == status


def test_connect() -> None:
    head = request([(b":method", b"CONNECT"), (b":authority", b"h:443")], ended=False)
    assert (head.target, head.authority, head.length) == (b"", b"h:443", None)
    assert write_request(head) == [(b":method", b"CONNECT"), (b":authority", b"h:443")]


@pytest.mark.parametrize(
    ("fields", "ended", "method", "length"),
    [
        ([(b":status", b"200")], True, b"GET", 0),
        ([(b":status", b"200")], False, b"GET", None),
        ([(b":status", b"200"), (b"content-length", b"5")], False, b"GET", 5),
        ([(b":status", b"200"), (b"content-length", b"5")], True, b"HEAD", 5),
        ([(b":status", b"200")], True, b"HEAD", None),
        ([(b":status", b"304"), (b"content-length", b"5")], True, b"GET", 5),
        ([(b":status", b"204")], True, b"GET", 0),
    ],
)
def test_responses(fields: list[Field], ended: bool, method: bytes, length: int | None) -> None:
    head = read_response(fields, RequestHead(method, b"/", b"h"), ended=ended, limits=LIMITS)
    assert head.length == length
    assert head.version == "HTTP/2"


@pytest.mark.parametrize(
    ("fields", "ended"),
    [
        ([(b":status", b"101")], False),
        ([(b":status", b"600")], True),
        ([(b":status", b"20")], True),
        ([(b":status", b"+20")], True),
        ([], True),
        ([(b":status", b"200"), (b"content-length", b"5")], True),
        ([(b":status", b"204"), (b"content-length", b"5")], False),
        ([(b":status", b"200"), (b"a", b"b\r\nc")], False),
    ],
)
def test_bad_responses(fields: list[Field], ended: bool) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_response(fields, GET, ended=ended, limits=LIMITS)
    assert refused.value.status == 502


def test_trailers() -> None:
    assert list(read_trailers([(b"grpc-status", b"0")], LIMITS).items()) == [(b"grpc-status", b"0")]
    for fields in ([(b":path", b"/")], [(b"content-length", b"1")], [(b"host", b"h")], [(b"x-envoy-x", b"1")]):
        with pytest.raises(ProtocolError):
            read_trailers(fields, LIMITS)


def test_heads_become_header_lists() -> None:
    head = RequestHead(b"POST", b"/x", b"h", Headers(b"A: b\r\n"), length=0, scheme=b"https")
    assert write_request(head) == [
        (b":method", b"POST"),
        (b":authority", b"h"),
        (b":scheme", b"https"),
        (b":path", b"/x"),
        (b"a", b"b"),
        (b"content-length", b"0"),
    ]
    with pytest.raises(ProtocolError):
        write_request(RequestHead(b"GET", b"/", b"h", upgrade=b"websocket"))
    assert write_response(ResponseHead(200, length=5)) == [(b":status", b"200"), (b"content-length", b"5")]
    assert write_response(ResponseHead(304, length=0), bodiless=True) == [(b":status", b"304")]
    assert write_response(ResponseHead(103)) == [(b":status", b"103")]
