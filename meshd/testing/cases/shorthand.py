"""Short forms of a test file, written out: what is one thing may be said without a list around it. Pure.

Works on plain values before they are structured; whatever is of no form that is
known stays as it is, for the converter to complain about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Plain = dict[str, Any]

LISTS: Final = ("hosts", "flags")
WORDS: Final = ("body", "receivedPath", "error")
FIELDS: Final = ("headers", "received")
ANSWER: Final = frozenset({"status", "body", "headers", "trailers", "delay", "hang", "reset", "echo"})
"""Fields of an answer. One of them tells that it is an answer that stands in the place of a service."""


def written_out(document: Plain) -> Plain:
    """A whole document."""
    made = dict(document)
    _apply(made, "config", _listed)
    _apply(made, "services", lambda services: _each(services, _service))
    _apply(made, "names", lambda names: _each(names, _listed))
    _apply(made, "gateways", lambda gateways: _each(gateways, lambda gateway: {} if gateway is None else gateway))
    _apply(made, "cases", lambda cases: [_case(each) for each in cases] if isinstance(cases, list) else cases)
    return made


def _case(case: Any) -> Any:
    if not isinstance(case, dict):
        return case
    made = dict(case)
    _apply(made, "given", lambda given: _each(given, _service))
    _apply(made, "expect", _expect)
    return made


def _service(service: Any) -> Any:
    """``503``, ``text``, a list of answers, or the long form with ``versions`` or ``answers``."""
    if service is None:
        return {}
    if not isinstance(service, dict) or service.keys() & ANSWER:
        return {"answers": _script(service)}
    made = dict(service)
    _apply(made, "answers", _script)
    _apply(made, "versions", lambda versions: _each(versions, _script))
    return made


def _script(script: Any) -> Any:
    if script is None:
        return []
    return [_respond(each) for each in script] if isinstance(script, list) else [_respond(script)]


def _respond(answer: Any) -> Any:
    if isinstance(answer, int) and not isinstance(answer, bool):
        return {"status": answer}
    if answer in ("hang", "reset", "echo"):
        return {answer: True}
    return {"body": answer} if isinstance(answer, str) else answer


def _expect(expect: Any) -> Any:
    if not isinstance(expect, dict):
        return expect
    made = dict(expect)
    for name in LISTS:
        _apply(made, name, _listed)
    for name in WORDS:
        _apply(made, name, _words)
    for name in FIELDS:
        _apply(made, name, lambda fields: _each(fields, _words))
    _apply(made, "status", _one_of)
    _apply(made, "servedBy", _one_of)
    _apply(made, "took", lambda took: {"exactly": took} if not isinstance(took, dict) else took)
    _apply(made, "route", lambda route: {"resource": route} if isinstance(route, str) else route)
    _apply(made, "retries", _retries)
    return made


def _one_of(value: Any) -> Any:
    if not isinstance(value, dict):
        return {"anyOf": _listed(value)}
    if not value.keys() <= {"anyOf", "shares"}:
        value = {"shares": value}
    made = dict(value)
    _apply(made, "shares", lambda shares: _each(shares, _percent))
    return made


def _retries(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"attempts": value}
    if isinstance(value, dict):
        made = dict(value)
        _apply(made, "retryOn", lambda on: on.split(",") if isinstance(on, str) else on)
        return made
    return value


def _percent(value: Any) -> Any:
    if isinstance(value, str) and value.endswith("%"):
        try:
            return float(value[:-1])
        except ValueError:
            return value
    return value


def _words(value: Any) -> Any:
    return {"exact": value} if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    return {key: change(each) for key, each in value.items()} if isinstance(value, dict) else value


def _apply(made: Plain, name: str, change: Callable[[Any], Any]) -> None:
    if made.get(name) is not None:
        made[name] = change(made[name])
