"""The immutable mapping, and string matches."""

from __future__ import annotations

import copy
import pickle

import pytest

from meshd.api.common import Map, StringMatch


def test_a_map_is_a_mapping_that_keeps_its_order() -> None:
    one = Map({"b": 1, "a": 2})
    assert list(one) == ["b", "a"]
    assert dict(one) == {"b": 1, "a": 2}
    assert "a" in one
    assert "c" not in one
    assert len(one) == 2
    assert one.get("c") is None


def test_maps_are_equal_and_hashed_whatever_their_order() -> None:
    one, other = Map({"b": 1, "a": 2}), Map([("a", 2), ("b", 1)])
    assert one == other
    assert hash(one) == hash(other)
    assert one == {"a": 2, "b": 1}
    assert one != Map({"a": 2})
    assert one != 5
    assert {one: 1}[other] == 1


def test_a_map_cannot_change() -> None:
    source = {"a": 1}
    one = Map(source)
    source["a"] = 2
    assert one["a"] == 1
    with pytest.raises(TypeError):
        one["a"] = 2  # type: ignore[index]
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.copy(one) == one


@pytest.mark.parametrize(
    ("match", "presence"),
    [
        (StringMatch(), True),
        (StringMatch(regex="*"), True),
        (StringMatch(exact=""), False),
        (StringMatch(prefix=""), False),
        (StringMatch(regex=".*"), False),
    ],
)
def test_presence(match: StringMatch, *, presence: bool) -> None:
    assert match.presence is presence
