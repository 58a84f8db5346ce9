"""Retry policies: Istio's own cases, and what they leave out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshd.api.networking.virtual_service import HTTPRetry
from meshd.control.compiler.retries import INBOUND_DEFAULT, OUTBOUND_DEFAULT, inbound, outbound
from meshd.snapshot.route import RetryPolicy
from tests.corpus import corpus_path

FIELDS = {"attempts", "perTryTimeout", "retryOn", "retryRemoteLocalities", "retryIgnorePreviousHosts", "backoff"}


def retry_of(given: dict[str, Any]) -> HTTPRetry:
    assert set(given) <= FIELDS
    seconds: dict[str, Any] = {
        name: float(given[name].removesuffix("s")) for name in ("perTryTimeout", "backoff") if name in given
    }
    return HTTPRetry(**(given | seconds))


def in_envoys_words(policy: RetryPolicy) -> dict[str, Any]:
    """A policy as the corpus says it."""
    previous = "envoy.retry_host_predicates.previous_hosts"
    return {
        "numRetries": policy.attempts,
        "retryOn": ",".join(policy.on),
        "retriableStatusCodes": list(policy.status_codes),
        "hostSelectionRetryMaxAttempts": policy.host_selection_attempts,
        "retryHostPredicate": [previous] if policy.ignore_previous_hosts else [],
        "perTryTimeout": f"{policy.per_try_timeout:g}s" if policy.per_try_timeout else None,
        "backoffBase": f"{policy.base_interval:g}s",
    }


def test_istios_cases() -> None:
    cases = json.loads(corpus_path("expectations/retries.json").read_text())["cases"]
    checked = 0
    for case in cases:
        given = None if case["retries"] is None else retry_of(case["retries"])
        policy = inbound(given) if case["direction"] == "inbound" else outbound(given)
        if case["expect"] is None:
            assert policy is None, case["name"]
            continue
        assert policy is not None, case["name"]
        found = in_envoys_words(policy)
        # Preferring other localities is announced as without effect.
        expected = {name: value for name, value in case["expect"].items() if name != "retryPriority"}
        assert {name: found[name] for name in expected} == expected, case["name"]
        checked += 1
    assert checked >= 5


def test_defaults() -> None:
    assert outbound(None) is OUTBOUND_DEFAULT
    assert outbound(HTTPRetry()) == OUTBOUND_DEFAULT
    assert inbound(None) is INBOUND_DEFAULT
    assert inbound(None, grpc=True) is None
    assert OUTBOUND_DEFAULT.status_codes == ()


def test_no_attempts_turn_retries_off() -> None:
    assert outbound(HTTPRetry(attempts=0)) is None
    assert inbound(HTTPRetry(attempts=0)) is None


@pytest.mark.parametrize(
    ("text", "on", "codes"),
    [
        ("5xx", ("5xx",), ()),
        ("503", ("retriable-status-codes",), (503,)),
        (" reset , 503,,429 ", ("reset", "retriable-status-codes"), (503, 429)),
        ("retriable-status-codes,503", ("retriable-status-codes",), (503,)),
    ],
)
def test_conditions(text: str, on: tuple[str, ...], codes: tuple[int, ...]) -> None:
    policy = outbound(HTTPRetry(retryOn=text))
    assert policy is not None
    assert (policy.on, policy.status_codes) == (on, codes)


def test_backoff_grows_tenfold() -> None:
    policy = outbound(HTTPRetry(backoff=0.1))  # type: ignore[arg-type]
    assert policy is not None
    assert (policy.base_interval, policy.max_interval) == (0.1, 1.0)


def test_previous_hosts_may_be_tried_again_if_asked() -> None:
    policy = outbound(HTTPRetry(retryIgnorePreviousHosts=False))
    assert policy is not None
    assert not policy.ignore_previous_hosts
