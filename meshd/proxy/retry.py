"""When to try again: decisions only. Pure.

The words are Envoy's ``retry_on``. One rule is stricter than Envoy, and it is
the reason why this is a module of its own: **a request that may have been
executed is not repeated unless its method is idempotent.** Silence after a
request was sent (a reset, a closed connection, a per-try timeout) says nothing
about what the backend has done with it, so ``5xx``, ``gateway-error`` and
``reset`` repeat a POST only when nothing of it can have been executed. An
*answer* is the backend's own word: status codes and gRPC statuses that the
policy lists are tried again whatever the method, as in Istio.
"""

from __future__ import annotations

import attrs

from meshd.errors import DeadlineExceeded, ResponseFlag, UpstreamError
from meshd.snapshot.route import RetryPolicy

IDEMPOTENT = frozenset((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE"))
"""RFC 9110 section 9.2.2."""

REFUSED = "remote refused stream reset"
"""The reason of an HTTP/2 REFUSED_STREAM: the peer promises that it did nothing (RFC 9113 section 8.7)."""

_GRPC_CONDITIONS = {
    "cancelled": 1,
    "deadline-exceeded": 4,
    "resource-exhausted": 8,
    "internal": 13,
    "unavailable": 14,
}
_ANY_RESET = frozenset(("reset", "5xx", "gateway-error"))


@attrs.frozen
class RetryPlan:
    """A ``RetryPolicy``, taken apart once. ``attempts`` counts the tries after the first."""

    attempts: int
    statuses: frozenset[int]
    server_errors: bool
    grpc_statuses: frozenset[int]
    any_reset: bool
    before_request: bool
    connect_failure: bool
    refused_stream: bool
    per_try_timeout: float
    base_interval: float
    max_interval: float
    ignore_previous_hosts: bool
    host_selection_attempts: int

    @classmethod
    def of(cls, policy: RetryPolicy) -> RetryPlan:
        """Compile a policy."""
        on = frozenset(policy.on)
        statuses: set[int] = set()
        if "gateway-error" in on:
            statuses.update((502, 503, 504))
        if "retriable-4xx" in on:
            statuses.add(409)
        if "retriable-status-codes" in on:
            statuses.update(policy.status_codes)
        return cls(
            attempts=policy.attempts,
            statuses=frozenset(statuses),
            server_errors="5xx" in on,
            grpc_statuses=frozenset(code for word, code in _GRPC_CONDITIONS.items() if word in on),
            any_reset=bool(on & _ANY_RESET),
            before_request="reset-before-request" in on,
            connect_failure="connect-failure" in on,
            refused_stream="refused-stream" in on,
            per_try_timeout=policy.per_try_timeout,
            base_interval=policy.base_interval,
            max_interval=policy.max_interval,
            ignore_previous_hosts=policy.ignore_previous_hosts,
            host_selection_attempts=policy.host_selection_attempts,
        )

    def wants_status(self, status: int) -> bool:
        """Is this answer one to try again?"""
        return (self.server_errors and status >= 500) or status in self.statuses

    def wants_grpc(self, grpc_status: int) -> bool:
        """The same for a gRPC status in response headers (never for trailers: the body is on its way by then)."""
        return grpc_status in self.grpc_statuses

    def wants_failure(self, error: Exception, *, method: bytes, sent: bool) -> bool:
        """Is this failure before any response head one to try again?

        Args:
            error: What ended the try.
            method: The request's.
            sent: Any byte of the request was handed to the network in this try.
        """
        if isinstance(error, DeadlineExceeded):
            return self.any_reset and (not sent or method in IDEMPOTENT)
        if not isinstance(error, UpstreamError) or error.flag is ResponseFlag.UPSTREAM_OVERFLOW:
            return False
        if error.flag is ResponseFlag.NO_HEALTHY_UPSTREAM:
            return False
        if error.reason == REFUSED:
            return self.refused_stream or self.any_reset
        if error.flag in _CONNECT_FLAGS:
            return self.connect_failure or self.before_request or self.any_reset
        if not (sent or error.sent):
            return self.before_request or self.any_reset
        return self.any_reset and method in IDEMPOTENT

    def backoff(self, retry: int, uniform: float) -> float:
        """Seconds before the ``retry``-th retry (1 is the first): uniform in [0, (2^N - 1) * base), capped.

        Args:
            retry: Which one.
            uniform: A random number in [0, 1).
        """
        return uniform * min(self.base_interval * (2.0 ** min(retry, 30) - 1), self.max_interval)


_CONNECT_FLAGS = (ResponseFlag.UPSTREAM_CONNECTION_FAILURE, ResponseFlag.DNS_FAILURE)
