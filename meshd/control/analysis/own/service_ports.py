"""Ports of services whose protocol is found out by waiting for the client, who waits for the server. Pure.

That a port's name says no protocol has a code of Istio's; here are those where
it does harm. Source: Istio's page on server-first protocols.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshd.api.document import Document, Path
from meshd.api.networking.service_entry import ServiceEntry
from meshd.api.problem import Problem
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.remarks import remark
from meshd.control.finding import Finding
from meshd.control.services import Protocol, from_kubernetes, protocol_of

SERVER_FIRST: Final = "MD0058"

NUMBERS: Final = {
    21: "FTP",
    22: "SSH",
    23: "Telnet",
    110: "POP3",
    119: "NNTP",
    143: "IMAP",
    587: "SMTP",
    2525: "SMTP",
    3307: "MySQL",
    5900: "VNC",
    33060: "MySQL",
}
"""Ports of protocols in which the server speaks first, besides those that are never sniffed (25, 53, 3306, 27017)."""

NAMES: Final = ("ftp", "ssh", "sftp", "telnet", "smtp", "pop3", "imap", "nntp", "vnc", "mysql", "mariadb", "percona")
"""Names by which such a port goes, where the name says no protocol that is known."""


def server_first(facts: Facts) -> Iterable[Finding]:
    """Ports that are sniffed and whose server speaks first."""
    for document in facts.kind("Service"):
        ports = from_kubernetes(document).ports
        numbers = [port.port for port in document.resource.ports]
        said = [
            (numbers.index(port.number), port.number, port.name) for port in ports if port.protocol is Protocol.AUTO
        ]
        yield from told(document, _server_first(document, said))
    for document in facts.all(ServiceEntry):
        listed = [
            (index, port.number, port.name)
            for index, port in enumerate(document.resource.ports)
            if protocol_of(port.number, port.name, port.protocol) is Protocol.AUTO
        ]
        yield from told(document, _server_first(document, listed))


def _server_first(document: Document, ports: Iterable[tuple[int, int, str]]) -> Iterable[Problem]:
    for index, number, name in ports:
        spoken = NUMBERS.get(number) or next((each for each in NAMES if each in name.lower().split("-")), "")
        if spoken:
            path: Path = ("spec", "ports", index)
            yield remark(
                SERVER_FIRST,
                path,
                f"connections to port {number} hang: in {spoken} the server speaks first, and the proxy waits for the "
                f'client to find out the protocol; name the port "tcp-{name or spoken.lower()}" or set '
                f"{'appProtocol: tcp' if document.kind == 'Service' else 'protocol: TCP'}",
            )
