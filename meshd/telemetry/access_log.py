"""One line for each exchange: Istio's text and JSON, or a format of one's own. Pure but for handing lines on.

A format is compiled to a renderer when a snapshot is prepared. The text path
renders first and looks afterwards: a line that is printable and has as many
quotes and backslashes as its format cannot have been broken by a client; any
other is rendered again with every value escaped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring_ascii
from operator import attrgetter, itemgetter

from meshd.errors import ConfigError
from meshd.snapshot.snapshot import AccessLog
from meshd.telemetry.istio_line import IstioLine
from meshd.telemetry.log_writer import LogWriter, open_sink
from meshd.telemetry.operators import LOG_OPERATORS, Attribute, Scalar, Value, parse_format
from meshd.telemetry.record import ExchangeRecord

__all__ = ["JSON_FORMAT", "TEXT_FORMAT", "AccessLogger", "LogWriter", "check_format", "compile_format", "open_sink"]

Renderer = Callable[[ExchangeRecord, float, float], bytes]
"""From an exchange, trio's time and the wall's time, both at its end, to a line with its line feed."""

TEXT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
"""Istio's default (pilot/pkg/model/telemetry_logging.go)."""

JSON_FORMAT = {
    "start_time": "%START_TIME%",
    "route_name": "%ROUTE_NAME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}
"""Istio's keys for JSON, in its order."""

_MAX_DEPTH = 16
"""Nesting of a JSON format."""


class AccessLogger:
    """Renders exchanges and hands the lines to a writer. One per snapshot.

    Raises (when made):
        ConfigError: the format cannot be compiled.
    """

    __slots__ = ("_append_later", "_render", "_wall_clock")

    def __init__(self, settings: AccessLog, writer: LogWriter, wall_clock: Callable[[], float]) -> None:
        self._render = compile_format(settings)
        self._append_later = writer.append_later
        self._wall_clock = wall_clock

    def log(self, exchange: ExchangeRecord, now: float) -> None:
        """Log an exchange that has ended at ``now`` on trio's clock; it must not change any more."""
        self._append_later(self._render, exchange, now, self._wall_clock())


def check_format(settings: AccessLog) -> None:
    """Refuse a format that cannot be compiled; for whoever validates documents.

    Raises:
        ConfigError: which part of it.
    """
    compile_format(settings)


def compile_format(settings: AccessLog) -> Renderer:
    """The renderer of an access log's settings.

    Raises:
        ConfigError: an unknown encoding or operator, or a JSON format that is no object.
    """
    if settings.encoding == "JSON":
        return _compile_json(settings.format)
    if settings.encoding != "TEXT":
        raise ConfigError(f"access log encoding {settings.encoding!r} is not TEXT or JSON")
    return _compile_text(settings.format) if settings.format else IstioLine(_compile_text(TEXT_FORMAT))


def _compile_text(form: str) -> Renderer:
    parts = parse_format(form if form.endswith("\n") else form + "\n", LOG_OPERATORS)
    literal = "".join(part for part in parts if isinstance(part, str))
    template = "".join([part.replace("%", "%%") if isinstance(part, str) else "%s" for part in parts])
    find = _finder(tuple(part for part in parts if not isinstance(part, str)))
    quotes, backslashes = literal.count('"'), literal.count("\\")
    clean = literal[:-1].isprintable()

    def render(exchange: ExchangeRecord, now: float, wall: float) -> bytes:
        # What is not known is None or "", and 0 is known.
        found = [value if value or value == 0 else "-" for value in find(exchange, now, wall)]
        line = template % tuple(found)
        if clean and line[:-1].isprintable() and line.count('"') == quotes and line.count("\\") == backslashes:
            return line.encode()
        return (template % tuple([escape(str(value)) for value in found])).encode()

    return render


def _finder(values: tuple[Value, ...]) -> Callable[[ExchangeRecord, float, float], Sequence[Scalar]]:
    """All values of a line, in order; plain attributes are read in one call."""
    attributes = [value.path for value in values if isinstance(value, Attribute)]
    others = tuple(value for value in values if not isinstance(value, Attribute))
    if len(attributes) <= 1:
        return lambda exchange, now, wall: [value(exchange, now, wall) for value in values]
    read = attrgetter(*attributes)
    first, second = iter(range(len(attributes))), iter(range(len(attributes), len(values)))
    arrange = itemgetter(*[next(first if isinstance(value, Attribute) else second) for value in values])
    return lambda exchange, now, wall: arrange([*read(exchange), *[value(exchange, now, wall) for value in others]])


def escape(value: str) -> str:
    r"""Text that cannot end a quoted field or a line: quotes, backslashes and the unprintable as ``\"``, ``\\``, ``\xNN``."""
    return "".join([_escaped(character) for character in value])


def _escaped(character: str) -> str:
    if character in {'"', "\\"}:
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


JsonPart = str | Value
_SURROGATE = "\\ud"
"""How a surrogate begins in a line: an undecodable byte, or half of an honest pair."""


def _compile_json(form: str) -> Renderer:
    shape: object = JSON_FORMAT
    if form:
        try:
            shape = json.loads(form)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"the JSON access log format is not JSON: {error}") from error
    if not isinstance(shape, dict):
        raise ConfigError('the JSON access log format must be an object, as {"path": "%REQ(:PATH)%"}')
    parts = [*_json_parts(shape, 0), "\n"]
    template = "".join([part.replace("%", "%%") if isinstance(part, str) else "%s" for part in parts])
    find = _finder(tuple(part for part in parts if not isinstance(part, str)))

    def render(exchange: ExchangeRecord, now: float, wall: float) -> bytes:
        found = [
            encode_basestring_ascii(value) if value.__class__ is str and value else _json_scalar(value)
            for value in find(exchange, now, wall)
        ]
        line = template % tuple(found)
        if _SURROGATE in line:
            line = template % tuple([_json_scalar(value) for value in find(exchange, now, wall)])
        return line.encode()

    return render


def _json_parts(shape: object, depth: int) -> list[JsonPart]:
    """A JSON value as literal text and values, whose results are scalars still to be encoded."""
    if depth > _MAX_DEPTH:
        raise ConfigError(f"the JSON access log format is nested more than {_MAX_DEPTH} deep")
    if isinstance(shape, str):
        parts = parse_format(shape, LOG_OPERATORS)
        if len(parts) == 1 and not isinstance(parts[0], str):
            return [parts[0]]
        return [_joined(parts)] if any(callable(part) for part in parts) else [json.dumps("".join(map(str, parts)))]
    if isinstance(shape, dict):
        pieces: list[JsonPart] = ["{"]
        for index, (key, value) in enumerate(shape.items()):
            pieces += [f"{',' if index else ''}{json.dumps(key)}:", *_json_parts(value, depth + 1)]
        return [*pieces, "}"]
    if isinstance(shape, list):
        pieces = ["["]
        for index, value in enumerate(shape):
            pieces += ["," if index else "", *_json_parts(value, depth + 1)]
        return [*pieces, "]"]
    return [json.dumps(shape)]


def _joined(parts: tuple[str | Value, ...]) -> Value:
    """Several parts as one text."""

    def join(exchange: ExchangeRecord, now: float, wall: float) -> Scalar:
        found = [part if isinstance(part, str) else part(exchange, now, wall) for part in parts]
        return "".join([str(piece) if piece or piece == 0 else "-" for piece in found])

    return join


def _json_scalar(value: Scalar) -> str:
    if value is None or value == "":
        return "null"
    if isinstance(value, int):
        return str(value)
    # A byte that was no UTF-8 came as a lone surrogate, which is no JSON for many readers.
    clean = [_escaped(character) if "\ud800" <= character <= "\udfff" else character for character in value]
    encoded: str = encode_basestring_ascii("".join(clean))
    return encoded
