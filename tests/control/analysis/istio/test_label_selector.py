"""Kubernetes' label selectors."""

from __future__ import annotations

import pytest

from meshd.api.foreign import freeze
from meshd.control.analysis.istio.label_selector import matches

LABELS = {"a": "b", "c": ""}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, True),
        ({}, True),
        ({"matchLabels": {"a": "b"}}, True),
        ({"matchLabels": {"a": "x"}}, False),
        ({"matchLabels": {"a": "b", "x": "y"}}, False),
        ({"matchLabels": "nonsense"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "b"]}]}, True),
        ({"matchExpressions": [{"key": "x", "operator": "In", "values": ["x"]}]}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, False),
        ({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["b"]}]}, True),
        ({"matchExpressions": [{"key": "c", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "c", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "x", "operator": "Magic"}]}, False),
        ({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}, False),
    ],
)
def test_selectors(selector: object, expected: bool) -> None:
    assert matches(freeze(selector), LABELS) is expected
