"""Path normalisation. Expected values were given by Envoy 1.40 (normalize_path, merge_slashes, UNESCAPE_AND_FORWARD)."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshd.errors import ConfigError, ProtocolError
from meshd.proxy.path import MODES, normalizer

BASE, MERGE, DECODE = (normalizer(mode) for mode in MODES[1:])

ENVOY = [
    # sent, BASE, MERGE_SLASHES, DECODE_AND_MERGE_SLASHES
    ("/", "/", "/", "/"),
    ("/%", "/%", "/%", "/%"),
    ("/%z", "/%z", "/%z", "/%z"),
    ("/%zz/../a", "/a", "/a", "/a"),
    ("/a/%2E%2e/b", "/b", "/b", "/b"),
    ("/a/.%2e", "/", "/", "/"),
    ("/a/..", "/", "/", "/"),
    ("/a/.", "/a/", "/a/", "/a/"),
    ("/..", "/", "/", "/"),
    ("/a/../../b", "/b", "/b", "/b"),
    ("//..", "/", "/", "/"),
    ("//a/..//b", "///b", "/b", "/b"),
    ("/a\\..\\b", "/b", "/b", "/b"),
    ("/a/..;x/b", "/b", "/b", "/b"),
    ("/a/.;/b", "/a/b", "/a/b", "/a/b"),
    ("/a/..;", "/", "/", "/"),
    ("/a;b/../c", "/c", "/c", "/c"),
    ("/a/b;..", "/a/b;..", "/a/b;..", "/a/b;.."),
    ("/a//b", "/a//b", "/a/b", "/a/b"),
    ("/a/./b/", "/a/b/", "/a/b/", "/a/b/"),
    ("/a/...", "/a/...", "/a/...", "/a/..."),
    ("/a/.b", "/a/.b", "/a/.b", "/a/.b"),
    ("/a/b?x=/../..", "/a/b?x=/../..", "/a/b?x=/../..", "/a/b?x=/../.."),
    ("/a?x\\y//", "/a?x\\y//", "/a?x\\y//", "/a?x\\y//"),
    ("/%61%2Fb", "/a%2Fb", "/a%2Fb", "/a/b"),
    ("/a%5cb", "/a%5cb", "/a%5cb", "/a/b"),
    ("/a%2f..%2fb", "/a%2f..%2fb", "/a%2f..%2fb", "/b"),
    ("/a/%2e%2e%2fb", "/a/..%2fb", "/a/..%2fb", "/b"),
    ("/a%252e", "/a%252e", "/a%252e", "/a%252e"),
    ("/a%252f%2e%2e/", "/a%252f../", "/a%252f../", "/a%252f../"),
    ("/%c3%A9", "/%c3%A9", "/%c3%A9", "/%c3%A9"),
    ("/.%", "/.%", "/.%", "/.%"),
    ("/%2e%", "/.%", "/.%", "/.%"),
    ("/%2e%2e%2e/a", "/.../a", "/.../a", "/.../a"),
    ("/%2%65", "/%252e", "/%252e", "/%252e"),
    ("/%%32%65", "/%252e", "/%252e", "/%252e"),
    ("/%%2e/..", "/", "/", "/"),
    ("/a%2", "/a%2", "/a%2", "/a%2"),
    ("/?", "/?", "/?", "/?"),
    ("/..?x", "/?x", "/?x", "/?x"),
    ('/"<>^`{|}', "/%22%3C%3E%5E%60%7B%7C%7D", "/%22%3C%3E%5E%60%7B%7C%7D", "/%22%3C%3E%5E%60%7B%7C%7D"),
    ("/~-._!$&'()*+,;=:@[]", "/~-._!$&'()*+,;=:@[]", "/~-._!$&'()*+,;=:@[]", "/~-._!$&'()*+,;=:@[]"),
]


@pytest.mark.parametrize(("sent", "base", "merged", "decoded"), ENVOY)
def test_as_envoy(sent: str, base: str, merged: str, decoded: str) -> None:
    given = sent.encode()
    assert (BASE(given), MERGE(given), DECODE(given)) == (base.encode(), merged.encode(), decoded.encode())
    assert normalizer("NONE")(given) == given


@pytest.mark.parametrize("path", ["/a/%2e%2e;x/b", "/a/.%2E;q=1/b", "/a\\..;\\b", "/a/..;x\\b"])
def test_dot_segments_with_parameters_are_dot_segments_however_spelt(path: str) -> None:
    """Envoy leaves ``/a/..;x/b`` of the first, which some servers read as ``/b``."""
    assert BASE(path.encode()) == b"/b"


def test_only_slashes_merge_to_one() -> None:
    """Envoy says ``//``."""
    assert MERGE(b"///") == b"/"


@pytest.mark.parametrize(
    "path", [b"/%00", b"/a#b", b"/a?#b", b"/\x7f", b"/\xc3\xa9", b"/ ", b"a", b"a/b", b"?x", b"/\t"]
)
@pytest.mark.parametrize("normalize", [BASE, MERGE, DECODE])
def test_what_has_no_safe_meaning_is_refused(path: bytes, normalize: object) -> None:
    with pytest.raises(ProtocolError) as refused:
        normalize(path)  # type: ignore[operator]
    assert (refused.value.status, refused.value.detail) == (400, "path_normalization_failed")


def test_none_refuses_only_what_is_never_safe() -> None:
    same = normalizer("NONE")
    assert same(b"/a/../b//c?%00") == b"/a/../b//c?%00"
    for path in (b"/%00", b"/#"):
        with pytest.raises(ProtocolError):
            same(path)


@pytest.mark.parametrize("mode", MODES)
def test_targets_that_are_no_path_are_left_alone(mode: str) -> None:
    assert normalizer(mode)(b"*") == b"*"
    assert normalizer(mode)(b"") == b""


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match="DECODE_AND_MERGE_SLASHES"):
        normalizer("BASIC")


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "/",
                "/",
                "//",
                ".",
                "..",
                ";",
                ";x",
                "a",
                "b",
                "%",
                "%2",
                "%2e",
                "%2E",
                "%2f",
                "%5C",
                "%5c",
                "\\",
                "%25",
                "%65",
                "e",
                "2",
                "{",
                "?",
            ]
        ),
        max_size=10,
    ).map("".join),
    st.sampled_from([BASE, MERGE, DECODE]),
)
@example("%2e%2e;x/b", BASE)
def test_the_result_is_a_fixed_point_without_dot_segments(path: str, normalize: object) -> None:
    once = normalize(b"/" + path.encode())  # type: ignore[operator]
    assert once.startswith(b"/")
    shown = once.partition(b"?")[0]
    assert b"\\" not in shown
    assert not {b".", b".."} & {segment.partition(b";")[0] for segment in shown.split(b"/")}
    if normalize is not BASE:
        assert b"//" not in shown
    assert normalize(once) == once  # type: ignore[operator]
