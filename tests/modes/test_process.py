"""Listeners of our own, and how a process's errors become one."""

from __future__ import annotations

import pytest

from meshd.errors import ConfigError, StartError
from meshd.modes.process import expected_error, listen, open_world
from meshd.modes.settings import Listening
from meshd.net.address import Address


async def test_a_default_port_gives_way() -> None:
    async with open_world() as world:
        taken = world.network.listen(Address("127.0.0.1", 0))
        port = taken.address.port
        moved = listen(world.network, Listening(Address("127.0.0.1", port)), "admin")
        assert moved is not None
        assert moved.address.port > port
        moved.close()
        taken.close()


async def test_an_asked_for_port_does_not() -> None:
    async with open_world() as world:
        taken = world.network.listen(Address("127.0.0.1", 0))
        with pytest.raises(StartError) as caught:
            listen(world.network, Listening(taken.address, asked=True), "admin")
        assert caught.value.exit_code == 78
        assert f"--admin {taken.address}: address already in use" in str(caught.value)
        taken.close()


async def test_an_address_that_is_not_ours() -> None:
    async with open_world() as world:
        with pytest.raises(StartError, match=r"--admin 192\.0\.2\.1:1"):
            listen(world.network, Listening(Address("192.0.2.1", 1)), "admin")


async def test_off_listens_nowhere() -> None:
    async with open_world() as world:
        assert listen(world.network, Listening(None, asked=True), "admin") is None


def test_expected_errors_become_one() -> None:
    start = StartError("no", exit_code=69)
    group = BaseExceptionGroup("", [ConfigError("x"), ExceptionGroup("", [start])])
    assert expected_error(group) is start


def test_a_bug_among_them_is_a_bug() -> None:
    assert expected_error(BaseExceptionGroup("", [StartError("no"), RuntimeError("bug")])) is None
