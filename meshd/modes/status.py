"""``meshd proxy-status``: what the control plane knows of its proxies."""

from __future__ import annotations

import os
from typing import Any

import trio

from meshd.certs.identity import utc_text
from meshd.control import local
from meshd.errors import ConfigError, MeshdError, StartError
from meshd.http.client import HttpClient
from meshd.modes.process import expected_error, open_world
from meshd.net.address import Address
from meshd.net.resolver import SystemResolver
from meshd.snapshot.protocol import NodesResponse, read

UNREACHABLE = 69
TIMEOUT = 5.0
"""Seconds for the answer."""
MOST_BODY = 64 * 1024 * 1024
"""Bytes: some hundred thousand proxies."""
SHORT = 12
"""Digits of a version that people are shown."""


def proxy_rows(console: Address | None) -> list[dict[str, Any]]:
    """A row for each proxy.

    Args:
        console: Where the control plane's console is; None asks this user's own control plane on this machine.

    Raises:
        StartError: there is none, or it does not answer (exit code 69).
    """
    where = console or _local_console()
    try:
        nodes = trio.run(_ask, where)
    except BaseExceptionGroup as group:
        error = expected_error(group)
        if error is None:
            raise
        raise _unreachable(where, error) from None
    except MeshdError as error:
        raise _unreachable(where, error) from error
    return [_row(node) for node in nodes.nodes]


def _local_console() -> Address:
    found = local.find(local.runtime_directory(os.environ))
    if found is None:
        raise StartError(
            "no control plane of yours on this machine: name one with --console ADDR", exit_code=UNREACHABLE
        )
    if not found.console:
        raise StartError("the control plane runs with --console off", exit_code=UNREACHABLE)
    return Address.parse(found.console)


def _unreachable(where: Address, error: MeshdError) -> StartError:
    return StartError(f"the control plane's console at {where} gives no answer: {error}", exit_code=UNREACHABLE)


async def _ask(where: Address) -> NodesResponse:
    async with open_world() as world:
        client = HttpClient(world.network, SystemResolver(), world.timers)
        host = Address(where.host or "127.0.0.1", where.port)
        answer = await client.request("GET", f"http://{host}/debug/nodes", timeout=TIMEOUT, max_body=MOST_BODY)
        client.close()
        if answer.status != 200:
            raise ConfigError(f"status {answer.status}")
        return read(NodesResponse, answer.body, limit=MOST_BODY, lenient=True)


def _row(node: Any) -> dict[str, Any]:
    return {
        "name": f"{node.name}.{node.namespace}",
        "kind": node.kind,
        "status": node.status,
        "version": node.applied[:SHORT],
        "published": node.published[:SHORT],
        "last_seen": _when(node.last_seen),
        "certificate": _when(node.certificate_expiry),
        "service": node.service,
        "service_account": node.service_account,
        "address": node.address,
        "healthy": node.healthy,
        "release": node.release,
        "reason": node.reason,
    }


def _when(seconds: float) -> str:
    return utc_text(seconds) if seconds else ""
