"""Istio's own cases about a sidecar's routes: for each host of one route table, exactly these clusters."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from meshd.control.scope import Scope
from meshd.snapshot.route import Forward
from tests.control.compiler.rendering import compiled
from tests.corpus import ROOT, corpus_path

EXPECTATIONS = "expectations/simulation.json"


def cases() -> list[Any]:
    path = ROOT / EXPECTATIONS
    if not path.exists():
        return []
    listed: list[Any] = json.loads(path.read_text())["sidecar_routes"]["cases"]
    return listed


@pytest.mark.parametrize(
    "case", cases(), ids=lambda case: f"{case['variant']}: {case['name']}, seen from {case['proxyNamespace']}"
)
def test_istios_sidecar_routes(case: Any) -> None:
    known = json.loads(corpus_path(EXPECTATIONS).read_text())["sidecar_routes"]["knownServices"]
    text = "---\n".join([known, *(yaml.safe_dump(each) for each in case["docs"])])
    snapshot = compiled(text, Scope(namespace=case["proxyNamespace"]))
    tables = [table for table in snapshot.route_tables if table.name == case["routeName"]]
    if case["expected"] is None:
        assert not tables
        return
    (table,) = tables
    hosts = {host.name.rpartition(":")[0]: host for host in table.virtual_hosts}
    for name, clusters in case["expected"].items():
        if clusters is None:
            assert name not in hosts
            continue
        actions = [route.action for route in hosts[name].routes]
        assert [
            each.cluster for action in actions if isinstance(action, Forward) for each in action.clusters
        ] == clusters


def test_there_are_cases() -> None:
    corpus_path(EXPECTATIONS)
    assert {case["variant"] for case in cases()} == {"virtualservice", "httproute"}
