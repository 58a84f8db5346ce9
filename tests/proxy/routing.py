"""Small builders and strategies for route tables and requests, shared by the routing tests."""

from __future__ import annotations

from hypothesis import strategies as st

from meshd.http.head import Headers, RequestHead
from meshd.net.address import Address
from meshd.policy.exchange import ConnectionInfo, Exchange
from meshd.snapshot.common import Direction, HeaderMatch, MatchKind, StringMatch
from meshd.snapshot.route import Forward, QueryMatch, Route, RouteMatch, RouteTable, VirtualHost, WeightedCluster


def exact(value: str) -> StringMatch:
    return StringMatch(MatchKind.EXACT, value)


def prefix(value: str) -> StringMatch:
    return StringMatch(MatchKind.PREFIX, value)


def request(
    target: str = "/", host: str = "reviews", method: str = "GET", scheme: str = "http", **headers: str
) -> RequestHead:
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return RequestHead(method.encode(), target.encode(), host.encode(), Headers.of(lines), scheme=scheme.encode())


def exchange(head: RequestHead | None = None, **connection: object) -> Exchange:
    given = {
        "direction": Direction.GATEWAY,
        "peer": Address("10.1.2.3", 4567),
        "local": Address("10.0.0.1", 8080),
        "destination_port": 80,
    }
    return Exchange(ConnectionInfo(**{**given, **connection}), head or request(), started=0.0)  # type: ignore[arg-type]


def route(name: str, match: RouteMatch | None = None, **changes: object) -> Route:
    action = changes.pop("action", Forward((WeightedCluster(name),)))
    return Route(name, match or RouteMatch(), action, **changes)  # type: ignore[arg-type]


def table(*routes: Route, domains: tuple[str, ...] = ("*",), name: str = "http.80", **changes: object) -> RouteTable:
    return RouteTable(name, (VirtualHost("all", domains, routes, **changes),))  # type: ignore[arg-type]


_WORDS = st.sampled_from(["", "a", "b", "ab", "A", "/a", "/a/", "/a/b", "/", "/A", "a,b", "x.y"])
_KINDS = st.sampled_from([kind for kind in MatchKind if kind is not MatchKind.REGEX])
MATCHES = st.builds(StringMatch, _KINDS, _WORDS, st.booleans()) | st.sampled_from(
    [StringMatch(MatchKind.REGEX, pattern) for pattern in ("a.*", "/a|/b", ".*", "[ab]+(,b)?", "")]
)
NAMES = st.sampled_from(["end-user", "x", "cookie"])
HEADER_MATCHES = st.builds(HeaderMatch, NAMES, MATCHES, st.booleans(), st.booleans())
ROUTE_MATCHES = st.builds(
    RouteMatch,
    path=st.none() | MATCHES,
    method=st.none() | MATCHES,
    authority=st.none() | MATCHES,
    scheme=st.none() | MATCHES,
    headers=st.lists(HEADER_MATCHES, max_size=2).map(tuple),
    query=st.lists(st.builds(QueryMatch, st.sampled_from(["q", "r"]), MATCHES), max_size=1).map(tuple),
)
HOSTS = st.sampled_from(
    [
        "a.b.c",
        "b.c",
        ".b.c",
        "a.b",
        "A.B.c",
        "c",
        "x.a.b.c",
        "a.b.c:80",
        "a.b:",
        "[::1]:80",
        "[::1]",
        "",
        "a.b.c.",
        "*.b.c",
    ]
)
DOMAINS = st.sampled_from(["*", "a.b.c", "*.b.c", "*.c", "a.*", "a.b.*", "[::1]", "b.c", "*b.c", "c", "*.", "a.b.c."])
LINES = st.lists(st.tuples(NAMES.map(str.encode), _WORDS.map(str.encode)), max_size=3)
REQUESTS = st.builds(
    lambda method, target, host, lines, scheme: RequestHead(
        method.encode(), target.encode(), host.encode(), Headers.of(lines), scheme=scheme.encode()
    ),
    _WORDS,
    st.builds("".join, st.tuples(_WORDS, st.sampled_from(["", "?", "?q", "?q=a", "?r=b&q=&q=a", "?q=/a"]))),
    HOSTS | _WORDS,
    LINES,
    st.sampled_from(["http", "https", "a"]),
)


@st.composite
def tables(draw: st.DrawFn) -> RouteTable:
    """A table whose virtual hosts may quarrel about domains, with routes named uniquely."""
    hosts = []
    for index in range(draw(st.integers(1, 3))):
        matches = draw(st.lists(ROUTE_MATCHES, max_size=4))
        routes = tuple(route(f"{index}.{number}", match) for number, match in enumerate(matches))
        domains = tuple(draw(st.lists(DOMAINS, min_size=1, max_size=3)))
        hosts.append(VirtualHost(f"host-{index}", domains, routes))
    return RouteTable(draw(st.sampled_from(["80", "9080", "http_proxy"])), tuple(hosts))
