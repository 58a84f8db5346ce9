"""Findings that nobody wants to hear of."""

from __future__ import annotations

import pytest

from meshd.api.problem import Level
from meshd.control.analysis.suppression import Suppression, is_quiet
from meshd.control.finding import Finding
from meshd.errors import ConfigError

FINDING = Finding("IST0118", Level.INFO, "m", "Service default/shop")


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("IST0118=Service default/shop", True),
        ("IST0118=Service shop.default", True),
        ("IST0118 = Service default/shop", True),
        ("ist0118=Service default/*", True),
        ("IST01*=*", True),
        ("IST0118", True),
        ("IST0118=Service default/other", False),
        ("IST0118=Pod default/shop", False),
        ("IST0119*=*", None),
        ("IST0101=*", False),
        ("", None),
        ("=Service default/shop", None),
    ],
)
def test_what_is_covered(text: str, covered: bool | None) -> None:
    if covered is None:
        with pytest.raises(ConfigError, match="suppresses nothing"):
            Suppression.parse(text)
    else:
        assert Suppression.parse(text).covers(FINDING) is covered


def test_kinds_without_namespaces() -> None:
    finding = Finding("IST0102", Level.INFO, "m", "Namespace shop")
    assert Suppression.parse("IST0102=Namespace shop").covers(finding)


@pytest.mark.parametrize(("codes", "quiet"), [({"*"}, True), ({"IST0118"}, True), ({"IST0101"}, False), (set(), False)])
def test_what_objects_ask_for(codes: set[str], quiet: bool) -> None:
    assert is_quiet(FINDING, {"Service default/shop": frozenset(codes)}) is quiet
    assert not is_quiet(FINDING, {"Service default/other": frozenset(codes)})
