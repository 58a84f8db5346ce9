"""Who can reach what a proxy opens for itself, and that it is said."""

from __future__ import annotations

import pytest

from meshd.modes.proxying import _admin_names
from meshd.modes.settings import Listening, SidecarSettings
from meshd.modes.sidecar import SidecarRole
from meshd.net.address import Address, is_loopback
from meshd.net.memory import MemoryNetwork
from meshd.proxy.small_server import Names

WARNED = "can be reached from other machines"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "example.com"])
def test_elsewhere(host: str) -> None:
    assert not is_loopback(host)


async def test_an_outbound_side_that_others_reach_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    SidecarRole(SidecarSettings()).reserve(MemoryNetwork())
    assert WARNED not in caplog.text
    SidecarRole(SidecarSettings(outbound=Listening(Address("", 15001), asked=True))).reserve(MemoryNetwork())
    assert f"--outbound :15001 {WARNED}" in caplog.text


async def test_an_inbound_side_is_for_others(caplog: pytest.LogCaptureFixture) -> None:
    SidecarRole(SidecarSettings(upstream=Address("127.0.0.1", 80))).reserve(MemoryNetwork())
    assert WARNED not in caplog.text


def test_names_of_the_admin_interface(caplog: pytest.LogCaptureFixture) -> None:
    names = _admin_names(Listening.default("127.0.0.1", 15000), "box")
    assert names == Names()
    assert names.take("localhost")
    assert not names.take("box")
    assert not names.take("10.0.0.1")
    assert WARNED not in caplog.text
    names = _admin_names(Listening(Address("0.0.0.0", 15000), asked=True), "Box")
    assert all(names.take(host) for host in ("localhost", "box", "10.0.0.1", "fe80::1"))
    assert not names.take("evil.example")
    assert not names.take("")
    assert WARNED in caplog.text
    assert _admin_names(Listening(None), "box") == Names()
