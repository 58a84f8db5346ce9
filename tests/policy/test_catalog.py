"""The list of filters."""

from __future__ import annotations

import random
import typing

import pytest

from meshd.errors import ConfigError
from meshd.policy.authz import ConnectionAuthorization, RequestAuthorization
from meshd.policy.catalog import REQUEST_FILTERS, FilterContext, build_connection_filters, build_filters, waits
from meshd.policy.fault import Abort, Delay
from meshd.policy.headers import HeaderEdits
from meshd.snapshot.common import Percent
from meshd.snapshot.policy import Authorization, Fault, FaultAbort, FaultDelay, FilterSpec, HeaderEdit

CONTEXT = FilterContext(random.Random(1))
FAULT = Fault(FaultDelay(1.0, Percent(1)), FaultAbort(Percent(1), http_status=500))


def test_every_specification_has_a_filter() -> None:
    assert set(typing.get_args(FilterSpec)) == set(REQUEST_FILTERS)


def test_filters_come_in_order_and_a_fault_is_two() -> None:
    filters = build_filters((Authorization(), FAULT, HeaderEdit()), CONTEXT)
    assert [type(each) for each in filters] == [RequestAuthorization, Delay, Abort, HeaderEdits]
    assert [waits(each) for each in filters] == [False, True, False, False]
    assert build_filters((Fault(),), CONTEXT) == ()


def test_connections_know_authorization_only() -> None:
    assert [type(each) for each in build_connection_filters((Authorization(),), CONTEXT)] == [ConnectionAuthorization]
    with pytest.raises(ConfigError, match="Fault is no filter for connections"):
        build_connection_filters((FAULT,), CONTEXT)


def test_a_specification_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match="object is no filter for requests"):
        build_filters((object(),), CONTEXT)  # type: ignore[arg-type]
