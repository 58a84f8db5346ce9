"""Errors become replies, replies become bytes: the one table."""

from __future__ import annotations

import pytest

from meshd.errors import (
    ConnectionLost,
    DeadlineExceeded,
    Denied,
    ProtocolError,
    ResponseFlag,
    UpstreamError,
)
from meshd.policy.exchange import Reply
from meshd.proxy.reply import (
    ClientGone,
    RouteTimeout,
    StreamIdle,
    TryTimeout,
    from_error,
    grpc_message,
    missing_cluster,
    reason_header,
    render,
)

UF = ResponseFlag.UPSTREAM_CONNECTION_FAILURE
RESET = b"upstream connect error or disconnect/reset before headers. "


@pytest.mark.parametrize(
    ("error", "status", "body", "flags", "detail"),
    [
        (
            UpstreamError("remote connection failure", UF, cause="connection refused"),
            503,
            RESET + b"reset reason: remote connection failure",
            "UF",
            "upstream_reset_before_response_started{remote_connection_failure}",
        ),
        (
            UpstreamError("protocol error", ResponseFlag.UPSTREAM_PROTOCOL_ERROR),
            502,
            RESET + b"reset reason: protocol error",
            "UPE",
            "upstream_reset_before_response_started{protocol_error}",
        ),
        (
            UpstreamError("overflow", ResponseFlag.UPSTREAM_OVERFLOW),
            503,
            RESET + b"reset reason: overflow",
            "UO",
            "upstream_reset_before_response_started{overflow}",
        ),
        (
            UpstreamError("whatever", ResponseFlag.NO_HEALTHY_UPSTREAM),
            503,
            b"no healthy upstream",
            "UH",
            "no_healthy_upstream",
        ),
        (RouteTimeout(), 504, b"upstream request timeout", "UT", "response_timeout"),
        (TryTimeout(), 504, b"upstream request timeout", "UT", "upstream_per_try_timeout"),
        (DeadlineExceeded("x"), 504, b"upstream request timeout", "UT", "response_timeout"),
        (StreamIdle(), 504, b"stream timeout", "SI", "stream_idle_timeout"),
        (
            Denied("rbac_access_denied_matched_policy[none]"),
            403,
            b"RBAC: access denied",
            "",
            "rbac_access_denied_matched_policy[none]",
        ),
        (ProtocolError("bad", status=431, detail="http1.x"), 431, b"Request Header Fields Too Large", "DPE", "http1.x"),
        (ClientGone("x"), 499, b"", "DC", "downstream_remote_disconnect"),
        (ConnectionLost("x"), 499, b"", "DC", "downstream_remote_disconnect"),
        (ZeroDivisionError(), 500, b"Internal Server Error", "", "internal_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_error_has_its_reply(error, status, body, flags, detail):
    reply = from_error(error)
    assert (reply.status, reply.body, ",".join(reply.flags), reply.detail) == (status, body, flags, detail)


def test_a_reply_after_retries_says_so():
    reply = from_error(UpstreamError("remote reset", ResponseFlag.UPSTREAM_REMOTE_RESET), attempts=3)
    assert reply.body == RESET + b"retried and the latest reset reason: remote reset"


def test_overflow_tells_the_client_that_it_may_slow_down():
    head, _ = render(from_error(UpstreamError("overflow", ResponseFlag.UPSTREAM_OVERFLOW)), grpc=False, stranger=False)
    assert head.headers.get(b"x-envoy-overloaded") == b"true"


def test_inside_the_mesh_the_reason_is_told_and_to_strangers_only_the_flag():
    reply = missing_cluster("outbound|80|v9|x.default.svc.cluster.local", 503)
    inside = reason_header(reply, stranger=False)
    assert inside.startswith(b"NC; ")
    assert b"v9" in inside
    assert reason_header(reply, stranger=True) == b"NC"


def test_a_reason_is_one_line_of_printable_ascii_and_not_endless():
    reply = Reply(503, flags=(UF,), reason="a\r\nset-cookie: x=1\n" + "é" * 1000)
    value = reason_header(reply, stranger=False)
    assert b"\r" not in value
    assert b"\n" not in value
    assert len(value) < 400
    head, _ = render(reply, grpc=False, stranger=False)
    assert b"set-cookie" not in head.headers


def test_a_reply_without_flag_or_reason_explains_nothing():
    head, body = render(Reply(200, b"hi"), grpc=False, stranger=False)
    assert list(head.headers.items()) == [(b"content-type", b"text/plain")]
    assert (head.length, body) == (2, b"hi")


def test_a_reply_keeps_its_own_content_type():
    head, _ = render(Reply(200, b"{}", ((b"content-type", b"application/json"),)), grpc=False, stranger=False)
    assert head.headers.get_all(b"content-type") == [b"application/json"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (500, 2), (418, 2)],
)
def test_grpc_requests_get_a_status_in_headers(status, expected):
    head, body = render(Reply(status, b"why not"), grpc=True, stranger=False)
    assert (head.status, head.length, body) == (200, 0, b"")
    assert head.headers.get(b"content-type") == b"application/grpc"
    assert head.headers.get(b"grpc-status") == b"%d" % expected
    assert head.headers.get(b"grpc-message") == b"why not"


def test_a_grpc_status_that_is_given_is_kept():
    head, _ = render(Reply(503, grpc_status=8), grpc=True, stranger=False)
    assert head.headers.get(b"grpc-status") == b"8"


def test_grpc_messages_are_percent_encoded():
    assert grpc_message("50% é\n".encode()) == b"50%25 %C3%A9%0A"
