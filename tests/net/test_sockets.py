"""The kernel's network: what only it has."""

from __future__ import annotations

import errno
import logging
import socket

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from meshd.errors import ConnectionLost
from meshd.net import accepting, tcp
from meshd.net.accepting import SocketListener
from meshd.net.address import Address
from meshd.net.poller import EVENTS_PER_POLL, EdgePoller, LevelPoller
from meshd.net.sockets import SocketNetwork, SocketOptions, open_socket_network
from tests.net.pairs import LOOPBACK, receive_exactly


@pytest.fixture
async def network(nursery):
    poller = EdgePoller()
    await nursery.start(poller.run)
    return SocketNetwork(poller)


async def pair(network):
    listener = network.listen(LOOPBACK)
    client = await network.connect(listener.address)
    server = await listener.accept()
    listener.close()
    return client, server


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def test_nobody_there_is_refused(network):
    with pytest.raises(ConnectionLost, match=r"^connection refused$"):
        await network.connect(Address("127.0.0.1", free_port()))
    assert network.statistics().connect_failures == 1


async def test_a_name_is_not_looked_up(network):
    with pytest.raises(ConnectionLost, match="'localhost' is not an ip address"):
        await network.connect(Address("localhost", 80))


async def test_a_connection_to_oneself_is_refused(network, monkeypatch):
    """Linux lets a client that happens to get the destination's port as its own talk to itself."""
    port = free_port()

    class Unlucky(socket.socket):
        def connect(self, target) -> None:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(target)
            super().connect(target)

    monkeypatch.setattr(socket, "socket", Unlucky)
    with pytest.raises(ConnectionLost, match="connection refused"):
        await network.connect(Address("127.0.0.1", port))


async def test_no_host_is_ipv4_and_ipv6_on_one_port(network):
    listener = network.listen(Address("", 0))
    hosts = ["127.0.0.1", "::1"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
    for host in hosts:
        client = await network.connect(Address(host, listener.address.port))
        server = await listener.accept()
        assert server.local == Address(host, listener.address.port)
        assert server.peer == client.local
        client.close()
        server.close()
    listener.close()


async def test_without_ipv6_there_is_still_ipv4(network, monkeypatch):
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    listener = network.listen(Address("", 0))
    client = await network.connect(Address("127.0.0.1", listener.address.port))
    client.close()
    listener.close()


async def test_ipv6_switched_off_falls_back(network, monkeypatch):
    real = accepting._bind

    def bind(family, *args, **kwargs):
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "no IPv6 here")
        return real(family, *args, **kwargs)

    monkeypatch.setattr(accepting, "_bind", bind)
    network.listen(Address("", 0)).close()


async def test_a_listener_may_have_a_name(network):
    listener = network.listen(Address("localhost", 0))
    assert listener.address.host == "localhost"
    listener.close()
    with pytest.raises(OSError, match="no address for"):
        network.listen(Address("no.such.name.invalid", 0))


async def test_a_taken_port_says_so(network):
    listener = network.listen(LOOPBACK)
    with pytest.raises(OSError) as caught:
        network.listen(listener.address)
    assert caught.value.errno == errno.EADDRINUSE
    listener.close()


async def test_two_processes_may_share_a_port_when_asked():
    async with open_socket_network(SocketOptions(reuse_port=True)) as network:
        first = network.listen(LOOPBACK)
        second = network.listen(first.address)
        first.close()
        second.close()


async def test_options_are_set_on_both_ends(network):
    client, server = await pair(network)
    for connection in (client, server):
        sock = connection._sock
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert not sock.get_inheritable()
        connection.close()


async def test_counts(network):
    client, server = await pair(network)
    assert (network.statistics().connected, network.statistics().accepted) == (1, 1)
    client.close()
    server.close()


async def test_urgent_data_does_not_strand_what_is_behind_it(network):
    """A read stops at the urgent mark: a short read that is no proof of an empty socket."""
    client, server = await pair(network)
    client._sock.send(b"before")
    client._sock.send(b"!", socket.MSG_OOB)
    client._sock.send(b"after")
    await wait_all_tasks_blocked(0.01)
    with trio.fail_after(5):
        assert await receive_exactly(server, 11) == b"beforeafter"
    client.close()
    server.close()


@pytest.mark.parametrize("make_poller", [EdgePoller, LevelPoller])
async def test_many_connections_at_once(nursery, make_poller):
    """More become ready in one go than are told in one round."""
    count = EVENTS_PER_POLL + 44 if make_poller is EdgePoller else 60
    poller = make_poller()
    await nursery.start(poller.run)
    network = SocketNetwork(poller)
    listener = network.listen(LOOPBACK)
    ends = []
    for _ in range(count):
        client = await network.connect(listener.address)
        ends.append((client, await listener.accept()))

    async def echo(server) -> None:
        await server.send(await server.receive())

    async with trio.open_nursery() as echoes:
        for _, server in ends:
            echoes.start_soon(echo, server)
        await wait_all_tasks_blocked()
        for number, (client, _) in enumerate(ends):
            await client.send(b"%d" % number)
    for number, (client, server) in enumerate(ends):
        assert await client.receive() == b"%d" % number
        client.close()
        server.close()
    listener.close()


async def test_a_hang_up_may_close_others_that_are_about_to_be_told(network):
    """One callback closes connections whose events are in the same round."""
    pairs = [await pair(network) for _ in range(10)]
    servers = [server for _, server in pairs]

    def close_all() -> None:
        for server in servers:
            server.on_hangup = None
            server.close()

    for server in servers:
        server.on_hangup = close_all
    await wait_all_tasks_blocked(0.01)
    for client, _ in pairs:
        client.close()
    await wait_all_tasks_blocked(0.01)
    for server in servers:
        with pytest.raises(trio.ClosedResourceError):
            await server.receive()


async def test_a_connection_made_before_the_fallback_poller_runs_is_told_too(nursery):
    poller = LevelPoller()
    network = SocketNetwork(poller)
    client, server = await pair(network)
    await client.send(b"early")
    await nursery.start(poller.run)
    assert await server.receive() == b"early"
    client.close()
    server.close()


async def test_cancelling_a_connect_leaves_no_socket(network):
    """An address that swallows packets; ResourceWarning would tell of a socket left open."""
    with trio.move_on_after(0.02):
        try:
            connection = await network.connect(Address("192.0.2.1", 80))
        except ConnectionLost:
            return
        connection.close()


class FakeListeningSocket:
    """Gives errors, then connections."""

    def __init__(self, *outcomes: OSError | str) -> None:
        self.outcomes = list(outcomes)
        self.closed = False

    def accept(self):
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome, ("127.0.0.1", 1)

    def fileno(self) -> int:
        return -1 if self.closed else 99


def overloaded() -> OSError:
    return OSError(errno.EMFILE, "Too many open files")


async def test_a_shortage_is_waited_out_logged_once_a_burst_and_counted(autojump_clock, caplog):
    sock = FakeListeningSocket(overloaded(), overloaded(), "first", overloaded(), "second", "third")
    listener = SocketListener(sock, LOOPBACK, lambda connection, peer: connection)
    with caplog.at_level(logging.WARNING):
        assert await listener.accept() == "first"
        assert trio.current_time() == pytest.approx(0.2)
        assert await listener.accept() == "second"
        assert len(caplog.records) == 1
        assert "Too many open files" in caplog.text
        assert "ulimit -n" in caplog.text
        sock.outcomes.insert(0, overloaded())
        await trio.sleep(20)
        assert await listener.accept() == "third"
    assert len(caplog.records) == 2
    assert listener.overloads == 4
    assert listener.accepted == 3


@pytest.mark.parametrize("name", ["ECONNABORTED", "EPROTO", "EPERM", "ENETDOWN"])
async def test_a_connection_that_died_in_the_backlog_is_skipped(name):
    sock = FakeListeningSocket(OSError(getattr(errno, name), name), "next")
    listener = SocketListener(sock, LOOPBACK, lambda connection, peer: connection)
    assert await listener.accept() == "next"


async def test_a_connection_that_dies_while_it_is_set_up_is_skipped():
    closed = []

    class Dead:
        def close(self) -> None:
            closed.append(self)

    def adopt(connection, peer):
        if isinstance(connection, Dead):
            raise OSError(errno.EINVAL, "Invalid argument")
        return connection

    listener = SocketListener(FakeListeningSocket(Dead(), "next"), LOOPBACK, adopt)
    assert await listener.accept() == "next"
    assert len(closed) == 1


async def test_any_other_error_of_accept_is_a_bug():
    listener = SocketListener(FakeListeningSocket(OSError(errno.EFAULT, "Bad address")), LOOPBACK, lambda *_: None)
    with pytest.raises(OSError, match="Bad address"):
        await listener.accept()


async def test_accepting_lets_others_run():
    sock = FakeListeningSocket(*["connection"] * 100)
    listener = SocketListener(sock, LOOPBACK, lambda connection, peer: connection)
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            await trio.lowlevel.checkpoint()
            others += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        for _ in range(100):
            await listener.accept()
        nursery.cancel_scope.cancel()
    assert others >= 100 // accepting.ACCEPTS_PER_WAKE // 2


async def test_closing_a_listener_ends_a_pending_accept(network):
    listener = network.listen(LOOPBACK)

    async def accept() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        await wait_all_tasks_blocked()
        listener.close()
        listener.close()
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()


async def test_a_reader_that_is_never_kept_waiting_lets_others_run(network):
    """A fast sender fills every read; other tasks must still get their turn."""
    client, server = await pair(network)
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            await trio.lowlevel.checkpoint()
            others += 1

    server._recv = bytes
    server._readable = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        for _ in range(20 * tcp.FULL_READS):
            await server.receive()
        nursery.cancel_scope.cancel()
    assert others >= 10
    client.close()
    server.close()


async def test_the_fallback_waits_once_however_often_it_is_asked(nursery):
    poller = LevelPoller()
    await nursery.start(poller.run)
    network = SocketNetwork(poller)
    client, server = await pair(network)
    for _ in range(3):
        # A send that is given up leaves its wait behind; the next asks for another.
        with trio.move_on_after(0.01):
            await client.send(bytes(16 * 1024 * 1024))
    poller.rearm(server._sock, 1)
    client.close()
    server.close()


async def test_the_fallback_tells_of_a_reset(nursery):
    poller = LevelPoller()
    await nursery.start(poller.run)
    client, server = await pair(SocketNetwork(poller))
    await wait_all_tasks_blocked(0.01)
    client.abort(ConnectionLost("gave up"))
    await wait_all_tasks_blocked(0.01)
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="reset"):
            await server.receive()
    server.close()


async def test_unread_bytes_do_not_hide_a_hang_up(network):
    """Only an edge-triggered poller sees an end that lies behind unread bytes."""
    client, server = await pair(network)
    told = trio.Event()
    server.on_hangup = told.set
    await client.send(b"unread")
    await wait_all_tasks_blocked(0.01)
    client.close()
    with trio.fail_after(5):
        await told.wait()
    assert await server.receive() == b"unread"
    assert await server.receive() == b""
    server.close()
