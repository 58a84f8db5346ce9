"""Ports that are sniffed and whose server speaks first."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.service_ports import server_first
from tests.control.analysis.cases import text
from tests.control.analysis.own.cases import codes, lines, service


@pytest.mark.parametrize("port", ["{name: shell, port: 22}", "{port: 5900}", "{name: my-ftp, port: 4000}"])
def test_ports_that_hang(port: str) -> None:
    [line] = lines(server_first, service("a", port))
    assert line.startswith("MD0058 4:")
    assert "the server speaks first" in line
    assert "or set appProtocol: tcp" in line


def test_entries() -> None:
    spec = "{hosts: [a.example], ports: [{number: 22, name: ssh}], resolution: DNS}"
    [line] = lines(server_first, text("ServiceEntry", spec))
    assert 'name the port "tcp-ssh" or set protocol: TCP' in line


@pytest.mark.parametrize(
    "port",
    [
        "{name: tcp-shell, port: 22}",
        "{name: shell, port: 22, appProtocol: tcp}",
        "{name: mail, port: 25}",
        "{name: db, port: 3306}",
        "{name: mysql, port: 4000}",
        "{name: http, port: 22}",
        "{name: metrics, port: 9090}",
        "{name: dns, port: 22, protocol: UDP}",
    ],
)
def test_ports_that_do_not(port: str) -> None:
    assert codes(server_first, service("a", port)) == []
