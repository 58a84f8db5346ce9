"""Hosts that are found by their ends: the same as comparing all with all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshd.control.hosts import covers, overlaps
from meshd.control.name_index import NameIndex

LABELS = st.sampled_from(["a", "b", "x-a"])
NAMES = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
HOSTS = st.one_of(NAMES, NAMES.map(lambda name: f"*.{name}"), NAMES.map(lambda name: f"*-{name}"), st.just("*"))


@given(st.lists(HOSTS, max_size=8), HOSTS)
def test_it_is_comparing_all_with_all(hosts: list[str], asked: str) -> None:
    index = NameIndex((host, number) for number, host in enumerate(hosts))

    def where(test: object) -> list[int]:
        return [number for number, host in enumerate(hosts) if test(host)]  # type: ignore[operator]

    assert sorted(index.exact(asked)) == where(lambda host: host == asked and not host.startswith("*"))
    assert sorted(index.covering(asked)) == where(lambda host: covers(host, asked))
    assert sorted(index.covered(asked)) == where(lambda host: covers(asked, host))
    assert sorted(index.overlapping(asked)) == where(lambda host: overlaps(host, asked))


def test_the_longest_wildcard_comes_first() -> None:
    index = NameIndex([("*", 0), ("*.c", 1), ("*.b.c", 2), ("a.b.c", 3)])
    assert list(index.covering("a.b.c")) == [3, 2, 1, 0]
