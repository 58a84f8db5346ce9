"""Messages between control plane and agents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.errors import ConfigError
from meshd.snapshot import protocol
from meshd.snapshot.protocol import (
    MAX_BATCH,
    BundleResponse,
    CertificateRequest,
    CertificateResponse,
    ErrorBody,
    NodesResponse,
    NodeStatus,
    PartsRequest,
    PollStatus,
    Registration,
    RegistrationReply,
    SecretResponse,
    is_name,
    read,
    write,
)

MESSAGES: list[Any] = [
    Registration(),
    Registration("gateway", "s", (("a/b", "c"), ("d", "")), "::1", 1, 65535, "localhost", 80, "grpc", False, "0.1"),
    RegistrationReply(30, "spiffe://d/ns/a/sa/b"),
    CertificateRequest("csr", 60, "a", "b"),
    CertificateResponse("chain", "bundle", "d", "spiffe://d/ns/a/sa/b"),
    BundleResponse("d", "pem"),
    PollStatus("1" * 64, "2" * 64, "why ü"),
    PartsRequest(("a", "b")),
    SecretResponse("n", "v", "c", "k", "r"),
    ErrorBody("code", "message", "mend"),
    NodesResponse(
        (NodeStatus("n", "ns", "sa", "sidecar", "s", "1.2.3.4:5", "SYNCED", "", "", "", 1.0, 0.0, True, ""),)
    ),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_written_and_read(message: Any) -> None:
    data = write(message)
    assert read(type(message), data) == message
    assert data.isascii()
    assert b"\n" not in data, "a status is one line of a header"


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_member_of_a_later_release(message: Any) -> None:
    data = json.dumps({**json.loads(write(message)), "later": 1}).encode()
    assert read(type(message), data, lenient=True) == message
    with pytest.raises(ConfigError, match="unknown field 'later'"):
        read(type(message), data)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Registration, '{"service": "a b"}'),
        (Registration, '{"service": "' + "a" * 254 + '"}'),
        (Registration, '{"labels": [["a"]]}'),
        (Registration, '{"labels": [["a", "' + "x" * 64 + '"]]}'),
        (Registration, '{"labels": [["/a", "x"]]}'),
        (Registration, '{"app_port": -1}'),
        (Registration, '{"app_port": 1.0}'),
        (Registration, '{"app_port": 1e3}'),
        (Registration, '{"healthy": 1}'),
        (Registration, '{"release": "' + "x" * 65 + '"}'),
        (RegistrationReply, '{"ttl": 0, "spiffe_id": ""}'),
        (RegistrationReply, '{"spiffe_id": ""}'),
        (CertificateRequest, "{}"),
        (CertificateRequest, '{"csr": "", "ttl": -1}'),
        (CertificateRequest, '{"csr": "", "namespace": "../x"}'),
        (PollStatus, '{"applied": "' + "g" * 64 + '"}'),
        (PollStatus, '{"applied": "' + "A" * 64 + '"}'),
        (PollStatus, '{"reason": "' + "x" * 513 + '"}'),
        (PartsRequest, json.dumps({"digests": ["x"] * (MAX_BATCH + 1)})),
        (PartsRequest, '{"digests": "x"}'),
    ],
)
def test_what_is_refused(kind: type, text: str) -> None:
    with pytest.raises(ConfigError):
        read(kind, text.encode())


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_anything_else_is_one_kind_of_error(data: bytes) -> None:
    for kind in (Registration, PollStatus, CertificateRequest):
        try:
            read(kind, data)
        except ConfigError:
            continue


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
_members = st.sampled_from(["service", "labels", "app_port", "healthy", "kind", "applied", "csr", "x"])


@given(st.dictionaries(_members, _json))
def test_any_json_is_a_message_or_an_error(plain: dict[str, object]) -> None:
    data = json.dumps(plain).encode()
    for kind in (Registration, PollStatus, CertificateRequest):
        for lenient in (False, True):
            try:
                message = read(kind, data, lenient=lenient)
            except ConfigError:
                continue
            assert read(kind, write(message)) == message


def test_sizes_are_bounded() -> None:
    with pytest.raises(ConfigError, match="a message of 70000 bytes; the limit is 65536"):
        read(Registration, b" " * 70_000)
    with pytest.raises(ConfigError, match="expected JSON"):
        read(Registration, b"[" * 60_000)


def test_keys_are_not_shown() -> None:
    assert "KEY" not in repr(SecretResponse("n", "v", "c", "KEY"))


def test_names() -> None:
    assert all(is_name(name) for name in ("a", "A-b_c.9", "a" * 253))
    assert not any(is_name(name) for name in ("", "-a", "a-", "a/b", "a b", "a" * 254, "ä", "..", "a\n"))


def test_the_control_planes_id() -> None:
    assert protocol.CONTROL_PATH == "/ns/meshd-system/sa/control"
