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
        "retryPriority": {"name": "envoy.retry_priorities.previous_priorities", "updateFrequency": 2}
        if policy.remote_localities
        else None,
    }


def test_istios_cases() -> None:
    cases = json.loads(corpus_path("expectations/retries.json").read_text())["cases"]
    checked = 0
    for case in cases:
        given = None if case["retries"] is None else retry_of(case["retries"])
        policy = inbound(given) if case["direction"] == "inbound" else outbound(given, hashed=case["hashPolicy"])
        if case["expect"] is None:
            assert policy is None, case["name"]
            continue
        assert policy is not None, case["name"]
        found = in_envoys_words(policy)
        assert {name: found[name] for name in case["expect"]} == case["expect"], case["name"]
        checked += 1
    assert checked >= 5


def test_defaults() -> None:
    assert outbound(None) is OUTBOUND_DEFAULT
    assert outbound(HTTPRetry(attempts=2)) == OUTBOUND_DEFAULT
    assert inbound(None) is INBOUND_DEFAULT
    assert inbound(None, grpc=True) is None
    assert OUTBOUND_DEFAULT.status_codes == ()


def test_where_a_hash_picks_the_server_a_further_try_may_meet_it_again() -> None:
    hashed = outbound(None, hashed=True)
    assert hashed is not None
    assert not hashed.ignore_previous_hosts
    said = outbound(HTTPRetry(attempts=1, retryIgnorePreviousHosts=True), hashed=True)
    assert said is not None
    assert said.ignore_previous_hosts


def test_no_attempts_turn_retries_off() -> None:
    assert outbound(HTTPRetry(attempts=0)) is None
    assert outbound(HTTPRetry(retryOn="5xx")) is None
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
    policy = outbound(HTTPRetry(attempts=2, retryOn=text))
    assert policy is not None
    assert (policy.on, policy.status_codes) == (on, codes)


def test_backoff_grows_tenfold() -> None:
    policy = outbound(HTTPRetry(attempts=2, backoff=0.1))  # type: ignore[arg-type]
    assert policy is not None
    assert (policy.base_interval, policy.max_interval) == (0.1, 1.0)


def test_previous_hosts_may_be_tried_again_if_asked() -> None:
    policy = outbound(HTTPRetry(attempts=2, retryIgnorePreviousHosts=False))
    assert policy is not None
    assert not policy.ignore_previous_hosts
