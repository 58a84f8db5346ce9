"""Header edits: Envoy's order, formats, and what configuration may not write."""

from __future__ import annotations

import pytest

from meshd.errors import ConfigError
from meshd.http.head import Headers, ResponseHead
from meshd.policy.headers import HeaderEdits, check_operations, compile_request, compile_response
from meshd.snapshot.common import HeaderMatch, HeaderOperations, MatchKind, StringMatch
from meshd.snapshot.policy import HeaderEdit
from tests.policy.subjects import exchange


def edited(operations: HeaderOperations, *headers: tuple[str, str], **changes: object) -> list[tuple[bytes, bytes]]:
    made = exchange(headers=headers, **changes)  # type: ignore[arg-type]
    edit = compile_request(operations)
    assert edit is not None
    edit(made, made.request)
    return list(made.request.headers.items())


def test_remove_then_set_then_add() -> None:
    operations = HeaderOperations(
        remove=("X-Gone", "x-kept"), set=(("X-Set", "1"),), add=(("x-kept", "2"), ("x-set", "3"), ("x-new", "4"))
    )
    result = edited(operations, ("x-gone", "a"), ("x-set", "b"), ("x-kept", "c"), ("x-set", "d"), ("x", "e"))
    assert result == [(b"x", b"e"), (b"x-set", b"1"), (b"x-kept", b"2"), (b"x-set", b"3"), (b"x-new", b"4")]


def test_the_later_of_two_sets_wins_whatever_its_case() -> None:
    assert edited(HeaderOperations(set=(("X", "1"), ("x", "2")))) == [(b"x", b"2")]


def test_nothing_to_do_is_none() -> None:
    assert compile_request(HeaderOperations()) is None
    assert compile_response(HeaderOperations(set=((":status", "200"),), remove=("host",))) is None


@pytest.mark.parametrize("name", ["Host", ":authority", "host"])
def test_setting_the_host_rewrites_it(name: str) -> None:
    made = exchange()
    edit = compile_request(HeaderOperations(set=((name, "%REQ(x)%.example.com"),)))
    assert edit is not None
    made.request.headers.add(b"x", b"a")
    edit(made, made.request)
    assert made.request.authority == b"a.example.com"
    assert made.request.headers.get(b"host") is None
    assert compile_request(HeaderOperations(add=((name, "x"),))) is None


def test_a_host_put_together_from_a_request_must_be_one() -> None:
    edit = compile_request(HeaderOperations(set=(("host", "%REQ(x)%"),)))
    assert edit is not None
    for value in (b"a b", b"a/b", b""):
        made = exchange()
        made.request.headers.add(b"x", value)
        edit(made, made.request)
        assert made.request.authority == b"reviews:9080"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("a%%b", b"a%b"),
        ("%DOWNSTREAM_REMOTE_ADDRESS%", b"10.1.2.3:4567"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", b"10.1.2.3"),
        ("%DOWNSTREAM_LOCAL_PORT%", b"15006"),
        ("%PROTOCOL%", b"HTTP/1.1"),
        ("<%REQ(:METHOD)% %REQ(:PATH)%>", b"<GET /reviews/0?x=1>"),
        ("%REQ(none?User-Agent)%", b"curl"),
        ("%REQ(USER-AGENT):2%", b"cu"),
        ("%DOWNSTREAM_PEER_URI_SAN%", b"spiffe://cluster.local/ns/default/sa/productpage"),
        ("%REQ(x-raw)%", b"\xff"),
        ("  padded ", b"padded"),
    ],
)
def test_formats(form: str, expected: bytes) -> None:
    made = exchange(headers=(("user-agent", "curl"),))
    made.request.headers.add(b"x-raw", b"\xff")
    edit = compile_request(HeaderOperations(set=(("y", form),)))
    assert edit is not None
    edit(made, made.request)
    assert made.request.headers.get(b"y") == expected


def test_what_is_not_known_is_not_written() -> None:
    assert edited(
        HeaderOperations(set=(("y", "%REQ(none)%"),), add=(("z", "%UPSTREAM_HOST%"), ("w", "x"))), ("y", "old")
    ) == [
        (b"y", b"old"),
        (b"w", b"x"),
    ]
    assert compile_request(HeaderOperations(add=(("y", ""),))) is None


def test_values_are_read_before_anything_is_written() -> None:
    swap = HeaderOperations(set=(("a", "%REQ(b)%"), ("b", "%REQ(a)%")), remove=("a",))
    assert edited(swap, ("a", "1"), ("b", "2")) == [(b"a", b"2"), (b"b", b"1")]


def test_no_value_can_become_a_line() -> None:
    made = exchange(server_name="x\r\nevil: 1")
    edit = compile_request(HeaderOperations(set=(("y", "%REQUESTED_SERVER_NAME%"),)))
    assert edit is not None
    edit(made, made.request)
    assert made.request.headers.get(b"y") == b"xevil: 1"


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        (HeaderOperations(set=(("Content-Length", "5"),)), "how messages are framed"),
        (HeaderOperations(add=(("transfer-encoding", "chunked"),)), "how messages are framed"),
        (HeaderOperations(set=(("a b", "1"),)), "no header name"),
        (HeaderOperations(set=(("host", "a b"),)), "is no host"),
        (HeaderOperations(set=(("", "1"),)), "no header name"),
        (HeaderOperations(set=(("a", "1\r\nb: 2"),)), "line break"),
        (
            HeaderOperations(set=(("a", "%START_TIME%"),)),
            "header 'a': %START_TIME% is not supported: known are BYTES_RECEIVED",
        ),
        (HeaderOperations(set=(("a", "50%"),)), "write %% for a percent sign"),
        (HeaderOperations(set=(("a", "%PROTOCOL(x)%"),)), "takes no argument"),
        (HeaderOperations(set=(("a", "%REQ()%"),)), "needs its name"),
    ],
)
def test_what_cannot_be_compiled_is_refused(operations: HeaderOperations, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_operations(operations, request=True)


def test_responses_are_edited_too() -> None:
    edit = compile_response(HeaderOperations(set=(("x-via", "%UPSTREAM_HOST%"),), remove=("server",)))
    assert edit is not None
    head = ResponseHead(200, Headers.of([(b"Server", b"x")]))
    made = exchange()
    made.upstream_host = "10.0.0.2:9080"
    edit(made, head)
    assert list(head.headers.items()) == [(b"x-via", b"10.0.0.2:9080")]


def test_a_chain_s_edits_may_have_a_condition() -> None:
    add = HeaderOperations(add=(("y", "1"),))
    when = (HeaderMatch("x", StringMatch(MatchKind.EXACT, "a")),)
    edits = HeaderEdits(HeaderEdit(request=add, response=add, when=when))
    for value, expected in (("a", b"1"), ("b", None)):
        made = exchange(headers=(("x", value),))
        head = ResponseHead(200)
        assert edits.request(made) is None
        edits.response(made, head)
        assert (made.request.headers.get(b"y"), head.headers.get(b"y")) == (expected, expected)
