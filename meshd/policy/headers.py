"""Header edits, compiled. Pure.

Envoy's order: remove, then set (overwrite), then add (append). Values without
``%`` are rendered once; the others are Envoy's ``%OPERATOR%`` formats, read
before anything is written. An empty result is not written at all. Setting
``host`` or ``:authority`` on a request rewrites its host; other names that
begin with ``:`` are dropped, as Istio does. Names that say how a message is
framed, or that belong to one connection, cannot be written by configuration.
A host that is put together from a request and is none leaves the host as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from meshd.errors import ConfigError
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.policy.exchange import Exchange, Reply
from meshd.snapshot.common import HeaderOperations
from meshd.snapshot.policy import HeaderEdit
from meshd.snapshot.predicates import compile_header
from meshd.telemetry.operators import HEADER_OPERATORS, Value, parse_format

RequestEdit = Callable[[Exchange, RequestHead], None]
ResponseEdit = Callable[[Exchange, ResponseHead], None]

_HOST = frozenset(("host", ":authority"))
_FRAMING = frozenset(
    (
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        "expect",
        "trailer",
    )
)
_AUTHORITY = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]+")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def check_host(host: str) -> None:
    """Refuse what could not stand in a Host header; for rewrites and redirects.

    Raises:
        ConfigError: it holds a space, a slash or another character that no host has.
    """
    if host and not _AUTHORITY.fullmatch(host.encode()):
        raise ConfigError(f"{host!r} is no host: expected a name or address, with or without a port")


def check_operations(operations: HeaderOperations, *, request: bool) -> None:
    """Refuse edits that cannot be compiled; for whoever validates documents.

    Raises:
        ConfigError: which edit, and why.
    """
    _Edits(operations, request=request)


def compile_request(operations: HeaderOperations) -> RequestEdit | None:
    """Request edits, None when there is nothing to do.

    Raises:
        ConfigError: a name or format is not usable.
    """
    edits = _Edits(operations, request=True)
    host = edits.host
    if host is None:
        if edits.empty:
            return None
        apply = edits.apply
        return lambda exchange, head: apply(exchange, head.headers)

    def edit(exchange: Exchange, head: RequestHead) -> None:
        authority = host(exchange)
        edits.apply(exchange, head.headers)
        if _AUTHORITY.fullmatch(authority):
            head.authority = authority

    return edit


def compile_response(operations: HeaderOperations) -> ResponseEdit | None:
    """Response edits, None when there is nothing to do.

    Raises:
        ConfigError: a name or format is not usable.
    """
    edits = _Edits(operations, request=False)
    if edits.empty:
        return None
    apply = edits.apply
    return lambda exchange, head: apply(exchange, head.headers)


class _Edits:
    """One ``HeaderOperations``, compiled. Static lines are rendered beforehand."""

    __slots__ = ("_dynamic", "_removed", "_static", "empty", "host")

    def __init__(self, operations: HeaderOperations, *, request: bool) -> None:
        self.host: Callable[[Exchange], bytes] | None = None
        removed = [name.lower().encode() for name in operations.remove if _editable(name)]
        static: list[tuple[bytes, bytes]] = []
        dynamic: list[tuple[bool, bytes, Callable[[Exchange], bytes]]] = []
        for name, template in _compiled(operations.set):
            if request and name in _HOST:
                if isinstance(template, bytes):
                    check_host(template.decode())
                self.host = _constant(template) if isinstance(template, bytes) else template
            elif not _editable(name):
                continue
            elif not isinstance(template, bytes):
                dynamic.append((True, name.encode(), template))
            elif template:
                static = [line for line in static if line[0] != name.encode()]
                static.append((name.encode(), template))
                removed.append(name.encode())
        for name, template in _compiled(operations.add):
            if not _editable(name):
                continue
            if not isinstance(template, bytes):
                dynamic.append((False, name.encode(), template))
            elif template:
                static.append((name.encode(), template))
        self._removed = tuple(dict.fromkeys(removed))
        self._dynamic = tuple(dynamic)
        self._static = Headers.of(static) if static else None
        self.empty = not (removed or static or dynamic)

    def apply(self, exchange: Exchange, headers: Headers) -> None:
        """Edit a header list."""
        if self._dynamic:
            self._apply_dynamic(exchange, headers)
            return
        for name in self._removed:
            headers.remove(name)
        if self._static is not None:
            headers.extend(self._static)

    def _apply_dynamic(self, exchange: Exchange, headers: Headers) -> None:
        rendered = [(overwrite, name, value(exchange)) for overwrite, name, value in self._dynamic]
        for name in self._removed:
            headers.remove(name)
        if self._static is not None:
            headers.extend(self._static)
        for overwrite, name, value in rendered:
            if value and overwrite:
                headers.set(name, value)
            elif value:
                headers.add(name, value)


def _constant(value: bytes) -> Callable[[Exchange], bytes]:
    return lambda _exchange: value


def _compiled(items: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, bytes | Callable[[Exchange], bytes]]]:
    for written, value in items:
        name = written.strip().lower()
        if name in _FRAMING:
            raise ConfigError(
                f"header {written!r} says how messages are framed or connections kept, and cannot be set: remove this edit"
            )
        if not _TOKEN.fullmatch(name.removeprefix(":")):
            raise ConfigError(f"{written!r} is no header name")
        yield name, _template(name, value)


def _editable(name: str) -> bool:
    return not name.startswith(":") and name.lower() != "host"


def _template(name: str, value: str) -> bytes | Callable[[Exchange], bytes]:
    if any(character in value for character in "\r\n\0"):
        raise ConfigError(f"the value of header {name!r} holds a line break or NUL")
    try:
        parts = parse_format(value, HEADER_OPERATORS)
    except ConfigError as error:
        raise ConfigError(f"header {name!r}: {error.message}") from error
    if not parts or (len(parts) == 1 and isinstance(parts[0], str)):
        return "".join(part for part in parts if isinstance(part, str)).strip().encode()
    return lambda exchange: _rendered(parts, exchange)


def _rendered(parts: tuple[str | Value, ...], exchange: Exchange) -> bytes:
    pieces = [part if isinstance(part, str) else part(exchange, 0.0, 0.0) for part in parts]
    text = "".join(["" if piece is None else str(piece) for piece in pieces]).strip()
    return text.encode("utf-8", "surrogateescape").translate(None, b"\r\n\0")


class HeaderEdits:
    """The chain's own edits (``HeaderEdit``): a head filter.

    ``when`` is judged on the request; the response is edited if it held.
    """

    __slots__ = ("_request", "_response", "_when")

    def __init__(self, specification: HeaderEdit) -> None:
        self._request = compile_request(specification.request)
        self._response = compile_response(specification.response)
        self._when = tuple(compile_header(match) for match in specification.when)

    def request(self, exchange: Exchange) -> Reply | None:
        if self._request is not None and self._applies(exchange):
            self._request(exchange, exchange.request)
        return None

    def response(self, exchange: Exchange, response: ResponseHead) -> None:
        if self._response is not None and self._applies(exchange):
            self._response(exchange, response)

    def _applies(self, exchange: Exchange) -> bool:
        headers = exchange.request.headers
        return all(holds(headers) for holds in self._when)
