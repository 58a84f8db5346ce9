"""The quick reader of usual documents makes what the authority makes, or declines."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.api.usual_yaml import read_usual
from meshd.api.yaml import DEFAULT_LIMITS, Limits, Tree, _documents, _Refused, parse
from tests.corpus import corpus_path

USUAL = """\
---
# A comment.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews   # Another.
  annotations:
    sidecar.istio.io/inject: "false"
    note: 'it: is'
spec:
  hosts:
  - reviews
  -   http://a.example:80/x?y=z
  exportTo: []
  http:

  - match:
    - headers:
        end-user: {}
      port: 0x1f
    timeout: 1.5s
    weight: -5
  - name: plain words with spaces
    fault: ~
  tcp:
    - a: 1e3
      b: yes
    -   c: d
"""


def authority(text: str, first_line: int = 0) -> list[Tree] | None:
    try:
        return list(_documents(text, first_line, DEFAULT_LIMITS))
    except _Refused:
        return None


def usual(text: str, first_line: int = 0) -> Tree | None:
    found = read_usual(text, first_line, DEFAULT_LIMITS.max_nodes)
    return None if found is None else Tree(*found)


def agree(text: str, first_line: int = 0) -> bool:
    """Whether the quick reader takes it; if so, the authority makes the same of it."""
    quick = usual(text, first_line)
    if quick is None:
        return False
    assert authority(text, first_line) == [quick]
    assert repr(quick.value) == repr(authority(text, first_line)[0].value)  # type: ignore[index]
    return True


def test_the_usual_is_taken() -> None:
    assert agree(USUAL, 7)
    tree = usual(USUAL, 7)
    assert tree is not None
    assert tree.place == (10, 1)
    assert tree.marks.locate(("spec", "http", 0, "match", 0, "headers", "end-user"), value=True) == (26, 19)
    assert tree.value["spec"]["hosts"][1] == "http://a.example:80/x?y=z"
    assert tree.value["spec"]["http"][0]["match"][0]["port"] == 31
    assert tree.value["metadata"]["annotations"] == {"sidecar.istio.io/inject": "false", "note": "it: is"}
    assert agree(USUAL.replace("\n", "\r\n"))


@pytest.mark.parametrize(
    "text",
    [
        "a: {b: c}",
        "a: [b]",
        "a: |\n  b",
        "a: >\n  b",
        "a: &x b",
        "a: *x",
        "a: !!str b",
        "<<: {a: b}",
        "a:\n",
        "a:\nb: c",
        "- a:\n- b",
        "- ",
        "-\n  a: b",
        "- - a",
        "a: b\n  c",
        "a: b\n  - c",
        "a: b\n  c: d",
        "- a\n  b: c",
        "a:\n  b: c\n d: e",
        "a:\n- b\nc\n",
        "a: b\n- c",
        "a:\n- b\n- c: d\n e: f",
        "a: b\na: c",
        "yes: a",
        "1: a",
        "? a",
        "a: 'it''s'",
        'a: "\\n"',
        "a: b: c",
        "a: b:",
        "a: b #c#",
        "a: b#c",
        "a:\tb",
        "\ta: b",
        "a: é",
        "a: @b",
        "a: .inf",
        "a",
        "'a': b",
        "",
        "# nothing",
        "--- a",
        "---\n---",
        "a: b\n...\n",
        "%YAML 1.2\n---\na: b",
        "a: 'b'c",
        "a: b\rc: d",
        "a: \x7f",
        f"{'a' * 2000}: b",
    ],
)
def test_the_unusual_is_declined(text: str) -> None:
    agree(text)
    assert usual(text) is None or text == "a: b #c#"


def test_limits_are_the_authoritys() -> None:
    deep = "".join(f"{' ' * depth}a:\n" for depth in range(40)) + " " * 40 + "a: b"
    assert usual(deep) is None
    assert read_usual("a: b\nc: d", 0, 5) is None
    assert str(parse("a:\n  b: c", Limits(max_depth=1)).mistakes[0]) == "nested more than 1 levels deep"


def test_the_corpus() -> None:
    taken = sum(
        agree(part)
        for path in sorted(corpus_path("istio").rglob("*.yaml"))
        for part in path.read_text(encoding="utf-8").split("\n---\n")
    )
    assert taken > 300


WORDS = st.sampled_from(["a", "name", "b-c", "x.y/z", "on", "10", "1.5", "true", "null", "", "a b", "a: b", "- a", "#", "é", "'", '"', "[", "~", "0x1", "=", "<<", "a#b", "*", ":x", "-x", "http://a:80/"])  # fmt: skip
VALUES = st.recursive(
    WORDS | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(value=VALUES, first_line=st.integers(0, 50), flow=st.sampled_from([False, None]))
def test_what_is_dumped(value: Any, first_line: int, flow: bool | None) -> None:
    agree(yaml.safe_dump(value, default_flow_style=flow), first_line)


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_what_is_mangled(data: st.DataObject) -> None:
    lines = USUAL.split("\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.integers(0, 4)):
            case 0:
                del lines[at]
            case 1:
                lines[at] = " " * data.draw(st.integers(0, 4)) + lines[at]
            case 2:
                lines[at] = lines[at][data.draw(st.integers(0, 3)) :]
            case 3:
                place = data.draw(st.integers(0, len(lines[at])))
                lines[at] = (
                    lines[at][:place]
                    + data.draw(st.sampled_from(list(" -:#'\"[]{}&*!|>%@`,?\t~\r")))
                    + lines[at][place:]
                )
            case _:
                lines.insert(at, lines[data.draw(st.integers(0, len(lines) - 1))])
        if not lines:
            break
    agree("\n".join(lines))


@pytest.mark.parametrize(
    "line",
    [
        "a: " + "x" * 10**6,
        "a: " + "x " * 10**6,
        "a:" + " " * 10**6 + "é",
        " " * 10**6 + "é",
        "-" + " " * 10**6 + "é",
        "#" * 10**6 + "é",
        "a: x" + " #" * 10**6 + "é",
        "a: " + "b:c" * 10**6 + "é",
    ],
    ids=range(8),
)
def test_no_line_takes_longer_than_it_is(line: str) -> None:
    """A quadratic one would take an hour."""
    agree(line)
