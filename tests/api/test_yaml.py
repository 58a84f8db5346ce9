"""Located YAML: values, places, limits, and what is refused."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.api import yaml as located
from meshd.api.yaml import DEFAULT_LIMITS, Limits, Parsed, parse
from meshd.api.yaml_python import PythonParser


def only(text: str | bytes) -> Any:
    parsed = parse(text)
    assert parsed.mistakes == ()
    [tree] = parsed.trees
    return tree.value


def mistake(text: str | bytes, limits: Limits = DEFAULT_LIMITS) -> str:
    parsed = parse(text, limits)
    assert parsed.trees == ()
    [found] = parsed.mistakes
    assert "\n" not in str(found)
    return f"{found.line}:{found.column}: {found}"


def test_values() -> None:
    assert only("a: 1\nb: [x, {z: true}]\nc: |\n  text\nd: 'yes'\ne:\n") == {
        "a": 1,
        "b": ["x", {"z": True}],
        "c": "text\n",
        "d": "yes",
        "e": None,
    }


def test_keys_are_text() -> None:
    assert only("8080: a\n010: b\non: c\n1.5: d\n") == {"8080": "a", "8": "b", "true": "c", "1.5": "d"}


def test_json_is_yaml() -> None:
    assert only('{\n\t"a": [1, 2.5, true, null, "x\\u00e9"]\n}') == {"a": [1, 2.5, True, None, "xé"]}


def test_every_key_and_value_has_its_place() -> None:
    [tree] = parse("---\n# comment\nspec:\n  http:\n  - timeout: 5s\n    route: [{host: a}]\n").trees
    where = tree.marks.locate
    assert where(("spec",)) == (3, 1)
    assert where(("spec", "http", 0)) == (5, 5)
    assert where(("spec", "http", 0, "timeout")) == (5, 5)
    assert where(("spec", "http", 0, "timeout"), value=True) == (5, 14)
    assert where(("spec", "http", 0, "route", 0, "host")) == (6, 14)
    assert where(("spec", "http", 0, "route", 0, "host"), value=True) == (6, 20)


def test_what_is_not_there_stands_at_its_nearest_ancestor() -> None:
    [tree] = parse("a:\n  b: 1\n").trees
    assert tree.marks.locate(("a", "b", "c", 3)) == (2, 3)
    assert tree.marks.locate(("x", "y")) == (1, 1)
    assert tree.marks.has(("a", "b"))
    assert not tree.marks.has(("a", "c"))
    assert not tree.marks.has(("a", 0))


def test_several_documents_keep_their_lines() -> None:
    parsed = parse("a: 1\n---\n\nb: 2\n...\n---\n# nothing\n---\nc: 3")
    assert [(tree.value, tree.place) for tree in parsed.trees] == [
        ({"a": 1}, (1, 1)),
        ({"b": 2}, (4, 1)),
        ({"c": 3}, (9, 1)),
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "---\n---\n", "---\n...\n", "--- # x\n"])
def test_nothing_is_no_document(text: str) -> None:
    assert parse(text) == Parsed()


def test_windows_lines_and_byte_order_mark() -> None:
    assert only(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n") == {"a": 1, "b": 2}
    parsed = parse("a: 1\r\n---\r\nb: 2\r\n")
    assert [tree.place for tree in parsed.trees] == [(1, 1), (3, 1)]


def test_a_directive_belongs_to_what_follows() -> None:
    assert only("%YAML 1.2\n---\na: 1\n") == {"a": 1}


def test_a_mistake_leaves_the_neighbours_standing() -> None:
    parsed = parse("a: 1\n---\nb: c: d\n---\ne: 'open\n---\nf: 2\n")
    assert [tree.value for tree in parsed.trees] == [{"a": 1}, {"f": 2}]
    assert [(each.line, each.column) for each in parsed.mistakes] == [(3, 5), (6, 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a: b: c\n",
            '1:5: not YAML: mapping values are not allowed in this context; quote a value that contains ": "',
        ),
        (
            "a:\n\t- b\n",
            "2:1: not YAML: found character that cannot start any token while scanning for the next token; ",
        ),
        ("a:\n\t- b\n", "indent with spaces, not tabs"),
        ("a: [::1]\n", "quote an IPv6 address inside [ ]"),
        ("a: *.example.com\n", 'quote a value that begins with "*"'),
        ("a: @x\n", 'quote a value that begins with "@"'),
        ("a: {{ .Values.host }}\n", "if this is a template ({{ ... }}), render it first"),
        ("{{ if }}\na: 1\n", "render it first"),
        ("a: [1,\nb: 2\n", "that begins in line 1"),
        ("a: 1\na: 2\n", '2:1: the key "a" is here twice; first in line 1; remove one of them'),
        ("8080: 1\n'8080': 2\n", 'the key "8080" is here twice'),
        ("a: !!str 5\n", "1:4: the tag !!str is not allowed"),
        ("a: !!python/object/apply:os.system [x]\n", "the tag !!python/object/apply:os.system is not allowed"),
        ("a: ! x\n", "the tag ! is not allowed"),
        ("? [a]\n: b\n", "a key must be a plain word"),
        ("? {a: b}\n: b\n", "a key must be a plain word"),
        ("~: b\n", "a key is empty"),
        ("a: *x\n", "the alias *x has no anchor &x before it"),
        ("a: &x [*x]\n", "the alias *x stands inside its own anchor"),
        ("a: &x 1\n*x : 2\n", "a key must be a plain word"),
        ("a: .nan\n", "quote it if it is text"),
        ("a: \x01\n", "control characters are not allowed"),
        ('a: "\\ud800"\n', "invalid Unicode"),
        ("<<: 5\n", "<< merges mappings only"),
        ("<<: [1]\n", "<< merges mappings only"),
    ],
)
def test_refused_in_one_clear_line(text: str, said: str) -> None:
    assert said in mistake(text)


def test_not_utf_8() -> None:
    assert mistake(b"a: 1\nb: \xff\n") == "2:1: the file is not UTF-8 text; save it as UTF-8"
    assert "UTF-8" in mistake("a: 1".encode("utf-16"))
    assert "UTF-8" in mistake("a: \ud800")


def test_anchors_aliases_and_merge_keys() -> None:
    text = "base: &base {a: 1, b: 2}\nlist: &list [*base, *base]\none: {<<: *base, b: 3}\ntwo: {b: 3, <<: *base}\n"
    assert only(text) == {
        "base": {"a": 1, "b": 2},
        "list": [{"a": 1, "b": 2}, {"a": 1, "b": 2}],
        "one": {"a": 1, "b": 3},
        "two": {"a": 1, "b": 3},
    }
    assert only("x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y]}\n")["z"] == {"a": 1, "b": 2}


def test_a_key_merged_and_written_twice_is_twice() -> None:
    assert "is here twice" in mistake("x: &x {a: 1}\nz: {<<: *x, a: 2, a: 3}\n")


def test_what_an_alias_brings_has_its_place() -> None:
    [tree] = parse("base: &base\n  timeout: 5s\nuse: *base\n").trees
    assert tree.marks.locate(("use",)) == (3, 1)
    assert tree.marks.locate(("use", "timeout")) == (2, 3)


def test_billion_laughs() -> None:
    lines = ["a0: &a0 [" + "x, " * 10 + "]"]
    lines += [f"a{n}: &a{n} [" + f"*a{n - 1}, " * 10 + "]" for n in range(1, 12)]
    assert "the document has more than 200000 values" in mistake("\n".join(lines))


def test_depth_counts_through_aliases() -> None:
    text = "a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40 + "\n"
    assert "nested more than 64 levels deep" in mistake(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "a: " + "[" * 100_000])
def test_a_hundred_thousand_brackets(text: str) -> None:
    started = time.perf_counter()
    assert "nested more than 64 levels deep" in mistake(text)
    assert time.perf_counter() - started < 2


def test_depth_up_to_the_limit_is_fine() -> None:
    assert only("[" * 64 + "]" * 64)
    assert "nested more than 64 levels deep" in mistake("[" * 65 + "]" * 65)


def test_ten_megabytes() -> None:
    text = "a: " + "x" * 10_000_000
    assert mistake(text) == (
        "1:1: the file has 10000003 bytes, more than the 4194304 allowed; split it into several files"
    )
    assert len(parse(text, Limits(max_bytes=20_000_000)).trees) == 1


def test_node_limit_is_a_setting() -> None:
    assert "more than 10 values" in mistake("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", Limits(max_nodes=10))
    assert len(parse("[1, 2, 3, 4, 5, 6, 7, 8, 9]", Limits(max_nodes=10)).trees) == 1


@pytest.mark.parametrize("text", ["a: 1\nb: [x, {z: true}]\n---\nc: 3\n", "a: &x {b: 1}\nc: *x\n"])
def test_the_same_without_libyaml(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_libyaml = parse(text)
    monkeypatch.setattr(located, "_EventParser", PythonParser)
    assert parse(text) == with_libyaml
    assert parse("a: b: c\n").mistakes
    assert parse("a:\n\t- b\n").mistakes


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=" \n\t-:[]{}#&*!|>'\"%@`,?~<.aé1\x00\u2028\ud800", max_size=60))
def test_any_text_gives_trees_or_mistakes(text: str) -> None:
    parsed = parse(text)
    for each in parsed.mistakes:
        assert each.line >= 1
        assert each.column >= 1
        assert "\n" not in str(each)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_trees_or_mistakes(data: bytes) -> None:
    parse(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(st.characters(codec="ascii"), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxz <", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), JSON, min_size=1, max_size=4))
def test_reads_what_others_write(value: dict[str, Any]) -> None:
    assert only(json.dumps(value)) == value
    assert only(json.dumps(value, indent=2)) == value


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), JSON, min_size=1, max_size=4))
def test_every_value_has_a_place(value: dict[str, Any]) -> None:
    text = yaml.safe_dump(value, default_flow_style=True)
    [tree] = parse(text).trees
    lines = text.splitlines()

    def walk(path: tuple[str | int, ...], inner: Any) -> None:
        assert tree.marks.has(path)
        line, column = tree.marks.locate(path, value=True)
        assert 1 <= line <= len(lines)
        assert 1 <= column <= len(lines[line - 1]) + 1
        for step, each in (
            inner.items() if isinstance(inner, dict) else enumerate(inner if isinstance(inner, list) else ())
        ):
            walk((*path, step), each)

    walk((), value)
