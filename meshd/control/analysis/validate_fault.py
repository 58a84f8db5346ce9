"""Faults that are injected, alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from meshd.api.document import Path
from meshd.api.networking.virtual_service import Abort, Delay, HTTPFaultInjection
from meshd.api.problem import FIELD_WITHOUT_EFFECT, Problem, error, warning
from meshd.control.analysis import checks

GRPC_CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
"""By number."""

SMALLEST_SHARE = 0.0001
"""Percent: Envoy counts in millionths."""


def fault_injection(fault: HTTPFaultInjection, path: Path) -> Iterator[Problem]:
    """Istio's rules for an HTTPFaultInjection."""
    if fault.delay is None and fault.abort is None:
        yield error(path, "a fault needs delay or abort", at_value=False)
    if fault.delay is not None:
        yield from _delay(fault.delay, (*path, "delay"))
    if fault.abort is not None:
        yield from _abort(fault.abort, (*path, "abort"))


def _delay(delay: Delay, path: Path) -> Iterator[Problem]:
    if delay.exponentialDelay is not None:
        yield error((*path, "exponentialDelay"), "exponentialDelay is not implemented: write fixedDelay")
    elif delay.fixedDelay is None:
        yield warning(path, "without a fixedDelay nothing is delayed", code=FIELD_WITHOUT_EFFECT)
    yield from checks.duration(delay.fixedDelay, (*path, "fixedDelay"))
    yield from checks.percent(delay.percentage, (*path, "percentage", "value"), least=SMALLEST_SHARE)
    yield from checks.percent(delay.percent, (*path, "percent"))
    if delay.percentage is None and delay.percent is None:
        yield _never(path)


def _abort(abort: Abort, path: Path) -> Iterator[Problem]:
    given = [name for name in ("httpStatus", "grpcStatus", "http2Error") if getattr(abort, name) is not None]
    if len(given) > 1:
        yield error(path, f"{' and '.join(given)} cannot both be given: choose one", at_value=False)
    elif not given:
        yield warning(path, "without httpStatus or grpcStatus nothing is aborted")
    if abort.http2Error is not None:
        yield error((*path, "http2Error"), "http2Error is not implemented: write httpStatus or grpcStatus")
    if abort.httpStatus is not None:
        yield from checks.answer_status(abort.httpStatus, (*path, "httpStatus"))
    if abort.grpcStatus is not None and abort.grpcStatus not in GRPC_CODES:
        yield error((*path, "grpcStatus"), f'"{abort.grpcStatus}" is not a gRPC status such as UNAVAILABLE')
    yield from checks.percent(abort.percentage, (*path, "percentage", "value"), least=SMALLEST_SHARE)
    if abort.percentage is None:
        yield _never(path)


def _never(path: Path) -> Problem:
    return warning(
        path, "without a percentage it never happens: add percentage: {value: 100}", code=FIELD_WITHOUT_EFFECT
    )
