"""Retry policies, with Istio's defaults. Pure.

Source: Istio's ``pilot/pkg/networking/core/route/retry/retry.go``.
"""

from __future__ import annotations

from typing import Final

import attrs

from meshd.api.networking.virtual_service import HTTPRetry
from meshd.snapshot.route import RetryPolicy

BY_STATUS: Final = "retriable-status-codes"
OUTBOUND_ON: Final = ("connect-failure", "refused-stream", "unavailable", "cancelled", BY_STATUS)
INBOUND_ON: Final = ("reset-before-request",)
ATTEMPTS: Final = 2
BACKOFF: Final = 0.025
BACKOFF_GROWTH: Final = 10
"""The longest pause is this many times the first (Envoy)."""

OUTBOUND_DEFAULT: Final = RetryPolicy(attempts=ATTEMPTS, on=OUTBOUND_ON)
INBOUND_DEFAULT: Final = RetryPolicy(attempts=ATTEMPTS, on=INBOUND_ON, ignore_previous_hosts=False)


def outbound(retries: HTTPRetry | None, *, hashed: bool = False) -> RetryPolicy | None:
    """Of a route to another service: two tries more unless the rule says otherwise, None for none.

    A further try avoids the servers tried before, except where the server is
    picked by a hash of the request (``hashed``) or the rule says otherwise.
    """
    if retries is None:
        return attrs.evolve(OUTBOUND_DEFAULT, ignore_previous_hosts=not hashed) if hashed else OUTBOUND_DEFAULT
    return _policy(
        retries,
        OUTBOUND_ON,
        per_try_timeout=retries.perTryTimeout or 0.0,
        ignore_previous_hosts=not hashed
        if retries.retryIgnorePreviousHosts is None
        else retries.retryIgnorePreviousHosts,
        remote_localities=bool(retries.retryRemoteLocalities),
    )


def inbound(retries: HTTPRetry | None, *, grpc: bool = False) -> RetryPolicy | None:
    """Of a sidecar to its own application: one host, so only how often, when and how soon can be said."""
    if grpc:
        return None
    if retries is None:
        return INBOUND_DEFAULT
    return _policy(retries, INBOUND_ON, per_try_timeout=0.0, ignore_previous_hosts=False)


def _policy(
    retries: HTTPRetry,
    default_on: tuple[str, ...],
    *,
    per_try_timeout: float,
    ignore_previous_hosts: bool,
    remote_localities: bool = False,
) -> RetryPolicy | None:
    """What both sides read alike; None when no attempts are wanted: a block that does not say how many wants none."""
    attempts = retries.attempts or 0
    if attempts <= 0:
        return None
    on, codes = _conditions(retries.retryOn) if retries.retryOn else (default_on, ())
    base = retries.backoff or BACKOFF
    return RetryPolicy(
        attempts=attempts,
        on=on,
        status_codes=codes,
        per_try_timeout=per_try_timeout,
        base_interval=base,
        max_interval=base * BACKOFF_GROWTH,
        ignore_previous_hosts=ignore_previous_hosts,
        remote_localities=remote_localities,
    )


def _conditions(text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """``retryOn``: names and status codes; a code asks for ``retriable-status-codes`` too."""
    names: list[str] = []
    codes: list[int] = []
    for entry in (each.strip() for each in text.split(",")):
        if entry.isascii() and entry.isdigit():
            codes.append(int(entry))
        elif entry:
            names.append(entry)
    if codes and BY_STATUS not in names:
        names.append(BY_STATUS)
    return tuple(names), tuple(codes)
