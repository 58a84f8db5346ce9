"""When to try again."""

from __future__ import annotations

import pytest

from meshd.errors import ConnectionLost, ResponseFlag, UpstreamError
from meshd.proxy.reply import TryTimeout
from meshd.proxy.retry import IDEMPOTENT, REFUSED, RetryPlan
from meshd.snapshot.route import RetryPolicy

REFUSED_CONNECTION = UpstreamError("remote connection failure", ResponseFlag.UPSTREAM_CONNECTION_FAILURE)
REFUSED_STREAM = UpstreamError(REFUSED, ResponseFlag.UPSTREAM_REMOTE_RESET)
BROKEN = UpstreamError("connection termination", ResponseFlag.UPSTREAM_TERMINATION, sent=True)
BROKEN_BEFORE = UpstreamError("connection termination", ResponseFlag.UPSTREAM_TERMINATION, sent=False)
OVERFLOW = UpstreamError("overflow", ResponseFlag.UPSTREAM_OVERFLOW)
NOBODY = UpstreamError("no healthy upstream", ResponseFlag.NO_HEALTHY_UPSTREAM)


def plan(*on: str, **more: object) -> RetryPlan:
    return RetryPlan.of(RetryPolicy(on=on, **more))


def test_istio_s_default_is_two_retries_of_what_was_not_executed():
    default = RetryPlan.of(RetryPolicy())
    assert default.attempts == 2
    assert default.wants_failure(REFUSED_CONNECTION, method=b"POST", sent=False)
    assert default.wants_failure(REFUSED_STREAM, method=b"POST", sent=True)
    assert not default.wants_failure(BROKEN, method=b"GET", sent=True)
    assert not default.wants_status(503)
    assert default.wants_grpc(14)
    assert default.wants_grpc(1)
    assert not default.wants_grpc(4)


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"CONNECT", b"get"])
@pytest.mark.parametrize("on", ["5xx", "gateway-error", "reset"])
def test_silence_after_sending_never_repeats_what_is_not_idempotent(on, method):
    for error in (BROKEN, TryTimeout()):
        assert not plan(on).wants_failure(error, method=method, sent=True)


@pytest.mark.parametrize("method", sorted(IDEMPOTENT))
@pytest.mark.parametrize("on", ["5xx", "gateway-error", "reset"])
def test_silence_after_sending_may_repeat_what_is_idempotent(on, method):
    for error in (BROKEN, TryTimeout()):
        assert plan(on).wants_failure(error, method=method, sent=True)


@pytest.mark.parametrize("on", ["5xx", "gateway-error", "reset", "reset-before-request"])
def test_what_was_never_sent_may_be_sent_again(on):
    assert plan(on).wants_failure(BROKEN_BEFORE, method=b"POST", sent=False)
    assert plan(on).wants_failure(REFUSED_CONNECTION, method=b"POST", sent=False)


def test_reset_before_request_does_not_cover_what_was_sent():
    assert not plan("reset-before-request").wants_failure(BROKEN, method=b"GET", sent=True)
    assert not plan("reset-before-request").wants_failure(BROKEN_BEFORE, method=b"GET", sent=True)


def test_a_connection_failure_needs_its_condition():
    assert not plan("refused-stream", "retriable-4xx").wants_failure(REFUSED_CONNECTION, method=b"GET", sent=False)


@pytest.mark.parametrize("error", [OVERFLOW, NOBODY, ConnectionLost("client"), ValueError()])
def test_some_failures_are_never_tried_again(error):
    everything = plan("5xx", "gateway-error", "reset", "connect-failure", "reset-before-request")
    assert not everything.wants_failure(error, method=b"GET", sent=False)


@pytest.mark.parametrize(
    ("on", "codes", "wanted", "unwanted"),
    [
        ("5xx", (), (500, 503, 599), (404, 200, 409)),
        ("gateway-error", (), (502, 503, 504), (500, 501, 409)),
        ("retriable-4xx", (), (409,), (404, 429, 500)),
        ("retriable-status-codes", (429, 418), (429, 418), (503, 404)),
        ("connect-failure", (503,), (), (503,)),
    ],
)
def test_statuses(on, codes, wanted, unwanted):
    compiled = plan(on, status_codes=codes)
    assert all(compiled.wants_status(status) for status in wanted)
    assert not any(compiled.wants_status(status) for status in unwanted)


def test_back_off_is_uniform_up_to_a_growing_and_capped_bound():
    compiled = plan("5xx", base_interval=0.025, max_interval=0.25)
    almost_one = 1 - 2**-53
    bounds = [round(compiled.backoff(retry, almost_one), 3) for retry in range(1, 7)]
    assert bounds == [0.025, 0.075, 0.175, 0.25, 0.25, 0.25]
    assert compiled.backoff(3, 0.0) == 0.0
    assert compiled.backoff(10_000, 0.5) == 0.125
