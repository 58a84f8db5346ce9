"""One route, compiled: where it goes, what it changes, what it answers. Pure.

Made by the router when a snapshot is prepared. Edits are made once on the head
that goes up; a retry sends the same head again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Protocol

from meshd.errors import ConfigError
from meshd.http.head import RequestHead, ResponseHead
from meshd.policy.exchange import Exchange, Reply
from meshd.policy.headers import check_host, compile_request, compile_response
from meshd.proxy.redirect import redirector
from meshd.proxy.rewrite import compile_rewrite
from meshd.snapshot.route import DirectResponse, Forward, Redirect, Route, VirtualHost, WeightedCluster


class Randomness(Protocol):
    """What picking needs of ``random.Random``."""

    def random(self) -> float: ...


class Target:
    """One weighted cluster of a route with all its edits."""

    __slots__ = (
        "_host",
        "_path",
        "_request_edits",
        "_response_edits",
        "_route_host",
        "cluster",
        "edits_requests",
        "edits_responses",
    )

    def __init__(self, route: Route, forward: Forward, weighted: WeightedCluster) -> None:
        check_host(weighted.host_rewrite)
        check_host(forward.rewrite.host)
        self.cluster = weighted.cluster
        self._host = weighted.host_rewrite.encode()
        self._route_host = forward.rewrite.host.encode()
        self._path = compile_rewrite(route.match, forward.rewrite)
        requests = (compile_request(weighted.request_headers), compile_request(route.request_headers))
        self._request_edits = tuple(edit for edit in requests if edit is not None)
        responses = (compile_response(weighted.response_headers), compile_response(route.response_headers))
        self._response_edits = tuple(edit for edit in responses if edit is not None)
        # Whether the two methods do anything: most routes edit nothing, and need not be asked.
        self.edits_requests = bool(self._host or self._route_host or self._path or self._request_edits)
        self.edits_responses = bool(self._response_edits)

    def edit_request(self, exchange: Exchange, head: RequestHead) -> None:
        """Rewrite what goes up: the cluster's headers, the route's, then host and path.

        A rewritten path or host leaves ``x-envoy-original-path`` or ``-host``.
        The host is ``rewrite.host``, else the route's host header, else the cluster's.
        """
        authority = head.authority
        if self._host:
            head.authority = self._host
        for edit in self._request_edits:
            edit(exchange, head)
        if self._route_host:
            head.authority = self._route_host
        if head.authority != authority:
            head.headers.set(b"x-envoy-original-host", authority)
        if self._path is not None:
            original = head.target
            head.target = self._path(original)
            if head.target != original:
                head.headers.set(b"x-envoy-original-path", original)
                if not exchange.original_path:
                    exchange.original_path = original

    def edit_response(self, exchange: Exchange, head: ResponseHead) -> None:
        """The cluster's header edits, then the route's."""
        for edit in self._response_edits:
            edit(exchange, head)


class RouteEntry:
    """One route, compiled.

    ``forward`` is None for redirects and direct responses. ``chain`` is a free
    slot in which the proxy keeps the route's compiled filters.
    """

    __slots__ = (
        "_bounds",
        "_edit",
        "_reply",
        "chain",
        "forward",
        "only",
        "route",
        "service",
        "targets",
        "virtual_host",
    )

    def __init__(self, virtual_host: VirtualHost, route: Route) -> None:
        self.route = route
        self.virtual_host = virtual_host.name
        self.service = virtual_host.service
        self.chain: object = None
        self.forward: Forward | None = None
        self.targets: tuple[Target, ...] = ()
        self.only: Target | None = None
        """The one target, when there is no choice."""
        self._bounds: list[int] = []
        self._edit = compile_response(route.response_headers)
        self._reply: Callable[[Exchange], Reply] | None = None
        action = route.action
        match action:
            case Forward():
                self.forward = action
                self.targets = tuple(Target(route, action, weighted) for weighted in action.clusters)
                self._bounds = list(accumulate(weighted.weight for weighted in action.clusters))
                if not self.targets or (len(self.targets) > 1 and self._bounds[-1] <= 0):
                    raise ConfigError(f"route {route.name} forwards, but has no destination with a weight above zero")
                self.only = self.targets[0] if len(self.targets) == 1 else None
            case Redirect():
                self._reply = redirector(route.match, action)
            case DirectResponse():
                self._reply = _direct(action)

    def pick(self, rng: Randomness) -> Target:
        """One of the targets, by weight. A single one is taken whatever its weight."""
        if self.only is not None:
            return self.only
        return self.targets[bisect_right(self._bounds, int(rng.random() * self._bounds[-1]))]

    def reply(self, exchange: Exchange) -> Reply:
        """The answer of a redirect or direct response; only when ``forward`` is None."""
        assert self._reply is not None
        return self._reply(exchange)

    def edit_response(self, exchange: Exchange, head: ResponseHead) -> None:
        """The route's header edits, for answers that no target made."""
        if self._edit is not None:
            self._edit(exchange, head)


def _direct(action: DirectResponse) -> Callable[[Exchange], Reply]:
    body = action.body.encode()
    return lambda _exchange: Reply(action.status, body=body, detail="direct_response")
