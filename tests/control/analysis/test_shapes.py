"""Shapes of plain data."""

from __future__ import annotations

import pytest

from meshd.api.foreign import freeze
from meshd.control.analysis.shapes import Anything, Choice, Fields, Items, Text, Texts, Whole, conform

SHAPE = Fields(
    {
        "name": Text(1, 5, pattern="[a-z]+", form="a word"),
        "mode": Choice(("ON", "OFF")),
        "number": Whole(1, 9),
        "items": Items(Fields({"name": Text()}), most=2, unique="name"),
        "labels": Texts(Text(most=3), most=2),
        "config": Anything(),
    },
    ("name",),
)


def said(value: object) -> list[str]:
    return [problem.text for problem in conform(freeze(value), SHAPE, ("spec",))]


def test_good() -> None:
    value = {"name": "abc", "mode": "ON", "number": 9, "items": [{"name": "a"}, {"name": "b"}], "labels": {"a": "b"}}
    assert said({**value, "config": {"a": [1, {"b": None}]}}) == []
    assert said({"name": "abc", "mode": None}) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, 'spec: the field "name" is missing'),
        ({"name": None}, 'spec: the field "name" is missing'),
        ([], "spec: expected a mapping, found a list"),
        ("x", 'spec: expected a mapping, found the text "x"'),
        ({"name": ""}, "spec.name: the text is empty"),
        ({"name": "abcdef"}, "spec.name: the text has 6 characters, more than 5"),
        ({"name": "ABC"}, 'spec.name: "ABC" is not a word'),
        ({"name": 1}, "spec.name: expected text, found the number 1"),
        ({"name": []}, "spec.name: expected text, found a list"),
        ({"name": "a", "mode": "on"}, 'spec.mode: the text "on" is not one of ON, OFF'),
        ({"name": "a", "number": "1"}, 'spec.number: expected a whole number, found the text "1"'),
        ({"name": "a", "number": True}, "spec.number: expected a whole number, found the boolean true"),
        ({"name": "a", "number": 10}, "spec.number: 10 is out of range: 1 to 9"),
        ({"name": "a", "items": {}}, "spec.items: expected a list, found a mapping"),
        ({"name": "a", "items": [{}, {}, {}]}, "spec.items: more than 2 items"),
        ({"name": "a", "items": [{"name": "b"}, {"name": "b"}]}, 'spec.items[1].name: "b" is here twice'),
        ({"name": "a", "items": [None]}, "spec.items[0]: expected a mapping, found nothing"),
        ({"name": "a", "labels": {"a": "b", "c": "d", "e": "f"}}, "spec.labels: more than 2 entries"),
        ({"name": "a", "labels": {"a": "long"}}, "spec.labels.a: the text has 4 characters"),
        ({"name": "a", "config": []}, "spec.config: expected a mapping, found a list"),
        ({"name": "a", "numbr": 1}, 'spec.numbr: unknown field; did you mean "number"?'),
    ],
)
def test_bad(value: object, message: str) -> None:
    assert any(message in line for line in said(value)), said(value)
