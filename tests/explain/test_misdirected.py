"""Explanations know that a connection made to one server is no way into another."""

from __future__ import annotations

import attrs

from meshd.explain.call import Call, Told
from meshd.explain.decide import decide
from meshd.explain.decision import Verdict
from meshd.snapshot.common import Direction
from meshd.snapshot.route import DirectResponse
from tests.proxy.snapshots import assemble, route, table
from tests.proxy.test_misdirected import LISTENER


def test_the_reason_is_told():
    snapshot = assemble((LISTENER,), (table(route(DirectResponse(200, "in")), name="t"),), (), {"c": ["10.0.0.1:1"]})
    call = Call.of("GET", "https://admin.example.com/", Told(sni="www.example.com"))
    decision = decide(snapshot, Direction.GATEWAY, attrs.evolve(call))
    assert (decision.verdict, decision.status) == (Verdict.NO_ROUTE, 421)
    assert "belongs to locked" in decision.reason
