"""A call: what somebody asks about. Pure values.

``Call.of`` reads it as a user writes it (a method, a URL, a few facts) and
fills in what a real client would have done.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit

import attrs

from meshd.errors import ConfigError
from meshd.net.address import Address, is_ip_literal


class QuestionError(ConfigError):
    """What was asked is no question; what it was asked about may be quite all right."""


Choice = TypeVar("Choice", bound=StrEnum)


class Protocol(StrEnum):
    """What the client speaks, TLS apart."""

    HTTP = "http"
    HTTP2 = "http2"
    TCP = "tcp"


class Tls(StrEnum):
    """How the client's connection is secured."""

    PLAINTEXT = "plaintext"
    TLS = "tls"
    """TLS of anybody, without a client certificate."""
    MTLS = "mtls"
    """Mutual TLS: the mesh's own, or with a client certificate that a server asks for."""


SCHEME_PORTS: Final = {"http": 80, "https": 443, "tcp": 0}
MESH_ALPN: Final = {
    Protocol.HTTP: ("istio-http/1.1", "istio", "http/1.1"),
    Protocol.HTTP2: ("istio-h2", "istio", "h2"),
    Protocol.TCP: ("istio-peer-exchange", "istio"),
}
WEB_ALPN: Final = {Protocol.HTTP: ("http/1.1",), Protocol.HTTP2: ("h2",), Protocol.TCP: ()}
SNIFFED: Final = {Protocol.HTTP: ("http/1.1",), Protocol.HTTP2: ("h2c",), Protocol.TCP: ()}

_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NAME = re.compile(r":authority|[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
_SAFE = "/:@!$&'()*+,;=-._~%?[]"
"""Characters of a target that stay as they are; a person may type others, such as a space."""


@attrs.frozen
class Told:
    """What a user says of a call besides its URL; "" is "as a client would".

    ``headers`` are pairs (``host`` is the authority); ``address`` is ``IP:PORT``,
    ``IP`` or ``:PORT``; ``alpn`` a list with commas; ``client`` an IP.
    """

    headers: tuple[tuple[str, str], ...] = ()
    address: str = ""
    protocol: str = ""
    tls: str = ""
    sni: str = ""
    alpn: str = ""
    peer: str = ""
    client: str = ""


@attrs.frozen
class Call:
    """One request (or connection) to ask about.

    ``address`` is the IP the client connected to, "" when it is not known, and
    ``client`` the one it connected from. ``peer`` is the SPIFFE id of a client
    with mesh mTLS.
    """

    method: str = "GET"
    authority: str = ""
    target: str = "/"
    port: int = 80
    address: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    protocol: Protocol = Protocol.HTTP
    tls: Tls = Tls.PLAINTEXT
    sni: str = ""
    alpn: tuple[str, ...] = ()
    peer: str = ""
    client: str = ""

    @property
    def host(self) -> str:
        """The authority without its port."""
        return split_authority(self.authority)[0]

    @property
    def url(self) -> str:
        """As one would write it."""
        if self.protocol is Protocol.TCP:
            return f"tcp://{self.authority}"
        return f"{'http' if self.tls is Tls.PLAINTEXT else 'https'}://{self.authority}{self.target}"

    @property
    def application_protocols(self) -> tuple[str, ...]:
        """What a listener learns of the protocol: the ALPN that is offered, or what is sniffed."""
        return SNIFFED[self.protocol] if self.tls is Tls.PLAINTEXT else self.alpn

    @classmethod
    def of(cls, method: str, url: str, told: Told = Told()) -> Call:
        """A call as people write it.

        Args:
            method: ``GET``; any word without spaces.
            url: ``http://reviews:9080/reviews/0``; ``https`` means TLS, ``tcp`` opaque bytes; no scheme means http.
            told: The other facts.

        Raises:
            QuestionError: what cannot be such a call, and what it could be.
        """
        if not _METHOD.fullmatch(method):
            raise QuestionError(f"{method!r} is no method: expected a word such as GET")
        scheme, authority, target = _read_url(url)
        headers = tuple(_header(name, value) for name, value in told.headers)
        named = [value for name, value in headers if name == "host"]
        protocol = _one_of(Protocol, told.protocol, Protocol.TCP if scheme == "tcp" else Protocol.HTTP, "--protocol")
        # A server name is a part of TLS.
        tls = _one_of(Tls, told.tls, Tls.TLS if scheme == "https" or told.sni else Tls.PLAINTEXT, "--tls")
        address, port = _where(authority, scheme, told.address)
        if named:
            authority = named[-1]
        host = split_authority(authority)[0]
        if told.peer and tls is not Tls.MTLS:
            raise QuestionError(f"--peer {told.peer} needs --tls mtls: only mesh mTLS proves who calls")
        return cls(
            method=method,
            authority=authority,
            target=target,
            port=port,
            address=address,
            headers=tuple(pair for pair in headers if pair[0] != "host"),
            protocol=protocol,
            tls=tls,
            sni=told.sni or (host if tls is Tls.TLS and not is_ip_literal(host) else ""),
            alpn=_alpn(told.alpn, tls, protocol),
            peer=_spiffe(told.peer),
            client=_ip(told.client, "--client"),
        )


def split_authority(authority: str) -> tuple[str, int]:
    """Host (IPv6 without brackets) and port (0 when there is none)."""
    host, colon, port = authority.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.endswith("]")):
        return host.strip("[]"), int(port)
    return authority.strip("[]"), 0


def _read_url(url: str) -> tuple[str, str, str]:
    """Scheme, authority and target."""
    if not _SCHEME.match(url):
        url = f"http:{url}" if url.startswith("//") else f"http://{url}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise QuestionError(f"{url!r} is no URL to call: {error}") from error
    if parts.scheme not in SCHEME_PORTS:
        raise QuestionError(f"{url!r} has a scheme that meshd does not know: expected http, https or tcp")
    authority = parts.netloc.rpartition("@")[2]
    if not authority or (port is not None and not 0 < port < 65536) or any(c.isspace() for c in authority):
        raise QuestionError(f"{url!r} is no URL to call: expected one such as http://reviews:9080/reviews/0")
    target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    return parts.scheme, authority, target


def _where(authority: str, scheme: str, address: str) -> tuple[str, int]:
    """IP and port the client connected to."""
    host, port = split_authority(authority)
    ip = host if is_ip_literal(host) else ""
    port = port or SCHEME_PORTS[scheme]
    if address:
        if is_ip_literal(address.strip("[]")):
            ip = address.strip("[]")
        else:
            found = _parsed(address)
            ip = _ip(found.host, "--address") if found.host else ip
            port = found.port or port
    if not port:
        raise QuestionError(f"tcp://{authority} has no port: expected one, as in tcp://{authority}:5432")
    return ip, port


def _parsed(address: str) -> Address:
    try:
        return Address.parse(address)
    except ConfigError as error:
        raise QuestionError(f"--address {error.message}") from error


def _ip(text: str, flag: str) -> str:
    if text and not is_ip_literal(text):
        raise QuestionError(f"{flag} {text!r} is no IP address")
    return text


def _alpn(said: str, tls: Tls, protocol: Protocol) -> tuple[str, ...]:
    if not said:
        return () if tls is Tls.PLAINTEXT else (MESH_ALPN if tls is Tls.MTLS else WEB_ALPN)[protocol]
    if tls is Tls.PLAINTEXT:
        raise QuestionError("--alpn is a part of TLS: add --tls tls or --tls mtls")
    return tuple(each.strip() for each in said.split(",") if each.strip())


def _header(name: str, value: str) -> tuple[str, str]:
    if not _NAME.fullmatch(name):
        raise QuestionError(f"{name!r} is no header name: write -H 'name: value'")
    if any(each in value for each in "\r\n\0"):
        raise QuestionError(f"the value of header {name} holds a line break or NUL")
    lower = name.lower()
    return "host" if lower == ":authority" else lower, value.strip()


def _spiffe(peer: str) -> str:
    if peer and not peer.startswith("spiffe://"):
        raise QuestionError(
            f"--peer {peer!r} is no SPIFFE id: expected one such as spiffe://cluster.local/ns/default/sa/web"
        )
    return peer


def _one_of(kind: type[Choice], said: str, default: Choice, flag: str) -> Choice:
    try:
        return kind(said.lower()) if said else default
    except ValueError:
        raise QuestionError(f"{flag} {said!r}: expected {', '.join(kind)}") from None
