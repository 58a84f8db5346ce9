"""Path rewriting, with Istio's semantics to the letter."""

from __future__ import annotations

import pytest

from meshd.errors import ConfigError
from meshd.proxy.rewrite import compile_rewrite
from meshd.snapshot.common import MatchKind, StringMatch
from meshd.snapshot.route import Rewrite, RouteMatch

K = MatchKind


@pytest.mark.parametrize(
    ("kind", "matched", "rewrite", "target", "expected"),
    [
        (K.PREFIX, "/foo", Rewrite(prefix="/bar/"), "/foo/x", "/bar//x"),
        (K.PREFIX, "/foo", Rewrite(prefix="/"), "/foo/bar", "//bar"),
        (K.PREFIX, "/foo", Rewrite(prefix="/bar"), "/foobar?q=/foo", "/barbar?q=/foo"),
        (K.PREFIX, "/foo/", Rewrite(prefix="/"), "/foo/bar", "/bar"),
        (K.PREFIX, "/foo", Rewrite(prefix=""), "/foobar", "/bar"),
        (None, "", Rewrite(prefix="/new"), "/a", "/newa"),
        (K.EXACT, "/foo", Rewrite(prefix="/bar"), "/foo?q", "/bar?q"),
        (K.REGEX, "/fo+", Rewrite(prefix="/bar"), "/fooo?q", "/bar?q"),
        (K.PATH_PREFIX, "/foo", Rewrite(prefix="/"), "/foo/bar", "/bar"),
        (K.PATH_PREFIX, "/foo", Rewrite(prefix="/"), "/foo", "/"),
        (K.PATH_PREFIX, "/foo", Rewrite(prefix="/new/"), "/foo/bar", "/new/bar"),
        (K.PATH_PREFIX, "/", Rewrite(prefix="/new"), "/bar", "/new/bar"),
        (K.PATH_PREFIX, "/foo/", Rewrite(prefix="/new"), "/foo", "/new"),
        (K.PREFIX, "/foo", Rewrite(full="/whole"), "/foo/x?q=1", "/whole?q=1"),
        (
            K.PREFIX,
            "/",
            Rewrite(regex=("^/service/([^/]+)(/.*)$", r"\2/instance/\1")),
            "/service/a/b?q",
            "/b/instance/a?q",
        ),
        (K.PREFIX, "/", Rewrite(regex=("^/", "")), "/a?q", "/a?q"),
    ],
)
def test_rewrites(kind: MatchKind | None, matched: str, rewrite: Rewrite, target: str, expected: str) -> None:
    match = RouteMatch(path=StringMatch(kind, matched) if kind is not None else None)
    change = compile_rewrite(match, rewrite)
    assert change is not None
    assert change(target.encode()) == expected.encode()


def test_no_path_rewrite_is_none() -> None:
    assert compile_rewrite(RouteMatch(), Rewrite(host="h")) is None


@pytest.mark.parametrize(
    "rewrite", [Rewrite(prefix="/a b"), Rewrite(full="/a\r\nx: y"), Rewrite(regex=(".*", "/é")), Rewrite(full="/#x")]
)
def test_what_cannot_stand_in_a_request_line_is_refused(rewrite: Rewrite) -> None:
    with pytest.raises(ConfigError, match="percent-encoded"):
        compile_rewrite(RouteMatch(), rewrite)
