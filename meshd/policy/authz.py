"""Authorization: Istio's AuthorizationPolicy on requests and on connections. Pure.

Any DENY rule that matches refuses; then, where any ALLOW policy selects the
workload, one of its rules must match. Rules are compiled once
(``policy/authz_rules.py``); a policy costs about a microsecond. The reason of a
refusal, with the field that failed, is worked out only when there is one.

On opaque TCP an ALLOW rule with an HTTP-only field is dropped (it can never be
shown to hold), while a DENY rule loses only the field (and denies more).
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from meshd.http.head import RequestHead, ResponseHead
from meshd.policy.authz_rules import Rule, Subject, compile_rule, needs_http
from meshd.policy.exchange import ConnectionInfo, Denial, Exchange, Reply
from meshd.snapshot.match import Recorder, Step
from meshd.snapshot.policy import Authorization, AuthorizationPolicy

DENIED_BODY = b"RBAC: access denied"
_REASONS = 3
"""Rules whose failures a reason lists."""


class _Rules:
    """Both lists of rules and the decision."""

    __slots__ = ("_allow", "_deny", "_restricted", "_watched")

    def __init__(self, specification: Authorization, *, http: bool) -> None:
        self._deny = tuple(_compile(specification.deny, http=http, drop=False))
        self._allow = tuple(_compile(specification.allow or (), http=http, drop=not http))
        self._restricted = specification.allow is not None
        self._watched = tuple(
            (each.action, rule)
            for each in specification.watched
            for rule in _compile((each.policy,), http=http, drop=each.action == "ALLOW" and not http)
        )

    def decide(self, subject: Subject) -> Rule | bool | None:
        """True: go on. A rule: the DENY rule that matched. None: no ALLOW rule did."""
        for rule in self._deny:
            if rule.test(subject):
                return rule
        if not self._restricted:
            return True
        for rule in self._allow:
            if rule.test(subject):
                return True
        return None

    def reason(self, rule: Rule | None, subject: Subject) -> str:
        """One sentence: which policy and rule, and which field."""
        if rule is not None:
            return f"denied by {rule.policy} rule {rule.index}: it matches {rule.why()}"
        if not self._allow:
            return "no ALLOW policy of this workload has a rule that can match, so everything is denied"
        failures = [f"{rule.policy} rule {rule.index}: {rule.why_not(subject)}" for rule in self._allow[:_REASONS]]
        more = len(self._allow) - _REASONS
        return f"no ALLOW rule matches: {'; '.join(failures)}{f'; and {more} more' if more > 0 else ''}"

    def explain(self, subject: Subject, record: Recorder) -> None:
        """Tell a recorder of every rule that is looked at, those first that are only watched."""
        for action, rule in self._watched:
            failed = rule.why_not(subject)
            said = f"{action}, which has no effect here: {failed or 'it matches ' + rule.why()}"
            record(Step("authorization", rule.index, matched=False, because=said, resource=rule.policy))
        for index, rule in enumerate((*self._deny, *self._allow)):
            denies = index < len(self._deny)
            failed = rule.why_not(subject)
            said = failed or f"{'DENY' if denies else 'ALLOW'}: {rule.why()}"
            record(Step("authorization", rule.index, not failed, said, rule.policy))
            if not failed:
                return
        if self._restricted:
            record(
                Step("authorization", -1, matched=False, because="ALLOW policies apply and none of their rules matches")
            )


def _compile(policies: Iterable[AuthorizationPolicy], *, http: bool, drop: bool) -> Iterable[Rule]:
    for policy in policies:
        for index, rule in enumerate(policy.rules):
            if not (drop and needs_http(rule)):
                yield compile_rule(rule, policy.name, index, http=http)


def _detail(rule: Rule | None) -> str:
    return f"rbac_access_denied_matched_policy[{rule.name if rule is not None else 'none'}]"


class RequestAuthorization:
    """The head filter.

    Raises (when made):
        ConfigError: a rule cannot be compiled.
    """

    __slots__ = ("_rules",)
    decides_only = True
    """``response`` does nothing: the chain need not call it (``proxy/chain.py``)."""

    def __init__(self, specification: Authorization) -> None:
        self._rules = _Rules(specification, http=True)

    def request(self, exchange: Exchange) -> Reply | None:
        decided = self._rules.decide(exchange)
        if decided is True:
            return None
        rule = decided if isinstance(decided, Rule) else None
        return Reply(403, body=DENIED_BODY, detail=_detail(rule), reason=self._rules.reason(rule, exchange))

    def response(self, exchange: Exchange, response: ResponseHead) -> None:
        pass

    def explain(self, exchange: Exchange, record: Recorder) -> Reply | None:
        """Decide, telling a recorder each rule that was looked at and why it did not match."""
        self._rules.explain(exchange, record)
        return self.request(exchange)


@attrs.frozen
class _ConnectionSubject:
    """A connection without a request."""

    connection: ConnectionInfo
    request: RequestHead = RequestHead(b"", b"")
    remote_host: str = ""


class ConnectionAuthorization:
    """The connection filter, for chains that carry opaque bytes.

    Raises (when made):
        ConfigError: a rule cannot be compiled.
    """

    __slots__ = ("_rules",)

    def __init__(self, specification: Authorization) -> None:
        self._rules = _Rules(specification, http=False)

    def accept(self, connection: ConnectionInfo) -> Denial | None:
        subject = _ConnectionSubject(connection)
        decided = self._rules.decide(subject)
        if decided is True:
            return None
        rule = decided if isinstance(decided, Rule) else None
        return Denial(_detail(rule), self._rules.reason(rule, subject))

    def explain(self, connection: ConnectionInfo, record: Recorder) -> Denial | None:
        """Decide, telling a recorder each rule that was looked at and why it did not match."""
        self._rules.explain(_ConnectionSubject(connection), record)
        return self.accept(connection)
