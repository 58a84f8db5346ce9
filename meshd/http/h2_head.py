"""Between HTTP/2 header lists and the heads that everyone else sees. Pure.

The codec has checked what makes a header list one (pseudo-headers, lower case,
no connection headers). Here it becomes a head with the same promises as one
that came over HTTP/1.1: nothing in it could be two lines, two requests, or
another host.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from meshd.errors import ProtocolError
from meshd.http.framing import refuse_trailers
from meshd.http.guard import check_authority, check_method, read_length, refuse_twin, split_target
from meshd.http.h1_body import head_too_large
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.limits import HttpLimits

Field = tuple[bytes, bytes]

_BLOCK = re.compile(
    rb"(?:[-!#$%&'*+.^_`|~0-9a-z]++: (?![ \t])[\t\x20-\x7e\x80-\xff]*+(?<![ \t])\r\n|[-!#$%&'*+.^_`|~0-9a-z]++: \r\n)*+"
)
_ALWAYS_SAID = frozenset((b"host", b"content-length", b"expect"))


def read_request(fields: Sequence[Field], *, ended: bool, secure: bool, limits: HttpLimits) -> RequestHead:
    """A request's header list as a head.

    Args:
        fields: As the codec gave it, cookies joined.
        ended: Whether there is no body.
        secure: Whether the connection has TLS.
        limits: Of header count and target size.

    Raises:
        ProtocolError: with the status to answer.
    """
    pseudo, kept, said = _split(fields, limits)
    method = pseudo.get(b":method", b"")
    check_method(method)
    authority = pseudo.get(b":authority") or said.get(b"host", b"")
    check_authority(authority)
    target = b""
    if b":protocol" in pseudo:
        raise ProtocolError("extended CONNECT is not served", status=501, detail="http2.extended_connect")
    if method != b"CONNECT":
        path = pseudo.get(b":path", b"")
        if len(path) > limits.max_uri:
            raise ProtocolError("a request target that is too long", status=414, detail="http2.uri_too_long")
        target, other = split_target(method, path)
        if other is not None or pseudo.get(b":scheme") not in (b"http", b"https"):
            raise ProtocolError("a request target that cannot be served", detail="http2.invalid_url")
    length = _length(said, ended=ended)
    expect = said.get(b"expect", b"").lower()
    if expect not in (b"", b"100-continue"):
        raise ProtocolError("an expectation that cannot be met", status=417, detail="http2.expectation_failed")
    return RequestHead(
        method,
        target,
        authority,
        Headers(kept),
        length=length,
        scheme=b"https" if secure else b"http",
        version="HTTP/2",
        expect_continue=bool(expect) and length != 0,
    )


def read_response(fields: Sequence[Field], request: RequestHead, *, ended: bool, limits: HttpLimits) -> ResponseHead:
    """A response's header list as a head.

    Raises:
        ProtocolError: with status 502.
    """
    try:
        return _read_response(fields, request, ended=ended, limits=limits)
    except ProtocolError as error:
        error.status = 502
        raise


def _read_response(fields: Sequence[Field], request: RequestHead, *, ended: bool, limits: HttpLimits) -> ResponseHead:
    pseudo, kept, said = _split(fields, limits)
    digits = pseudo.get(b":status", b"")
    status = int(digits) if len(digits) == 3 and digits.isdigit() else 0
    if not 100 <= status <= 599 or status == 101:
        raise ProtocolError("a status out of range", detail="http2.invalid_status")
    bodiless = request.method == b"HEAD" or status == 304
    length = _length(said, ended=ended and not bodiless)
    if status == 204 and length:
        raise ProtocolError("a body where there can be none", detail="http2.body_disallowed")
    return ResponseHead(status, Headers(kept), length=0 if status == 204 else length, version="HTTP/2")


def read_trailers(fields: Sequence[Field], limits: HttpLimits) -> Headers:
    """A trailer section.

    Raises:
        ProtocolError: with status 400.
    """
    pseudo, kept, said = _split(fields, limits)
    if pseudo or said:
        raise ProtocolError("a trailer that belongs into the head", detail="http2.invalid_trailer")
    refuse_trailers(kept)
    return Headers(kept)


def write_request(head: RequestHead) -> list[Field]:
    """A request head as a header list.

    Raises:
        ProtocolError: it cannot be said in HTTP/2.
    """
    if head.upgrade:
        raise ProtocolError("an upgrade cannot be asked for over HTTP/2", detail="http2.upgrade")
    fields = [(b":method", head.method), (b":authority", head.authority)]
    if head.method != b"CONNECT":
        fields += [(b":scheme", head.scheme), (b":path", head.target)]
    fields += head.headers.items()
    if head.length or (head.length == 0 and head.method in (b"POST", b"PUT", b"PATCH")):
        fields.append((b"content-length", b"%d" % head.length))
    return fields


def write_response(head: ResponseHead, *, bodiless: bool = False) -> list[Field]:
    """A response head as a header list; ``bodiless`` for an answer to HEAD, 204 or 304."""
    fields = [(b":status", b"%d" % head.status), *head.headers.items()]
    if head.length is not None and head.status >= 200 and (head.length or not bodiless):
        fields.append((b"content-length", b"%d" % head.length))
    return fields


def _split(fields: Sequence[Field], limits: HttpLimits) -> tuple[dict[bytes, bytes], bytes, dict[bytes, bytes]]:
    """Pseudo-headers; the block of what is kept; what heads say otherwise than by headers."""
    pseudo: dict[bytes, bytes] = {}
    said: dict[bytes, bytes] = {}
    lines: list[bytes] = []
    for name, value in fields:
        if name.startswith(b":"):
            pseudo[name] = value
        elif name in _ALWAYS_SAID:
            if name in said:
                raise ProtocolError("a header that may come once came twice", detail="http2.duplicate_header")
            said[name] = value
        else:
            refuse_twin(name)
            lines.append(b"%b: %b\r\n" % (name, value))
    if len(fields) - len(pseudo) > limits.max_headers:
        raise head_too_large()
    block = b"".join(lines)
    if block.count(b"\n") != len(lines) or _BLOCK.fullmatch(block) is None:
        raise ProtocolError("a header that could be read as two", detail="http2.invalid_header")
    return pseudo, block, said


def _length(said: dict[bytes, bytes], *, ended: bool) -> int | None:
    declared = read_length(said[b"content-length"]) if b"content-length" in said else None
    if not ended:
        return declared
    if declared:
        raise ProtocolError("a body shorter than declared", detail="http2.content_length_mismatch")
    return 0
