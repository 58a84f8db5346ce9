"""What is refused in a raw HTTP/1 head before anything parses it. Pure.

Two parsers that read one message differently are how requests are smuggled, so
whatever can be read in two ways is refused here, whoever would accept it. The
guard does not parse: it says no, or nothing. ``http/h11_head.py`` then lets h11
read what has passed. HTTP/2 shares the rules on targets and authorities.

Source: RFC 9112 sections 2 to 6, RFC 9110 sections 5.5, 7.2 and 7.6.
"""

from __future__ import annotations

import re

from meshd.errors import ProtocolError

TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]"
HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"transfer-encoding"))
"""Headers about one connection only, besides those that ``Connection`` names."""
MAX_LENGTH_DIGITS = 18
"""Digits of a Content-Length: a number below 10^18 fits every 64-bit integer."""

MAX_AUTHORITY = 255 + len(":65535")
"""Host names have at most 255 octets (RFC 1035 section 2.3.4)."""

_STRAY = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")
_STRAY_START = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)|(?<!\r)\n")
_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb"++) ([\x21-\x7e]++) HTTP/([0-9]\.[0-9])")
_STATUS_LINE = re.compile(rb"HTTP/([0-9]\.[0-9]) ([0-9]{3})(?: [\t\x20-\x7e\x80-\xff]*)?")
_FIELD_NAME = re.compile(TOKEN + rb"++")
_AUTHORITY = re.compile(rb"(?:[0-9A-Za-z._~-]++|\[[0-9A-Fa-f:.]++\])(?::([0-9]{1,5}))?")
_METHOD = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Z]{1,32}+")
_PATH = re.compile(rb"/[!-\"$-~]*+")
_ABSOLUTE = re.compile(rb"(?i:(https?)://)([^/?#]*)([!-\"$-~]*)")
_DIGITS = re.compile(rb"[0-9]{1,%d}" % MAX_LENGTH_DIGITS)

_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding"))
_SENSITIVE = re.compile(
    rb"host|content-length|transfer-encoding|te|trailer|expect|forwarded|via|x-forwarded-.*|x-envoy-.*|x-meshd-.*|x-real-ip"
    rb"|x-request-id|authorization|proxy-authorization|cookie|content-encoding|content-type|content-range|:.*"
)
"""Names that ``Connection`` may not name (a client could have a proxy drop them), and whose
twins with ``_`` for ``-`` are refused (servers that map both to one name cannot tell them apart)."""
_MAY_BE_NAMED = frozenset((b"te", b"trailer"))


def refuse_request(raw: bytes, *, accept_http_10: bool = False) -> None:
    """Refuse a request head that is ambiguous, invalid or not served here.

    Args:
        raw: The head, from its first byte through the blank line.
        accept_http_10: Whether HTTP/1.0 clients are served.

    Raises:
        ProtocolError: with status 400, 417, 426, 501 or 505.
    """
    _refuse_stray_bytes(raw, _STRAY)
    lines = raw[:-4].split(b"\r\n")
    method, target, version = _request_line(lines[0], accept_http_10=accept_http_10)
    fields = _fields(lines[1:])
    _refuse_ambiguous_length(fields, version)
    hosts = fields.get(b"host", [])
    if len(hosts) > 1:
        raise ProtocolError("more than one Host", detail="http1.multiple_hosts")
    if not hosts and version == b"1.1":
        raise ProtocolError("no Host", detail="missing_host_header")
    if hosts:
        check_authority(hosts[0])
    split_target(method, target)
    _refuse_connection(fields)
    if version == b"1.1" and any(value.lower() != b"100-continue" for value in fields.get(b"expect", ())):
        raise ProtocolError("an expectation that cannot be met", status=417, detail="http1.expectation_failed")
    if method == b"CONNECT" and _says_body(fields):
        raise ProtocolError("CONNECT with a body", detail="http1.codec_error")


def refuse_response(raw: bytes) -> None:
    """Refuse a response head that is ambiguous or invalid.

    Raises:
        ProtocolError: with status 502.
    """
    try:
        _refuse_response(raw)
    except ProtocolError as error:
        error.status = 502
        raise


def _refuse_response(raw: bytes) -> None:
    _refuse_stray_bytes(raw, _STRAY)
    lines = raw[:-4].split(b"\r\n")
    match = _STATUS_LINE.fullmatch(lines[0])
    if match is None:
        raise ProtocolError("no status line", detail="http1.codec_error")
    version, digits = match.groups()
    status = int(digits)
    if version not in (b"1.0", b"1.1"):
        raise ProtocolError("an HTTP version that was not asked for", detail="http1.codec_error")
    if not 100 <= status <= 599:
        raise ProtocolError("a status out of range", detail="http1.codec_error")
    fields = _fields(lines[1:])
    _refuse_ambiguous_length(fields, version)
    if (status < 200 or status == 204) and _says_body(fields):
        raise ProtocolError("a body where there can be none", detail="http1.body_disallowed")
    _refuse_connection(fields)


def refuse_start(data: bytes, seen: int = 0) -> None:
    """Refuse, as early as can be, what can no longer become a head.

    Args:
        data: All that has come, without an end of head in it.
        seen: How much of it was looked at before.

    Raises:
        ProtocolError: a byte that no head may hold has come.
    """
    _refuse_stray_bytes(data, _STRAY_START, max(0, seen - 1))


def check_method(method: bytes) -> None:
    """Methods are tokens; lower case is refused (``post`` is not ``POST`` to a policy, but is to some servers).

    Raises:
        ProtocolError: with status 400.
    """
    if _METHOD.fullmatch(method) is None:
        raise ProtocolError("a method that is none", detail="http1.invalid_method")


def check_authority(authority: bytes) -> None:
    """Refuse all but ``name``, ``address`` or ``[v6]``, with or without a port.

    Raises:
        ProtocolError: with status 400.
    """
    match = _AUTHORITY.fullmatch(authority)
    if match is None or len(authority) > MAX_AUTHORITY or (match[1] and int(match[1]) > 65535):
        raise ProtocolError("an authority that names no host", detail="invalid_authority")


def split_target(method: bytes, target: bytes, *, secure: bool = True) -> tuple[bytes, bytes | None]:
    """Take a request-target apart (RFC 9112 section 3.2).

    Args:
        method: Decides which forms are allowed.
        target: As on the request line.
        secure: Whether the connection has TLS; without it ``https://`` targets are refused.

    Returns:
        The target in origin-form, ``*``, or b"" for CONNECT; and the authority
        if the target has one (it wins over Host), else None.

    Raises:
        ProtocolError: with status 400.
    """
    if method == b"CONNECT":
        check_authority(target)
        if not target.rpartition(b":")[2].isdigit() or b":" not in target:
            raise ProtocolError("CONNECT without a port", detail="invalid_authority")
        return b"", target
    if _PATH.fullmatch(target):
        return target, None
    if target == b"*" and method == b"OPTIONS":
        return target, None
    match = _ABSOLUTE.fullmatch(target)
    if match is None or (match[1].lower() == b"https" and not secure):
        detail = "path_normalization_failed" if b"#" in target else "http1.invalid_url"
        raise ProtocolError("a request target that cannot be served", detail=detail)
    check_authority(match[2])
    rest = match[3]
    if not rest:
        return (b"*" if method == b"OPTIONS" else b"/"), match[2]
    return (rest if rest.startswith(b"/") else b"/" + rest), match[2]


def refuse_twin(name: bytes) -> None:
    """Refuse ``content_length`` and its like: many servers read it as ``content-length``.

    Raises:
        ProtocolError: with status 400.
    """
    if b"_" in name and _SENSITIVE.fullmatch(name.replace(b"_", b"-")):
        raise ProtocolError("the twin of a header that matters", detail="unexpected_underscore")


def read_length(value: bytes) -> int:
    """A Content-Length.

    Raises:
        ProtocolError: with status 400: it is no plain number.
    """
    if _DIGITS.fullmatch(value) is None:
        raise ProtocolError("a Content-Length that is no number", detail="http1.invalid_content_length")
    return int(value)


def _refuse_stray_bytes(data: bytes, stray: re.Pattern[bytes], start: int = 0) -> None:
    match = stray.search(data, start)
    if match is not None:
        what = {b"\r": "a bare CR", b"\n": "a bare LF"}.get(match[0], "a control character")
        raise ProtocolError(f"{what} in a head", detail="http1.codec_error")


def _request_line(line: bytes, *, accept_http_10: bool) -> tuple[bytes, bytes, bytes]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise ProtocolError("no request line", detail="http1.codec_error")
    method, target, version = match.groups()
    if version == b"1.0" and not accept_http_10:
        raise ProtocolError("HTTP/1.0 is not served", status=426, detail="low_version")
    if version not in (b"1.0", b"1.1"):
        raise ProtocolError("an HTTP version that is not served", status=505, detail="unsupported_version")
    check_method(method)
    return method, target, version


def _fields(lines: list[bytes]) -> dict[bytes, list[bytes]]:
    """Check names; give the values by lower-case name."""
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            raise ProtocolError("a folded header line", detail="http1.codec_error")
        if not colon or _FIELD_NAME.fullmatch(name) is None:
            raise ProtocolError("a header line without a name", detail="http1.codec_error")
        name = name.lower()
        if b"_" in name:
            refuse_twin(name)
        fields.setdefault(name, []).append(value.strip(b" \t"))
    return fields


def _says_body(fields: dict[bytes, list[bytes]]) -> bool:
    return b"transfer-encoding" in fields or fields.get(b"content-length", [b"0"]) != [b"0"]


def _refuse_ambiguous_length(fields: dict[bytes, list[bytes]], version: bytes) -> None:
    codings = fields.get(b"transfer-encoding")
    lengths = fields.get(b"content-length")
    if codings is not None:
        if lengths is not None:
            raise ProtocolError("Content-Length beside Transfer-Encoding", detail="http1.content_length_not_allowed")
        if version == b"1.0":
            raise ProtocolError("Transfer-Encoding in HTTP/1.0", detail="http1.transfer_encoding_not_allowed")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise ProtocolError(
                "a transfer coding other than chunked", status=501, detail="http1.invalid_transfer_encoding"
            )
    if lengths is not None:
        if len(lengths) > 1:
            raise ProtocolError("more than one Content-Length", detail="http1.invalid_content_length")
        read_length(lengths[0])


def _refuse_connection(fields: dict[bytes, list[bytes]]) -> None:
    for value in fields.get(b"connection", ()):
        for option in connection_options(value):
            if _FIELD_NAME.fullmatch(option) is None:
                raise ProtocolError("a Connection option that is no token", detail="http1.connection_header_rejected")
            if _SENSITIVE.fullmatch(option) and option not in _MAY_BE_NAMED:
                raise ProtocolError("Connection names a protected header", detail="http1.connection_header_rejected")


def connection_options(value: bytes) -> list[bytes]:
    """The members of a Connection header, in lower case."""
    return [option for item in value.lower().split(b",") if (option := item.strip(b" \t"))]
