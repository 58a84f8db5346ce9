"""The codec: by type, strictly, both ways."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import attrs
import pytest

from meshd.errors import ConfigError
from meshd.snapshot.codec import Codecs


class Colour(StrEnum):
    RED = "red"


@attrs.frozen
class Left:
    text: str = "x"


@attrs.frozen
class Right:
    many: tuple[int, ...] = ()


@attrs.frozen
class Whole:
    name: str
    ratio: float = 1.0
    flag: bool = False
    colour: Colour = Colour.RED
    pair: tuple[str, int] = ("a", 1)
    side: Left | Right | None = None
    sides: tuple[Left | Right, ...] = ()
    made: tuple[str, ...] = attrs.Factory(tuple)


def test_both_ways() -> None:
    codec = Codecs().of(Whole)
    whole = Whole("n", 2, True, Colour.RED, ("b", 2), Right((1, 2)), (Left("y"), Right()))
    plain: Any = {
        "name": "n",
        "ratio": 2.0,
        "flag": True,
        "pair": ["b", 2],
        "side": {"type": "Right", "many": [1, 2]},
        "sides": [{"type": "Left", "text": "y"}, {"type": "Right"}],
    }
    assert codec.write(whole) == plain
    assert codec.read(plain, "$") == whole
    assert codec.write(Whole("n")) == {"name": "n"}
    assert codec.read({"name": "n", "side": None}, "$") == Whole("n")


@pytest.mark.parametrize(
    ("plain", "path", "message"),
    [
        ({}, "$", "Whole is incomplete"),
        ([], "$", "expected an object, found a list"),
        ({"name": 1}, "$.name", "expected a string, found a number"),
        ({"name": "n", "flag": 1}, "$.flag", "expected true or false, found a number"),
        ({"name": "n", "ratio": 1}, "$.ratio", "expected a finite number, found a number"),
        ({"name": "n", "colour": "blue"}, "$.colour", "'blue' is none of red"),
        ({"name": "n", "colour": 1}, "$.colour", "1 is none of red"),
        ({"name": "n", "pair": ["a"]}, "$.pair", "expected a list of 2, found a list"),
        ({"name": "n", "pair": ["a", "b"]}, "$.pair", "expected an integer, found a string"),
        ({"name": "n", "sides": {}}, "$.sides", "expected a list, found an object"),
        ({"name": "n", "sides": ["x"]}, "$.sides[0]", "expected an object, found a string"),
        ({"name": "n", "side": {"text": "x"}}, "$.side", "unknown type None, expected Left, Right"),
        ({"name": "n", "side": {"type": "Left", "many": []}}, "$.side", "unknown field 'many' in Left"),
    ],
)
def test_what_is_not_written_is_not_read(plain: Any, path: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Codecs().of(Whole).read(plain, "$")
    assert caught.value.path == path
    assert message in caught.value.message


def test_a_type_that_cannot_travel_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError, match="a snapshot cannot hold"):
        Codecs().of(dict[str, int])
