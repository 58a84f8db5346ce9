"""The strict grammar: ordinary heads, recognised in one pass over their bytes. Pure.

A head is taken only when it is wholly ordinary: HTTP/1.1, an origin-form
target, a plain host, framing said at most once. ``None`` means "not mine", not
"wrong": guard and h11 then decide (``http/h11_head.py``). The grammar may take
less than they do, never more, and never with another meaning; a property test
over generated heads holds it to that.

How: one regular expression checks every byte and cuts out method, target and
block; a second one finds the lines about framing and connection in a lower-case
copy of the block. Those lines are then cut out of both. Quantifiers are
possessive, so no input takes more than linear time.

Nearly all heads have one Host and at most two more such lines. For these one
regular expression does all of it in one go (``_USUAL_REQUEST``,
``_USUAL_RESPONSE``): less than two thirds of the price. What both ways take
means the same by both, and a test holds them together.
"""

from __future__ import annotations

import re

from meshd.http.framing import CHUNKED, LENGTH, NO_BODY, UNTIL_CLOSE
from meshd.http.head import Headers, RequestHead, ResponseHead

MAX_HEADERS = 100
"""Header lines that are still ordinary."""

# Names with "_" are left to the guard, which knows which of them have a dangerous twin.
_FIELDS = rb"(?:[-!#$%&'*+.^`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n){0,100}+"
_HOST_PORT = rb"[0-9A-Za-z.-]{1,200}+(?::[0-5]?[0-9]{1,4})?"
_REQUEST = re.compile(
    rb"([A-Z]{1,32}+) (?:http://(" + _HOST_PORT + rb"))?(/[!-\"$-~]*+) HTTP/1\.1\r\n(" + _FIELDS + rb")\r\n"
)
_RESPONSE = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: ([\x20-\x7e]*+))?+\r\n(" + _FIELDS + rb")\r\n")
# Groups: 1 a host's value, 2 a length, 3 chunked, 4 close or keep-alive, 5 a line that is merely dropped; a match
# without a group is any other line about framing or connection, which is not ordinary.
_SPECIAL = re.compile(
    rb"\r\n(?:"
    rb"host:[ \t]*+(" + _HOST_PORT + rb")[ \t]*+(?=\r)"
    rb"|content-length:[ \t]*+([0-9]{1,18}+)[ \t]*+(?=\r)"
    rb"|transfer-encoding:[ \t]*+(chunked)[ \t]*+(?=\r)"
    rb"|connection:[ \t]*+(close|keep-alive)[ \t]*+(?=\r)"
    rb"|(keep-alive|proxy-connection):[^\r]*+"
    rb"|(?:host|content-length|transfer-encoding|connection|te|upgrade|expect):"
    rb")"
)
_HOST, _LENGTH, _CHUNKED, _CONNECTION, _DROPPED = 1, 2, 3, 4, 5

# Lines that are none of those above, told apart by their first letter where that is enough.
_PLAIN = (
    rb"(?:(?:[-!#$%&'*+.^`|~0-9ABDFGIJLMNOQRSV-Zabdfgijlmnoqrsv-z]|(?!(?i:host|content-length|transfer-encoding"
    rb"|connection|keep-alive|proxy-connection|te|upgrade|expect):)[CEHKPTUcehkptu])"
    rb"[-!#$%&'*+.^`|~0-9A-Za-z]*+:[\t\x20-\x7e\x80-\xff]*+\r\n)"
)
# Groups: a length, chunked, close.
_ONE_SPECIAL = (
    rb"(?:(?i:content-length):[ \t]*+([0-9]{1,18}+)[ \t]*+\r\n"
    rb"|(?i:transfer-encoding):[ \t]*+((?i:chunked))[ \t]*+\r\n"
    rb"|(?i:connection):[ \t]*+(?:(?i:keep-alive)|((?i:close)))[ \t]*+\r\n)?+"
)
# So many plain lines at once that all of them together stay within MAX_HEADERS.
_USUAL_REQUEST = re.compile(
    rb"([A-Z]{1,32}+) (/[!-\"$-~]*+) HTTP/1\.1\r\n("
    + _PLAIN + rb"{0,24}+)(?i:host):[ \t]*+(" + _HOST_PORT + rb")[ \t]*+\r\n("
    + _PLAIN + rb"{0,24}+)" + _ONE_SPECIAL + rb"("
    + _PLAIN + rb"{0,24}+)" + _ONE_SPECIAL + rb"("
    + _PLAIN + rb"{0,24}+)\r\n"
)  # fmt: skip
_USUAL_RESPONSE = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: ([\x20-\x7e]*+))?+\r\n("
    + _PLAIN + rb"{0,32}+)" + _ONE_SPECIAL + rb"("
    + _PLAIN + rb"{0,32}+)" + _ONE_SPECIAL + rb"("
    + _PLAIN + rb"{0,32}+)\r\n"
)  # fmt: skip


def read_request(raw: bytes, *, secure: bool = False) -> tuple[RequestHead, bool] | None:
    """Read an ordinary request head.

    Args:
        raw: The head, from its first byte through the blank line.
        secure: Whether the connection has TLS.

    Returns:
        As ``h11_head.read_request``; None when the head is not ordinary.
    """
    usual = _USUAL_REQUEST.fullmatch(raw)
    if usual is None:
        return _read_request(raw, secure=secure)
    method, target, before, authority, b1, length1, chunked1, close1, b2, length2, chunked2, close2, b3 = usual.groups()
    length: int | None = 0
    if length1 or length2 or chunked1 or chunked2:
        if (length1 or chunked1) and (length2 or chunked2):
            return None
        length = None if chunked1 or chunked2 else int(length1 or length2)
    if method == b"CONNECT":
        return None
    block = b"%b%b%b%b" % (before, b1, b2, b3)
    head = RequestHead(
        method,
        target,
        authority,
        Headers(block, b"\r\n" + block.lower()),
        length=length,
        scheme=b"https" if secure else b"http",
    )
    return head, not (close1 or close2)


def _read_request(raw: bytes, *, secure: bool) -> tuple[RequestHead, bool] | None:
    """Any ordinary request head."""
    match = _REQUEST.fullmatch(raw)
    if match is None:
        return None
    start = match.start(4) - 2
    lower = raw[start:-2].lower()
    block = raw[start + 2 : -2]
    authority = b""
    length: int | None = -1
    keep_alive = True
    cuts: list[tuple[int, int]] = []
    for special in _SPECIAL.finditer(lower):
        kind = special.lastindex
        if kind == _HOST:
            if authority:
                return None
            authority = raw[start + special.start(1) : start + special.end(1)]
        elif kind == _LENGTH and length == -1:
            length = int(special[2])
        elif kind == _CHUNKED and length == -1:
            length = None
        elif kind == _CONNECTION and keep_alive:
            keep_alive = special[4] != b"close"
        elif kind != _DROPPED:
            return None
        cuts.append(special.span())
    if not authority:
        return None
    # From the last to the first, so that earlier indices stay true. The block lacks
    # the CR LF that ``lower`` begins with, so the same indices span a line and its end.
    for begin, end in reversed(cuts):
        block = block[:begin] + block[end:]
        lower = lower[:begin] + lower[end:]
    method, named, target = match.group(1, 2, 3)
    if method == b"CONNECT":
        return None
    head = RequestHead(
        method,
        target,
        named or authority,
        Headers(block, lower),
        length=0 if length == -1 else length,
        scheme=b"https" if secure else b"http",
    )
    return head, keep_alive


def read_response(raw: bytes, request: RequestHead) -> tuple[ResponseHead, int, bool] | None:
    """Read an ordinary response head.

    Args:
        raw: The head, from its first byte through the blank line.
        request: What it answers.

    Returns:
        As ``h11_head.read_response``; None when the head is not ordinary.
    """
    if request.method == b"CONNECT":
        return None
    usual = _USUAL_RESPONSE.fullmatch(raw)
    if usual is None:
        return _read_response(raw, request)
    digits, reason, b1, length1, chunked1, close1, b2, length2, chunked2, close2, b3 = usual.groups()
    if (length1 or chunked1) and (length2 or chunked2):
        return None
    block = b"%b%b%b" % (b1, b2, b3)
    length = length1 or length2
    return _framed(
        ResponseHead(int(digits), Headers(block, b"\r\n" + block.lower()), reason=reason or b""),
        request,
        None if length is None else int(length),
        chunked=bool(chunked1 or chunked2),
        keep_alive=not (close1 or close2),
    )


def _read_response(raw: bytes, request: RequestHead) -> tuple[ResponseHead, int, bool] | None:
    """Any ordinary response head."""
    match = _RESPONSE.fullmatch(raw)
    if match is None:
        return None
    start = match.start(3) - 2
    lower = raw[start:-2].lower()
    block = raw[start + 2 : -2]
    declared: int | None = None
    chunked = False
    keep_alive = True
    cuts: list[tuple[int, int]] = []
    for special in _SPECIAL.finditer(lower):
        kind = special.lastindex
        if kind == _LENGTH and declared is None and not chunked:
            declared = int(special[2])
        elif kind == _CHUNKED and declared is None and not chunked:
            chunked = True
        elif kind == _CONNECTION and keep_alive:
            keep_alive = special[4] != b"close"
        elif kind != _DROPPED:
            return None
        cuts.append(special.span())
    for begin, end in reversed(cuts):
        block = block[:begin] + block[end:]
        lower = lower[:begin] + lower[end:]
    head = ResponseHead(int(match[1]), Headers(block, lower), reason=match[2] or b"")
    return _framed(head, request, declared, chunked=chunked, keep_alive=keep_alive)


def _framed(
    head: ResponseHead, request: RequestHead, declared: int | None, *, chunked: bool, keep_alive: bool
) -> tuple[ResponseHead, int, bool] | None:
    """With its body's framing (RFC 9112 section 6.3)."""
    status = head.status
    head.length = declared
    if status in (204, 304):
        if status == 204:
            if declared or chunked:
                return None
            head.length = 0
        framing = NO_BODY
    elif request.method == b"HEAD":
        framing = NO_BODY
    elif chunked:
        framing = CHUNKED
    elif declared is None:
        framing, keep_alive = UNTIL_CLOSE, False
    else:
        framing = LENGTH if declared else NO_BODY
    return head, framing, keep_alive
