"""Write the reference of kinds and fields from the classes that read them.

python -m tools.fields_reference docs/reference/fields.md          write it
python -m tools.fields_reference --check docs/reference/fields.md  exit 1 when it is not current
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Any, Union, get_args, get_origin

import attrs

from meshd.api import common
from meshd.api.durations import format_duration
from meshd.api.kinds import FOREIGN_KINDS, GATEWAY_API, KINDS, Kind
from meshd.api.mesh.config import MeshConfig
from meshd.api.mesh.networks import MeshNetworks
from tools.reference_page import write_or_check

HEAD = """# Kinds and fields

Written by `make docs-reference` from the program itself; do not edit.

Every field that Istio has is known; each is one of these:

- **supported**: it does what Istio's documentation says.
- **warned**: it is read and checked and has no effect yet; a document that sets it gets a warning that names it
  (MD0002), unless the value is the one that holds anyway.
- **in part**: it has some of its effect; the warning says which.
- **refused**: like *warned*, but without it more would be let in than the document asks for, so the document is refused.
- **noted**: it has no meaning here (Istio's own programs, Kubernetes' own business); an info says so (MD0005).

Whatever is not in these tables is an error that suggests what was meant.
A field that is *warned* is so with everything within it.

Types are Istio's: `int32` and the like have that range, a duration is Go's (`2s`, `1h30m`, `100ms`), `bytes` is base64.
A whole number may be written with a point (`1.0`) but not in quotes; `null` is as if the field were not there.
An empty default means that the absence itself has a meaning, which Istio's documentation tells.

"""

MESH_HEAD = """
# The mesh's settings

Istio keeps them as text in the ConfigMap `istio` of the root namespace, keys `mesh` and `meshNetworks`; `--mesh-config` and
`--mesh-networks` take them from files.
No schema of Kubernetes looks into that text, so it is read as Istio reads it: original field names (`trust_domain`) and quoted
numbers are taken as well.
"""


@attrs.frozen
class Use:
    """A class, and what of it has an effect."""

    resource: type[Any]
    has_effect: bool


def status_of(resource: type[Any], name: str, *, has_effect: bool = True) -> str:
    """What becomes of a field.

    Args:
        resource: The class it belongs to.
        name: In JSON.
        has_effect: Whether the class as a whole has an effect.
    """
    if name in getattr(resource, "REFUSED", ()):
        return "refused"
    if name in getattr(resource, "IRRELEVANT", ()):
        return "noted"
    if name in getattr(resource, "UNSUPPORTED", ()) or not has_effect:
        return "warned"
    return "in part" if name in getattr(resource, "PARTLY", ()) else "supported"


def classes(roots: Iterable[tuple[type[Any], bool]]) -> dict[type[Any], bool]:
    """Every class within these, in the order of the page, and whether it has an effect anywhere."""
    found: dict[type[Any], bool] = {}

    def visit(resource: type[Any], *, has_effect: bool) -> None:
        if resource in found and (found[resource] or not has_effect):
            return
        found[resource] = has_effect
        for name, field in fields(resource):
            inner = class_within(field.type)
            if inner is not None:
                status = status_of(resource, name, has_effect=has_effect)
                visit(inner, has_effect=status in {"supported", "in part"})

    for resource, has_effect in roots:
        visit(resource, has_effect=has_effect)
    return found


def fields(resource: type[Any]) -> Iterator[tuple[str, Any]]:
    """A class's fields by their names in JSON."""
    attrs.resolve_types(resource)
    for field in attrs.fields(resource):
        if field.init and not field.metadata.get("derived"):
            yield field.name.removesuffix("_"), field


def class_within(cls: Any) -> type[Any] | None:
    """The class of a field, of a list's items, of a mapping's values."""
    if attrs.has(cls):
        found: type[Any] = cls
        return found
    if get_origin(cls) is Annotated:
        return None
    return next((inner for each in get_args(cls) if (inner := class_within(each)) is not None), None)


def type_text(cls: Any) -> str:
    """A type as Istio's documentation writes it."""
    origin = get_origin(cls)
    if origin in (Union, types.UnionType):
        if cls == common.IntOrString:
            return "int or string"
        rest = [type_text(each) for each in get_args(cls) if each is not type(None)]
        return " or ".join(dict.fromkeys("int or string" if set(rest) == {"int", "string"} else each for each in rest))
    if origin is tuple:
        return f"{type_text(get_args(cls)[0])}[]"
    if origin is common.Map:
        return f"map of {type_text(get_args(cls)[1])}"
    named = {
        common.Int32: "int32",
        common.Natural: "int32",
        common.UInt32: "uint32",
        common.Int64: "int64",
        common.UInt64: "uint64",
    }
    named |= {common.Base64: "bytes", common.Duration: "duration", str: "string", float: "double", Any: "any"}
    if cls in named:
        return named[cls]
    if isinstance(cls, type) and issubclass(cls, StrEnum):
        return ", ".join(f"`{member}`" for member in cls)
    return link(cls) if attrs.has(cls) else str(cls.__name__)


def default_text(field: Any) -> str:
    """A default as a document would have it, "" where absence has a meaning of its own."""
    default = field.default
    if default is attrs.NOTHING:
        return "required"
    if default in (None, "", ()) or isinstance(default, common.Map) or attrs.has(type(default)):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        if any(attrs.has(type(each)) for each in default):
            return "an empty one"
        return f"`[{', '.join(default)}]`"
    if "Duration" in str(field.type):
        return f"`{format_duration(default)}`"
    return f"`{default}`"


def link(cls: type[Any]) -> str:
    """To the section of a class."""
    return f"[{cls.__name__}](#{anchor(cls)})"


def anchor(cls: type[Any]) -> str:
    """Where a class is explained. Two classes of one name are told apart by where they are from."""
    return f"{cls.__module__.removeprefix('meshd.api.').replace('.', '-').replace('_', '-')}-{cls.__name__}".lower()


def section(resource: type[Any], *, has_effect: bool) -> str:
    """One class: what it is for, and its fields."""
    about = inspect.cleandoc(resource.__doc__ or "").replace("``", "`")
    rows = [
        (name, type_text(field.type), default_text(field), status_of(resource, name, has_effect=has_effect))
        for name, field in fields(resource)
    ]
    listed = {name for name, *_ in rows}
    others = {*getattr(resource, "UNSUPPORTED", ()), *getattr(resource, "IRRELEVANT", ())} - listed
    rows += [(name, "", "", status_of(resource, name, has_effect=has_effect)) for name in sorted(others)]
    text = f'\n<a id="{anchor(resource)}"></a>\n\n### {resource.__name__}\n\n{about}\n'
    if not rows:
        return text
    lines = "".join(f"| `{name}` | {kind} | {default} | {status} |\n" for name, kind, default, status in rows)
    return f"{text}\n| field | type | default | |\n|---|---|---|---|\n{lines}"


def kinds_table() -> str:
    """Every kind, and what becomes of it."""
    rows = [(kind, "supported" if kind.supported else "warned: no effect yet (MD0003)") for kind in KINDS]
    rows += [(kind, _foreign(kind)) for kind in FOREIGN_KINDS]
    lines = []
    for kind, status in rows:
        versions = ", ".join(f"`{kind.group}/{each}`" if kind.group else f"`{each}`" for each in kind.versions)
        name = link(kind.resource) if kind in KINDS else kind.name
        lines.append(f"| {name} | {versions} | {status} |\n")
    return f"| kind | versions | |\n|---|---|---|\n{''.join(lines)}"


def _foreign(kind: Kind) -> str:
    of_a_mesh = kind.group.endswith("istio.io") or kind.group == GATEWAY_API
    return f"{'warned: no effect yet (MD0003)' if of_a_mesh else 'noted'}; analyses read it"


def roots() -> tuple[tuple[type[Any], bool], ...]:
    """Where the classes of documents begin."""
    return tuple((kind.resource, kind.supported) for kind in KINDS)


MESH_ROOTS = ((MeshConfig, True), (MeshNetworks, True))


def page() -> str:
    """The whole page."""
    of_documents = classes(roots())
    of_the_mesh = {each: effect for each, effect in classes(MESH_ROOTS).items() if each not in of_documents}
    text = HEAD + kinds_table()
    text += "".join(section(each, has_effect=effect) for each, effect in of_documents.items())
    text += MESH_HEAD
    return text + "".join(section(each, has_effect=effect) for each, effect in of_the_mesh.items())


if __name__ == "__main__":
    sys.exit(write_or_check(page()))
