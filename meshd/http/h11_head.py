"""Heads read by h11, once the guard has let them pass: the authority on HTTP/1. Pure.

The strict grammar reads ordinary heads in one pass; everything else comes here.
What both accept must mean the same: a property test holds them together. h11
is imported when the first such head comes: most processes never see one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshd.errors import ProtocolError
from meshd.http.framing import CHUNKED, LENGTH, NO_BODY, UNTIL_CLOSE
from meshd.http.guard import HOP_BY_HOP, connection_options, refuse_request, refuse_response, split_target
from meshd.http.head import Headers, RequestHead, ResponseHead

if TYPE_CHECKING:
    import h11

_NEVER_KEPT = HOP_BY_HOP | {b"host", b"content-length", b"expect"}


def read_request(raw: bytes, *, secure: bool = False, accept_http_10: bool = False) -> tuple[RequestHead, bool]:
    """Read a request head.

    Args:
        raw: The head, from its first byte through the blank line.
        secure: Whether the connection has TLS.
        accept_http_10: Whether HTTP/1.0 clients are served.

    Returns:
        The head, and whether the client wants to keep the connection. The
        body is chunked when ``length`` is None.

    Raises:
        ProtocolError: with the status to answer.
    """
    import h11

    refuse_request(raw, accept_http_10=accept_http_10)
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(raw) + 1)
    event = _next_event(connection, raw, 400)
    if not isinstance(event, h11.Request):
        raise ProtocolError("no request", detail="http1.codec_error")
    fields = _fields(event.headers.raw_items())
    options = _options(fields)
    target, authority = split_target(event.method, event.target, secure=secure)
    if authority is None:
        authority = fields.get(b"host", [b""])[0]
    length = None if b"transfer-encoding" in fields else int(fields.get(b"content-length", [b"0"])[0])
    old = event.http_version == b"1.0"
    head = RequestHead(
        event.method,
        target,
        authority,
        _kept(event.headers.raw_items(), options),
        length=length,
        scheme=b"https" if secure else b"http",
        version="HTTP/1.0" if old else "HTTP/1.1",
        upgrade=_upgrade(fields, options) if length == 0 and not old else b"",
        expect_continue=b"expect" in fields and length != 0 and not old,
    )
    keep_alive = b"close" not in options and (not old or b"keep-alive" in options)
    return head, keep_alive


def read_response(raw: bytes, request: RequestHead) -> tuple[ResponseHead, int, bool]:
    """Read a response head.

    Args:
        raw: The head, from its first byte through the blank line.
        request: What it answers: HEAD, CONNECT and upgrades change its meaning.

    Returns:
        The head, the framing of its body (``NO_BODY``, ``LENGTH``, ``CHUNKED``,
        ``UNTIL_CLOSE``), and whether the connection may be kept.

    Raises:
        ProtocolError: with status 502.
    """
    import h11

    refuse_response(raw)
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=len(raw) + 1)
    asked = [(b"host", b"h")]
    if request.upgrade:
        asked += [(b"connection", b"upgrade"), (b"upgrade", request.upgrade)]
    connection.send(h11.Request(method=request.method, target=b"/", headers=asked))
    connection.send(h11.EndOfMessage())
    event = _next_event(connection, raw, 502)
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        raise ProtocolError("no response", status=502, detail="http1.codec_error")
    fields = _fields(event.headers.raw_items())
    options = _options(fields)
    old = event.http_version == b"1.0"
    declared = int(fields[b"content-length"][0]) if b"content-length" in fields else None
    framing = frame_response(
        event.status_code, request.method, declared=declared, chunked=b"transfer-encoding" in fields
    )
    no_content = event.status_code < 200 or event.status_code == 204
    head = ResponseHead(
        event.status_code,
        _kept(event.headers.raw_items(), options),
        length=0 if no_content else declared,
        reason=event.reason,
        version="HTTP/1.0" if old else "HTTP/1.1",
        upgrade=_upgrade(fields, options) if event.status_code == 101 else b"",
    )
    keep_alive = b"close" not in options and (not old or b"keep-alive" in options) and framing != UNTIL_CLOSE
    return head, framing, keep_alive


def frame_response(status: int, method: bytes, *, declared: int | None, chunked: bool) -> int:
    """How the body of a response is delimited (RFC 9112 section 6.3)."""
    if status < 200 or status in (204, 304) or method == b"HEAD" or (method == b"CONNECT" and status < 300):
        return NO_BODY
    if chunked:
        return CHUNKED
    if declared is None:
        return UNTIL_CLOSE
    return LENGTH if declared else NO_BODY


def _next_event(connection: h11.Connection, raw: bytes, status: int) -> object:
    from h11 import RemoteProtocolError

    try:
        connection.receive_data(raw)
        return connection.next_event()
    except RemoteProtocolError as error:
        status = error.error_status_hint if status == 400 else status
        raise ProtocolError("a malformed head", status=status, detail="http1.codec_error") from error


def _fields(items: list[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    fields: dict[bytes, list[bytes]] = {}
    for name, value in items:
        fields.setdefault(name.lower(), []).append(value)
    return fields


def _options(fields: dict[bytes, list[bytes]]) -> set[bytes]:
    return {option for value in fields.get(b"connection", ()) for option in connection_options(value)}


def _upgrade(fields: dict[bytes, list[bytes]], options: set[bytes]) -> bytes:
    """The protocol asked for; h2c is never offered by this way and so is ignored, as Envoy does."""
    asked = b",".join(fields.get(b"upgrade", ())).lower()
    return asked if b"upgrade" in options and asked != b"h2c" else b""


def _kept(items: list[tuple[bytes, bytes]], options: set[bytes]) -> Headers:
    """The headers that are not about framing or this connection; ``te`` only as ``trailers``."""
    kept: list[bytes] = []
    for name, value in items:
        lower = name.lower()
        if lower == b"te":
            if b"trailers" in [part.strip() for part in value.lower().split(b",")]:
                kept.append(b"te: trailers\r\n")
        elif lower not in _NEVER_KEPT and lower not in options:
            kept.append(b"%b: %b\r\n" % (name, value))
    return Headers(b"".join(kept))
