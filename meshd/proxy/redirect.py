"""Where redirects point, compiled. Pure.

Envoy's rules: parts that a redirect does not name are the request's. A host
named by the redirect brings its own port or none; the request's port stays,
unless it is the default of a scheme that the redirect leaves, or another is
named. A port that is its scheme's default is not written. The query is kept,
unless the new path has one.
"""

from __future__ import annotations

from collections.abc import Callable

from meshd.errors import ConfigError
from meshd.http.head import RequestHead
from meshd.policy.exchange import Exchange, Reply
from meshd.policy.headers import check_host
from meshd.proxy.rewrite import check_path, compile_prefix
from meshd.snapshot.match import host_of, port_of
from meshd.snapshot.route import Redirect, RouteMatch

_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}
_STATUSES = frozenset((301, 302, 303, 307, 308))


def redirector(match: RouteMatch, redirect: Redirect) -> Callable[[Exchange], Reply]:
    """A function that makes the reply of a redirect.

    Raises:
        ConfigError: the status is no redirection, or the new host or path cannot stand in a URL.
    """
    if redirect.status not in _STATUSES:
        raise ConfigError(f"{redirect.status} is no redirect: expected 301, 302, 303, 307 or 308")
    check_host(redirect.host)
    path = _path_change(match, redirect)
    scheme = redirect.scheme.encode()
    host = redirect.host.encode()

    def reply(exchange: Exchange) -> Reply:
        request = exchange.request
        port = exchange.connection.destination_port if redirect.port_from_request else redirect.port
        origin = _origin(request, scheme or request.scheme, host, b"%d" % port if port else b"")
        location = origin + (path(request.target) if path is not None else request.target)
        return Reply(redirect.status, headers=((b"location", location),), detail="direct_response")

    return reply


def https_location(request: RequestHead) -> bytes:
    """The same URL under https (``httpsRedirect``)."""
    return _origin(request, b"https", b"", b"") + request.target


def _origin(request: RequestHead, scheme: bytes, host: bytes, port: bytes) -> bytes:
    if not host:
        host = _kept_host(request, scheme, port)
    if port and port != _DEFAULT_PORTS.get(scheme):
        return b"%b://%b:%b" % (scheme, host, port)
    return b"%b://%b" % (scheme, host)


def _kept_host(request: RequestHead, scheme: bytes, port: bytes) -> bytes:
    """The request's authority, without its port where that no longer holds."""
    authority = request.authority
    bare = authority[: len(host_of(authority))]
    leaves = scheme != request.scheme and port_of(authority) == _DEFAULT_PORTS.get(request.scheme)
    return bare if port or leaves else authority


def _path_change(match: RouteMatch, redirect: Redirect) -> Callable[[bytes], bytes] | None:
    if redirect.prefix is not None:
        swap = compile_prefix(match, redirect.prefix)
        return lambda target: _with_query(swap(target.partition(b"?")[0]), target)
    if redirect.path:
        check_path(redirect.path)
        whole = redirect.path.encode()
        return lambda target: _with_query(whole, target)
    return None


def _with_query(path: bytes, target: bytes) -> bytes:
    if path[:1] != b"/":
        path = b"/" + path
    if b"?" in path:
        return path
    _, mark, query = target.partition(b"?")
    return path + mark + query
