"""Plain values to the classes of ``meshd.api``: strict, and every mistake at once. Pure.

Two passes over one subtree. The first (*sift*) walks the value beside its
type: it reports fields that are unknown, unsupported or without meaning and
containers of the wrong shape, and leaves out what the second pass must not see.
The second is cattrs, with hooks that convert nothing silently: a quoted number
is not a number, a number is not text, ``"false"`` is not false.

A class that is made here may have attributes that are text, ``int``, ``float``,
``bool``, ``Duration``, ``IntOrString``, an enumeration, another such class,
``tuple[X, ...]``, ``Map[str, X]``, and ``X | None`` of these.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import BaseValidationError, ClassValidationError, IterableValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from meshd.api.common import Duration, IntOrString, Map
from meshd.api.document import Path
from meshd.api.durations import parse_duration
from meshd.api.problem import FIELD_NOT_SUPPORTED, Level, Problem, error, info, warning

T = TypeVar("T")

_LARGEST_INTEGER = 2**63 - 1

_DROP = object()
"""What ``_sift`` returns for a value that the second pass must not see."""


class Converter:
    """Makes resources of plain values. Create one and keep it: it compiles a class when it first meets it."""

    def __init__(self) -> None:
        # The whole mutable state: the compiled hooks in cattrs, and the fields of each class.
        self._cattrs = _strict_converter()
        self._fields: dict[type, _Fields] = {}

    def structure(self, value: object, cls: type[T], path: Path = ()) -> tuple[T | None, tuple[Problem, ...]]:
        """Make a ``cls`` of plain values.

        Args:
            value: What the document says at ``path``; None counts as ``{}``.
            cls: A class of ``meshd.api``.
            path: Where the value stands in the document.

        Returns:
            The object, or None if there is any Error; and all problems.
        """
        problems: list[Problem] = []
        sifted = self._sift({} if value is None else value, cls, path, problems)
        if sifted is _DROP:
            return None, tuple(problems)
        try:
            result = self._cattrs.structure(sifted, cls)
        except (BaseValidationError, ValueError) as caught:
            said = {problem.path for problem in problems}
            problems += [problem for problem in _problems(caught, path) if not _within(problem.path, said)]
            return None, tuple(problems)
        if any(problem.level is Level.ERROR for problem in problems):
            return None, tuple(problems)
        return result, tuple(problems)

    def _sift(self, value: object, cls: Any, path: Path, problems: list[Problem]) -> object:
        cls = _without_none(cls)
        origin = get_origin(cls)
        if origin is tuple:
            return self._sift_list(value, get_args(cls)[0], path, problems)
        if origin is Map:
            return self._sift_map(value, get_args(cls)[1], path, problems)
        if attrs.has(cls):
            return self._sift_class(value, cls, path, problems)
        if isinstance(value, dict | list):
            problems.append(error(path, f"expected {_wanted(cls)}, found {describe(value)}"))
            return _DROP
        return value

    def _sift_list(self, value: object, item: Any, path: Path, problems: list[Problem]) -> object:
        if not isinstance(value, list):
            remedy = '; write it as an item: "- ..."' if not isinstance(value, dict) else ""
            problems.append(error(path, f"expected a list, found {describe(value)}{remedy}"))
            return _DROP
        sifted = [self._sift(each, item, (*path, index), problems) for index, each in enumerate(value)]
        return [None if each is _DROP else each for each in sifted]

    def _sift_map(self, value: object, item: Any, path: Path, problems: list[Problem]) -> object:
        if not isinstance(value, dict):
            problems.append(error(path, f"expected a mapping, found {describe(value)}"))
            return _DROP
        sifted = {key: self._sift(each, item, (*path, key), problems) for key, each in value.items()}
        return {key: each for key, each in sifted.items() if each is not _DROP}

    def _sift_class(self, value: object, cls: type, path: Path, problems: list[Problem]) -> object:
        if not isinstance(value, dict):
            problems.append(error(path, f"expected a mapping, found {describe(value)}"))
            return _DROP
        fields = self._fields.get(cls)
        if fields is None:
            fields = self._fields[cls] = _Fields.of(cls)
        sifted: dict[str, object] = {}
        for key, each in value.items():
            if each is None:  # As in JSON for Kubernetes: null is "not given".
                continue
            here = (*path, key)
            fields.judge(key, here, problems)
            if key in fields.types:
                inner = self._sift(each, fields.types[key], here, problems)
                if inner is not _DROP:
                    sifted[key] = inner
        return sifted


@attrs.frozen
class _Fields:
    """What a class knows of its fields, by their names in JSON."""

    types: dict[str, Any]
    unsupported: frozenset[str]
    refused: frozenset[str]
    irrelevant: frozenset[str]
    silent: frozenset[str]

    @classmethod
    def of(cls, resource: type) -> _Fields:
        attrs.resolve_types(resource)
        return cls(
            {_json_name(field.name): field.type for field in attrs.fields(resource)},
            getattr(resource, "UNSUPPORTED", frozenset()),
            getattr(resource, "REFUSED", frozenset()),
            getattr(resource, "IRRELEVANT", frozenset()),
            getattr(resource, "BOOKKEEPING", frozenset()),
        )

    def judge(self, key: str, path: Path, problems: list[Problem]) -> None:
        """Say what there is to say about a field's being there."""
        if key in self.refused:
            problems.append(
                error(
                    path,
                    "meshd does not support this field yet, and without it more would be let in than this asks for",
                    at_value=False,
                    code=FIELD_NOT_SUPPORTED,
                )
            )
        elif key in self.unsupported:
            problems.append(
                warning(path, "meshd does not support this field yet: it has no effect", code=FIELD_NOT_SUPPORTED)
            )
        elif key in self.irrelevant:
            problems.append(info(path, "this field has no meaning to a mesh"))
        elif key not in self.types and key not in self.silent:
            known = self.types.keys() | self.unsupported | self.refused | self.irrelevant
            problems.append(error(path, f"unknown field{suggestion(key, known)}", at_value=False))


def _within(path: Path, said: set[Path]) -> bool:
    """Whether this place, or one around it, was spoken of before."""
    return any(path[:length] in said for length in range(1, len(path) + 1))


def suggestion(word: str, known: Iterable[str]) -> str:
    """``; did you mean "weight"?``, or what there is to choose from when that is short, or nothing."""
    choices = sorted(known)
    lower = {choice.lower(): choice for choice in choices}
    flat = word.replace("_", "").replace("-", "").lower()
    close = [lower[flat]] if flat in lower else difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    if 0 < len(choices) <= 6:
        return f"; known here: {', '.join(choices)}"
    return ""


def describe(value: object) -> str:
    """A value in a sentence: ``the number 5``, ``a list``; long text is cut."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the boolean {str(value).lower()}"
        case int() | float():
            return f"the number {value}"
        case str():
            return f'the text "{value if len(value) <= 40 else value[:37] + "..."}"'
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:  # pragma: no cover  YAML gives nothing else
            return type(value).__name__


def _json_name(attribute: str) -> str:
    return attribute.removesuffix("_")


def _without_none(cls: Any) -> Any:
    """``X`` of ``X | None``; ``IntOrString`` stays what it is."""
    if get_origin(cls) in (Union, types.UnionType):
        rest = tuple(each for each in get_args(cls) if each is not type(None))
        return rest[0] if len(rest) == 1 else IntOrString
    return cls


_WANTED: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Duration: "a duration such as 2s",
    IntOrString: "a number or a name",
}


def _wanted(cls: Any) -> str:
    if isinstance(cls, type) and issubclass(cls, StrEnum):
        return f"one of {', '.join(cls)}"
    return _WANTED.get(cls, "a value")


def _structure_text(value: object, _: object) -> str:
    if isinstance(value, str):
        return value
    remedy = ""
    if isinstance(value, bool):
        remedy = " (so are yes, no, on, off, y and n); put it in quotes"
    elif isinstance(value, int | float):
        remedy = "; put it in quotes"
    raise ValueError(f"expected text, found {describe(value)}{remedy}")


def _structure_integer(value: object, _: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > _LARGEST_INTEGER:
            raise ValueError("this number is too large")
        return value
    remedy = "; take the quotes away" if isinstance(value, str) and value.isdecimal() else ""
    raise ValueError(f"expected a whole number, found {describe(value)}{remedy}")


def _structure_float(value: object, _: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"expected a number, found {describe(value)}")


def _structure_boolean(value: object, _: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"expected true or false, found {describe(value)}")


def _structure_duration(value: object, _: object) -> Duration:
    if isinstance(value, str):
        return Duration(parse_duration(value))
    remedy = f"; write {value}s for seconds" if isinstance(value, int) and not isinstance(value, bool) else ""
    raise ValueError(f"expected a duration such as 2s or 100ms, found {describe(value)}{remedy}")


def _structure_int_or_string(value: object, _: object) -> int | str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return _structure_integer(value, int)
    raise ValueError(f"expected a number or a name, found {describe(value)}")


def _structure_enum(value: object, cls: type[StrEnum]) -> StrEnum:
    try:
        return cls(cast("str", value))
    except ValueError:
        hint = suggestion(value, tuple(cls)) if isinstance(value, str) else ""
        if "did you mean" not in hint:
            hint = f"; it must be one of {', '.join(cls)}"
        raise ValueError(f"unknown value: {describe(value)}{hint}") from None


def _strict_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    converter.register_structure_hook(str, _structure_text)
    converter.register_structure_hook(int, _structure_integer)
    converter.register_structure_hook(float, _structure_float)
    converter.register_structure_hook(bool, _structure_boolean)
    # After ``str``, of which it is a subclass: the nearer of the two is taken.
    converter.register_structure_hook(StrEnum, _structure_enum)
    converter.register_structure_hook_func(lambda cls: cls is Duration, _structure_duration)
    converter.register_structure_hook_func(lambda cls: cls == IntOrString, _structure_int_or_string)
    converter.register_structure_hook_func(
        lambda cls: cls == (IntOrString | None),
        lambda value, cls: None if value is None else _structure_int_or_string(value, cls),
    )
    converter.register_structure_hook_factory(_is_map, lambda cls: _map_hook(converter, cls))
    converter.register_structure_hook_factory(attrs.has, lambda cls: _class_hook(converter, cls))
    return converter


def _is_map(cls: Any) -> bool:
    origin: Any = get_origin(cls)
    return origin is Map


def _class_hook(converter: cattrs.Converter, cls: type) -> Callable[[Mapping[str, Any], Any], Any]:
    attrs.resolve_types(cls)
    renamed: dict[str, Any] = {
        field.name: override(rename=_json_name(field.name))
        for field in attrs.fields(cls)
        if field.name != _json_name(field.name)
    }
    return make_dict_structure_fn(
        cls, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True, **renamed
    )


def _map_hook(converter: cattrs.Converter, cls: Any) -> Callable[[Mapping[str, Any], Any], Map[str, Any]]:
    item = get_args(cls)[1]
    hook = converter.get_structure_hook(item)

    def structure(value: Mapping[str, Any], _: object) -> Map[str, Any]:
        result: dict[str, Any] = {}
        wrong: list[Exception] = []
        for key, each in value.items():
            try:
                result[key] = hook(each, item)
            except Exception as caught:  # noqa: BLE001  gathered and raised as one, as cattrs does
                caught.add_note(IterableValidationNote(f"at {key}", key, item))
                wrong.append(caught)
        if wrong:
            raise IterableValidationError("mapping", wrong, cls)
        return Map(result)

    return structure


def _problems(caught: BaseException, path: Path) -> list[Problem]:
    """The leaves of cattrs' tree of exceptions, with their paths."""
    if isinstance(caught, ClassValidationError):
        with_notes, others = caught.group_exceptions()
        return [
            *(each for inner, note in with_notes for each in _problems(inner, (*path, _json_name(note.name)))),
            *(each for inner in others for each in _problems(inner, path)),
        ]
    if isinstance(caught, IterableValidationError):
        indexed, others = caught.group_exceptions()
        return [
            *(each for inner, step in indexed for each in _problems(inner, (*path, step.index))),
            *(each for inner in others for each in _problems(inner, path)),
        ]
    if isinstance(caught, KeyError):
        return [error(path[:-1], f'the field "{path[-1]}" is missing')]
    return [error(path, str(caught))]
