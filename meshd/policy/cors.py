"""Cross-origin requests (CORS): a head filter that answers preflights and marks responses. Pure.

A request with an ``origin`` is judged by it. A preflight (OPTIONS with
``access-control-request-method``) from an origin that may ask is answered here,
with 200 and what the policy allows; one from another origin goes on, or, where
the policy says so, is answered without any permission. Any other response to an
origin that may ask is marked with it. Requests without an origin, and origins
that may not ask, pass untouched: it is the browser that refuses.
Source: Envoy 1.40's CORS filter, as Istio's ``corsPolicy`` configures it.
"""

from __future__ import annotations

from meshd.http.head import ResponseHead
from meshd.policy.exchange import Exchange, Reply
from meshd.snapshot.common import MatchKind, StringMatch
from meshd.snapshot.policy import Cors
from meshd.snapshot.predicates import Predicate, compile_any

ORIGIN = b"origin"
REQUESTED_METHOD = b"access-control-request-method"
ALLOW_ORIGIN = b"access-control-allow-origin"
ALLOW_CREDENTIALS = b"access-control-allow-credentials"
EXPOSE_HEADERS = b"access-control-expose-headers"

_EVERY = StringMatch(MatchKind.EXACT, "*")


class CrossOrigin:
    """One route's policy, compiled."""

    __slots__ = ("_allows", "_credentials", "_expose", "_forward", "_permission")

    def __init__(self, policy: Cors) -> None:
        """Compile a policy.

        Raises:
            ConfigError: a regular expression is not RE2.
        """
        self._allows: Predicate = bool if _EVERY in policy.origins else compile_any(policy.origins)
        self._forward = policy.forward_unmatched_preflights
        self._credentials = policy.allow_credentials
        self._expose = policy.expose_headers.encode()
        named = (
            (b"access-control-allow-methods", policy.allow_methods),
            (b"access-control-allow-headers", policy.allow_headers),
            (b"access-control-max-age", policy.max_age),
        )
        self._permission = tuple((name, value.encode()) for name, value in named if value)

    def request(self, exchange: Exchange) -> Reply | None:
        """Answer a preflight."""
        request = exchange.request
        if request.method != b"OPTIONS":
            return None
        origin = _origin(exchange)
        if not origin or not any(request.headers.get_all(REQUESTED_METHOD)):
            return None
        if self._allows(origin):
            return Reply(200, headers=self._permission, detail="cors_response")
        if self._forward:
            return None
        reason = "a preflight from an origin that the route's CORS policy does not allow"
        return Reply(200, detail="cors_response", reason=reason)

    def response(self, exchange: Exchange, response: ResponseHead) -> None:
        """Mark a response to an origin that may ask."""
        origin = _origin(exchange)
        if not origin or not self._allows(origin):
            return
        response.headers.set(ALLOW_ORIGIN, origin)
        if self._credentials:
            response.headers.set(ALLOW_CREDENTIALS, b"true")
        if self._expose:
            response.headers.set(EXPOSE_HEADERS, self._expose)


def _origin(exchange: Exchange) -> bytes:
    values = exchange.request.headers.get_all(ORIGIN)
    return values[0] if values else b""
