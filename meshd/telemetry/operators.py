"""Envoy's ``%OPERATOR%`` formats: what access logs and header edits can say of an exchange. Pure.

A format is parsed once into literals and values; a value is a function of the
exchange and of two times, trio's and the wall's, both at the exchange's end.
None or "" is "not known": ``-`` in a log line, ``null`` in JSON, nothing in a header.
Text that came from peers as bytes keeps undecodable bytes as surrogates, so
that whoever writes it chooses how to escape them.

The operators are those that an exchange can really answer; any other is a
``ConfigError`` that lists them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from operator import attrgetter

import attrs

from meshd.errors import ConfigError
from meshd.telemetry.record import AddressRecord, ExchangeRecord

Scalar = str | int | None
Value = Callable[[ExchangeRecord, float, float], Scalar]
Factory = Callable[[str], Value]

_OPERATOR = re.compile(r"%(?:%|([A-Z][A-Z0-9_]*)(?:\((.*?)\))?(?::([0-9]+))?%)")

GRPC_STATUS_NAMES = (
    ("OK", "OK"),
    ("Canceled", "CANCELLED"),
    ("Unknown", "UNKNOWN"),
    ("InvalidArgument", "INVALID_ARGUMENT"),
    ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
    ("NotFound", "NOT_FOUND"),
    ("AlreadyExists", "ALREADY_EXISTS"),
    ("PermissionDenied", "PERMISSION_DENIED"),
    ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
    ("FailedPrecondition", "FAILED_PRECONDITION"),
    ("Aborted", "ABORTED"),
    ("OutOfRange", "OUT_OF_RANGE"),
    ("Unimplemented", "UNIMPLEMENTED"),
    ("Internal", "INTERNAL"),
    ("Unavailable", "UNAVAILABLE"),
    ("DataLoss", "DATA_LOSS"),
    ("Unauthenticated", "UNAUTHENTICATED"),
)
"""(camel, snake) names by number (grpc/doc/statuscodes.md)."""


def parse_format(text: str, operators: Mapping[str, Factory]) -> tuple[str | Value, ...]:
    """Split a format into literals and values.

    Raises:
        ConfigError: an operator is unknown or a ``%`` stands alone.
    """
    parts: list[str | Value] = []
    literal = ""
    end = 0
    for match in _OPERATOR.finditer(text):
        literal += _literal(text[end : match.start()], text)
        end = match.end()
        name, argument, length = match.groups()
        if name is None:
            literal += "%"
            continue
        if literal:
            parts.append(literal)
            literal = ""
        parts.append(_value(name, argument or "", length, operators))
    literal += _literal(text[end:], text)
    if literal:
        parts.append(literal)
    return tuple(parts)


def _literal(piece: str, text: str) -> str:
    if "%" in piece:
        raise ConfigError(f"the format {text!r} has a % that begins no operator: write %% for a percent sign")
    return piece


def _value(name: str, argument: str, length: str | None, operators: Mapping[str, Factory]) -> Value:
    factory = operators.get(name)
    if factory is None:
        raise ConfigError(f"%{name}% is not supported: known are {', '.join(sorted(operators))}")
    value = factory(argument)
    return value if length is None else _cut(value, int(length))


def _cut(value: Value, length: int) -> Value:
    def cut(exchange: ExchangeRecord, now: float, wall: float) -> Scalar:
        whole = value(exchange, now, wall)
        return None if whole is None else str(whole)[:length]

    return cut


def _address(address: AddressRecord) -> str:
    host = address.host
    return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"


@attrs.frozen
class Attribute:
    """A value that is one attribute of the exchange (``connection.server_name``): renderers read many in one call."""

    path: str
    read: Callable[[ExchangeRecord], Scalar] = attrs.field(init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "read", attrgetter(self.path))

    def __call__(self, exchange: ExchangeRecord, _now: float, _wall: float) -> Scalar:
        return self.read(exchange)


def _plain(value: Value) -> Factory:
    """An operator without argument."""

    def factory(argument: str) -> Value:
        if argument:
            raise ConfigError(f"({argument}) is given to an operator that takes no argument")
        return value

    return factory


def _attribute(path: str) -> Factory:
    return _plain(Attribute(path))


Bytes = Callable[[ExchangeRecord], bytes | None]

_REQUEST_PSEUDO: Mapping[str, Bytes] = {
    ":method": attrgetter("request.method"),
    ":path": attrgetter("request.target"),
    ":authority": attrgetter("request.authority"),
    "host": attrgetter("request.authority"),
    ":scheme": lambda exchange: exchange.request.scheme if exchange.request.method else None,
    "x-envoy-original-path": attrgetter("original_path"),
    "x-request-id": lambda exchange: exchange.request_id or exchange.request.headers.get(b"x-request-id"),
}


def _request_header(name: str) -> Bytes:
    pseudo = _REQUEST_PSEUDO.get(name)
    if pseudo is not None:
        return pseudo
    encoded = name.encode()
    return lambda exchange: exchange.request.headers.get(encoded)


def _response_header(name: str) -> Bytes:
    encoded = name.encode()
    if name == "x-envoy-upstream-service-time":
        return _service_time
    return lambda exchange: exchange.response_headers.get(encoded) if exchange.response_headers is not None else None


def _service_time(exchange: ExchangeRecord) -> bytes | None:
    time = exchange.upstream_service_time_ms
    return b"%d" % time if time >= 0 else None


def _header(read: Callable[[str], Bytes]) -> Factory:
    """``REQ(NAME)`` or ``REQ(NAME?OTHER)``."""

    def factory(argument: str) -> Value:
        first, _, second = argument.lower().partition("?")
        if not first:
            raise ConfigError("an operator for a header needs its name, as in %REQ(USER-AGENT)%")
        main = read(first)
        other = read(second) if second else _nothing

        def value(exchange: ExchangeRecord, _now: float, _wall: float) -> Scalar:
            found = main(exchange) or other(exchange)
            return found.decode("utf-8", "surrogateescape") if found else None

        return value

    return factory


def _nothing(_exchange: ExchangeRecord) -> None:
    return None


def _flags(exchange: ExchangeRecord, _now: float, _wall: float) -> str:
    return ",".join(exchange.flags) if exchange.flags else "-"


def _detail(exchange: ExchangeRecord, _now: float, _wall: float) -> str | None:
    if not exchange.request.method:
        return None
    if exchange.detail:
        return exchange.detail.replace(" ", "_")
    return "via_upstream" if exchange.upstream_host and exchange.status else None


def _grpc_status(argument: str) -> Value:
    form = argument or "CAMEL_STRING"
    if form not in {"CAMEL_STRING", "SNAKE_STRING", "NUMBER"}:
        raise ConfigError(f"%GRPC_STATUS({argument})% is not supported: expected CAMEL_STRING, SNAKE_STRING or NUMBER")

    def value(exchange: ExchangeRecord, _now: float, _wall: float) -> Scalar:
        number = exchange.grpc_status
        if number < 0:
            return None
        if form == "NUMBER":
            return number
        if number >= len(GRPC_STATUS_NAMES):
            return str(number)
        return GRPC_STATUS_NAMES[number][form == "SNAKE_STRING"]

    return value


def clock() -> Callable[[float], str]:
    """A function from seconds since the epoch to UTC with milliseconds, ``2016-04-15T20:17:00.310Z``."""
    # The whole mutable state: the last second rendered, since many lines share it.
    second, rendered = -1, ""

    def show(moment: float) -> str:
        nonlocal second, rendered
        milliseconds = int(moment * 1000 + 0.5)
        whole = milliseconds // 1000
        if whole != second:
            second, rendered = whole, datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        return f"{rendered}{milliseconds % 1000:03}Z"

    return show


def _start_time(argument: str) -> Value:
    """UTC with milliseconds, or a ``strftime`` form (``%s`` epoch, ``%f`` and ``%3f`` fractions)."""
    if argument:
        return _custom_time(argument)
    show = clock()
    return lambda exchange, now, wall: show(wall - now + exchange.started)


_TIME_FIELD = re.compile(r"%(?:%|(E?)([1-9]?)([a-zA-Z]))")
_TIME_FIELDS = frozenset("aAbBcdDeFHIjmMnpRSTuUVwWxXyYzZGgCh")


def _custom_time(form: str) -> Value:
    for match in _TIME_FIELD.finditer(form):
        extended, digits, letter = match.groups()
        known = letter is None or (letter in _TIME_FIELDS and not digits and not extended)
        if not (known or letter in {"s", "f"} or (extended and digits and letter == "S")):
            raise ConfigError(f"%START_TIME({form})% uses {match.group()}, which is not supported")

    def value(exchange: ExchangeRecord, now: float, wall: float) -> str:
        start = wall - now + exchange.started
        moment = datetime.fromtimestamp(start, UTC)
        nanoseconds = f"{moment.microsecond * 1000:09}"

        def field(match: re.Match[str]) -> str:
            extended, digits, letter = match.groups()
            if letter == "f":
                return nanoseconds[: int(digits or 9)]
            if letter == "s":
                return str(int(start))
            if extended:
                return moment.strftime("%S.") + nanoseconds[: int(digits)]
            return moment.strftime(match.group())

        return _TIME_FIELD.sub(field, form)

    return value


def _peer(exchange: ExchangeRecord, _now: float, _wall: float) -> str:
    return _address(exchange.connection.peer)


def _client(exchange: ExchangeRecord, _now: float, _wall: float) -> str:
    """The peer, or the client that trusted hops name (whose port nobody knows: Envoy writes 0)."""
    host = exchange.remote_host
    if not host:
        return _address(exchange.connection.peer)
    return f"[{host}]:0" if ":" in host else f"{host}:0"


def _client_host(exchange: ExchangeRecord, _now: float, _wall: float) -> str:
    return exchange.remote_host or exchange.connection.peer.host


def _local(exchange: ExchangeRecord, _now: float, _wall: float) -> str:
    return _address(exchange.connection.local)


def _peer_uri(exchange: ExchangeRecord, _now: float, _wall: float) -> str:
    principal = exchange.connection.principal
    return f"spiffe://{principal}" if principal else ""


def _client_port(exchange: ExchangeRecord, _now: float, _wall: float) -> int:
    return 0 if exchange.remote_host else exchange.connection.peer.port


def _chain_name(exchange: ExchangeRecord, _now: float, _wall: float) -> str:
    # What follows the name tells the chains of one port apart (``FilterChain.kind``).
    return exchange.connection.chain.partition(" ")[0]


def _protocol(exchange: ExchangeRecord, _now: float, _wall: float) -> str:
    request = exchange.request
    return request.version if request.method else ""


def _route_name(exchange: ExchangeRecord, _now: float, _wall: float) -> str:
    route = exchange.route
    return route.name if route is not None else ""


def _termination(exchange: ExchangeRecord, _now: float, _wall: float) -> str:
    return "" if exchange.request.method else exchange.detail


HEADER_OPERATORS: Mapping[str, Factory] = {
    "BYTES_RECEIVED": _attribute("bytes_received"),
    "BYTES_SENT": _attribute("bytes_sent"),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": _plain(_peer),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": _attribute("connection.peer.host"),
    "DOWNSTREAM_LOCAL_ADDRESS": _plain(_local),
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": _attribute("connection.local.host"),
    "DOWNSTREAM_LOCAL_PORT": _attribute("connection.local.port"),
    "DOWNSTREAM_PEER_URI_SAN": _plain(_peer_uri),
    "DOWNSTREAM_REMOTE_ADDRESS": _plain(_client),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": _plain(_client_host),
    "DOWNSTREAM_REMOTE_PORT": _plain(_client_port),
    "FILTER_CHAIN_NAME": _plain(_chain_name),
    "PROTOCOL": _plain(_protocol),
    "REQ": _header(_request_header),
    "REQUESTED_SERVER_NAME": _attribute("connection.server_name"),
    "RESP": _header(_response_header),
    "RESPONSE_CODE": _attribute("status"),
    "RESPONSE_CODE_DETAILS": _plain(_detail),
    "RESPONSE_FLAGS": _plain(_flags),
    "ROUTE_NAME": _plain(_route_name),
    "UPSTREAM_CLUSTER": _attribute("cluster"),
    "UPSTREAM_CLUSTER_RAW": _attribute("cluster"),
    "UPSTREAM_HOST": _attribute("upstream_host"),
    "UPSTREAM_LOCAL_ADDRESS": _attribute("upstream_local"),
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": _attribute("attempts"),
    "VIRTUAL_HOST_NAME": _attribute("virtual_host"),
}
"""What a header's value can say: all that is known before the exchange ends."""

LOG_OPERATORS: Mapping[str, Factory] = {
    **HEADER_OPERATORS,
    "CONNECTION_TERMINATION_DETAILS": _plain(_termination),
    "DURATION": _plain(lambda exchange, now, _wall: int((now - exchange.started) * 1000)),
    "GRPC_STATUS": _grpc_status,
    "GRPC_STATUS_NUMBER": _plain(
        lambda exchange, _now, _wall: number if (number := exchange.grpc_status) >= 0 else None
    ),
    "MESHD_REASON": _attribute("reason"),
    "START_TIME": _start_time,
    "UPSTREAM_TRANSPORT_FAILURE_REASON": _attribute("upstream_failure"),
}
"""What a log line can say. ``%MESHD_REASON%`` is meshd's own: the sentence of ``x-meshd-reason``."""
