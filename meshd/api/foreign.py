"""Kinds that no proxy is configured by, kept as they were written for those who look across documents. Pure values.

A Deployment says which labels its pods will have, a webhook who is injected, an
EnvoyFilter what was meant to be patched: analyses read them, the compiler does
not. Their content is plain data, frozen: mappings are ``Map``, lists are tuples.
"""

from __future__ import annotations

from typing import Any

import attrs

from meshd.api.common import Map


@attrs.frozen
class Foreign:
    """``content`` holds the fields beside ``apiVersion``, ``kind``, ``metadata`` and ``status``."""

    content: Map[str, Any] = Map()

    def get(self, *path: str | int) -> Any:
        """What stands at a path, ``get("spec", "template", "metadata", "labels")``; None where nothing does."""
        return look_up(self.content, *path)


def look_up(value: Any, *path: str | int) -> Any:
    """What stands at a path in frozen plain data; None where nothing does."""
    for step in path:
        if isinstance(value, Map):
            value = value.get(step)
        elif isinstance(value, tuple) and isinstance(step, int) and 0 <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def freeze(value: Any) -> Any:
    """Plain data that cannot change and can be hashed.

    The depth is that of a document, which the parser has limited.
    """
    if isinstance(value, dict):
        return Map({key: freeze(each) for key, each in value.items()})
    if isinstance(value, list):
        return tuple(freeze(each) for each in value)
    return value
