"""Kubernetes' label selectors in plain data. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshd.api.common import Map
from meshd.api.foreign import look_up


def matches(selector: Any, labels: Mapping[str, str]) -> bool:
    """Whether labels are selected. No selector selects everything; one that cannot be understood, nothing."""
    if selector is None:
        return True
    wanted = look_up(selector, "matchLabels") or Map()
    if not isinstance(wanted, Map) or any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expression(each, labels) for each in expressions(selector))


def expressions(selector: Any) -> Iterator[Any]:
    """Its ``matchExpressions``."""
    listed = look_up(selector, "matchExpressions")
    yield from listed if isinstance(listed, tuple) else ()


def _expression(expression: Any, labels: Mapping[str, str]) -> bool:
    key, values = str(look_up(expression, "key")), look_up(expression, "values") or ()
    match look_up(expression, "operator"):
        case "In":
            return labels.get(key) in values if key in labels else False
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False
