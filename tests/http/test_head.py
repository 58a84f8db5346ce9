"""Headers look like a list of pairs whatever is done to them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.http.head import Headers, RequestHead, ResponseHead

NAMES = st.sampled_from([b"a", b"b", b"A", b"x-a", b"x-b"])
VALUES = st.sampled_from([b"", b"1", b"two words", b"A: b", b"x-a:"])
EDITS = st.one_of(
    st.tuples(st.just("add"), NAMES.map(bytes.lower), VALUES),
    st.tuples(st.just("set"), NAMES.map(bytes.lower), VALUES),
    st.tuples(st.just("remove"), NAMES.map(bytes.lower), st.just(b"")),
    st.tuples(st.just("append"), NAMES.map(bytes.lower), VALUES),
    st.tuples(st.just("extend"), NAMES.map(bytes.lower), VALUES),
    st.tuples(st.just("cut"), st.sampled_from([b"x-", b"x-a", b"b"]), st.just(b"")),
    st.tuples(st.just("look"), NAMES.map(bytes.lower), st.just(b"")),
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.lists(EDITS, max_size=8))
def test_edits_do_as_with_a_list(items: list[tuple[bytes, bytes]], edits: list[tuple[str, bytes, bytes]]) -> None:
    headers = Headers.of(items)
    model = [(name.lower(), value) for name, value in items]
    for what, name, value in edits:
        before = headers.copy()
        untouched = list(before.items())
        if what == "add":
            headers.add(name, value)
            model.append((name, value))
        elif what == "set":
            headers.set(name, value)
            model = [item for item in model if item[0] != name] + [(name, value)]
        elif what == "remove":
            headers.remove(name)
            model = [item for item in model if item[0] != name]
        elif what == "append":
            headers.append(b"%b: %b\r\n" % (name, value))
            model.append((name, value))
        elif what == "extend":
            headers.extend(Headers.of([(name.upper(), value)]))
            model.append((name, value))
        elif what == "cut":
            assert headers.has_prefix(name) == any(item[0].startswith(name) for item in model)
            taken = [line.partition(b": ") for line in headers.cut(re.compile(rb"\r\n" + name + rb"[^\r]*"))]
            assert [(n.lower(), v) for n, _, v in taken] == [item for item in model if item[0].startswith(name)]
            model = [item for item in model if not item[0].startswith(name)]
        wanted = [item[1] for item in model if item[0] == name]
        assert headers.get_all(name) == wanted
        assert headers.get(name) == (b",".join(wanted) if wanted else None)
        assert (name in headers) == bool(wanted)
        assert list(headers.items()) == model
        assert len(headers) == len(model)
        assert list(before.items()) == untouched


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\rb", b"a\0b"])
def test_a_value_cannot_become_a_line(value: bytes) -> None:
    with pytest.raises(ValueError, match="cannot have"):
        Headers().add(b"x", value)
    with pytest.raises(ValueError, match="cannot have"):
        Headers.of([(b"x", value)])


def test_a_value_that_looks_like_a_name_is_not_found() -> None:
    headers = Headers(b"A: x-b: 1\r\nX-B: 2\r\n")
    assert headers.get(b"x-b") == b"2"
    headers.remove(b"x-b")
    assert headers.render() == b"A: x-b: 1\r\n"


def test_spaces_around_values_are_not_part_of_them() -> None:
    headers = Headers(b"A: \t 1 2 \t\r\nB:3\r\n")
    assert headers.get(b"a") == b"1 2"
    assert list(headers.items()) == [(b"a", b"1 2"), (b"b", b"3")]


def test_a_request_knows_path_and_query_and_copies_alone() -> None:
    head = RequestHead(b"GET", b"/a/b?c=d?e", b"h", Headers(b"A: 1\r\n"), length=3, upgrade=b"websocket")
    assert (head.path, head.query) == (b"/a/b", b"c=d?e")
    twin = head.copy()
    twin.headers.set(b"a", b"2")
    twin.target = b"/other"
    assert head.headers.get(b"a") == b"1"
    assert (head.target, twin.length, twin.upgrade) == (b"/a/b?c=d?e", 3, b"websocket")
    assert "/a/b" in repr(head)
    assert "404" in repr(ResponseHead(404))
