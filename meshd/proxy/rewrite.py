"""Path rewriting of routes, compiled. Pure.

Istio's rules (reference of HTTPRewrite) with Envoy's results: ``prefix``
replaces the matched prefix literally (``/foo`` to ``/bar/`` on ``/foo/x`` gives
``/bar//x``), except for whole-segment prefixes (Gateway API), where no double
slash arises; a route without a path match has the prefix ``/``. The query is
kept. The result always begins with a slash.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from meshd.errors import ConfigError
from meshd.snapshot.common import MatchKind
from meshd.snapshot.regex import substitute
from meshd.snapshot.route import Rewrite, RouteMatch

TargetRewrite = Callable[[bytes], bytes]

_UNSAFE = re.compile(r"[^\x21\x22\x24-\x7e]")


def compile_rewrite(match: RouteMatch, rewrite: Rewrite) -> TargetRewrite | None:
    """A function from target to target, None when the path stays.

    Raises:
        ConfigError: the new path could not stand in a request line, or the pattern is not RE2.
    """
    if rewrite.regex is not None:
        pattern, replacement = rewrite.regex
        check_path(replacement)
        replace = substitute(pattern, replacement)
        return lambda target: _with_query(target, replace)
    if rewrite.full is not None:
        check_path(rewrite.full)
        whole = rewrite.full.encode()
        return lambda target: _with_query(target, lambda _path: whole)
    if rewrite.prefix is not None:
        swap = compile_prefix(match, rewrite.prefix)
        return lambda target: _with_query(target, swap)
    return None


def compile_prefix(match: RouteMatch, prefix: str) -> Callable[[bytes], bytes]:
    """A function that replaces the matched prefix of a path (without query).

    Raises:
        ConfigError: as ``compile_rewrite``.
    """
    check_path(prefix)
    new = prefix.encode()
    path = match.path
    if path is not None and path.kind not in {MatchKind.PREFIX, MatchKind.PATH_PREFIX, MatchKind.PRESENT}:
        return lambda _path: new
    if path is not None and path.kind is MatchKind.PATH_PREFIX:
        stem = len(path.value.rstrip("/").encode())
        base = new.rstrip(b"/")
        return lambda path: base + path[stem:] or b"/"
    length = len(path.value.encode()) if path is not None and path.kind is MatchKind.PREFIX else 1
    return lambda path: new + path[length:]


def check_path(path: str) -> None:
    """Refuse text that could not stand in a request line.

    Raises:
        ConfigError: it holds spaces, control characters, ``#`` or other than ASCII.
    """
    if _UNSAFE.search(path):
        raise ConfigError(f"the path {path!r} holds a character that must be percent-encoded (as %20 for a space)")


def _with_query(target: bytes, change: Callable[[bytes], bytes]) -> bytes:
    path, mark, query = target.partition(b"?")
    changed = change(path)
    if changed[:1] != b"/":
        changed = b"/" + changed
    return changed + mark + query
