"""Access log lines: Istio's formats exactly, one's own, and nothing a client sends can break one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.errors import ConfigError, ResponseFlag
from meshd.http.head import Headers, RequestHead
from meshd.net.address import Address
from meshd.policy.exchange import ConnectionInfo, Exchange
from meshd.snapshot.common import Direction
from meshd.snapshot.snapshot import AccessLog
from meshd.telemetry.access_log import JSON_FORMAT, TEXT_FORMAT, AccessLogger, LogWriter, compile_format, escape
from tests.telemetry.records import finished, opaque, refused

NOW, WALL = 104.0256, 1_700_000_000.0256


def line(exchange: Exchange, settings: AccessLog | None = None) -> str:
    return compile_format(settings or AccessLog())(exchange, NOW, WALL).decode()


def test_istio_s_text() -> None:
    assert line(finished()) == (
        '[2023-11-14T22:13:16.000Z] "GET /reviews/0?x=1 HTTP/1.1" 200 - via_upstream - "-" 12 295 4025 3 "10.0.0.9" '
        '"curl/8" "id-1" "reviews:9080" "10.0.0.3:9080" outbound|9080|v1|reviews.default.svc.cluster.local '
        "10.0.0.1:5555 10.0.0.1:15001 10.0.0.7:43210 - default\n"
    )


def test_istio_s_text_of_a_failure() -> None:
    assert line(refused()) == (
        '[2023-11-14T22:13:16.000Z] "GET /reviews/0?x=1 HTTP/1.1" 503 DI,FI fault_filter_abort - '
        '"delayed connect error: Connection refused" 12 295 4025 - "10.0.0.9" '
        '"curl/8" "id-1" "reviews:9080" "-" outbound|9080|v1|reviews.default.svc.cluster.local '
        "- 10.0.0.1:15001 10.0.0.7:43210 - default\n"
    )


def test_a_connection_s_line() -> None:
    assert line(opaque()).startswith(
        '[2023-11-14T22:13:16.000Z] "- - -" 0 - - rbac_access_denied_matched_policy[none] "-" 12 295 4025 - "-" "-" "-" "-"'
    )


def test_istio_s_json() -> None:
    found = json.loads(line(finished(), AccessLog(encoding="JSON")))
    assert list(found) == list(JSON_FORMAT)
    assert (found["response_code"], found["bytes_sent"], found["duration"]) == (200, 295, 4025)
    assert (found["upstream_service_time"], found["response_flags"]) == ("3", "-")
    assert found["requested_server_name"] is None
    assert found["connection_termination_details"] is None


def test_one_s_own_json_may_nest() -> None:
    form = '{"a": {"b": ["%REQ(:METHOD)% to %UPSTREAM_HOST%", "%RESPONSE_CODE%", 7, null, "100%%"]}, "c": "%REQ(no)%"}'
    found = json.loads(line(finished(), AccessLog(encoding="JSON", format=form)))
    assert found == {"a": {"b": ["GET to 10.0.0.3:9080", 200, 7, None, "100%"]}, "c": None}


def test_one_s_own_text_ends_in_a_line_feed() -> None:
    assert line(finished(), AccessLog(format="%RESPONSE_CODE%\t%REQ(no)% 100%%")) == "200\t- 100%\n"
    assert line(finished(), AccessLog(format="%RESPONSE_CODE%\n")) == "200\n"
    assert line(finished(), AccessLog(format="static")) == "static\n"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (AccessLog(encoding="XML"), "not TEXT or JSON"),
        (AccessLog(encoding="JSON", format="[]"), "must be an object"),
        (AccessLog(encoding="JSON", format="{"), "not JSON"),
        (AccessLog(encoding="JSON", format="[" * 100_000), "not JSON"),
        (AccessLog(encoding="JSON", format='{"a":' * 20 + "1" + "}" * 20), "nested more than 16 deep"),
        (AccessLog(encoding="JSON", format='{"a": "%NOPE%"}'), "known are"),
        (AccessLog(format="%NOPE%"), "known are"),
    ],
)
def test_formats_that_cannot_be_compiled(settings: AccessLog, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compile_format(settings)


def test_what_would_break_a_line_is_escaped() -> None:
    exchange = finished()
    exchange.request = RequestHead(
        b"GET", b'/"x"\\', "reviéws\u2028".encode(), Headers.of([(b"user-agent", b'a" 200 "\xff\x01')])
    )
    assert '"GET /\\"x\\"\\\\ HTTP/1.1"' in line(exchange)
    assert '"a\\" 200 \\"\\xff\\x01"' in line(exchange)
    assert '"reviéws\\u2028"' in line(exchange)
    assert escape("a\U000e0001b\x7f") == "a\\U000e0001b\\x7f"


ODD = st.binary(max_size=8).map(lambda value: value.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b""))
ORDINARY = st.sampled_from([b"", b"a", b"curl/8", b"/x?y=1", "é".encode(), b'"', b"\\"])
VALUES = ODD | ORDINARY
TEXTS = st.text(max_size=5) | st.sampled_from(["", "10.0.0.1:80", "a b"])


def test_lone_surrogates_are_never_written() -> None:
    exchange = finished()
    exchange.upstream_failure, exchange.cluster = "a\ud800", "\U0001f600"
    exchange.request.target = b"/\xff"
    assert '"a\\ud800"' in line(exchange)
    found = json.loads(line(exchange, AccessLog(encoding="JSON")))
    assert (found["upstream_transport_failure_reason"], found["upstream_cluster"]) == ("a\\ud800", "\U0001f600")
    assert found["path"] == "/\\xff"


def _made(method, target, host, agent, texts, numbers, where, flags) -> Exchange:
    headers = Headers.of(
        [(name, value) for name, value in zip((b"User-Agent", b"x-forwarded-for", b"user-agent"), agent, strict=False)]
    )
    connection = ConnectionInfo(Direction.INBOUND, Address(where[0], 1), Address(where[1], 2), 3, server_name=texts[5])
    exchange = Exchange(connection, RequestHead(method, target, host, headers), started=100.0)
    exchange.cluster, exchange.upstream_host, exchange.detail, exchange.upstream_failure, exchange.upstream_local = (
        texts[:5]
    )
    exchange.status, exchange.bytes_received, exchange.bytes_sent, exchange.upstream_service_time_ms = numbers
    exchange.flags = flags
    exchange.remote_host = where[2] if numbers[0] % 2 else ""
    exchange.request_id = host if numbers[1] % 2 else b""
    exchange.original_path = target if numbers[2] % 3 == 0 else b""
    if numbers[3] % 2:
        # As most are: answered by a backend, with nothing to remark.
        exchange.detail, exchange.flags, exchange.remote_host, exchange.upstream_failure = "via_upstream", [], "", ""
    return exchange


EXCHANGES = st.builds(
    _made,
    VALUES,
    VALUES,
    VALUES,
    st.lists(VALUES, max_size=3),
    st.lists(TEXTS, min_size=6, max_size=6),
    st.lists(st.integers(-1, 1000), min_size=4, max_size=4),
    st.lists(st.sampled_from(["10.0.0.1", "::1", "client"]), min_size=3, max_size=3),
    st.lists(st.sampled_from(ResponseFlag), max_size=2),
)


@settings(max_examples=300, deadline=None)
@given(EXCHANGES)
def test_the_quick_line_is_the_general_one(exchange: Exchange) -> None:
    assert line(exchange) == line(exchange, AccessLog(format=TEXT_FORMAT))


@settings(max_examples=200, deadline=None)
@given(EXCHANGES)
def test_a_line_is_one_line_and_json_is_json(exchange: Exchange) -> None:
    rendered = line(exchange)
    assert rendered.endswith("\n")
    assert rendered[:-1].isprintable()
    assert rendered.replace("\\\\", "").replace('\\"', "").count('"') == TEXT_FORMAT.count('"')
    found = json.loads(line(exchange, AccessLog(encoding="JSON")))
    json.dumps(found).encode()
    assert list(found) == list(JSON_FORMAT)


class ListSink:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    async def write(self, data: bytes) -> None:
        self.data.append(data)

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass


async def test_the_logger_hands_lines_to_the_writer() -> None:
    sink = ListSink()
    writer = LogWriter(sink)
    logger = AccessLogger(AccessLog(format="%START_TIME% %RESPONSE_CODE%"), writer, lambda: WALL)
    logger.log(finished(), NOW)
    await writer.flush()
    assert sink.data == [b"2023-11-14T22:13:16.000Z 200\n"]
