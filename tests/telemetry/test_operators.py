"""Envoy's operators."""

from __future__ import annotations

import pytest

from meshd.errors import ConfigError
from meshd.policy.exchange import Exchange
from meshd.telemetry.operators import LOG_OPERATORS, clock, parse_format
from tests.telemetry.records import finished, fits, opaque, refused

NOW = 104.0256
WALL = 1_700_000_000.0256


def shown(form: str, exchange: Exchange) -> str:
    parts = parse_format(form, LOG_OPERATORS)
    found = [part if isinstance(part, str) else part(fits(exchange), NOW, WALL) for part in parts]
    return "".join(["~" if piece is None or piece == "" else str(piece) for piece in found])


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("%START_TIME%", "2023-11-14T22:13:16.000Z"),
        ("%START_TIME(%Y/%m/%d %H:%M:%S.%3f %s)%", "2023/11/14 22:13:16.000 1699999996"),
        ("%START_TIME(%E4S%%)%", "16.0000%"),
        ("%DURATION%", "4025"),
        ("%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %REQ(:SCHEME)%", "GET /reviews/0?x=1 reviews:9080 http"),
        ("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "/reviews/0?x=1"),
        ("%REQ(none)%", "~"),
        ("%REQ(X-REQUEST-ID)%", "id-1"),
        ("%RESP(X-Up)% %RESP(none?server)%", "1 x"),
        ("%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%", "3"),
        ("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%", "200 - via_upstream"),
        ("%BYTES_RECEIVED% %BYTES_SENT%", "12 295"),
        ("%UPSTREAM_HOST% %UPSTREAM_LOCAL_ADDRESS%", "10.0.0.3:9080 10.0.0.1:5555"),
        ("%UPSTREAM_CLUSTER% %UPSTREAM_REQUEST_ATTEMPT_COUNT%", "outbound|9080|v1|reviews.default.svc.cluster.local 1"),
        ("%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%", "10.0.0.1:15001 10.0.0.7:43210"),
        ("%DOWNSTREAM_REMOTE_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "43210 10.0.0.7:43210"),
        ("%ROUTE_NAME% %FILTER_CHAIN_NAME% %REQUESTED_SERVER_NAME%", "default c ~"),
        ("%PROTOCOL%", "HTTP/1.1"),
        ("%DOWNSTREAM_PEER_URI_SAN%", "~"),
        ("%GRPC_STATUS%", "~"),
        ("%MESHD_REASON%", "~"),
        ("100%% %REQ(USER-AGENT):4%", "100% curl"),
        ("", ""),
    ],
)
def test_operators(form: str, expected: str) -> None:
    assert shown(form, finished()) == expected


def test_what_went_wrong() -> None:
    form = "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%"
    assert shown(form, refused()) == "DI,FI fault_filter_abort delayed connect error: Connection refused"


def test_a_rewritten_path_is_logged_as_it_was() -> None:
    exchange = finished()
    exchange.original_path = b"/before"
    assert shown("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %REQ(:PATH)%", exchange) == "/before /reviews/0?x=1"


def test_the_trusted_client_s_port_is_not_known() -> None:
    exchange = finished()
    exchange.remote_host = "2001:db8::1"
    assert shown("%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_PORT%", exchange) == "[2001:db8::1]:0 0"
    assert shown("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", exchange) == "10.0.0.7"


@pytest.mark.parametrize(
    ("form", "number", "expected"),
    [
        ("%GRPC_STATUS%", 14, "Unavailable"),
        ("%GRPC_STATUS(SNAKE_STRING)%", 1, "CANCELLED"),
        ("%GRPC_STATUS(NUMBER)%", 0, "0"),
        ("%GRPC_STATUS_NUMBER%", 7, "7"),
        ("%GRPC_STATUS%", 99, "99"),
    ],
)
def test_grpc_status(form: str, number: int, expected: str) -> None:
    exchange = finished()
    exchange.grpc_status = number
    assert shown(form, exchange) == expected


def test_a_connection_has_no_request() -> None:
    form = "%REQ(:METHOD)% %PROTOCOL% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% %RESP(a)% %ROUTE_NAME%"
    assert shown(form, opaque()) == "~ ~ ~ rbac_access_denied_matched_policy[none] ~ ~"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("%NOPE%", "%NOPE% is not supported: known are BYTES_RECEIVED"),
        ("%DYNAMIC_METADATA(a)%", "is not supported"),
        ("50%", "write %% for a percent sign"),
        ("%REQ%", "needs its name"),
        ("%BYTES_SENT(x)%", "takes no argument"),
        ("%GRPC_STATUS(x)%", "CAMEL_STRING, SNAKE_STRING or NUMBER"),
        ("%START_TIME(%Q)%", "uses %Q"),
        ("%START_TIME(%3d)%", "uses %3d"),
    ],
)
def test_what_is_not_known_is_refused(form: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        parse_format(form, LOG_OPERATORS)


def test_the_clock_rounds_up_into_the_next_second() -> None:
    show = clock()
    assert [show(0.9994), show(0.9996), show(86400.0)] == [
        "1970-01-01T00:00:00.999Z",
        "1970-01-01T00:00:01.000Z",
        "1970-01-02T00:00:00.000Z",
    ]
