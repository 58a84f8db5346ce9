"""The list of kinds: complete, and honest about what is supported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import meshd
from meshd.api.kinds import KINDS, kind_of
from meshd.api.networking.virtual_service import VirtualService
from tools.fields_reference import MESH_ROOTS, classes, fields, roots, status_of

PACKAGE = Path(meshd.__file__).parent

SPOKEN_OF = {
    ("AuthorizationPolicy", "provider"),
    ("PolicyTargetReference", "group"),
    ("Service", "internalTrafficPolicy"),
    ("EndpointSlice", "addressType"),
    ("ServerTLSSettings", "caCrl"),
}
"""Fields that only validation looks at, where it says that they have no effect."""


def mentioned() -> Iterator[str]:
    """Every attribute and text in the code that compiles documents."""
    for path in (PACKAGE / "control").rglob("*.py"):
        if "analysis" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                yield node.attr
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_what_is_accepted_is_used() -> None:
    used = set(mentioned())
    effects = {**classes(roots()), **classes(MESH_ROOTS)}
    unused = [
        (resource.__name__, name)
        for resource, effect in effects.items()
        for name, _ in fields(resource)
        if effect and not {name, f"{name}_"} & used and status_of(resource, name) == "supported"
    ]
    assert set(unused) - SPOKEN_OF == set()


def test_lists_name_what_is_not_there_otherwise() -> None:
    for resource in [*classes(roots()), *classes(MESH_ROOTS)]:
        names = {name for name, _ in fields(resource)}
        unsupported, refused, irrelevant = (
            set(getattr(resource, group, ())) for group in ("UNSUPPORTED", "REFUSED", "IRRELEVANT")
        )
        assert unsupported | refused <= names, resource
        assert not (refused & irrelevant) | (refused & unsupported) | (unsupported & irrelevant)


def test_kinds_are_told_apart() -> None:
    assert len({(kind.group, kind.name) for kind in KINDS}) == len(KINDS)
    assert kind_of(VirtualService()).name == "VirtualService"
    assert kind_of(VirtualService()).api_version == "networking.istio.io/v1"
    with pytest.raises(KeyError):
        kind_of(5)
