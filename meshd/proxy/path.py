r"""Path normalisation: one form for routing, for policy and for what is forwarded. Pure.

Istio's modes, with the results of Envoy 1.40:

- ``NONE``: as sent (only ``%00`` and ``#`` are refused).
- ``BASE``: RFC 3986 dot segments removed (``%2e`` counts as a dot), ``\`` is
  ``/``, percent-codes of unreserved characters decoded, characters that may not
  stand in a path encoded; other percent-codes keep their case; ``//`` stays.
- ``MERGE_SLASHES``: then runs of ``/`` become one.
- ``DECODE_AND_MERGE_SLASHES``: ``%2F`` and ``%5C`` are slashes first of all.

Two intended differences from Envoy, both to make the result a fixed point: a
dot segment with a parameter (``/..;x/``, which some servers take for ``/../``)
is a dot segment in its encoded spellings too, and ``///`` merges to ``/``.

The query is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from meshd.errors import ConfigError, ProtocolError

MODES = ("NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES")

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PLAIN = re.compile(rb"(?:/(?!\.)[A-Za-z0-9\-._~!$&'()*+,;=:@\[\]]*+)++(?:\?[^#]*+)?")
"""Targets with which there is nothing to do: no code, no dot at a segment's start."""
_PLAIN_MERGED = re.compile(rb"(?:/(?![./])[A-Za-z0-9\-._~!$&'()*+,;=:@\[\]]*+)++(?:\?[^#]*+)?")
"""And no empty segment but the last."""
_HEX = frozenset(b"0123456789abcdefABCDEF")
_SLASHES = re.compile(rb"//+")
_ENCODED_SLASHES = re.compile(rb"%(?:2[fF]|5[cC])")
_SEPARATORS = re.compile(rb"[/\\]")
_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})|[^A-Za-z0-9\-._~!$&'()*+,;=:@\[\]]")
_FORBIDDEN = re.compile(rb"[\x00-\x20\x7f-\xff#]")


def normalizer(mode: str) -> Callable[[bytes], bytes]:
    """The function that normalises a request target under a mode.

    It returns its argument when nothing needs doing, in a fraction of a
    microsecond, and leaves ``*`` and the empty target alone. It raises
    ``ProtocolError`` (400, ``path_normalization_failed``) for a path that has
    no safe meaning: ``%00``, a fragment, control or non-ASCII bytes, no leading slash.

    Raises:
        ConfigError: there is no such mode.
    """
    if mode not in MODES:
        raise ConfigError(f"no path normalisation {mode!r}: expected one of {', '.join(MODES)}")
    if mode == "NONE":
        return _unchanged
    merge = mode != "BASE"
    decode = mode == "DECODE_AND_MERGE_SLASHES"
    plain = (_PLAIN_MERGED if merge else _PLAIN).fullmatch

    def normalize(target: bytes) -> bytes:
        if plain(target):
            return target
        return _normalize(target, merge=merge, decode=decode)

    return normalize


def _unchanged(target: bytes) -> bytes:
    if b"%00" in target or b"#" in target:
        _check(target)
    return target


def _normalize(target: bytes, *, merge: bool, decode: bool) -> bytes:
    if target in {b"*", b""}:
        return target
    path, mark, query = target.partition(b"?")
    _check(target)
    if path[:1] != b"/":
        raise _refusal("does not begin with a slash")
    if _FORBIDDEN.search(path):
        raise _refusal("has bytes that must be percent-encoded")
    if decode:
        path = _ENCODED_SLASHES.sub(b"/", path)
    path = _canonical(path)
    if merge:
        path = _SLASHES.sub(b"/", path)
    return path + mark + query


def _check(target: bytes) -> None:
    if b"#" in target:
        raise _refusal("has a fragment")
    if b"%00" in target.partition(b"?")[0]:
        raise _refusal("has an encoded NUL")


def _refusal(what: str) -> ProtocolError:
    return ProtocolError(f"the request's path {what}", status=400, detail="path_normalization_failed")


def _canonical(path: bytes) -> bytes:
    """Segments decoded, then dot segments resolved; ``path`` begins with a slash."""
    kept: list[bytes] = []
    segments = [_decoded(segment) for segment in _SEPARATORS.split(path)[1:]]
    last = len(segments) - 1
    for index, segment in enumerate(segments):
        name = segment.partition(b";")[0] if segment[:1] == b"." else segment
        if name == b"..":
            if kept:
                kept.pop()
        elif name != b".":
            kept.append(segment)
            continue
        if index == last:
            kept.append(b"")
    return b"/" + b"/".join(kept)


def _decoded(segment: bytes) -> bytes:
    """One segment with unreserved codes decoded and unsafe bytes encoded."""
    if _ESCAPE.search(segment) is None:
        return segment
    pieces: list[bytes] = []
    end = 0
    for match in _ESCAPE.finditer(segment):
        pieces.append(segment[end : match.start()])
        end = match.end()
        code = match.group(1)
        if code is None:
            byte = match.group()
            pieces.append(byte if byte == b"%" else b"%%%02X" % byte[0])
        else:
            value = int(code, 16)
            pieces.append(bytes((value,)) if value in _UNRESERVED else match.group())
    pieces.append(segment[end:])
    return _without_new_escapes(pieces)


def _without_new_escapes(pieces: list[bytes]) -> bytes:
    """Join; a stray ``%`` that decoding has put before two hex digits becomes ``%25`` (``%2%65`` is not ``%2e``)."""
    joined = b"".join(pieces)
    if b"%" not in pieces:
        return joined
    result = bytearray()
    position = 0
    for piece in pieces:
        position += len(piece)
        following = joined[position : position + 2]
        if piece == b"%" and len(following) == 2 and following[0] in _HEX and following[1] in _HEX:
            result += b"%25"
        else:
            result += piece
    return bytes(result)
