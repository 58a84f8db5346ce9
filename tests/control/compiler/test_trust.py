"""Principals under all names of a mesh: Istio's rules for trust domain aliases."""

from __future__ import annotations

import pytest

from meshd.control.compiler.trust import principals

MESH = ("new-td", "old-td", "some")


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ("*", ("*",)),
        ("*/ns/a/sa/b", ("*/ns/a/sa/b",)),
        ("new-td/ns/a/sa/b", ("new-td/ns/a/sa/b", "old-td/ns/a/sa/b", "some/ns/a/sa/b")),
        ("some/ns/a/sa/b", ("new-td/ns/a/sa/b", "old-td/ns/a/sa/b", "some/ns/a/sa/b")),
        ("cluster.local/ns/a/sa/b", ("new-td/ns/a/sa/b", "old-td/ns/a/sa/b", "some/ns/a/sa/b")),
        # One pattern covers two of the names, the third is added.
        ("*-td/ns/a/sa/b", ("*-td/ns/a/sa/b", "some/ns/a/sa/b")),
        ("old*/ns/a/sa/b", ("new-td/ns/a/sa/b", "old-td/ns/a/sa/b", "some/ns/a/sa/b")),
        ("else/ns/a/sa/b", ("else/ns/a/sa/b",)),
        ("new-td/ns/a", ("new-td/ns/a",)),
        ("new-td", ("new-td",)),
        ("new-td/ns/a/sa/b/c", ("new-td/ns/a/sa/b/c",)),
        ("", ("",)),
    ],
)
def test_names(principal: str, expected: tuple[str, ...]) -> None:
    assert principals(principal, MESH) == expected
