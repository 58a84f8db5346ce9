"""The grammar takes nothing that guard and h11 refuse, and means the same by what it takes."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshd.errors import ProtocolError
from meshd.http import grammar, h11_head
from meshd.http.head import RequestHead, ResponseHead
from tests.http.heads import request_head, response_head

ORDINARY = (
    b"GET /productpage?u=normal HTTP/1.1\r\nHost: bookinfo.example.com:8080\r\nUser-Agent: curl/8\r\nAccept: */*\r\n"
    b"Cookie: a=b; c=d\r\nConnection: keep-alive\r\n\r\n"
)
ORDINARY_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/html\r\nContent-Length: 12\r\nKeep-Alive: timeout=5\r\n\r\n"
)


def request_meaning(head: RequestHead) -> tuple[object, ...]:
    return (
        head.method,
        head.target,
        head.authority,
        list(head.headers.items()),
        head.length,
        head.scheme,
        head.version,
        head.upgrade,
        head.expect_continue,
    )


def response_meaning(head: ResponseHead) -> tuple[object, ...]:
    return (head.status, list(head.headers.items()), head.length, head.reason, head.version, head.upgrade)


def agree_on_request(raw: bytes) -> bool:
    """Whether the grammar took it; fails when the authority disagrees."""
    taken = grammar.read_request(raw)
    if taken is None:
        return False
    both = grammar._read_request(raw, secure=False)
    if both is not None:
        assert (request_meaning(both[0]), both[1]) == (request_meaning(taken[0]), taken[1])
        assert both[0].headers.render() == taken[0].headers.render()
    head, keep_alive = h11_head.read_request(raw)
    assert request_meaning(taken[0]) == request_meaning(head)
    assert taken[1] == keep_alive
    searchable = taken[0].headers._lower
    assert searchable == b"\r\n" + taken[0].headers.render().lower()
    return True


def agree_on_response(raw: bytes, request: RequestHead) -> bool:
    taken = grammar.read_response(raw, request)
    if taken is None:
        return False
    both = grammar._read_response(raw, request)
    if both is not None:
        assert (response_meaning(both[0]), *both[1:]) == (response_meaning(taken[0]), *taken[1:])
        assert both[0].headers.render() == taken[0].headers.render()
    head, framing, keep_alive = h11_head.read_response(raw, request)
    assert response_meaning(taken[0]) == response_meaning(head)
    assert taken[1:] == (framing, keep_alive)
    assert taken[0].headers._lower == b"\r\n" + taken[0].headers.render().lower()
    return True


def sweep(count: int, seed: int) -> Counter[str]:
    rng = Random(seed)
    taken: Counter[str] = Counter()
    requests = [RequestHead(method, b"/", b"h") for method in (b"GET", b"GET", b"GET", b"HEAD", b"CONNECT")]
    for _ in range(count):
        taken["request"] += agree_on_request(request_head(rng))
        taken["response"] += agree_on_response(response_head(rng), rng.choice(requests))
    return taken


PLAIN = b"".join(b"x-%d: a\r\n" % number for number in range(40))


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n" + PLAIN + b"Host: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nKeep-Alive: 5\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: keep-alive\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED\r\ncONNECTION: Close\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: h\r\nAccept: a\r\nContent-Length:5\r\nCookie: a\r\nConnection: keep-alive\r\nTea: b\r\n\r\n",
    ],
)
def test_usual_and_less_usual_heads_are_taken(raw: bytes) -> None:
    assert agree_on_request(raw)
    response = raw.replace(b"GET / HTTP/1.1", b"HTTP/1.1 200 OK").replace(b"POST / HTTP/1.1", b"HTTP/1.1 200 OK")
    if response != raw:
        assert agree_on_response(response.replace(b"ost: h", b"-h: h"), RequestHead(b"GET", b"/", b"h"))


@pytest.mark.parametrize(
    "lines",
    [
        b"Host: a\r\nHost: a\r\n",
        b"Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
        b"Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        b"Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Host: a\r\nUpgrade: x\r\n",
        b"Host: a\r\nTE: x\r\n",
        b"Host: a\r\nExpect: 100-continue\r\n",
        b"Host: a\r\nhosT: b\r\n",
        b"Host: a\r\nContent-length : 1\r\n",
        b"Host: a\r\nContent_Length: 1\r\n",
        b"Host: a\r\n" + PLAIN * 3,
    ],
)
def test_what_is_not_ordinary_is_left_to_others(lines: bytes) -> None:
    assert grammar.read_request(b"POST / HTTP/1.1\r\n" + lines + b"\r\n") is None


def test_ordinary_heads_are_taken() -> None:
    assert agree_on_request(ORDINARY)
    assert agree_on_response(ORDINARY_RESPONSE, RequestHead(b"GET", b"/", b"h"))


def test_generated_heads_mean_the_same() -> None:
    taken = sweep(3000, seed=1)
    assert taken["request"] > 300
    assert taken["response"] > 300


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_very_many_generated_heads_mean_the_same() -> None:
    taken = sweep(300_000, seed=2)
    assert taken["request"] > 30_000
    assert taken["response"] > 30_000


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=8), st.binary(max_size=12)), max_size=4), st.binary(max_size=20)
)
@example([(b"x", b"\x0c")], b"/")
def test_arbitrary_bytes_in_a_head(fields: list[tuple[bytes, bytes]], target: bytes) -> None:
    raw = b"GET /" + target + b" HTTP/1.1\r\nHost: h\r\n" + b"".join(b"%b:%b\r\n" % field for field in fields) + b"\r\n"
    agree_on_request(raw[: raw.index(b"\r\n\r\n") + 4])


@pytest.mark.parametrize("at", range(len(ORDINARY)))
def test_every_byte_of_an_ordinary_head_replaced(at: int) -> None:
    for byte in (0x00, 0x09, 0x0A, 0x0D, 0x20, 0x3A, 0x5F, 0x7F, 0xE9):
        raw = ORDINARY[:at] + bytes([byte]) + ORDINARY[at + 1 :]
        if raw.endswith(b"\r\n\r\n"):
            agree_on_request(raw[: raw.index(b"\r\n\r\n") + 4])


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX_Y: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_unusual_but_good_heads_are_left_to_h11(raw: bytes) -> None:
    assert grammar.read_request(raw) is None
    h11_head.read_request(raw)


def test_more_headers_than_ordinary_are_left_to_h11() -> None:
    raw = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"a: b\r\n" * grammar.MAX_HEADERS + b"\r\n"
    assert grammar.read_request(raw) is None


def test_what_the_grammar_leaves_may_be_refused() -> None:
    raw = b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"
    assert grammar.read_request(raw) is None
    with pytest.raises(ProtocolError):
        h11_head.read_request(raw)
