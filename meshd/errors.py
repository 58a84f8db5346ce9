"""The families of errors, and the response flags they carry. Pure.

Five families, named for whose fault it is: ``ConfigError`` (a document),
``ProtocolError`` (a peer that breaks a protocol), ``UpstreamError`` (a backend
that does not answer), ``Denied`` (a policy that says no) and ``IdentityError``
(a certificate or token that proves nothing). ``StartError`` ends a command
with an exit code. They are mapped at the seam where they arise, with
``raise ... from``, and become replies only in ``proxy/reply.py``. Anything
else that is raised is a bug of meshd.
"""

from __future__ import annotations

from enum import StrEnum


class ResponseFlag(StrEnum):
    """Why a response is what it is: Envoy's ``%RESPONSE_FLAGS%``."""

    NO_HEALTHY_UPSTREAM = "UH"
    UPSTREAM_CONNECTION_FAILURE = "UF"
    UPSTREAM_OVERFLOW = "UO"
    NO_ROUTE = "NR"
    RETRY_LIMIT_EXCEEDED = "URX"
    NO_CLUSTER = "NC"
    DURATION_TIMEOUT = "DT"
    DOWNSTREAM_TERMINATION = "DC"
    UPSTREAM_TIMEOUT = "UT"
    LOCAL_RESET = "LR"
    UPSTREAM_REMOTE_RESET = "UR"
    UPSTREAM_TERMINATION = "UC"
    DELAY_INJECTED = "DI"
    FAULT_INJECTED = "FI"
    RATE_LIMITED = "RL"
    UNAUTHORIZED_EXTERNAL = "UAEX"
    STREAM_IDLE_TIMEOUT = "SI"
    DOWNSTREAM_PROTOCOL_ERROR = "DPE"
    UPSTREAM_PROTOCOL_ERROR = "UPE"
    OVERLOAD_MANAGER = "OM"
    DNS_FAILURE = "DF"


class MeshdError(Exception):
    """Base of everything meshd raises on purpose."""


class ConfigError(MeshdError):
    """A document, a snapshot or a setting cannot be used.

    Args:
        message: What is wrong and how to mend it, one line.
        origin: Where: ``file.yaml:9:7``, a resource name, or "".
        path: The field, as ``spec.http[0].route[0].weight``, or "".
        code: Finding code such as ``IST0106`` or ``MD0001``, or "".
    """

    def __init__(self, message: str, *, origin: str = "", path: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.origin = origin
        self.path = path
        self.code = code

    def __str__(self) -> str:
        parts = [part for part in (self.origin, self.path, self.message) if part]
        return ": ".join(parts)


class ProtocolError(MeshdError):
    """The peer broke its protocol.

    Args:
        message: What it did, one line, without its bytes.
        status: The status to answer with if an answer is still possible.
        detail: Envoy-like ``%RESPONSE_CODE_DETAILS%`` token, e.g. ``http1.codec_error``.
    """

    def __init__(self, message: str, *, status: int = 400, detail: str = "codec_error") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class ConnectionLost(MeshdError):
    """The peer reset the connection, or it ended in the middle of a message."""


class TlsAlert(ConnectionLost):
    """The peer ended TLS by a fatal alert, such as ``unknown ca``.

    When it comes before any answer it proves that nothing of what was sent has
    been looked at: a TLS 1.3 server judges the client's certificate only after
    the client's side of the handshake is done. A bare end of stream proves nothing.
    """


class UpstreamError(MeshdError):
    """A backend did not give a usable answer.

    Args:
        reason: Envoy's reset reason: ``remote connection failure``,
            ``connection timeout``, ``connection termination``, ``remote reset``,
            ``protocol error``, ``overflow``, ...
        flag: The response flag.
        cause: The detail, such as the operating system's message, or "".
        sent: True when any byte of the request may have reached the backend.
    """

    def __init__(self, reason: str, flag: ResponseFlag, *, cause: str = "", sent: bool = False) -> None:
        super().__init__(f"{reason}: {cause}" if cause else reason)
        self.reason = reason
        self.flag = flag
        self.cause = cause
        self.sent = sent


class DeadlineExceeded(MeshdError):
    """A deadline passed.

    Args:
        what: Which one: ``route timeout``, ``per-try timeout``, ``request head``, ``idle``, ...
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} exceeded")
        self.what = what


class Denied(MeshdError):
    """A policy refused.

    Args:
        detail: Which policy and rule, for logs; never shown to strangers.
        status: HTTP status to answer with.
    """

    def __init__(self, detail: str, *, status: int = 403) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


class IdentityError(MeshdError):
    """A certificate, chain, SPIFFE id or token proves nothing."""


class StartError(MeshdError):
    """A command cannot start or go on; carries its exit code (CONTRACT section 1)."""

    def __init__(self, message: str, *, exit_code: int = 78) -> None:
        super().__init__(message)
        self.exit_code = exit_code
