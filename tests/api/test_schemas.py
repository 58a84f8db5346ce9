"""What is taken and refused, as far as structure goes, is what schemas do: Istio's and the Gateway API's definitions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from meshd.api.convert import Converter
from meshd.api.document import Path, format_path
from meshd.api.kinds import GATEWAY_API, KINDS, Kind
from meshd.api.problem import Level, Problem
from tests.corpus import corpus_path
from tools.fields_reference import class_within, fields

Schema = dict[str, Any]

DURATIONS = {"idleTimeout", "budgetInterval", "ttl"}
"""Durations that the schemas have as any text."""

ISTIO = [kind for kind in KINDS if kind.group.endswith("istio.io")]
KUBERNETES = [kind for kind in KINDS if kind.group == GATEWAY_API]


def schemas(kind: Kind | None = None) -> dict[tuple[str, str], Schema]:
    """The schemas of ``spec`` by kind and version: Istio's, or the Gateway API's of a kind of that."""
    if kind is not None and kind.group == GATEWAY_API:
        return read(
            f"gateway-api/config/crd/standard/{GATEWAY_API}_{kind.name.lower()}{'e' * kind.name.endswith('s')}s.yaml"
        )
    return read("api/kubernetes/customresourcedefinitions.gen.yaml")


@cache
def read(path: str) -> dict[tuple[str, str], Schema]:
    """The schemas of a file, by kind and version."""
    text = corpus_path(path).read_text(encoding="utf-8")
    return {
        (each["spec"]["names"]["kind"], version["name"]): version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        for each in yaml.load_all(text, yaml.CSafeLoader)
        if each
        for version in each["spec"]["versions"]
    }


@pytest.fixture(scope="module")
def converter() -> Converter:
    return Converter()


def leaves(schema: Schema, path: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Every field, item and value of a schema."""
    for name, inner in schema.get("properties", {}).items():
        yield (*path, name), inner
        yield from leaves(inner, (*path, name))
    if "items" in schema:
        yield (*path, 0), schema["items"]
        yield from leaves(schema["items"], (*path, 0))
    inner = schema.get("additionalProperties")
    if isinstance(inner, dict):
        yield (*path, "80"), inner
        yield from leaves(inner, (*path, "80"))


def around(path: Path, value: Any) -> Any:
    """A document that holds nothing but a value at a path."""
    for step in reversed(path):
        value = [value] if isinstance(step, int) else {step: value}
    return value


def right(schema: Schema) -> list[Any]:
    """Values that fit a schema."""
    if "enum" in schema:
        return list(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return [5]
    match schema.get("type"):
        case "string" if schema.get("format") == "byte":
            return ["YQ=="]
        case "string" if any("duration(" in rule["rule"] for rule in schema.get("x-kubernetes-validations", ())):
            return ["1s", "1h30m", "100ms"]
        case "string" if "(h|m|s|ms)" in schema.get("pattern", ""):
            return ["1s", "1h30m", "100ms", "0s"]
        case "string":
            return ["x"]
        case "integer":
            return [schema.get("minimum", -(2**31)), schema.get("maximum", 2**31 - 1), 1.0]
        case "number":
            return [1, 1.5]
        case "boolean":
            return [True, False]
        case "array":
            return [[]]
        case _:
            return [{}]


def wrong(schema: Schema) -> list[Any]:
    """Values that do not."""
    if schema.get("x-kubernetes-int-or-string"):
        return [[], {}]
    if "enum" in schema and schema.get("type") == "integer":
        return ["NOPE", [], min(schema["enum"]) - 1, max(schema["enum"]) + 1]
    if "enum" in schema:
        return ["NOPE", 5, [], "nope" if schema["enum"][0].islower() else schema["enum"][0].lower()]
    match schema.get("type"):
        case "string" if schema.get("format") == "byte":
            return ["!", 5]
        case "string" if any("duration(" in rule["rule"] for rule in schema.get("x-kubernetes-validations", ())):
            return ["1", "1 s", 1, True, [], {}]
        case "string":
            return [5, True, 1.5, [], {}]
        case "integer":
            beyond = [
                schema[name] + step
                for name, step in (("minimum", -1), ("maximum", 1))
                if abs(schema.get(name, 0)) > 65535 or schema.get(name) == 0
            ]
            return ["5", True, 1.5, [], {}, *beyond, 2**70]
        case "number":
            return ["5", True, []]
        case "boolean":
            return ["true", 1, []]
        case "array":
            return [{}, "x", 5]
        case _:
            return [[], "x", 5]


def errors_at(problems: tuple[Problem, ...], path: Path) -> list[str]:
    """What is wrong there, or within; that something else is missing is not."""
    return [
        problem.text
        for problem in problems
        if problem.level is Level.ERROR
        and problem.path[: len(path)] == path
        and "is missing" not in problem.message
        and "does not support" not in problem.message
    ]


@pytest.mark.parametrize("kind", [*ISTIO, *KUBERNETES], ids=lambda kind: f"{kind.group}/{kind.name}")
def test_structure(converter: Converter, kind: Kind) -> None:
    taken, refused = [], []
    count = 0
    for version in kind.versions:
        if (kind.name, version) not in schemas(kind):
            continue
        for path, schema in leaves(schemas(kind)[kind.name, version]):
            count += 1
            for value in ["0s", "5s"] if path[-1] in DURATIONS else right(schema):
                _, problems = converter.structure(around(path, value), kind.resource)
                refused += errors_at(problems, path)
            for value in wrong(schema):
                _, problems = converter.structure(around(path, value), kind.resource)
                if not errors_at(problems, path):
                    taken.append(f"{format_path(path)}: {value!r}")
    assert count
    assert sorted(set(refused)) == []
    assert sorted(set(taken)) == []


@pytest.mark.parametrize("kind", [*ISTIO, *KUBERNETES], ids=lambda kind: f"{kind.group}/{kind.name}")
def test_nothing_more_is_required(kind: Kind) -> None:
    """A field that must be given must be given to Istio too."""

    def compare(resource: type[Any], schema: Schema, path: Path) -> Iterator[str]:
        schema = schema.get("items") or schema.get("additionalProperties") or schema
        if not isinstance(schema, dict) or "properties" not in schema:
            return
        required = set(schema.get("required", ()))
        for name, field in fields(resource):
            if name not in schema["properties"]:
                continue
            inner = class_within(field.type)
            if str(field.default) == "NOTHING" and name not in required:
                yield format_path((*path, name))
            if inner is not None:
                yield from compare(inner, schema["properties"][name], (*path, name))

    schema = schemas(kind)[kind.name, kind.versions[0]]
    assert list(compare(kind.resource, schema, ())) == []


def test_every_version_of_istios_is_known() -> None:
    known = {(kind.name, version) for kind in ISTIO for version in kind.versions}
    others = {"EnvoyFilter", "WasmPlugin", "TrafficExtension"}
    assert {key for key in schemas() if key[0] not in others} <= known
