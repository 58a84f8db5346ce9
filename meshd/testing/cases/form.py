"""The kind ``MeshTest``: what a file of cases may say. Pure values.

Made by ``reading`` with the converter of ``meshd.api``; fields are spelled as in
the file. Short forms (a status for an answer, a text for a list of one) have
become the long ones by then, see ``shorthand``.
"""

from __future__ import annotations

import attrs

from meshd.api.common import Duration, Labels, Map
from meshd.testing.judging import Text

API_VERSION = "meshd.dev/v1"
KIND = "MeshTest"
OUTSIDE = "outside"
"""Who calls when it is nobody of the mesh."""


@attrs.frozen
class Respond:
    """How an application answers one request."""

    status: int = 200
    body: str | None = None
    headers: Labels = Map()
    trailers: Labels = Map()
    delay: Duration | None = None
    hang: bool = False
    """Take the request and never answer."""
    reset: bool = False
    """Take the request and reset the connection."""
    echo: bool = False
    """Answer with the request's own body."""


@attrs.frozen
class Service:
    """Who takes part: one application, or one for each version. Each list is a script, its last line repeated."""

    answers: tuple[Respond, ...] = ()
    versions: Map[str, tuple[Respond, ...]] = Map()
    namespace: str = "default"
    account: str = ""
    labels: Labels = Map()
    port: int = 0
    protocol: str = "http"
    sidecar: bool = True


@attrs.frozen
class Given:
    """How a service answers in one case."""

    answers: tuple[Respond, ...] = ()
    versions: Map[str, tuple[Respond, ...]] = Map()


@attrs.frozen
class Gateway:
    """A gateway: what Gateway selectors look for, where it is, and as whom it calls ("": as its name says)."""

    labels: Labels = Map()
    namespace: str = "istio-system"
    account: str = ""


@attrs.frozen
class Span:
    """A span of time, its ends included."""

    atLeast: Duration | None = None
    atMost: Duration | None = None
    exactly: Duration | None = None
    """To the millisecond."""


@attrs.frozen
class Route:
    """The rule that should be taken."""

    resource: str | None = None
    """``VirtualService reviews``, ``VirtualService prod/reviews``."""
    rule: int | None = None
    """Its number, from 0."""
    name: str | None = None


@attrs.frozen
class Retries:
    """The retries that should be configured."""

    attempts: int | None = None
    retryOn: tuple[str, ...] | None = None


@attrs.frozen
class Status:
    """The status of every answer, or how often each comes: ``{shares: {200: 90, 503: 10}}``, in percent."""

    anyOf: tuple[int, ...] = ()
    shares: Map[str, float] = Map()


@attrs.frozen
class Served:
    """Who answers: workloads or services, one of which it must be; or how often each does, in percent."""

    anyOf: tuple[str, ...] = ()
    shares: Map[str, float] = Map()


@attrs.frozen
class Expect:
    """What should come of it. The first group is what happens, the second what the configuration decides."""

    status: Status | None = None
    servedBy: Served | None = None
    within: float | None = None
    """Percentage points that shares may be off."""
    hosts: tuple[str, ...] | None = None
    attempts: int | None = None
    flags: tuple[str, ...] | None = None
    took: Span | None = None
    body: Text | None = None
    headers: Map[str, Text] = Map()
    grpcStatus: int | None = None
    error: Text | None = None
    """What the caller got in place of an answer: a reset connection, its own patience at an end."""
    received: Map[str, Text] = Map()
    """Header fields of the request as the application got it."""
    receivedPath: Text | None = None

    verdict: str | None = None
    route: Route | None = None
    virtualHost: str | None = None
    cluster: str | None = None
    destination: str | None = None
    """``reviews``, ``reviews/v2``, ``reviews.prod/v2``: host and subset of the cluster."""
    policy: str | None = None
    """The AuthorizationPolicy that decides: ``default/deny-all``."""
    mtls: str | None = None
    timeout: Duration | None = None
    retries: Retries | None = None
    path: str | None = None
    """As it goes up, when it is rewritten."""
    location: str | None = None
    listener: str | None = None
    filterChain: str | None = None
    routeConfig: str | None = None


@attrs.frozen
class Case:
    """One call, once or several times, and what should come of it."""

    name: str
    call: str
    expect: Expect
    from_: str = ""
    """A service or workload whose application calls, or ``outside``."""
    through: str = ""
    """A gateway, called from outside."""
    headers: Labels = Map()
    body: str = ""
    protocol: str = "http"
    times: int = 1
    timeout: Duration | None = None
    """After which the caller gives up."""
    given: Map[str, Given] = Map()


@attrs.frozen
class MeshTest:
    """A document of cases, which share one mesh."""

    cases: tuple[Case, ...]
    config: tuple[str, ...] | None = None
    """Files and directories, from where the document stands; its own directory when nothing is said."""
    services: Map[str, Service] = Map()
    gateways: Map[str, Gateway] = Map()
    names: Map[str, tuple[str, ...]] = Map()
    """What names outside of the mesh resolve to: IP addresses, or services of the mesh."""
    seed: int = 1


BEHAVIOUR = (
    "status",
    "servedBy",
    "hosts",
    "attempts",
    "flags",
    "took",
    "body",
    "headers",
    "grpcStatus",
    "error",
    "received",
    "receivedPath",
)
"""Fields of ``Expect`` for which the call is really made."""
DECISION = (
    "verdict",
    "route",
    "virtualHost",
    "cluster",
    "destination",
    "policy",
    "mtls",
    "timeout",
    "retries",
    "path",
    "location",
    "listener",
    "filterChain",
    "routeConfig",
)
"""Fields of ``Expect`` for which the configuration is asked."""


def said(expect: Expect, names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of these fields are given."""
    return tuple(name for name in names if getattr(expect, name) not in (None, Map()))
